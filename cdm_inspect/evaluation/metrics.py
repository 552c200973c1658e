"""How good the verdicts are on labelled parts; metrics are anomalib's."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cdm_inspect.calibration.guarantees import rate_interval
from cdm_inspect.errors import CdmInspectError
from cdm_inspect.evaluation.bootstrap import Interval, image_intervals, pixel_intervals
from cdm_inspect.records import FloatArray, JsonObject, Verdict

BoolArray = npt.NDArray[np.bool_]
# Levels that p-values of good parts are held against.
_LEVELS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
_AUPIMO_PIXELS = 1_000_000
# A tenth of anomalib's own number: ten times as fast, the same to three digits.
_AUPIMO_THRESHOLDS = 30_000


@dataclass(frozen=True, kw_only=True)
class ScoredPart:
    """One labelled part with what was said of it.

    Attributes:
        p_value: share of held-out good parts that look at least as odd.
        mask: (height, width) of the heat map; all false for good parts, None if not known.
        picture: (height, width, 3) uint8 RGB at the size of the heat map.
    """

    path: Path
    sha256: str
    label: str
    is_good: bool
    score: float
    p_value: float
    verdict: Verdict
    heatmap: FloatArray
    mask: BoolArray | None
    picture: npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The figures of `evaluate`; names as in its JSON. Pixel figures are None without masks.

    Attributes:
        confusion: of good and of defective parts, how many have which verdict; undecided are those
            whose photographs would have to be taken again.
        false_reject_rate: share of good parts that are flagged, with its exact 95 % interval.
        escape_rate: share of defective parts that pass, with its exact 95 % interval.
        pixel_AUPRO: up to a false-positive rate of 0.3.
        pixel_AUPIMO: mean over defective parts; by good parts' pixels alone (Bertoldo et al. 2024).
        p_values: how far the p-values of good parts are from uniform.
        per_defect: by kind of defect.
    """

    n_good: int
    n_defective: int
    confusion: dict[str, dict[str, int]]
    false_reject_rate: float
    false_reject_interval: Interval
    escape_rate: float
    escape_interval: Interval
    threshold: float
    image_AUROC: float
    image_AUROC_interval: Interval | None
    image_AUPR: float
    image_AUPR_interval: Interval | None
    image_F1Max: float
    image_F1Max_interval: Interval | None
    pixel_AUROC: float | None
    pixel_AUROC_interval: Interval | None
    pixel_AUPRO: float | None
    pixel_AUPRO_interval: Interval | None
    pixel_AUPIMO: float | None
    p_values: list[JsonObject]
    per_defect: dict[str, JsonObject]


def evaluate_scores(parts: Sequence[ScoredPart], threshold: float) -> Evaluation:
    """Metrics of scored parts at an operating point; intervals hold with 95 %.

    Intervals of rates are exact (Clopper and Pearson), those of the areas are bootstraps over
    parts. Pixel figures need a mask for every defective part.

    Raises:
        CdmInspectError: if anomalib is not installed.
    """
    labels = np.array([not part.is_good for part in parts])
    scores = np.array([part.score for part in parts], np.float32)
    image, pixel = _image_metrics(scores, labels), dict.fromkeys(("AUROC", "AUPRO", "AUPIMO"))
    pixel_spread: dict[str, Interval | None] = dict.fromkeys(("AUROC", "AUPRO"))
    if all(part.mask is not None for part in parts):
        maps = np.stack([part.heatmap for part in parts])
        masks = np.stack([part.mask for part in parts if part.mask is not None])
        pixel = _pixel_metrics(maps, masks)
        pixel_spread = {**pixel_intervals(list(maps), list(masks))}
    spread = image_intervals(scores, labels)
    is_flagged = np.array([part.verdict is not Verdict.PASS for part in parts])
    good, bad = is_flagged[~labels], is_flagged[labels]
    return Evaluation(
        n_good=len(good),
        n_defective=len(bad),
        confusion={
            name: {
                str(verdict): sum(p.verdict is verdict and p.is_good is is_good for p in parts)
                for verdict in Verdict
            }
            for name, is_good in (("good", True), ("defective", False))
        },
        false_reject_rate=float(good.mean()),
        false_reject_interval=rate_interval(int(good.sum()), len(good)),
        escape_rate=float((~bad).mean()),
        escape_interval=rate_interval(int((~bad).sum()), len(bad)),
        threshold=threshold,
        image_AUROC=image["AUROC"],
        image_AUROC_interval=spread["AUROC"],
        image_AUPR=image["AUPR"],
        image_AUPR_interval=spread["AUPR"],
        image_F1Max=image["F1Max"],
        image_F1Max_interval=spread["F1Max"],
        pixel_AUROC=pixel["AUROC"],
        pixel_AUROC_interval=pixel_spread["AUROC"],
        pixel_AUPRO=pixel["AUPRO"],
        pixel_AUPRO_interval=pixel_spread["AUPRO"],
        pixel_AUPIMO=pixel["AUPIMO"],
        p_values=_uniformity([part.p_value for part in parts if part.is_good]),
        per_defect={
            label: _of_defect(
                np.array([part.label == label for part in parts]), scores, labels, is_flagged
            )
            for label in sorted({part.label for part in parts if not part.is_good})
        },
    )


def _of_defect(
    chosen: BoolArray, scores: FloatArray, labels: BoolArray, is_flagged: BoolArray
) -> JsonObject:
    """Figures of one kind of defect against all good parts."""
    subset, count = chosen | ~labels, int(chosen.sum())
    escaped = int((~is_flagged[chosen]).sum())
    return {
        "count": count,
        "image_AUROC": _image_metrics(scores[subset], labels[subset])["AUROC"],
        "escapes": escaped,
        "escape_rate": escaped / count,
        "escape_interval": rate_interval(escaped, count),
    }


def _uniformity(p_values: Sequence[float]) -> list[JsonObject]:
    """The share of good parts with a p-value up to each level; it should be about the level."""
    found = []
    for level in _LEVELS:
        below = sum(p <= level for p in p_values)
        low, high = rate_interval(below, len(p_values))
        found.append({"level": level, "share": below / len(p_values), "low": low, "high": high})
    return found


def _image_metrics(scores: npt.NDArray[np.float32], labels: BoolArray) -> dict[str, float]:
    torch, metrics, batch_class = _anomalib()
    batch = batch_class(
        image=torch.zeros(len(scores), 3, 1, 1),
        pred_score=torch.from_numpy(scores),
        gt_label=torch.from_numpy(labels),
    )
    return {
        name: _run(getattr(metrics, name)(fields=["pred_score", "gt_label"]), batch)
        for name in ("AUROC", "AUPR", "F1Max")
    }


def _pixel_metrics(maps: FloatArray, masks: BoolArray) -> dict[str, float | None]:
    torch, metrics, batch_class = _anomalib()
    batch = batch_class(
        image=torch.zeros(len(maps), 3, *maps.shape[1:]),
        anomaly_map=torch.from_numpy(maps),
        gt_mask=torch.from_numpy(masks),
    )
    fields = ["anomaly_map", "gt_mask"]
    found: dict[str, float | None] = {
        name: _run(getattr(metrics, name)(fields=fields), batch) for name in ("AUROC", "AUPRO")
    }
    # Its bounds are false-positive rates of 1e-5 and 1e-4: few good parts have too few pixels.
    pixels = int((~masks[~masks.any(axis=(1, 2))]).sum())
    if pixels < _AUPIMO_PIXELS:
        return {**found, "AUPIMO": None}
    aupimo = metrics.AUPIMO(fields=fields, return_average=True, num_thresholds=_AUPIMO_THRESHOLDS)
    try:
        return {**found, "AUPIMO": _run(aupimo, batch)}
    except (RuntimeError, ValueError):
        # Flat maps, or many ties at the top, leave its narrow range empty.
        return {**found, "AUPIMO": None}


def _run(metric: Any, batch: Any) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchmetrics warns of the memory it keeps
        metric.update(batch)
        # float32 sums have returned 1.0000001.
        return round(min(1.0, max(0.0, float(metric.compute()))), 6)


def _anomalib() -> tuple[Any, Any, Any]:
    try:
        import torch
        from anomalib import metrics
        from anomalib.data import ImageBatch
    except ModuleNotFoundError as error:
        raise CdmInspectError(
            f"evaluation needs anomalib's metrics ({error.name} is missing). "
            "Run: pip install 'cdm-inspect[anomalib]'."
        ) from error
    # It warns of the memory that it keeps, and of bounds that are met to a few per cent only.
    logging.getLogger("anomalib.metrics.pimo").setLevel(logging.ERROR)
    return torch, metrics, ImageBatch
