"""How certain figures of merit are: percentile bootstraps over parts.

Good and defective parts are resampled apart, 1,000 times, seed 0 (Efron 1979). A part is drawn with
all its pixels, because pixels of one part are not independent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from scipy.integrate import trapezoid

from cdm_inspect.records import DoubleArray

Bools = npt.NDArray[np.bool_]
Interval = tuple[float, float]

DRAWS = 1000
# Points of the false-positive axis that pixel figures are resampled on.
_STEPS = 400
# AUPRO is integrated up to this false-positive rate.
FPR_LIMIT = 0.3


def image_intervals(
    scores: npt.ArrayLike, labels: Bools, draws: int = DRAWS
) -> dict[str, Interval | None]:
    """95 % intervals of the AUROC, AUPR and highest F1; None where no draw differs.

    Args:
        scores: (n,) higher is more abnormal.
        labels: (n,) true for defective parts; both kinds occur.
    """
    found: dict[str, list[float]] = {"AUROC": [], "AUPR": [], "F1Max": []}
    counted = _counting(np.asarray(scores, np.float64))
    for weights in _draws(labels, draws):
        true, false = counted(weights * labels), counted(weights * ~labels)
        found["AUROC"].append(area_under(false / false[-1], true / true[-1]))
        found["AUPR"].append(precision_area(true, false))
        found["F1Max"].append(best_f1(true, false))
    return {name: _percentiles(values) for name, values in found.items()}


def pixel_intervals(
    maps: Sequence[npt.NDArray[Any]], masks: Sequence[Bools], draws: int = DRAWS
) -> dict[str, Interval | None]:
    """95 % intervals of the pixel AUROC and the AUPRO up to a false-positive rate of 0.3.

    Thresholds lie at 400 shares of the good pixels, spaced evenly on a logarithmic axis.

    Args:
        maps: of each part, (height, width).
        masks: of each part, true where it is defective; all false for good parts.
    """
    good = np.sort(np.concatenate([m[~mask] for m, mask in zip(maps, masks, strict=True)]))
    # Most thresholds where false positives are rare: there good detectors have their whole curve.
    places = np.unique(len(good) - np.geomspace(1, len(good), _STEPS).round().astype(int))
    edges = np.unique(good[places])
    counts = [_above(m, mask, edges) for m, mask in zip(maps, masks, strict=True)]
    false, true, overlap, regions = (np.stack(column) for column in zip(*counts, strict=True))
    labels = np.array([mask.any() for mask in masks])
    found: dict[str, list[float]] = {"AUROC": [], "AUPRO": []}
    for weights in _draws(labels, draws):
        rates = (weights @ false) / (weights @ false)[-1]
        found["AUROC"].append(area_under(rates, (weights @ true) / (weights @ true)[-1]))
        found["AUPRO"].append(limited_area(rates, (weights @ overlap) / (weights @ regions)))
    return {name: _percentiles(values) for name, values in found.items()}


def area_under(x: DoubleArray, y: DoubleArray) -> float:
    """By the trapezoid rule, from the origin on; `x` ascends."""
    return float(trapezoid(np.concatenate([[0.0], y]), np.concatenate([[0.0], x])))


def limited_area(x: DoubleArray, y: DoubleArray, limit: float = FPR_LIMIT) -> float:
    """Area under a curve up to `limit`, in share of what is possible there."""
    inside = x < limit
    ends = [*x[inside], limit], [*y[inside], float(np.interp(limit, x, y))]
    return area_under(np.array(ends[0]), np.array(ends[1])) / limit


def precision_area(true: DoubleArray, false: DoubleArray) -> float:
    """Area under precision over recall, by the trapezoid rule, from precision 1 at recall 0.

    Args:
        true: weight of defective parts at or above each threshold, from the highest on.
        false: the same of good parts.
    """
    is_any = true + false > 0
    precision = true[is_any] / (true + false)[is_any]
    recall = true[is_any] / true[-1]
    return float(trapezoid(np.concatenate([[1.0], precision]), np.concatenate([[0.0], recall])))


def best_f1(true: DoubleArray, false: DoubleArray) -> float:
    """The highest F1 of any threshold; arguments as for `precision_area`."""
    return float((2 * true / (true + false + true[-1])).max())


def _counting(scores: DoubleArray) -> Callable[[DoubleArray], DoubleArray]:
    """Sums of weights at or above each distinct score, from the highest on."""
    order = np.argsort(-scores, kind="stable")
    ascending = -scores[order]
    last = np.flatnonzero(np.append(np.diff(ascending) > 0, True))
    return lambda weights: np.asarray(np.cumsum(weights[order])[last])


def _above(
    heat: npt.NDArray[Any], mask: Bools, edges: DoubleArray
) -> tuple[DoubleArray, DoubleArray, DoubleArray, int]:
    """Good pixels, defective pixels and covered shares of regions at or above each edge.

    Edges from the highest on, then everything.
    """
    count, labelled = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    overlap = sum(
        (_at_least(heat[labelled == region], edges, is_share=True) for region in range(1, count)),
        start=np.zeros(len(edges) + 1),
    )
    return _at_least(heat[~mask], edges), _at_least(heat[mask], edges), overlap, count - 1


def _at_least(
    values: npt.NDArray[Any], edges: DoubleArray, *, is_share: bool = False
) -> DoubleArray:
    below = np.searchsorted(np.sort(values), edges, side="left")
    counts = np.append((len(values) - below)[::-1], len(values)).astype(np.float64)
    return counts / len(values) if is_share else counts


def _draws(labels: Bools, draws: int) -> Any:
    """How often each part is drawn, in each draw."""
    random = np.random.default_rng(0)
    kinds = [np.flatnonzero(labels), np.flatnonzero(~labels)]
    for _ in range(draws):
        weights = np.zeros(len(labels))
        for places in kinds:
            if len(places):
                share = np.full(len(places), 1 / len(places))
                weights[places] = random.multinomial(len(places), share)
        yield weights


def _percentiles(values: list[float]) -> Interval | None:
    """None where all draws are alike: too few parts to say how certain the figure is."""
    low, high = np.quantile(values, [0.025, 0.975])
    return None if low == high else (round(float(low), 4), round(float(high), 4))
