"""Which of two ways to judge is better, on the same parts: paired tests on decisions and scores.

Sources: McNemar 1947, exact form, for decisions; Tango 1998 (Equivalence test and confidence
interval for the difference in proportions for the paired-sample design) for the difference of two
rates on the same parts; DeLong, DeLong and Clarke-Pearson 1988 for the difference of two AUROC.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.stats import binomtest, norm, rankdata

from cdm_inspect.records import DoubleArray

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class PairedRates:
    """How often two ways err on the same parts.

    Attributes:
        parts: judged by both.
        ours: share on which the first errs.
        theirs: share on which the second errs.
        only_ours: parts on which the first errs alone.
        only_theirs: parts on which the second errs alone.
        difference: ours - theirs.
        low: of the 95 % score interval of the difference (Tango).
        p_value: that they err equally often (McNemar, exact, two-sided).
    """

    parts: int
    ours: float
    theirs: float
    only_ours: int
    only_theirs: int
    difference: float
    low: float
    high: float
    p_value: float

    def is_no_worse(self, margin: float) -> bool:
        """Whether the first errs at most `margin` more often, with 97.5 % confidence."""
        return self.high < margin


@dataclass(frozen=True, kw_only=True)
class PairedAuroc:
    """Two AUROC on the same parts; the interval and the test of the difference are DeLong's.

    Where both part the same pairs rightly, nothing can be said: these are None.
    """

    ours: float
    theirs: float
    difference: float
    low: float | None
    high: float | None
    p_value: float | None


def compare_errors(ours: Bools, theirs: Bools, confidence: float = 0.95) -> PairedRates:
    """Compare how often two ways err on the same parts.

    Args:
        ours: (n,) whether the first errs on each part; n at least 1.
        theirs: the same of the second.
    """
    parts = len(ours)
    only_ours, only_theirs = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
    discordant = only_ours + only_theirs
    test = binomtest(only_ours, discordant).pvalue if discordant else 1.0
    low, high = paired_interval(only_ours, only_theirs, parts, confidence)
    return PairedRates(
        parts=parts,
        ours=float(ours.mean()),
        theirs=float(theirs.mean()),
        only_ours=only_ours,
        only_theirs=only_theirs,
        difference=(only_ours - only_theirs) / parts,
        low=low,
        high=high,
        p_value=float(test),
    )


def paired_interval(
    only_ours: int, only_theirs: int, parts: int, confidence: float = 0.95
) -> tuple[float, float]:
    """Score interval of (only_ours - only_theirs) / parts; never empty, even without discordance.

    Source: Tango 1998, equations 4 to 6.
    """
    reach = float(norm.ppf((1 + confidence) / 2))

    def score(difference: float) -> float:
        a = 2 * parts
        b = -only_ours - only_theirs + (2 * parts - only_ours + only_theirs) * difference
        c = -only_theirs * difference * (1 - difference)
        restricted = (math.sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a)
        variance = parts * (2 * restricted + difference * (1 - difference))
        return (only_ours - only_theirs - parts * difference) / math.sqrt(max(variance, 1e-12))

    observed = (only_ours - only_theirs) / parts
    edge = 1 - 1e-9
    low = -1.0 if score(-edge) <= reach else brentq(lambda d: score(d) - reach, -edge, observed)
    high = 1.0 if score(edge) >= -reach else brentq(lambda d: score(d) + reach, observed, edge)
    return float(low), float(high)


def compare_auroc(ours: DoubleArray, theirs: DoubleArray, labels: Bools) -> PairedAuroc:
    """Compare two AUROC on the same parts.

    Args:
        ours: (n,) scores of the first, higher is more abnormal.
        theirs: the same of the second.
        labels: (n,) true for defective parts; at least two of each kind.
    """
    area, bad, good = _placements(ours, labels)
    their_area, their_bad, their_good = _placements(theirs, labels)
    of_bad, of_good = np.cov(bad, their_bad), np.cov(good, their_good)
    contrast = np.array([1.0, -1.0])
    covariance = of_bad / labels.sum() + of_good / (~labels).sum()
    error = math.sqrt(max(0.0, float(contrast @ covariance @ contrast)))
    difference = area - their_area
    reach = float(norm.ppf(0.975)) * error
    is_known = error > 1e-12
    return PairedAuroc(
        ours=area,
        theirs=their_area,
        difference=difference,
        low=difference - reach if is_known else None,
        high=difference + reach if is_known else None,
        p_value=2 * float(norm.sf(abs(difference) / error)) if is_known else None,
    )


def _placements(scores: DoubleArray, labels: Bools) -> tuple[float, DoubleArray, DoubleArray]:
    """The AUROC, and for each part the share of the other kind that it is on the right side of."""
    bad, good = scores[labels], scores[~labels]
    ranks = rankdata(np.concatenate([bad, good]))
    of_bad = (ranks[: len(bad)] - rankdata(bad)) / len(good)
    of_good = 1 - (ranks[len(bad) :] - rankdata(good)) / len(bad)
    return float(of_bad.mean()), of_bad, of_good
