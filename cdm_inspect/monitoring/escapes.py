"""How many defects escape: estimated from passed parts that people have judged, drawn at random.

An audited part stands for the passed parts of its stratum, a shift. The upper bound is that of
Korn and Graubard (1998, Survey Methodology 24, 193-201): Clopper and Pearson's with the number of
parts that the weighted ones are worth, n / deff. The design effect is the larger one of two: that
of the weights alone (Kish 1965), which also holds where no escape was seen, and that of the
linearised variance, in which escapes weigh what their parts weigh. That variance leaves out what
is gained by drawing within strata, and errs to the safe side by that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import beta

CONFIDENCE = 0.95

NO_PASSED, NO_AUDITED = "no-passed-parts", "no-audited-parts"
"""Why nothing can be said of the escapes."""


@dataclass(frozen=True, kw_only=True)
class Stratum:
    """Passed parts of a shift.

    Attributes:
        passed: parts.
        audited: of them, drawn at random and judged by a person.
        escapes: of these, those that were not accepted; an unsure one counts until it is settled.
    """

    name: str
    passed: int
    audited: int
    escapes: int


@dataclass(frozen=True, kw_only=True)
class EscapeEstimate:
    """What can be said of the share of defective parts among those that passed.

    Attributes:
        passed: parts that passed.
        audited: of them, judged by a person after a random draw.
        escapes: of these, those that were not accepted.
        rate: estimated, each part weighted by how many it stands for.
        upper: 95 % bound, one-sided.
        effective: parts drawn evenly that the audited ones are worth.
        uncovered: passed parts of shifts without audited ones; nothing is said of them.
        uncovered_shifts: their names.
        lacking: why there is no rate and no bound, `no-passed-parts` or `no-audited-parts`; empty
            where there are.
    """

    passed: int
    audited: int
    escapes: int
    rate: float | None
    upper: float | None
    effective: float
    uncovered: int
    uncovered_shifts: tuple[str, ...]
    lacking: str


def estimate_escapes(strata: Sequence[Stratum]) -> EscapeEstimate:
    """Estimate the escape rate of strata that differ in how much of them was audited."""
    covered = [stratum for stratum in strata if stratum.audited]
    bare = [stratum for stratum in strata if stratum.passed and not stratum.audited]
    passed = sum(stratum.passed for stratum in strata)
    lacking = "" if covered else NO_AUDITED if passed else NO_PASSED
    rate, upper, effective = _bound(covered) if covered else (None, None, 0.0)
    return EscapeEstimate(
        passed=passed,
        audited=sum(stratum.audited for stratum in covered),
        escapes=sum(stratum.escapes for stratum in covered),
        rate=rate,
        upper=upper,
        effective=effective,
        uncovered=sum(stratum.passed for stratum in bare),
        uncovered_shifts=tuple(stratum.name for stratum in bare),
        lacking=lacking,
    )


def _bound(strata: Sequence[Stratum]) -> tuple[float, float, float]:
    """Rate, its upper bound, and the parts that it stands on."""
    passed = np.array([stratum.passed for stratum in strata], np.float64)
    audited = np.array([stratum.audited for stratum in strata], np.float64)
    escapes = np.array([stratum.escapes for stratum in strata], np.float64)
    weight = passed / audited / passed.sum()  # of one part; over all parts the sum is 1
    n, rate = float(audited.sum()), float(weight @ escapes)
    effect = n * float(weight**2 @ audited)
    if 0 < rate < 1 and n > 1:
        squares = escapes * (1 - rate) ** 2 + (audited - escapes) * rate**2
        effect = max(effect, n * float(weight**2 @ squares) / (rate * (1 - rate)))
    effective = n / effect
    worth = rate * effective
    upper = 1.0 if rate >= 1 else float(beta.ppf(CONFIDENCE, worth + 1, effective - worth))
    return rate, upper, effective
