"""Which parts to pass, to show to a person and to reject, where each mistake has its price.

With scores s of good parts and of defective ones, a share of defective parts, and two thresholds
l <= h, a part costs on average

    share * escape * P(s < l | defective) + review * P(l <= s < h)
    + (1 - share) * false_reject * P(s >= h | good).

A reviewed part is taken to be judged rightly. The best pair is found among all that the scores can
tell apart; this is Chow's rule (1970, On optimum recognition error and reject tradeoff) with
empirical distributions. Of n scores, (1 + those on the wrong side) / (n + 1) stand on the wrong
side of a threshold, never none: what the data have not seen is not taken for impossible. Only where
nothing is rejected without review, h = infinity, no good part is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from cdm_inspect.errors import CalibrationError
from cdm_inspect.records import DoubleArray

# Pairs are tried exhaustively: 1,500 candidates are about a million pairs.
_MOST_CANDIDATES = 1500
# "Off by a factor of two", the usual doubt about a cost.
_DOUBT = 2.0
_DOUBTED = ("escape", "false_reject", "review", "defect_share")


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What misjudging a part costs, in any one currency, and how often there is something to find.

    Attributes:
        escape: of a defective part that passes.
        false_reject: of a good part that is rejected.
        review: of showing one part to a person.
        defect_share: of all parts that are defective, in (0, 1).
        review_share: of all parts that people have time for, in [0, 1].
    """

    escape: float
    false_reject: float
    review: float
    defect_share: float
    review_share: float = 1.0


@dataclass(frozen=True, kw_only=True)
class ScoreSample:
    """Scores with what each of them counts.

    Attributes:
        scores: (n,) ascending.
        weights: (n,) positive; a part that stands for others counts more.
        size: how many equal parts the sample is worth.
    """

    scores: DoubleArray
    weights: DoubleArray
    size: float

    @classmethod
    def of(
        cls,
        scores: npt.ArrayLike,
        weights: npt.ArrayLike | None = None,
        size: float | None = None,
    ) -> ScoreSample:
        """Sort scores.

        Args:
            scores: in any order.
            weights: of each; None means equal ones.
            size: None means the effective sample size of the weights (Kish 1965).
        """
        values = np.asarray(scores, np.float64)
        counts = np.ones_like(values) if weights is None else np.asarray(weights, np.float64)
        order = np.argsort(values, kind="stable")
        total = float(counts.sum())
        effective = 0.0 if total == 0 else total**2 / float((counts**2).sum())
        return cls(
            scores=values[order],
            weights=counts[order],
            size=effective if size is None else size,
        )

    def share_below(self, thresholds: DoubleArray) -> DoubleArray:
        """Share of the scores below each threshold, by weight."""
        summed = np.concatenate([[0.0], np.cumsum(self.weights)])
        below = np.searchsorted(self.scores, thresholds, side="left")
        return np.asarray(summed[below] / summed[-1])


@dataclass(frozen=True, kw_only=True)
class Band:
    """Two thresholds: pass below the first, reject from the second on, review between them.

    Attributes:
        review: a part is flagged at or above it.
        reject: a part is rejected without review at or above it; not below `review`, and infinite
            where that never pays.
        cost: expected, per part.
        escape_rate: share of defective parts that pass.
        false_reject_rate: share of good parts that are rejected without review.
        review_rate: share of all parts that go to a person.
        is_limited: whether the time of people keeps the band narrower than costs alone would.
    """

    review: float
    reject: float
    cost: float
    escape_rate: float
    false_reject_rate: float
    review_rate: float
    is_limited: bool


@dataclass(frozen=True, kw_only=True)
class Doubt:
    """What becomes of the band where one of the costs is another than was said.

    Attributes:
        factor: by which it is multiplied.
        band: that would be best then.
        regret: what keeping the chosen band costs more, then, in share of the best cost.
    """

    name: str
    factor: float
    band: Band
    regret: float


def choose_band(good: ScoreSample, defective: ScoreSample, costs: Costs) -> Band:
    """The pair of thresholds with the lowest expected cost within the time for reviews.

    Args:
        good: scores of good parts.
        defective: scores of defective parts, or of what stands for them.
        costs: per part.

    Raises:
        CalibrationError: if either sample is empty.
    """
    if not len(good.scores) or not len(defective.scores):
        raise CalibrationError(
            f"thresholds by cost take scores of good parts and of defects, found "
            f"{len(good.scores)} and {len(defective.scores)}."
        )
    lowest, highest = _candidates(good, defective)
    low, high = _sides(good, defective, costs, highest)
    flagged = _flagged(good, defective, costs, highest)
    reviewed = flagged[:, None] - flagged[None]
    total = low[:, None] + high[None]
    is_ordered = np.arange(len(low))[:, None] <= np.arange(len(low))[None]
    free = np.where(is_ordered, total, math.inf)
    free[-1] = math.inf  # what flags nothing ever inspects nothing
    allowed = np.where(reviewed <= costs.review_share + 1e-12, free, math.inf)
    # Of equal costs the first, flat, is the lowest review threshold: fewer escapes.
    first, second = np.unravel_index(int(np.argmin(allowed)), allowed.shape)
    # Between two scores all thresholds cost the same. What lies there is like nothing that was
    # seen: it is flagged, and a person decides.
    review = float(lowest[first])
    reject = review if second == first else float(highest[second])
    band = cost_of(good, defective, costs, review, reject)
    return replace(band, is_limited=bool(free.min() < allowed.min() - 1e-12))


def cost_of(
    good: ScoreSample, defective: ScoreSample, costs: Costs, review: float, reject: float
) -> Band:
    """The band between two given thresholds, with what it costs."""
    cuts = np.array([review, reject])
    low, high = _sides(good, defective, costs, cuts)
    flagged = _flagged(good, defective, costs, cuts)
    return Band(
        review=review,
        reject=reject,
        cost=float(low[0] + high[1]),
        escape_rate=float(_missed(defective, cuts)[0]),
        false_reject_rate=float(_false(good, cuts)[1]),
        review_rate=float(flagged[0] - flagged[1]),
        is_limited=False,
    )


def doubts(good: ScoreSample, defective: ScoreSample, costs: Costs, chosen: Band) -> list[Doubt]:
    """How the answer moves where a cost is off by a factor of two, either way."""
    found = []
    for name in _DOUBTED:
        for factor in (1 / _DOUBT, _DOUBT):
            value = getattr(costs, name) * factor
            moved = replace(
                costs, **{name: min(value, 1 - 1e-9) if name == "defect_share" else value}
            )
            best = choose_band(good, defective, moved)
            kept = cost_of(good, defective, moved, chosen.review, chosen.reject)
            regret = kept.cost / best.cost - 1 if best.cost > 0 else 0.0
            found.append(Doubt(name=name, factor=factor, band=best, regret=max(0.0, regret)))
    return found


def _candidates(good: ScoreSample, defective: ScoreSample) -> tuple[DoubleArray, DoubleArray]:
    """Thresholds that part the scores differently: the lowest and the highest of each kind.

    Ascending; the first flags every score, the last but one none of them, the last nothing ever.
    """
    scores = np.unique(np.concatenate([good.scores, defective.scores]))
    if len(scores) > _MOST_CANDIDATES:
        places = np.linspace(0, len(scores) - 1, _MOST_CANDIDATES).round().astype(int)
        scores = scores[places]
    above = np.nextafter(scores, math.inf)
    lowest = np.concatenate([scores[:1], above, [math.inf]])
    highest = np.concatenate([scores, above[-1:], [math.inf]])
    return lowest, highest


def _missed(defective: ScoreSample, cuts: DoubleArray) -> DoubleArray:
    return _never_none(defective.share_below(cuts), defective.size)


def _false(good: ScoreSample, cuts: DoubleArray) -> DoubleArray:
    share = _never_none(1 - good.share_below(cuts), good.size)
    return np.where(np.isposinf(cuts), 0.0, share)


def _never_none(share: DoubleArray, size: float) -> DoubleArray:
    return np.asarray((share * size + 1) / (size + 1))


def _sides(
    good: ScoreSample, defective: ScoreSample, costs: Costs, cuts: DoubleArray
) -> tuple[DoubleArray, DoubleArray]:
    """What the cost owes to each review threshold, and to each reject threshold; they add up."""
    flagged = _flagged(good, defective, costs, cuts)
    low = costs.defect_share * costs.escape * _missed(defective, cuts) + costs.review * flagged
    high = (1 - costs.defect_share) * costs.false_reject * _false(good, cuts)
    return low, high - costs.review * flagged


def _flagged(
    good: ScoreSample, defective: ScoreSample, costs: Costs, cuts: DoubleArray
) -> DoubleArray:
    """Share of all parts at or above each threshold."""
    return np.asarray(
        (1 - costs.defect_share) * _false(good, cuts)
        + costs.defect_share * (1 - _missed(defective, cuts))
    )
