"""Where a line passes, reviews and rejects parts: by which rule, on which data, and why."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from cdm_inspect.calibration.costs import Band, Costs, Doubt, ScoreSample, choose_band, doubts
from cdm_inspect.calibration.guarantees import Guarantee, choose_threshold, guarantee_of
from cdm_inspect.calibration.reviewed_sample import ReviewedParts
from cdm_inspect.config import CostsConfig
from cdm_inspect.encoding import as_json
from cdm_inspect.records import JsonObject

# What is believed before anyone has judged a part of the line, in parts it is worth.
_SYNTHETIC_WORTH = 10.0
_SHARE_WORTH = 100.0

_SPOKEN = {
    "escape": "an escape costs {} as much",
    "false_reject": "a rejected good part costs {} as much",
    "review": "a review costs {} as much",
    "defect_share": "{} as many parts are defective",
}


@dataclass(frozen=True, kw_only=True)
class OperatingPoint:
    """Two thresholds with what they rest on.

    Attributes:
        rule: "false-reject" or "cost".
        review: a part is flagged at or above it.
        reject: a flagged part is rejected without review at or above it; None means never.
        guarantee: for the share of good parts that are flagged.
        facts: what the rule was given and what it found, as JSON.
        explanation: one paragraph for people.
    """

    rule: str
    review: float
    reject: float | None
    guarantee: Guarantee
    facts: JsonObject
    explanation: str


def by_false_reject(
    scores: Sequence[float], max_false_reject: float, confidence: float
) -> OperatingPoint:
    """Flag and reject as many parts as the false-reject rate that was asked for allows.

    Args:
        scores: of held-out good parts, ascending.
        max_false_reject: share of good parts, in (0, 1).
        confidence: with which it is kept.
    """
    threshold, guarantee = choose_threshold(scores, max_false_reject, confidence)
    return OperatingPoint(
        rule="false-reject",
        review=threshold,
        reject=threshold,
        guarantee=guarantee,
        facts={},
        explanation=(
            f"Asked for: at most {max_false_reject:.2%} of good parts flagged. Parts that score "
            f"{threshold:.4g} or more are rejected. Promised: {guarantee.sentence}."
        ),
    )


def by_cost(
    scores: Sequence[float],
    synthetic: Sequence[float],
    config: CostsConfig,
    *,
    max_false_reject: float,
    confidence: float,
    reviewed: ReviewedParts | None = None,
) -> OperatingPoint:
    """Pass, review and reject so that the expected cost of a part is lowest.

    Args:
        scores: of held-out good parts, ascending.
        synthetic: of damaged copies of them, which stand for defects nobody has shown yet.
        config: costs.
        max_false_reject: what the guarantee is compared with; it binds nothing here.
        reviewed: what people have said of parts of the line; used where it can be trusted.
    """
    good, defective, share = _samples(scores, synthetic, config.defect_share, reviewed)
    costs = Costs(
        escape=config.escape,
        false_reject=config.false_reject,
        review=config.review,
        defect_share=min(max(share, 1e-9), 1 - 1e-9),
        review_share=config.review_share,
    )
    band = choose_band(good, defective, costs)
    guarantee = guarantee_of(scores, band.review, max_false_reject, confidence)
    moved = doubts(good, defective, costs, band)
    passing = costs.defect_share * costs.escape
    known = _reviewed_told(reviewed)
    # JSON has no infinity: where nothing is rejected unseen, the threshold is null.
    facts = {
        "costs": asdict(costs),
        "band": asdict(band),
        "cost_passing_all": passing,
        "cost_reviewing_all": costs.review,
        "doubts": [asdict(doubt) for doubt in moved],
        "good_parts": round(good.size, 1),
        "defects": round(defective.size, 1),
        # Kept, so that other costs can be tried without scoring anything again.
        "synthetic_scores": sorted(synthetic),
        "reviewed": known,
    }
    sentences = [
        f"An escape costs {costs.escape:g}, a rejected good part {costs.false_reject:g}, a review "
        f"{costs.review:g}; {costs.defect_share:.2%} of parts are taken to be defective. Scores: "
        f"{len(scores)} held-out good parts and {len(synthetic)} synthetic defects. {known}",
        _band_told(band, passing, costs),
        _doubts_told(moved),
        f"Promised: {guarantee.sentence}.",
    ]
    return OperatingPoint(
        rule="cost",
        review=band.review,
        reject=as_json(band.reject),
        guarantee=guarantee,
        facts=as_json(facts),
        explanation=" ".join(sentences),
    )


def _samples(
    scores: Sequence[float],
    synthetic: Sequence[float],
    share: float,
    reviewed: ReviewedParts | None,
) -> tuple[ScoreSample, ScoreSample, float]:
    """Good parts, defective ones and their share, refined by what people have judged."""
    good = ScoreSample.of(scores)
    defective = ScoreSample.of(synthetic, size=min(_SYNTHETIC_WORTH, len(synthetic)))
    if reviewed is None or not reviewed.is_usable:
        return good, defective, share
    seen = reviewed.size
    share = (share * _SHARE_WORTH + reviewed.defect_share * seen) / (_SHARE_WORTH + seen)
    return _joined(good, reviewed.good), _joined(defective, reviewed.defective), share


def _joined(prior: ScoreSample, seen: ScoreSample) -> ScoreSample:
    """Both samples as one, each with as many parts as it is worth."""
    if not len(seen.scores):
        return prior
    shares = [sample.weights * (sample.size / sample.weights.sum()) for sample in (prior, seen)]
    return ScoreSample.of(
        [*prior.scores, *seen.scores], np.concatenate(shares), size=prior.size + seen.size
    )


def _reviewed_told(reviewed: ReviewedParts | None) -> str:
    if reviewed is None or not reviewed.reviewed:
        return "Nobody has judged parts of this line by these scores yet."
    if not reviewed.is_usable:
        return f"The {reviewed.reviewed} judged parts are left out: {reviewed.lacking}."
    return (
        f"{reviewed.reviewed} judged parts of {reviewed.inspected} inspected ones refine this, "
        "weighted by how many each stands for."
    )


def _band_told(band: Band, passing: float, costs: Costs) -> str:
    if band.reject == math.inf:
        rule = (
            f"pass below {band.review:.4g} and review from there, with nothing rejected unseen: "
            f"{band.review_rate:.1%} of parts go to a person"
        )
    elif band.review < band.reject:
        rule = (
            f"pass below {band.review:.4g}, review from there, reject from {band.reject:.4g}: "
            f"{band.review_rate:.1%} of parts go to a person, {band.false_reject_rate:.1%} of good "
            "parts are rejected"
        )
    else:
        rule = (
            f"pass below {band.review:.4g} and reject from there, with nothing to review: "
            f"{band.false_reject_rate:.1%} of good parts are rejected"
        )
    cheaper = [
        f"{name} everything would be cheaper"
        for name, cost in (("reviewing", costs.review), ("passing", passing))
        if cost < band.cost
    ]
    remark = f" At these costs {' and '.join(cheaper)}." if cheaper else ""
    limit = (
        f" People have time for {costs.review_share:.1%} of parts; with more the cost would be "
        "lower."
        if band.is_limited
        else ""
    )
    return (
        f"Cheapest: {rule}, and {band.escape_rate:.1%} of defects pass, for {band.cost:.4g} a part "
        f"(passing everything {passing:.4g}, reviewing everything {costs.review:.4g})."
        f"{remark}{limit}"
    )


def _doubts_told(found: Sequence[Doubt]) -> str:
    worst = max(found, key=lambda doubt: doubt.regret)
    half = "half" if worst.factor < 1 else "twice"
    return (
        "If a cost is off by a factor of two, these thresholds cost at most "
        f"{worst.regret:.0%} more than the best ones (where {_SPOKEN[worst.name].format(half)})."
    )
