"""What so many good parts can promise of a threshold, and what they cannot.

Two promises are made of the same scores. On average over calibrations the false-reject rate of a
threshold with k of n held-out good parts above it is at most (k + 1) / (n + 1) (Vovk et al. 2005,
conformal prediction). Of this one calibration it can be said with a stated confidence: the rate
over fresh good parts is distributed as Beta(k + 1, n - k), or lies below it where scores tie (Vovk
2012, Conditional validity of inductive conformal predictors, Proposition 2; the same bound as
Clopper and Pearson 1934).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from scipy.stats import beta, binomtest

from cdm_inspect.config.units import at_most
from cdm_inspect.errors import CalibrationError

CONFIDENCE = 0.95

# Takes back the rounding of, say, 0.07 * 100.
_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class Guarantee:
    """What is promised of the false-reject rate of a threshold, and what it rests on.

    Attributes:
        asked: the largest false-reject rate that was asked for.
        confidence: that this one calibration keeps its bound, over draws of the held-out parts.
        parts: held-out good parts.
        above: how many of them the threshold flags.
        bound: false-reject rate that is kept with `confidence`.
        average: false-reject rate that is kept on average over calibrations; None where nothing is
            said of it, because the threshold was found by looking at the scores.
        parts_needed: held-out good parts, none above the threshold, that `asked` takes.
    """

    asked: float
    confidence: float
    parts: int
    above: int
    bound: float
    average: float | None
    parts_needed: int

    @property
    def is_kept(self) -> bool:
        """Whether the data carry what was asked for."""
        return self.bound <= self.asked + _ROUNDING

    @property
    def confidence_text(self) -> str:
        """The confidence as it was asked for; rounded, 99.5 % could be read as a certainty."""
        return f"{Decimal(str(self.confidence)):%}"

    @property
    def sentence(self) -> str:
        """What can be claimed, and what the rest would take."""
        claim = (
            f"at most {at_most(self.bound)} of good parts are flagged, at {self.confidence_text} "
            f"confidence, for parts drawn like the {self.parts} held-out ones, {self.above} of "
            "which are flagged"
        )
        if self.average is not None:
            claim += f"; {at_most(self.average)} on average over calibrations"
        if self.is_kept:
            return claim
        return (
            f"{claim}. {self.asked:.2%} cannot be claimed: that takes {self.parts_needed} held-out "
            "good parts with none flagged"
        )


def rate_bound(above: int, parts: int, confidence: float = CONFIDENCE) -> float:
    """Upper confidence bound of a rate of which `above` of `parts` were seen; 1 without parts.

    Source: Clopper and Pearson 1934, one-sided.
    """
    if not parts:
        return 1.0
    test = binomtest(above, parts, alternative="less")
    return float(test.proportion_ci(confidence, method="exact").high)


def rate_interval(above: int, parts: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Two-sided exact interval of a rate (Clopper and Pearson 1934); (0, 1) without parts."""
    if not parts:
        return 0.0, 1.0
    interval = binomtest(above, parts).proportion_ci(confidence, method="exact")
    return float(interval.low), float(interval.high)


def parts_needed(rate: float, confidence: float = CONFIDENCE) -> int:
    """Held-out good parts, none of them flagged, that promise `rate` with `confidence`.

    The smallest n with (1 - rate)^n <= 1 - confidence: 598 for 0.5 % at 95 %.
    """
    return math.ceil(math.log(1 - confidence) / math.log1p(-rate) - _ROUNDING)


def threshold_above(scores: Sequence[float], count: int) -> float:
    """The lowest threshold that flags at most `count` of the scores.

    Args:
        scores: ascending.
        count: from 0 to below their number.
    """
    # A part is flagged at the threshold, so it lies just above what may pass. Ties pass together.
    return float(np.nextafter(scores[len(scores) - 1 - count], math.inf))


def choose_threshold(
    scores: Sequence[float], max_false_reject: float, confidence: float = CONFIDENCE
) -> tuple[float, Guarantee]:
    """The lowest threshold whose false-reject rate can be promised with `confidence`.

    Where the parts are too few for that, it lies above all of them, and the guarantee says what
    they do carry.

    Args:
        scores: of held-out good parts, ascending.
        max_false_reject: share of good parts that may be flagged, in (0, 1).
        confidence: in (0, 1).

    Raises:
        CalibrationError: if there are no scores.
    """
    if not scores:
        raise CalibrationError("expected scores of held-out good parts, found none.")
    parts = len(scores)
    allowed = np.arange(parts)
    bounds = beta.ppf(confidence, allowed + 1, parts - allowed)
    kept = int(np.searchsorted(bounds, max_false_reject + _ROUNDING, side="right"))
    allowed_above = max(0, kept - 1)
    threshold = threshold_above(scores, allowed_above)
    # By the count that was allowed, not by the one found: ties would make that too good.
    bound = float(bounds[allowed_above])
    return threshold, Guarantee(
        asked=max_false_reject,
        confidence=confidence,
        parts=parts,
        above=_above(scores, threshold),
        bound=bound,
        average=(allowed_above + 1) / (parts + 1),
        parts_needed=parts_needed(max_false_reject, confidence),
    )


def guarantee_of(
    scores: Sequence[float],
    threshold: float,
    max_false_reject: float,
    confidence: float = CONFIDENCE,
) -> Guarantee:
    """What the scores of held-out good parts promise of a threshold that was found by looking.

    The bound holds for all thresholds at once (Bonferroni over the counts that could lie above),
    so that it holds for one that was chosen by costs on the same scores.

    Args:
        scores: ascending.
        threshold: any.
        max_false_reject: what was asked for.
        confidence: in (0, 1).
    """
    parts = len(scores)
    above = _above(scores, threshold)
    needed = parts_needed(max_false_reject, confidence)
    while parts_needed(max_false_reject, 1 - (1 - confidence) / needed) > needed:
        needed = parts_needed(max_false_reject, 1 - (1 - confidence) / needed)
    return Guarantee(
        asked=max_false_reject,
        confidence=confidence,
        parts=parts,
        above=above,
        bound=rate_bound(above, parts, 1 - (1 - confidence) / parts),
        average=None,
        parts_needed=needed,
    )


def _above(scores: Sequence[float], threshold: float) -> int:
    return len(scores) - int(np.searchsorted(np.asarray(scores), threshold, side="left"))
