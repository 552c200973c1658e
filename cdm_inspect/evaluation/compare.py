"""Two evaluations compared on the parts that both have judged. Loads without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cdm_inspect.errors import InvalidOption
from cdm_inspect.evaluation.paired_tests import (
    PairedAuroc,
    PairedRates,
    compare_auroc,
    compare_errors,
)
from cdm_inspect.plugins import GOOD
from cdm_inspect.records import Verdict

_FEWEST = 2
"""Parts of each kind that a difference in AUROC takes."""


@dataclass(frozen=True, kw_only=True)
class EvaluationsCompared:
    """Two evaluations on the parts that both have judged.

    Attributes:
        good: parts in common that are good.
        defective: parts in common that are not.
        escapes: defective parts that pass; None without any in common.
        false_rejects: good parts that do not pass; None without any in common.
        image_auroc: None with fewer than two parts of each kind in common.
    """

    good: int
    defective: int
    escapes: PairedRates | None
    false_rejects: PairedRates | None
    image_auroc: PairedAuroc | None


def compare_evaluations(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> EvaluationsCompared:
    """Paired figures of two evaluations, by the hash of each photograph.

    Args:
        ours: JSON report of the first.
        theirs: that of the second.

    Raises:
        InvalidOption: if they have no part in common, or do not agree which parts are good.
    """
    return compare_judged(judged_parts(ours), judged_parts(theirs))


def compare_judged(
    first: Mapping[str, JudgedPart], second: Mapping[str, JudgedPart]
) -> EvaluationsCompared:
    """As `compare_evaluations`, of parts by the hashes of their photographs."""
    both = [sha256 for sha256 in first if sha256 in second]
    if not both:
        raise InvalidOption(
            "expected two evaluations of the same parts, found none in common. Evaluate both on "
            "the same folder."
        )
    if any(first[sha256].is_good != second[sha256].is_good for sha256 in both):
        raise InvalidOption(
            "expected two evaluations that agree which parts are good, found parts that only one "
            "of them calls good. Evaluate both anew on the same folder."
        )
    bad = np.array([not first[sha256].is_good for sha256 in both])
    flags = [np.array([side[sha256].is_flagged for sha256 in both]) for side in (first, second)]
    our_scores, their_scores = (
        np.array([side[sha256].score for sha256 in both]) for side in (first, second)
    )
    has_both = min(bad.sum(), (~bad).sum()) >= _FEWEST
    return EvaluationsCompared(
        good=int((~bad).sum()),
        defective=int(bad.sum()),
        escapes=compare_errors(*(~flag[bad] for flag in flags)) if bad.any() else None,
        false_rejects=compare_errors(*(flag[~bad] for flag in flags)) if (~bad).any() else None,
        image_auroc=compare_auroc(our_scores, their_scores, bad) if has_both else None,
    )


@dataclass(frozen=True)
class JudgedPart:
    """A labelled part as an evaluation has judged it."""

    is_good: bool
    is_flagged: bool
    score: float


def judged_parts(document: Mapping[str, Any]) -> dict[str, JudgedPart]:
    """The parts of an evaluation's JSON report, by the hashes of their photographs.

    Raises:
        InvalidOption: if it is no such report.
    """
    try:
        return {
            part["sha256"]: JudgedPart(
                part["label"] == GOOD,
                Verdict(part["verdict"]) is not Verdict.PASS,
                float(part["score"]),
            )
            for part in document["parts"]
        }
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidOption(
            f"expected the JSON report of an evaluation, found one that lacks something ({error}). "
            "Evaluate again."
        ) from error
