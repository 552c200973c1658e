"""How certain shares of weighted scores are: a bootstrap over parts that never says "none".

In each of 500 draws, seed 0, every part counts as much as the unit exponential distribution says
(Rubin 1981, The Bayesian bootstrap), and so does the one part that `costs` adds on the wrong side
of a threshold. Of n equal parts with k on the wrong side the share is thus drawn from
Beta(k + 1, n - k), whose mean is the share of `costs` and whose upper quantiles are the bounds of
Clopper and Pearson (1934). Where no defect was seen to pass, the 95 % band still ends at 3.7 / n.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cdm_inspect.calibration.costs import ScoreSample
from cdm_inspect.records import DoubleArray, Estimate

DRAWS = 500
# So many at a time: of 20,000 parts they take 8 MB.
_AT_ONCE = 50
TAILS = (0.025, 0.975)
"""Where a 95 % band ends."""


def estimate_of(value: float, drawn: DoubleArray) -> Estimate:
    """A figure with the 95 % band of its draws, (draws,)."""
    low, high = np.quantile(drawn, TAILS)
    return Estimate(value=float(value), low=float(low), high=float(high))


@dataclass(frozen=True, kw_only=True)
class Draws:
    """How much of a sample lies below some thresholds, in each draw.

    Attributes:
        cuts: (cuts,) thresholds; an infinite one flags nothing.
        below: (draws, cuts) what counts below them, in parts that the sample is worth.
        total: (draws,) what all parts count, likewise.
        added: (draws,) what the part counts that is added on the wrong side.
    """

    cuts: DoubleArray
    below: DoubleArray
    total: DoubleArray
    added: DoubleArray

    @classmethod
    def seen(cls, sample: ScoreSample, cuts: DoubleArray) -> Draws:
        """One draw in which each part counts once: what was seen."""
        return cls(
            cuts=cuts,
            below=(sample.share_below(cuts) * sample.size)[None],
            total=np.array([sample.size]),
            added=np.ones(1),
        )

    @classmethod
    def of(cls, sample: ScoreSample, cuts: DoubleArray, stream: int) -> Draws:
        """500 draws; a part counts the same in them whatever the thresholds.

        Args:
            sample: of at least one score.
            cuts: (cuts,) in any order.
            stream: of random numbers; samples that are compared take different ones.
        """
        random = np.random.default_rng([0, stream])
        worth = sample.weights * (sample.size / sample.weights.sum())
        places = np.searchsorted(sample.scores, cuts, side="left")
        added = random.standard_exponential(DRAWS)
        summed = np.zeros((_AT_ONCE, len(worth) + 1))
        below, total = [], []
        for _ in range(DRAWS // _AT_ONCE):
            counts = random.standard_exponential((_AT_ONCE, len(worth)))
            np.cumsum(counts * worth, axis=1, out=summed[:, 1:])
            below.append(summed[:, places])
            total.append(summed[:, -1].copy())
        return cls(cuts=cuts, below=np.concatenate(below), total=np.concatenate(total), added=added)

    @property
    def passed(self) -> DoubleArray:
        """(draws, cuts) share below each threshold, never none: that of defects which pass."""
        return np.asarray((self.below + self.added[:, None]) / self._counted)

    @property
    def flagged(self) -> DoubleArray:
        """(draws, cuts) share at or above each threshold, none only where that is infinite."""
        share = (self.total[:, None] - self.below + self.added[:, None]) / self._counted
        return np.where(np.isposinf(self.cuts), 0.0, share)

    @property
    def _counted(self) -> DoubleArray:
        return np.asarray((self.total + self.added)[:, None])
