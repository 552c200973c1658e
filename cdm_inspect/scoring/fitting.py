"""Fit a scorer on good parts, and let it choose its pooling on damaged copies of held-out ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cdm_inspect.images import battery, spread_evenly
from cdm_inspect.plugins import DamagedParts
from cdm_inspect.records import DoubleArray, FloatArray, Tick
from cdm_inspect.scoring.line_scorer import LineScorer

FOLDS = 5
SEED = 0
"""Of the synthetic defects that choices are made on: the same line is always tuned on the same."""

# Fewer than `evaluate --synthetic` has: each is one more part to observe.
_SIZES, _CONTRASTS = (0.05, 0.12, 0.3), (0.7, 1.5)
# Of these, for thresholds by cost.
_REPEATS = 2
_COST_SEED = SEED + 1000
# Parts whose evidence is kept to learn from. Statistics gain little from more; scores do, and get
# them: further parts are scored one by one by what the first have taught.
_MOST = 200
_LEAST = 20
# Parts up to which those that were trained on fill up held-out ones. Seven held-out parts estimate
# the statistics of each place badly; beside fifty, what the model has by heart does more harm than
# further parts do good.
_FILLED_UP = 50
_MOST_BYTES = 2 * 2**30


def fit_scorer(
    scorer: LineScorer, held_out: FloatArray, *, trained_on: FloatArray | None = None, tick: Tick
) -> list[float]:
    """Fit a scorer on good parts; it keeps what it learnt.

    Each held-out part is scored by statistics that the other folds have taught, so that its score
    is one that a fresh part could have. Choices are made once, on maps that come about in the same
    way, of the parts and of damaged copies of them.

    Where few parts are held out, parts that the model has trained on teach the statistics too. They
    are never scored. To what the model has by heart of them, a held-out part and a fresh one are
    parts it has not seen alike.

    Args:
        scorer: built; changed in place.
        held_out: (count, channels, height, width) prepared images.
        trained_on: the same of parts that the model has trained on; None means none.

    Returns:
        The score of each held-out part, in the order given.
    """
    count, size = len(held_out), held_out.shape[2:]
    scores = np.zeros(count)
    scorer.learn(trained_on)
    if scorer.fitted is None:
        for done, image in enumerate(held_out, start=1):
            scores[done - 1] = float(scorer.score(image[None]).scores[0])
            tick(done, count)
        return scores.tolist()

    first = scorer.observe(held_out[0])
    most = int(min(_MOST, max(_LEAST, _MOST_BYTES // (first.nbytes + 1))))
    learnt = np.array(spread_evenly(count, min(count, most)))
    further = np.setdiff1d(np.arange(count), learnt)
    others = held_out[:0] if trained_on is None else trained_on
    missing = max(0, min(_FILLED_UP, most) - len(learnt))
    others = others[spread_evenly(len(others), min(len(others), missing))]
    copies = _Copies(held_out[learnt], scorer) if scorer.tuned is not None else None
    total = count + len(others) + (0 if copies is None else len(copies))
    steps = iter(range(1, total + 1))

    def step() -> None:
        tick(next(steps), total)

    # Held-out parts, then those that are in every fold.
    evidence = first.new_empty((len(learnt) + len(others), *first.shape[1:]))
    for place, image in enumerate([*held_out[learnt], *others]):
        # The first part, which is always among them, has been observed already.
        evidence[place] = (scorer.observe(image, shape=first.shape) if place else first)[0]
        step()
    scores[learnt] = _cross_fit(scorer, evidence, len(learnt), size, copies, step)
    scorer.fit(evidence)
    for index in further:
        scores[index] = float(scorer.score(held_out[index][None]).scores[0])
        step()
    return scores.tolist()


def _cross_fit(
    scorer: LineScorer,
    evidence: Tensor,
    count: int,
    size: Sequence[int],
    copies: _Copies | None,
    step: Callable[[], None],
) -> DoubleArray:
    """Scores of the first `count` parts, each by the others; choices are made on the way."""
    scores = np.zeros(count)
    always = np.arange(count, len(evidence))
    good: list[Tensor] = [torch.empty(0)] * count
    for fit_on, left_out in folds(count):
        scorer.fit(evidence[np.concatenate([fit_on, always])])
        if copies is None:
            scores[left_out] = scorer.judge(evidence[left_out], size).scores.numpy()
            continue
        for place in left_out:
            good[place] = scorer.combine(evidence[place][None])
        for number in copies.of(left_out):
            copies.layers[number] = scorer.combine(
                scorer.observe(copies.image(number), shape=(1, *evidence.shape[1:]))
            )
            step()
    if copies is not None:
        layers = torch.cat(good)
        scorer.tune(layers, copies.damaged())
        for scale_by, left_out in folds(count):
            scorer.scale(layers[scale_by])
            scores[left_out] = scorer.pool(layers[left_out], size).scores.numpy()
        scorer.scale(layers)
    return scores


def score_damaged(scorer: LineScorer, held_out: FloatArray, *, tick: Tick) -> list[float]:
    """Scores of damaged copies of held-out good parts: what defects might score.

    Other defects than those that the scorer made its choices on.

    Args:
        held_out: (count, channels, height, width) prepared images.
    """
    copies = [
        copy.image
        for repeat in range(_REPEATS)
        for copy in battery(
            np.roll(held_out, -repeat, axis=0),
            seed=_COST_SEED + repeat,
            sizes=_SIZES,
            contrasts=_CONTRASTS,
            region=scorer.region,
        )
    ]
    scores = []
    for done, image in enumerate(copies, start=1):
        scores.append(float(scorer.score(image[None]).scores[0]))
        tick(done, len(copies))
    return scores


class _Copies:
    """Damaged copies of parts, in turn; only what a scorer makes of them is kept.

    Attributes:
        layers: of each copy, once it is known.
    """

    def __init__(self, parts: FloatArray, scorer: LineScorer) -> None:
        self.count = len(parts)
        made = battery(parts, seed=SEED, sizes=_SIZES, contrasts=_CONTRASTS, region=scorer.region)
        # Half the memory; what is lost is a sixteenth of an 8-bit step at most.
        self._copies = [(copy.image.astype(np.float16), copy.mask) for copy in made]
        self.layers: list[Tensor] = [torch.empty(0)] * len(self._copies)

    def __len__(self) -> int:
        return len(self._copies)

    def of(self, parts: npt.NDArray[Any]) -> Iterator[int]:
        """The numbers of the copies of some parts."""
        return (number for number in range(len(self)) if number % self.count in parts)

    def image(self, number: int) -> FloatArray:
        """One copy, as a prepared image."""
        return self._copies[number][0].astype(np.float32)

    def damaged(self) -> DamagedParts:
        """All of them, as a scorer is shown them."""
        masks = np.array([mask for _, mask in self._copies], bool)
        return DamagedParts(torch.cat(self.layers), torch.from_numpy(masks))


def folds(count: int) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Index pairs (fit on, score) that score each of `count` parts once, by the others."""
    index = np.arange(count)
    for fold in range(min(FOLDS, count)):
        yield index[index % FOLDS != fold], index[index % FOLDS == fold]
