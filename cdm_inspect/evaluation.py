"""How good the verdicts are on labelled parts; metrics are anomalib's."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cdm_inspect.errors import CdmInspectError
from cdm_inspect.images import overlay_heatmap
from cdm_inspect.records import FloatArray, JsonObject

BoolArray = npt.NDArray[np.bool_]
_BOOTSTRAP = 1000
_WORST = 4


@dataclass(frozen=True, kw_only=True)
class ScoredPart:
    """One labelled part with what the scorer said.

    Attributes:
        mask: (height, width) of the heat map; all false for good parts, None if not known.
        picture: (height, width, 3) uint8 RGB at the size of the heat map.
    """

    path: Path
    label: str
    is_good: bool
    score: float
    heatmap: FloatArray
    mask: BoolArray | None
    picture: npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The figures of `evaluate`; names as in its JSON. Pixel figures are None without masks."""

    n_good: int
    n_defective: int
    image_AUROC: float
    image_AUROC_interval: tuple[float, float]
    image_AUPR: float
    image_F1Max: float
    pixel_AUROC: float | None
    pixel_AUPRO: float | None
    threshold: float
    false_reject_rate: float
    escape_rate: float
    per_defect: dict[str, JsonObject]


def evaluate_scores(parts: Sequence[ScoredPart], threshold: float) -> Evaluation:
    """Metrics of scored parts at an operating point.

    The AUROC interval is the 95 % percentile bootstrap over parts, resampled within good and
    defective ones (1,000 draws, seed 0). Pixel figures need a mask for every defective part;
    AUPRO integrates to a false-positive rate of 0.3.

    Raises:
        CdmInspectError: if anomalib is not installed.
    """
    labels = np.array([not part.is_good for part in parts])
    scores = np.array([part.score for part in parts], np.float32)
    image = _image_metrics(scores, labels)
    pixel_auroc = pixel_aupro = None
    if all(part.mask is not None for part in parts):
        maps = np.stack([part.heatmap for part in parts])
        masks = np.stack([part.mask for part in parts if part.mask is not None])
        pixel_auroc, pixel_aupro = _pixel_metrics(maps, masks)
    is_flagged = scores >= threshold
    per_defect: dict[str, JsonObject] = {}
    for label in sorted({part.label for part in parts if not part.is_good}):
        chosen = np.array([part.label == label for part in parts])
        subset = chosen | ~labels
        per_defect[label] = {
            "count": int(chosen.sum()),
            "image_AUROC": _image_metrics(scores[subset], labels[subset])["AUROC"],
            "escape_rate": float(1 - is_flagged[chosen].mean()),
        }
    return Evaluation(
        n_good=int((~labels).sum()),
        n_defective=int(labels.sum()),
        image_AUROC=image["AUROC"],
        image_AUROC_interval=bootstrap_auroc(scores, labels),
        image_AUPR=image["AUPR"],
        image_F1Max=image["F1Max"],
        pixel_AUROC=pixel_auroc,
        pixel_AUPRO=pixel_aupro,
        threshold=threshold,
        false_reject_rate=float(is_flagged[~labels].mean()),
        escape_rate=float(1 - is_flagged[labels].mean()),
        per_defect=per_defect,
    )


def bootstrap_auroc(
    scores: npt.NDArray[np.float32], labels: BoolArray, draws: int = _BOOTSTRAP
) -> tuple[float, float]:
    """95 % percentile interval of the AUROC, resampling good and defective parts apart."""
    random = np.random.default_rng(0)
    good, bad = scores[~labels], scores[labels]
    # AUROC is the mean over pairs of [bad > good] + [bad = good] / 2.
    wins = (bad[:, None] > good[None]) + 0.5 * (bad[:, None] == good[None])
    values = []
    for _ in range(draws):
        weight_bad = random.multinomial(len(bad), np.full(len(bad), 1 / len(bad))) / len(bad)
        weight_good = random.multinomial(len(good), np.full(len(good), 1 / len(good))) / len(good)
        values.append(weight_bad @ wins @ weight_good)
    low, high = np.quantile(values, [0.025, 0.975])
    return round(float(low), 4), round(float(high), 4)


def draw_report(
    parts: Sequence[ScoredPart], evaluation: Evaluation, title: str, destination: Path
) -> None:
    """Write a PNG: ROC, score histogram, and the worst cases beside their heat maps."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 10), layout="constrained")
    figure.suptitle(
        f"{title}: image AUROC {evaluation.image_AUROC:.3f} "
        f"[{evaluation.image_AUROC_interval[0]:.3f}, {evaluation.image_AUROC_interval[1]:.3f}], "
        f"{evaluation.n_good} good, {evaluation.n_defective} defective parts"
    )
    grid = figure.add_gridspec(3, 2 * _WORST, height_ratios=(1.4, 1, 1))
    _draw_roc(figure.add_subplot(grid[0, :_WORST]), parts, evaluation)
    _draw_histogram(figure.add_subplot(grid[0, _WORST:]), parts, evaluation)
    escapes = sorted((p for p in parts if not p.is_good), key=lambda part: part.score)
    rejects = sorted((p for p in parts if p.is_good), key=lambda part: -part.score)
    for row, chosen, word in ((1, escapes, "lowest defective"), (2, rejects, "highest good")):
        for column, part in enumerate(chosen[:_WORST]):
            plain = figure.add_subplot(grid[row, 2 * column])
            plain.imshow(part.picture)
            plain.set_title(f"{word}\n{part.label}/{part.path.name}", fontsize=8)
            heat = figure.add_subplot(grid[row, 2 * column + 1])
            heat.imshow(overlay_heatmap(part.picture, part.heatmap, evaluation.threshold, 0.7))
            heat.set_title(f"score {part.score:.2f}", fontsize=8)
            plain.axis("off")
            heat.axis("off")
    destination.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(destination, dpi=90)


def _draw_roc(axes: Any, parts: Sequence[ScoredPart], evaluation: Evaluation) -> None:
    good = np.sort([p.score for p in parts if p.is_good])[::-1]
    bad = np.sort([p.score for p in parts if not p.is_good])[::-1]
    cuts = np.unique(np.concatenate([good, bad]))[::-1]
    false = [0.0, *((good[None] >= cuts[:, None]).mean(1))]
    true = [0.0, *((bad[None] >= cuts[:, None]).mean(1))]
    axes.plot(false, true, color="#00204d")
    axes.plot(
        evaluation.false_reject_rate,
        1 - evaluation.escape_rate,
        "o",
        color="#d55e00",
        label="at the threshold",
    )
    axes.plot([0, 1], [0, 1], color="0.8", linewidth=1)
    axes.set(xlabel="good parts flagged (false rejects)", ylabel="defective parts flagged")
    axes.set(title="ROC", xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    axes.legend(loc="lower right")


def _draw_histogram(axes: Any, parts: Sequence[ScoredPart], evaluation: Evaluation) -> None:
    scores = [part.score for part in parts]
    edges = np.linspace(min(scores), max(scores) + 1e-6, 40)
    axes.hist(
        [p.score for p in parts if p.is_good], edges, alpha=0.8, label="good", color="#00204d"
    )
    axes.hist(
        [p.score for p in parts if not p.is_good],
        edges,
        alpha=0.6,
        label="defective",
        color="#d5a000",
        hatch="//",
    )
    axes.axvline(evaluation.threshold, color="#d55e00", label="threshold")
    axes.set(xlabel="score (higher is more abnormal)", ylabel="parts", title="Scores")
    axes.legend()


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


def _pixel_metrics(maps: FloatArray, masks: BoolArray) -> tuple[float, float]:
    torch, metrics, batch_class = _anomalib()
    batch = batch_class(
        image=torch.zeros(len(maps), 3, *maps.shape[1:]),
        anomaly_map=torch.from_numpy(maps),
        gt_mask=torch.from_numpy(masks),
    )
    fields = ["anomaly_map", "gt_mask"]
    return _run(metrics.AUROC(fields=fields), batch), _run(metrics.AUPRO(fields=fields), batch)


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
    return torch, metrics, ImageBatch
