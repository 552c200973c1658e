"""Whether two people judge alike: Cohen's kappa of two opinions on the same parts.

Kappa is the share of agreement beyond what chance would give (Cohen 1960). Its 95 % interval is
that of the large-sample variance (Fleiss, Cohen and Everitt 1969, Psychological Bulletin 72,
equation 13). Where all opinions agree, or none, that variance is zero however few they are; the
interval is then the exact one of the share of agreement (Clopper and Pearson 1934), with the
agreement by chance that was seen.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from cdm_inspect.calibration.guarantees import rate_interval
from cdm_inspect.records import JUDGED, Decision

_NO_VARIANCE = 1e-12

VERY_GOOD, MARGINAL, UNACCEPTABLE = "very-good", "marginal", "unacceptable"
"""What kappa is called in the analysis of attribute agreement: from 0.9, from 0.7, below."""


@dataclass(frozen=True, kw_only=True)
class SecondOpinion:
    """What stood of a part, and what somebody said without knowing it; accept or reject."""

    first: Decision
    second: Decision
    first_reviewer: str
    second_reviewer: str


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How well two opinions agree.

    Attributes:
        n: parts with two opinions.
        agreed: of them, with the same one twice.
        kappa: None where one answer was given to all, or there are no parts: nothing can be said.
        lower: end of the 95 % interval, like `upper`.
        word: `very-good`, `marginal` or `unacceptable`; empty without kappa.
    """

    n: int
    agreed: int
    kappa: float | None
    lower: float | None
    upper: float | None
    word: str


@dataclass(frozen=True, kw_only=True)
class PairAgreement:
    """Agreement of two people; of one with themselves where both names are the same.

    Attributes:
        reviewers: both names, sorted.
        agreement: of parts that both have judged.
    """

    reviewers: tuple[str, str]
    agreement: Agreement


@dataclass(frozen=True, kw_only=True)
class LineAgreement:
    """Agreement of the people of a line.

    Attributes:
        overall: of all second opinions by another person than the first.
        pairs: of each two people, sorted by name.
    """

    overall: Agreement
    pairs: tuple[PairAgreement, ...]


def summarise_agreement(opinions: Iterable[SecondOpinion]) -> LineAgreement:
    """Agreement over all, and of each pair of people."""
    answers: dict[tuple[str, str], list[tuple[Decision, Decision]]] = defaultdict(list)
    overall = []
    for opinion in opinions:
        said = opinion.first, opinion.second
        people = opinion.first_reviewer, opinion.second_reviewer
        if people[0] != people[1]:
            overall.append(said)
        # In the order of the names, whoever of them was first.
        is_sorted = people[0] <= people[1]
        pair = people if is_sorted else people[::-1]
        answers[pair].append(said if is_sorted else said[::-1])
    pairs = tuple(
        PairAgreement(reviewers=pair, agreement=measure_agreement(said))
        for pair, said in sorted(answers.items())
    )
    return LineAgreement(overall=measure_agreement(overall), pairs=pairs)


def measure_agreement(answers: Sequence[tuple[Decision, Decision]]) -> Agreement:
    """Cohen's kappa of pairs of opinions.

    Args:
        answers: first and second opinion of each part, accept or reject.
    """
    n = len(answers)
    table = np.array([[answers.count((a, b)) for b in JUDGED] for a in JUDGED], np.float64)
    agreed = int(np.trace(table))
    share = table / max(n, 1)
    rows, columns = share.sum(axis=1), share.sum(axis=0)
    chance = float(rows @ columns)
    if n == 0 or math.isclose(chance, 1.0):
        return Agreement(n=n, agreed=agreed, kappa=None, lower=None, upper=None, word="")
    kappa = (agreed / n - chance) / (1 - chance)
    rest = 1 - kappa
    same = np.diag(share) * (1 - (rows + columns) * rest) ** 2
    other = share * (columns[:, None] + rows[None, :]) ** 2
    spread = same.sum() + rest**2 * (other.sum() - np.trace(other))
    variance = (spread - (kappa - chance * rest) ** 2) / (n * (1 - chance) ** 2)
    if variance > _NO_VARIANCE:
        reach = float(norm.ppf(0.975)) * math.sqrt(variance)
        lower, upper = max(-1.0, kappa - reach), min(1.0, kappa + reach)
    else:
        ends = rate_interval(agreed, n)
        lower, upper = (max(-1.0, (end - chance) / (1 - chance)) for end in ends)
    return Agreement(
        n=n, agreed=agreed, kappa=kappa, lower=float(lower), upper=float(upper), word=_word(kappa)
    )


def _word(kappa: float) -> str:
    if kappa >= 0.9:
        return VERY_GOOD
    return MARGINAL if kappa >= 0.7 else UNACCEPTABLE
