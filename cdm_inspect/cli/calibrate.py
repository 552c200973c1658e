"""`cdm-inspect calibrate`: the thresholds of a line, and what they rest on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from cdm_inspect.calibration.in_force import calibration_in_force
from cdm_inspect.cli.arguments import (
    AllScorers,
    Device,
    Line,
    Overrides,
    ScorerName,
    of_each_scorer,
    parse_share,
    scorers_asked_for,
)
from cdm_inspect.cli.context import Context
from cdm_inspect.errors import InvalidOption

if TYPE_CHECKING:
    from cdm_inspect.calibration.record import Calibration
    from cdm_inspect.project import Project


_VERSION = ("version", "id", "made_at", "rule", "threshold", "reject_threshold")


_VERSIONS = 20


def calibrate(
    context: typer.Context,
    line: Line,
    max_false_reject: Annotated[
        str | None, typer.Option(help="Share of good parts that may be flagged, such as 0.5%.")
    ] = None,
    confidence: Annotated[
        str | None, typer.Option(help="With which that share is kept, such as 95%.")
    ] = None,
    cost_escape: Annotated[
        float | None, typer.Option(help="Of a defective part that passes.", min=0)
    ] = None,
    cost_false_reject: Annotated[
        float | None, typer.Option(help="Of a good part that is rejected.", min=0)
    ] = None,
    cost_review: Annotated[
        float | None, typer.Option(help="Of a minute of a person who looks at parts.", min=0)
    ] = None,
    defect_share: Annotated[
        str | None, typer.Option(help="Expected share of defective parts, such as 1%.")
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say what is in force and why; change nothing.")
    ] = False,
    scorer: ScorerName = None,
    all_scorers: AllScorers = False,
    device: Device = "auto",
    overrides: Overrides = None,
) -> None:
    """Set the thresholds: by a false-reject rate, or, where a cost is given, by lowest cost."""
    state: Context = context.obj
    costs = {
        "escape": cost_escape,
        "false_reject": cost_false_reject,
        "review_minute": cost_review,
        "defect_share": None if defect_share is None else parse_share(defect_share),
    }
    short = _overrides_of_rule(max_false_reject, confidence, costs)
    project = state.open(line, [*(overrides or []), *short])
    names = scorers_asked_for(project, line, scorer, all_scorers)
    if explain:
        found = {name: _explain(state, project, line, name) for name in names}
        more = {"scorers": found} if all_scorers else {}
        state.screen.finish({**found[names[0]], **more})
        return
    results = of_each_scorer(
        state, names, lambda name: calibrate_line(state, project, line, name, device=device)
    )
    if short:
        where = escape(f"[lines.{line}]")
        state.screen.say(f"to keep this rule, write it under {where}; see docs/decisions.md")
    document = results[names[0]]
    if all_scorers:
        document = {**document, "scorers": results}
    state.screen.finish(document)


def _overrides_of_rule(
    rate: str | None, confidence: str | None, costs: Mapping[str, Any]
) -> list[str]:
    """What the options of `calibrate` change in the line's configuration.

    Args:
        rate: of false rejects, as typed.
        confidence: as typed.
        costs: by their names in the project file; None where not given.

    Raises:
        InvalidOption: if both rules are asked for, or a share is none.
    """
    given = {f"costs.{name}": value for name, value in costs.items() if value is not None}
    if rate is not None and given:
        raise InvalidOption("--max-false-reject and costs are two rules; give one of them.")
    found = [f"{key}={value}" for key, value in given.items()]
    if given:
        found.append("rule='cost'")
    if rate is not None:
        found += [f"max_false_reject={parse_share(rate)}", "rule='false-reject'"]
    if confidence is not None:
        found.append(f"confidence={parse_share(confidence)}")
    return found


def calibrate_line(
    state: Context,
    project: Project,
    line: str,
    scorer: str,
    *,
    device: str = "auto",
) -> dict[str, Any]:
    """Set the thresholds; a table of what they are, why, and what can be promised."""
    from cdm_inspect.calibration.record import read_history
    from cdm_inspect.workflows.calibrate import calibrate as set_thresholds

    history = read_history(project.calibration_folder(line), scorer)
    before = history[-1].get("rule") if history else None
    with state.screen.counting(f"calibrate {scorer}") as tick:
        calibration = set_thresholds(project, line, scorer=scorer, device=device, tick=tick)
    document = _show_calibration(state, calibration)
    if before is not None and before != calibration.rule:
        state.screen.say(
            f"[yellow]note:[/yellow] the calibration before this one followed the rule {before!r}."
        )
    return document


def _explain(state: Context, project: Project, line: str, scorer: str) -> dict[str, Any]:
    """The calibration in force with its rule, data and points, and the versions before it."""
    from cdm_inspect.calibration.record import read_history

    calibration = calibration_in_force(project, line, scorer)
    history = read_history(project.calibration_folder(line), scorer)
    document = _show_calibration(state, calibration)
    versions = [
        {name: record.get(name) for name in _VERSION} for record in reversed(history[-_VERSIONS:])
    ]
    state.screen.table(
        "Versions", _VERSION, [[_cell(record[name]) for name in _VERSION] for record in versions]
    )
    return {**document, "basis": calibration.basis, "versions": versions}


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "-" if value is None else str(value).split(".", maxsplit=1)[0]


def _show_calibration(state: Context, calibration: Calibration) -> dict[str, Any]:
    count, rejected = len(calibration.scores), calibration.reject_threshold
    reject = "never without review" if rejected is None else f"at {rejected:.4f} or more"
    rows = [
        ("held-out good parts", str(count)),
        ("rule", calibration.rule),
        ("flagged", f"at {calibration.threshold:.4f} or more"),
        ("rejected", reject),
        ("expires", _expiry(calibration)),
        *_choices(calibration.found),
    ]
    title = f"Line {calibration.line}: calibration {calibration.id} of {calibration.scorer}"
    state.screen.facts(f"{title}, version {calibration.version}", rows)
    state.screen.say(calibration.explanation)
    _show_doubts(state, calibration)
    return {
        "line": calibration.line,
        "model": calibration.model,
        "scorer": calibration.scorer,
        "calibration": calibration.id,
        "version": calibration.version,
        "made_at": calibration.made_at.isoformat(),
        "n_held_out": count,
        "rule": calibration.rule,
        "threshold": calibration.threshold,
        "reject_threshold": rejected,
        "max_false_reject": calibration.max_false_reject,
        "confidence": calibration.confidence,
        "false_reject_bound": calibration.false_reject_bound,
        "parts_needed": calibration.parts_needed,
        "explanation": calibration.explanation,
        "expiry": {
            "days": calibration.expiry_days,
            "parts": calibration.expiry_parts,
            "drift": calibration.expiry_drift,
        },
        "found": calibration.found,
    }


def _expiry(calibration: Calibration) -> str:
    limits = [
        f"{limit:g} {unit}"
        for limit, unit in ((calibration.expiry_days, "days"), (calibration.expiry_parts, "parts"))
        if limit is not None
    ]
    if calibration.expiry_drift:
        limits.append("a change that the control charts find")
    return "after " + " or ".join(limits) if limits else "never"


def _show_doubts(state: Context, calibration: Calibration) -> None:
    """How the thresholds would move, where they were set by costs."""
    rows = [
        (
            doubt["name"].replace("_", " "),
            f"x {doubt['factor']:g}",
            f"{doubt['band']['review']:.4g}",
            _cell(doubt["band"]["reject"]),
            f"{doubt['band']['review_rate']:.1%}",
            f"{doubt['band']['escape_rate']:.1%}",
            f"{doubt['regret']:.1%}",
        )
        for doubt in calibration.basis.get("doubts", [])
    ]
    if rows:
        header = ("if", "were", "flag at", "reject at", "reviewed", "escapes", "keeping costs more")
        state.screen.table("Where a cost is off by a factor of two", header, rows)


def _choices(found: dict[str, Any]) -> list[tuple[str, str]]:
    """What a built-in scorer has found and chosen, in words; nothing for what says nothing."""
    members = found.get("members")
    if isinstance(members, dict):
        return [
            (
                f"{name}, weight {facts['weight']:.0%}",
                "; ".join(text for _, text in _choices(facts)),
            )
            for name, facts in members.items()
            if isinstance(facts, dict) and isinstance(facts.get("weight"), float)
        ]
    rows = []
    top, smooth = found.get("top"), found.get("smooth")
    if isinstance(top, float) and isinstance(smooth, int):
        pooled = f"mean of the highest {top:.2%} of the map (at least one pixel)"
        rows.append(("score", pooled + (f", smoothed over {smooth} px" if smooth > 1 else "")))
    for title, facts in (("evidence", found), ("images", found.get("images"))):
        if isinstance(facts, dict) and isinstance(facts.get("explained"), float):
            share = facts["explained"]
            text = f"{facts.get('layout')}: the place explains {share:.0%} of the {title}"
            rows.append((title, text))
    return rows
