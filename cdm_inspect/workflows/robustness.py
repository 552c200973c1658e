"""What becomes of the verdicts when light, focus, place or noise change, on a fixed grid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from sklearn.metrics import roc_auc_score

from cdm_inspect.calibration.guarantees import rate_interval
from cdm_inspect.images import LabelledPart, spread_evenly
from cdm_inspect.records import FloatArray, JsonObject, Tick, Verdict
from cdm_inspect.workflows.assembly import TrainedInspector

# Of each kind, good and defective, at most so many parts.
_PARTS = 24


@dataclass(frozen=True, kw_only=True)
class Disturbance:
    """A change of the picture that is no defect.

    Attributes:
        kind: what changes.
        level: how far, in words with its unit.
        apply: from one prepared image, (channels, height, width) in [-1, 1], to another.
    """

    kind: str
    level: str
    apply: Callable[[FloatArray], FloatArray]


def _light(shift: float) -> Callable[[FloatArray], FloatArray]:
    return lambda image: np.clip(image + 2 * shift, -1, 1)


def _gain(factor: float) -> Callable[[FloatArray], FloatArray]:
    return lambda image: np.clip((image + 1) * factor - 1, -1, 1)


def _blur(sigma: float) -> Callable[[FloatArray], FloatArray]:
    return lambda image: np.stack(
        [cv2.GaussianBlur(c, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101) for c in image]
    )


def _shift(pixels: int) -> Callable[[FloatArray], FloatArray]:
    def apply(image: FloatArray) -> FloatArray:
        height, width = image.shape[1:]
        padded = np.pad(image, ((0, 0), (pixels, 0), (pixels, 0)), mode="edge")
        return padded[:, :height, :width]

    return apply


def _noise(spread: float) -> Callable[[FloatArray], FloatArray]:
    def apply(image: FloatArray) -> FloatArray:
        # Alike for all parts, so that none is lucky.
        random = np.random.default_rng(0)
        noise = random.normal(scale=2 * spread, size=image.shape)
        return np.clip(image + noise, -1, 1).astype(np.float32)

    return apply


GRID = (
    Disturbance(kind="none", level="as it is", apply=lambda image: image),
    *(
        Disturbance(kind="light", level=f"{shift:+.0%} of the range", apply=_light(shift))
        for shift in (-0.1, -0.03, 0.03, 0.1)
    ),
    *(Disturbance(kind="gain", level=f"x {g:g}", apply=_gain(g)) for g in (0.8, 1.25)),
    *(Disturbance(kind="blur", level=f"{s:g} px", apply=_blur(s)) for s in (0.5, 1.0, 2.0)),
    *(Disturbance(kind="shift", level=f"{p} px", apply=_shift(p)) for p in (1, 2, 4)),
    *(
        Disturbance(kind="noise", level=f"{s:.1%} of the range", apply=_noise(s))
        for s in (0.005, 0.01, 0.03)
    ),
)


def measure_robustness(
    inspector: TrainedInspector,
    labelled: Sequence[LabelledPart],
    prepare: Callable[[LabelledPart], FloatArray],
    *,
    tick: Tick,
) -> list[JsonObject]:
    """Judge some labelled parts under each disturbance of the grid.

    Args:
        inspector: that judges.
        labelled: good and defective parts; at most 24 of each are taken, evenly spread.
        prepare: reads a part as a prepared image.
        tick: called with how many judgements are done.

    Returns:
        For each disturbance `kind`, `level`, `image_AUROC`, `undecided` (photographs that would
        have to be taken again), `false_reject_rate` and `escape_rate` with exact 95 % intervals.
    """
    sides = [[p for p in labelled if p.is_good is is_good] for is_good in (True, False)]
    chosen = [side[i] for side in sides for i in spread_evenly(len(side), min(_PARTS, len(side)))]
    images = [prepare(part) for part in chosen]
    is_bad = np.array([not part.is_good for part in chosen])
    rows, total, done = [], len(GRID) * len(chosen), 0
    for disturbance in GRID:
        scores, verdicts = np.zeros(len(images)), []
        for number, image in enumerate(images):
            changed = disturbance.apply(image).astype(np.float32)
            look = inspector.scorer.look_at(changed)
            scores[number] = look.appraise().score
            verdicts.append(inspector.verdict_of(look.seen, scores[number]))
            tick(done := done + 1, total)
        flagged = np.array([verdict is not Verdict.PASS for verdict in verdicts])
        false, missed = int(flagged[~is_bad].sum()), int((~flagged[is_bad]).sum())
        n_good, n_bad = int((~is_bad).sum()), int(is_bad.sum())
        rows.append(
            {
                "kind": disturbance.kind,
                "level": disturbance.level,
                "undecided": sum(verdict is Verdict.UNDECIDED for verdict in verdicts),
                "image_AUROC": round(float(roc_auc_score(is_bad, scores)), 4),
                "false_reject_rate": false / n_good,
                "false_reject_interval": rate_interval(false, n_good),
                "escape_rate": missed / n_bad,
                "escape_interval": rate_interval(missed, n_bad),
            }
        )
    return rows
