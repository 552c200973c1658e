"""What other thresholds of a line would cost, by what people have said of its parts.

Accepted parts stand for good ones and rejected parts for defective ones, each weighted by how many
it stands for (`reviewed`). What a pair of thresholds costs is what `costs.cost_of` says, and how
certain that is comes from `draws`. Loads without torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from cdm_inspect.calibration.bayesian_bootstrap import TAILS, Draws, estimate_of
from cdm_inspect.calibration.costs import Band, Costs, ScoreSample, choose_band
from cdm_inspect.calibration.in_force import calibration_in_force
from cdm_inspect.calibration.record import Calibration, equal_calibrations
from cdm_inspect.calibration.reviewed_sample import ReviewedParts, collect_reviewed
from cdm_inspect.encoding import as_json
from cdm_inspect.errors import CalibrationError, InvalidOption
from cdm_inspect.plugins import VerdictStore
from cdm_inspect.project import Project
from cdm_inspect.records import DoubleArray, Estimate, JsonObject

FEWEST_DEFECTS = 30
"""Confirmed ones, below which nothing is said of what thresholds cost."""

_PARTS_PER_DAY = 10_000.0
_MOST_THRESHOLDS = 400
_BINS = 40
# On a linear axis the good parts would take a tenth of the width, or less.
_WIDE = 10.0
# Streams of random numbers, so that what good and defective parts count has nothing in common.
_GOOD, _DEFECTIVE = 0, 1


class MissingData(StrEnum):
    """What is missing where nothing can be said of what thresholds cost."""

    DEFECTS = "defects"
    GOOD = "good"
    SEEN = "seen"
    KEPT = "kept"


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What is to be expected of a pair of thresholds, or by how much two pairs differ.

    Attributes:
        escapes: defective parts that pass, a day.
        false_rejects: good parts that are rejected without review, a day.
        reviews: parts that go to a person, a day.
        cost_per_part: in the currency of the costs.
    """

    escapes: Estimate
    false_rejects: Estimate
    reviews: Estimate
    cost_per_part: Estimate
    cost_per_day: Estimate


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a pair of thresholds is expected to do, and what that stands on.

    Attributes:
        review: a part is flagged at or above it.
        reject: a part is rejected without review at or above it; None means never.
        parts_per_day: that the line makes.
        expected: of these thresholds.
        difference: what they bring more than those in force, in the same draws.
        reviewed: judged parts that it stands on.
        defects: confirmed ones among them.
    """

    review: float
    reject: float | None
    parts_per_day: float
    expected: Figures
    difference: Figures
    reviewed: int
    defects: int


@dataclass(frozen=True, kw_only=True)
class WhatIf:
    """A line whose thresholds can be tried without changing anything.

    Attributes:
        calibration: that was in force when it was opened.
        reviewed: what people have said of parts that were judged by the same scores.
        costs: of the line's configuration, with the share of defective parts that `reviewed` shows
            where that can be trusted.
        parts_per_day: that the line makes: 24 hours of `parts_per_hour`, or 10,000.
        refusal: why nothing can be said of what thresholds cost; empty where it can.
    """

    calibration: Calibration
    reviewed: ReviewedParts
    costs: Costs
    parts_per_day: float
    refusal: str

    @property
    def lacks(self) -> tuple[MissingData, ...]:
        """What the `refusal` is about, for programs that say it in their own words."""
        return tuple(_sentences(self.reviewed))

    def curves(self, marks: Sequence[float] = ()) -> JsonObject:
        """What a chart draws: shares of good and defective parts over the score.

        Args:
            marks: thresholds, at most 40, to have on the grid beside those in force, such as those
                of `best`.

        Returns:
            JSON that can be shown although there is a `refusal`:

            - `thresholds`: at most 400, ascending;
            - `good`: of each threshold the `share` of good parts at or above it, with the band from
              `low` to `high`; null without good parts;
            - `defective`: likewise the share of defective parts below it;
            - `histogram` of the judged parts: `edges`, and between them how many `good` and
              `defective` ones, each counted once;
            - `scale`: "linear" or "log", of an axis on which the curves can be distinguished.

        Raises:
            InvalidOption: if the marks are none.
        """
        good, defective = self.reviewed.good, self.reviewed.defective
        cuts, scale = self._grid(marks)
        edges = (np.geomspace if scale == "log" else np.linspace)(cuts[0], cuts[-1], _BINS + 1)
        edges[[0, -1]] = cuts[[0, -1]]
        found: JsonObject = as_json(
            {
                "thresholds": cuts.tolist(),
                "good": _curve(good, cuts, _GOOD),
                "defective": _curve(defective, cuts, _DEFECTIVE),
                "histogram": {
                    "edges": edges.tolist(),
                    "good": np.histogram(good.scores, edges)[0].tolist(),
                    "defective": np.histogram(defective.scores, edges)[0].tolist(),
                },
                "scale": scale,
            }
        )
        return found

    def outcome(
        self,
        review: float,
        reject: float | None,
        costs: Costs | None = None,
        *,
        parts_per_day: float | None = None,
    ) -> Outcome:
        """What a pair of thresholds is expected to do, and what it changes.

        The share of defective parts that the costs name is taken to be as uncertain as the one that
        the judged parts show.

        Args:
            review: a part is flagged at or above it.
            reject: not below `review`; None means that nothing is rejected without review.
            costs: None means those of the line.
            parts_per_day: None means that of the line.

        Raises:
            CalibrationError: if too little is known; see `refusal`.
            InvalidOption: if thresholds, costs or parts are none.
        """
        self._require_enough()
        _check_thresholds(review, reject)
        costs = _checked(self.costs if costs is None else costs)
        pace = self._pace(parts_per_day)
        in_force = self.calibration.threshold, self.calibration.reject_threshold
        cuts = np.array([math.inf if one is None else one for one in (review, reject, *in_force)])
        good, defective = self.reviewed.good, self.reviewed.defective
        seen = Draws.seen(good, cuts), Draws.seen(defective, cuts)
        drawn = Draws.of(good, cuts, _GOOD), Draws.of(defective, cuts, _DEFECTIVE)
        share = np.minimum(costs.defect_share * _share_drawn(self.reviewed, *drawn), 1.0)
        values = [_figures(*seen, np.array([costs.defect_share]), at, costs, pace) for at in (0, 2)]
        others = [_figures(*drawn, share, at, costs, pace) for at in (0, 2)]
        return Outcome(
            review=float(review),
            reject=None if reject is None else float(reject),
            parts_per_day=pace,
            expected=Figures(
                **{name: estimate_of(values[0][name][0], others[0][name]) for name in values[0]}
            ),
            difference=Figures(
                **{
                    name: estimate_of(
                        values[0][name][0] - values[1][name][0], others[0][name] - others[1][name]
                    )
                    for name in values[0]
                }
            ),
            reviewed=self.reviewed.reviewed,
            defects=len(defective.scores),
        )

    def best(self, costs: Costs | None = None) -> Band:
        """The cheapest pair of thresholds, by `choose_band`; its `reject` may be infinite.

        Raises:
            CalibrationError: if too little is known; see `refusal`.
            InvalidOption: if the costs are none.
        """
        self._require_enough()
        costs = _checked(self.costs if costs is None else costs)
        return choose_band(self.reviewed.good, self.reviewed.defective, costs)

    def _require_enough(self) -> None:
        if self.refusal:
            raise CalibrationError(self.refusal)

    def _pace(self, parts_per_day: float | None) -> float:
        pace = self.parts_per_day if parts_per_day is None else parts_per_day
        if not 0 < pace < math.inf:
            raise InvalidOption(f"expected a number of parts a day above 0, found {pace!r}.")
        return float(pace)

    def _grid(self, marks: Sequence[float]) -> tuple[DoubleArray, str]:
        """Thresholds to try, ascending, and the scale on which they can be distinguished."""
        if len(marks) > _BINS or not np.isfinite(marks).all():
            raise InvalidOption(f"expected at most {_BINS} finite marks, found {list(marks)}.")
        samples = [s.scores for s in (self.reviewed.good, self.reviewed.defective) if len(s.scores)]
        in_force = (self.calibration.threshold, self.calibration.reject_threshold)
        ends = [end for s in samples for end in (s[0], np.nextafter(s[-1], math.inf))]
        known = np.unique([*(one for one in in_force if one is not None), *marks, *ends])
        if known[0] == known[-1]:
            known = np.array([known[0], np.nextafter(known[0], math.inf)])
        is_wide = bool(samples and known[0] > 0 and known[-1] > _WIDE * np.median(samples[0]))
        # A third where the good parts lie, a third where the defective ones do, a third between.
        count = (_MOST_THRESHOLDS - len(known)) // 3
        between = (np.geomspace if is_wide else np.linspace)(known[0], known[-1], count)
        picked = [_spread(np.unique(scores), count) for scores in samples]
        return np.unique([*known, *between[1:-1], *np.concatenate([*picked, []])]), (
            "log" if is_wide else "linear"
        )


def open_what_if(project: Project, line: str, store: VerdictStore) -> WhatIf:
    """Read what is known of a line; all its inspections are read once.

    Raises:
        NotCalibrated: if the line has no calibration.
    """
    calibration = calibration_in_force(project, line)
    facts = {name: getattr(calibration, name) for name in ("model", "options", "view")}
    folder = project.calibration_folder(line)
    equal = equal_calibrations(folder, calibration.scorer, facts, calibration.state)
    reviewed = collect_reviewed(store, line, equal | {calibration.id})
    config, refusal = project.config.line(line).costs, _refusal(reviewed)
    share = config.defect_share if refusal else reviewed.defect_share
    return WhatIf(
        calibration=calibration,
        reviewed=reviewed,
        costs=Costs(
            escape=config.escape,
            false_reject=config.false_reject,
            review=config.review,
            defect_share=min(max(share, 1e-9), 1 - 1e-9),
            review_share=config.review_share,
        ),
        parts_per_day=24 * config.parts_per_hour if config.parts_per_hour else _PARTS_PER_DAY,
        refusal=refusal,
    )


def _refusal(reviewed: ReviewedParts) -> str:
    """Why nothing can be said of what thresholds cost; empty where it can."""
    return " ".join(_sentences(reviewed).values())


def _sentences(reviewed: ReviewedParts) -> dict[MissingData, str]:
    """What is missing, each with a sentence for people."""
    if reviewed.lacking and reviewed.unseen is None:
        # Whatever else there is too little of was deleted as well.
        return {MissingData.KEPT: f"the judged parts cannot stand for all: {reviewed.lacking}."}
    defects, found = len(reviewed.defective.scores), {}
    if defects < FEWEST_DEFECTS:
        found[MissingData.DEFECTS] = (
            f"expected at least {FEWEST_DEFECTS} confirmed defects, found {defects} among "
            f"{reviewed.reviewed} judged parts of {reviewed.inspected} inspected ones. Have people "
            "judge more flagged parts."
        )
    if not len(reviewed.good.scores):
        found[MissingData.GOOD] = (
            "expected accepted parts, found none. Have people judge parts that passed."
        )
    if not reviewed.is_usable:
        found[MissingData.SEEN] = (
            f"the {reviewed.reviewed} judged parts cannot stand for all {reviewed.inspected}: "
            f"{reviewed.lacking}."
        )
    return found


def _checked(costs: Costs) -> Costs:
    """The costs, if they are some."""
    wrong = [
        f"{name} = {price!r} is no cost"
        for name in ("escape", "false_reject", "review")
        if not 0 <= (price := getattr(costs, name)) < math.inf
    ]
    if not 0 < costs.defect_share < 1:
        wrong.append(f"defect_share = {costs.defect_share!r} does not lie between 0 and 1")
    if not 0 <= costs.review_share <= 1:
        wrong.append(f"review_share = {costs.review_share!r} does not lie from 0 to 1")
    if wrong:
        raise InvalidOption(f"these costs cannot be used: {'; '.join(wrong)}.")
    return costs


def _check_thresholds(review: float, reject: float | None) -> None:
    is_finite = math.isfinite(review) and (reject is None or math.isfinite(reject))
    if not is_finite or (reject is not None and reject < review):
        raise InvalidOption(
            "expected two finite thresholds, the one for review not above the one for reject, "
            f"found {review!r} and {reject!r}."
        )


def _spread(values: DoubleArray, count: int) -> DoubleArray:
    """At most so many of the values, evenly by their rank, both ends among them."""
    if len(values) <= count:
        return values
    return np.asarray(values[np.linspace(0, len(values) - 1, count).round().astype(int)])


def _curve(sample: ScoreSample, cuts: DoubleArray, stream: int) -> JsonObject | None:
    """Share of good or of defective parts on the wrong side of each threshold, with its band."""
    if not len(sample.scores):
        return None
    both = Draws.seen(sample, cuts), Draws.of(sample, cuts, stream)
    seen, drawn = (draws.flagged if stream == _GOOD else draws.passed for draws in both)
    low, high = np.quantile(drawn, TAILS, axis=0)
    return {"share": seen[0].tolist(), "low": low.tolist(), "high": high.tolist()}


def _share_drawn(reviewed: ReviewedParts, good: Draws, defective: Draws) -> DoubleArray:
    """(draws,) share of defective parts, in shares of the one that was seen."""
    counts = [
        draws.total / sample.size * sample.weights.sum()
        for draws, sample in ((good, reviewed.good), (defective, reviewed.defective))
    ]
    return np.asarray(counts[1] / (counts[0] + counts[1]) / reviewed.defect_share)


def _figures(
    good: Draws, defective: Draws, share: DoubleArray, at: int, costs: Costs, parts: float
) -> dict[str, DoubleArray]:
    """The fields of `Figures`, (draws,) of each, for the pair of thresholds that begins there."""
    false, missed = good.flagged[:, at : at + 2], defective.passed[:, at : at + 2]
    flagged = (1 - share)[:, None] * false + share[:, None] * (1 - missed)
    escapes, rejects = share * missed[:, 0], (1 - share) * false[:, 1]
    reviews = flagged[:, 0] - flagged[:, 1]
    cost = costs.escape * escapes + costs.review * reviews + costs.false_reject * rejects
    return {
        "escapes": parts * escapes,
        "false_rejects": parts * rejects,
        "reviews": parts * reviews,
        "cost_per_part": cost,
        "cost_per_day": parts * cost,
    }
