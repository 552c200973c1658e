"""Putting thresholds into force that a person has chosen; the record tells who, and why.

Loads without torch.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict, replace

from cdm_inspect.calibration.costs import Costs
from cdm_inspect.calibration.guarantees import guarantee_of
from cdm_inspect.calibration.in_force import calibration_in_force, count_judged
from cdm_inspect.calibration.record import Calibration, read_history
from cdm_inspect.calibration.what_if import Outcome, WhatIf
from cdm_inspect.encoding import as_json
from cdm_inspect.errors import CalibrationError, CdmInspectError, InvalidOption
from cdm_inspect.files import locked
from cdm_inspect.monitoring.drift import LineWatch, charts_of
from cdm_inspect.plugins import VerdictStore
from cdm_inspect.project import Project
from cdm_inspect.records import Estimate, Event, JsonObject
from cdm_inspect.roles import Actor, Right

SHORTEST_REASON = 10
"""Characters."""
RULE = "by hand"
"""Of a calibration whose thresholds were saved here."""


def save_thresholds(
    project: Project,
    store: VerdictStore,
    what_if: WhatIf,
    *,
    actor: Actor,
    review: float,
    reject: float | None,
    reason: str,
    costs: Costs | None = None,
    parts_per_day: float | None = None,
) -> Calibration:
    """Put other thresholds into force, as a new version of the calibration in force.

    Scores mean the same afterwards, so that what was exported goes on, and so do the charts of
    `drift` with their alarms. It ends when the one before it would have ended: only `calibrate`
    renews.

    Args:
        what_if: that the person has seen.
        actor: who saves.
        review: a part is flagged at or above it.
        reject: not below `review`; None means that nothing is rejected without review.
        reason: why, at least 10 characters.
        costs: by which the thresholds were chosen; None means those of the line.
        parts_per_day: None means that of the line.

    Raises:
        NotAllowed: if the person may not.
        InvalidOption: if reason, thresholds or costs are none, or these thresholds are in force,
            whatever the costs.
        CalibrationError: if too little is known, or the calibration in force has changed since
            `what_if` was opened, or is out of date.
        StorageError: if it cannot be written.
    """
    actor.require(Right.SET_THRESHOLDS)
    reason = reason.strip()
    if len(reason) < SHORTEST_REASON:
        raise InvalidOption(
            f"expected a reason of at least {SHORTEST_REASON} characters, found {len(reason)}. Say "
            "why the thresholds change. Nothing was changed."
        )
    costs = what_if.costs if costs is None else costs
    outcome = what_if.outcome(review, reject, costs, parts_per_day=parts_per_day)
    former = what_if.calibration
    with locked(project.calibration_folder(former.line) / f".{former.scorer}.by-hand.lock"):
        _check_change(calibration_in_force(project, former.line, former.scorer), former, outcome)
        days, parts = _left(store, former)
        chosen = replace(
            _chosen(former, outcome, costs, actor, reason), expiry_days=days, expiry_parts=parts
        )
        if chosen.expiry_drift:
            charts_of(chosen)  # refuses where no station could follow the line any more
        return _put_into_force(project, store, former, chosen, actor)


def _check_change(in_force: Calibration, former: Calibration, outcome: Outcome) -> None:
    """See that what the person has looked at is in force still, and that something changes."""
    if (in_force.id, in_force.version) != (former.id, former.version):
        raise CalibrationError(
            f"expected version {former.version} ({former.id}) in force, found version "
            f"{in_force.version} ({in_force.id}): somebody has set thresholds or calibrated "
            "since this was opened. Nothing was changed. Open it anew and look again."
        )
    if (outcome.review, outcome.reject) == (in_force.threshold, in_force.reject_threshold):
        raise InvalidOption(
            f"expected other thresholds than version {in_force.version} has, found the same "
            f"({_zones(outcome.review, outcome.reject)}): they are in force already. Nothing "
            "was changed."
        )


def _put_into_force(
    project: Project, store: VerdictStore, former: Calibration, chosen: Calibration, actor: Actor
) -> Calibration:
    """Record it first, then write it.

    Killed in between, the record tells of a calibration, by its id, that never came into force. The
    other way round parts would be judged by thresholds that no record tells of.
    """
    folder = project.calibration_folder(former.line)
    versions = [record["version"] for record in read_history(folder, former.scorer)]
    event = Event(
        action="save-thresholds",
        who=actor.name,
        role=actor.role.value,
        line=former.line,
        reason=chosen.basis["reason"],
        facts={
            "former": _thresholds(former),
            "saved": _thresholds(replace(chosen, version=max([former.version, *versions]) + 1)),
            "costs": chosen.basis["costs"],
            "outcome": chosen.basis["outcome"],
        },
    )
    store.record_event(event)
    try:
        return chosen.save(folder)
    except CdmInspectError as error:
        store.record_event(
            replace(
                event,
                action="save-thresholds-failed",
                facts={"calibration": chosen.id, "error": str(error)},
                at=dt.datetime.now(dt.UTC),
            )
        )
        raise


def _chosen(
    former: Calibration, outcome: Outcome, costs: Costs, actor: Actor, reason: str
) -> Calibration:
    """The calibration with other thresholds, and what is said of them."""
    guarantee = guarantee_of(
        former.scores, outcome.review, former.max_false_reject, former.confidence
    )
    basis: JsonObject = as_json(
        {
            "guarantee": asdict(guarantee),
            "costs": asdict(costs),
            "outcome": asdict(outcome),
            "who": actor.name,
            "role": actor.role.value,
            "reason": reason,
            "former": _thresholds(former),
            # In the record itself: a station with an export has no history beside it.
            "follows": former.lineage,
        }
    )
    return replace(
        former,
        threshold=outcome.review,
        reject_threshold=outcome.reject,
        rule=RULE,
        basis=basis,
        explanation=" ".join(
            [
                f"Set by hand by {actor.name} ({actor.role.value}): {basis['reason']!r}.",
                f"{_zones(outcome.review, outcome.reject)}; before, by version {former.version}, "
                f"{_zones(former.threshold, former.reject_threshold)}.",
                _expected(outcome, costs),
                f"Promised: {guarantee.sentence}.",
            ]
        ),
        false_reject_bound=guarantee.bound,
        parts_needed=guarantee.parts_needed,
        version=0,
        # Stations take up what is newer, also where the clock has been set back.
        made_at=max(dt.datetime.now(dt.UTC), former.made_at + dt.timedelta.resolution),
    )


def _zones(review: float, reject: float | None) -> str:
    end = "reject nothing unseen" if reject is None else f"reject from {reject:.4g}"
    return f"pass below {review:.4g}, review from there, {end}"


def _expected(outcome: Outcome, costs: Costs) -> str:
    def band(figure: Estimate) -> str:
        return f"{figure.value:.4g} ({figure.low:.4g} to {figure.high:.4g})"

    found, more = outcome.expected, outcome.difference.cost_per_day
    return (
        f"By {outcome.reviewed} judged parts, {outcome.defects} of them confirmed defects, "
        f"{outcome.parts_per_day:g} parts a day bring {band(found.escapes)} escapes, "
        f"{band(found.false_rejects)} false rejects and {band(found.reviews)} reviews; with "
        f"{costs.escape:g} for an escape, {costs.false_reject:g} for a rejected good part, "
        f"{costs.review:g} for a review and {costs.defect_share:.2%} of parts defective that costs "
        f"{band(found.cost_per_day)} a day, which is {band(more)} more than before (95 % bands)."
    )


def _thresholds(calibration: Calibration) -> JsonObject:
    return {
        "calibration": calibration.id,
        "version": calibration.version,
        "rule": calibration.rule,
        "threshold": calibration.threshold,
        "reject_threshold": calibration.reject_threshold,
    }


def _left(store: VerdictStore, former: Calibration) -> tuple[float | None, int | None]:
    """Days and parts that a calibration still holds for.

    Raises:
        CalibrationError: if it is out of date.
    """
    judged = count_judged(store, former.line, former)
    drifted = ""
    if former.expiry_drift:
        watch = LineWatch(store, former, charts_of(former)[0])
        watch.catch_up()
        drifted = watch.found
    if expired := former.expired(judged, drifted=drifted):
        raise CalibrationError(f"{expired}: thresholds alone do not renew it. Nothing was changed.")
    days = (dt.datetime.now(dt.UTC) - former.made_at).total_seconds() / 86400
    return (
        None if former.expiry_days is None else former.expiry_days - max(days, 0.0),
        None if former.expiry_parts is None else former.expiry_parts - judged,
    )
