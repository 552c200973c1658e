"""Fit a scorer on held-out good parts, and let it choose its pooling on damaged copies of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cdm_inspect.calibration import folds
from cdm_inspect.contracts import DamagedParts
from cdm_inspect.images import battery, spread_evenly
from cdm_inspect.line_scorer import LineScorer
from cdm_inspect.records import FloatArray

Tick = Callable[[int, int], None]

SEED = 0
"""Of the synthetic defects that choices are made on: the same line is always tuned on the same."""

# Fewer than `evaluate --synthetic` has: each is one more part to observe.
_SIZES, _CONTRASTS = (0.05, 0.12, 0.3), (0.7, 1.5)
# Parts whose evidence is kept to learn from. Statistics gain little from more; scores do, and get
# them: further parts are scored one by one by what the first have taught.
_MOST = 200
_LEAST = 20
_MOST_BYTES = 2 * 2**30


def fit_scorer(scorer: LineScorer, held_out: FloatArray, *, tick: Tick) -> list[float]:
    """Fit a scorer on held-out good parts; it keeps what it learnt.

    Each part is scored by statistics that the other folds have taught, so that its score is one
    that a fresh part could have. Choices are made once, on maps that come about in the same way,
    of the parts and of damaged copies of them.

    Args:
        scorer: built; changed in place.
        held_out: (count, channels, height, width) prepared images.
        tick: told how many of how many observations are done.

    Returns:
        The score of each part, in the order given.
    """
    count, size = len(held_out), held_out.shape[2:]
    scores = np.zeros(count)
    if scorer.fitted is None:
        for done, image in enumerate(held_out, start=1):
            scores[done - 1] = float(scorer.score(image[None]).scores[0])
            tick(done, count)
        return scores.tolist()

    first = scorer.observe(held_out[0])
    most = min(_MOST, max(_LEAST, _MOST_BYTES // (first.nbytes + 1)))
    learnt = np.array(spread_evenly(count, min(count, int(most))))
    further = np.setdiff1d(np.arange(count), learnt)
    copies = list(
        battery(
            held_out[learnt],
            seed=SEED,
            sizes=_SIZES,
            contrasts=_CONTRASTS,
            region=scorer.region,
        )
    )
    copies = copies if scorer.tuned is not None else []
    total = count + len(copies)

    def observe(images: Iterable[FloatArray], number: int, done: int) -> Tensor:
        evidence = first.new_empty((number, *first.shape[1:]))
        for index, image in enumerate(images):
            evidence[index] = scorer.observe(image)[0]
            tick(done + index + 1, total)
        return evidence

    evidence = observe(held_out[learnt], len(learnt), 0)
    if scorer.tuned is None:
        for fit_on, left_out in folds(len(learnt)):
            scorer.fit(evidence[fit_on])
            scores[learnt[left_out]] = scorer.judge(evidence[left_out], size).scores.numpy()
    else:
        others = observe((copy.image for copy in copies), len(copies), len(learnt))
        origins = np.arange(len(copies)) % len(learnt)
        good, damaged = _cross_combine(scorer, evidence, others, origins)
        masks = torch.from_numpy(np.array([copy.mask for copy in copies], bool))
        scorer.tune(good, DamagedParts(damaged, masks))
        scores[learnt] = scorer.pool(good, size).scores.numpy()
    scorer.fit(evidence)
    for done, index in enumerate(further, start=1):
        scores[index] = float(scorer.score(held_out[index][None]).scores[0])
        tick(total - len(further) + done, total)
    return scores.tolist()


def _cross_combine(
    scorer: LineScorer, evidence: Tensor, others: Tensor, origins: npt.NDArray[np.int_]
) -> tuple[Tensor, Tensor]:
    """Layers of parts and of copies, each by statistics fitted without the part."""
    good: list[Tensor] = [torch.empty(0)] * len(evidence)
    damaged: list[Tensor] = [torch.empty(0)] * len(others)
    for fit_on, left_out in folds(len(evidence)):
        scorer.fit(evidence[fit_on])
        of_them = np.flatnonzero(np.isin(origins, left_out))
        for kept, seen, chosen in ((good, evidence, left_out), (damaged, others, of_them)):
            for index, layers in zip(chosen, scorer.combine(seen[chosen]), strict=True):
                kept[index] = layers
    return torch.stack(good), torch.stack(damaged)
