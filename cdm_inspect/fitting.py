"""Fit a scorer on held-out good parts, and let it choose its pooling on damaged copies of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cdm_inspect.calibration import folds
from cdm_inspect.contracts import DamagedParts, TunedScorer
from cdm_inspect.images import SyntheticPart, battery
from cdm_inspect.line_scorer import LineScorer
from cdm_inspect.records import FloatArray, JsonObject

Tick = Callable[[int, int], None]

# Seed of the synthetic defects: the same line is always tuned on the same.
_SEED = 0


class Fit(NamedTuple):
    """What fitting has found.

    Attributes:
        scores: of each held-out part, by statistics and choices made without it.
        found: what the scorer says of the parts and of its choices; empty if it says nothing.
    """

    scores: list[float]
    found: JsonObject


def fit_scorer(scorer: LineScorer, held_out: FloatArray, *, tick: Tick) -> Fit:
    """Fit a scorer on held-out good parts; it keeps what it learnt from all of them.

    Each part is also scored by what the other folds have taught, so that its score is one that a
    fresh part could have. Damaged copies are of parts in the same folds.

    Args:
        scorer: built; changed in place.
        held_out: (count, channels, height, width) prepared images.
        tick: told how many of how many observations are done.
    """
    fitted, count = scorer.fitted, len(held_out)
    if fitted is None:
        scores = []
        for done, image in enumerate(held_out, start=1):
            scores.append(float(scorer.score(image[None]).scores[0]))
            tick(done, count)
        return Fit(scores, {})

    tuned = fitted if isinstance(fitted, TunedScorer) else None
    damaged, origins = _damaged(scorer, held_out) if tuned is not None else ([], np.zeros(0, int))
    total = count + len(damaged)
    observed: list[Tensor] = []
    for image in (*held_out, *(part.image for part in damaged)):
        observed.append(scorer.observe(image))
        tick(len(observed), total)
    evidence = torch.cat(observed[:count])
    others = torch.cat(observed[count:]) if damaged else evidence[:0]
    masks = torch.from_numpy(np.array([part.mask for part in damaged], bool))

    def learn(chosen: npt.NDArray[Any]) -> None:
        fitted.fit(evidence[chosen])
        copies = np.flatnonzero(np.isin(origins, chosen))
        if tuned is not None and len(copies):
            tuned.tune(evidence[chosen], DamagedParts(others[copies], masks[copies]))

    cross_scores = np.zeros(count)
    for fit_on, score in folds(count):
        learn(fit_on)
        cross_scores[score] = scorer.judge(evidence[score], held_out.shape[2:]).scores.numpy()
    learn(np.arange(count))
    return Fit(cross_scores.tolist(), dict(tuned.describe()) if tuned is not None else {})


def _damaged(scorer: LineScorer, held_out: FloatArray) -> tuple[list[SyntheticPart], np.ndarray]:
    """One defect of each kind, size and contrast, and the part each was done to.

    A defect that lies mostly outside the line's region is left out.
    """
    parts, origins = [], []
    for number, part in enumerate(battery(held_out, seed=_SEED)):
        if scorer.region is None or 2 * (part.mask & scorer.region).sum() >= part.mask.sum():
            parts.append(part)
            origins.append(number % len(held_out))
    return parts, np.array(origins, int)
