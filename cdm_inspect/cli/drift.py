"""`cdm-inspect drift`: has a line changed since it was calibrated?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cdm_inspect.cli.arguments import (
    Line,
    ScorerName,
)
from cdm_inspect.cli.context import Context

if TYPE_CHECKING:
    from cdm_inspect.project import Project


def drift(
    context: typer.Context,
    line: Line,
    shift: Annotated[
        float, typer.Option(help="Change to find, in standard deviations.", min=0.1)
    ] = 1.0,
    between_false_alarms: Annotated[
        float, typer.Option(help="Parts, on average, while nothing changes.", min=100)
    ] = 20_000,
    scorer: ScorerName = None,
) -> None:
    """Has the line changed since it was calibrated? By passed parts and by how all were taken."""
    state: Context = context.obj
    project = state.open(line)
    state.screen.finish(
        _drift_of(
            state,
            project,
            line,
            scorer=scorer,
            shift=shift,
            between_false_alarms=between_false_alarms,
        )
    )


def _drift_of(state: Context, project: Project, line: str, **options: Any) -> dict[str, Any]:
    """Follow what was inspected; says what the charts promise and what they have found."""
    from cdm_inspect.monitoring.drift import alarms_by_chart, describe_alarm, drift as read_charts

    document = read_charts(project, line, **options)
    rows = [
        (
            name,
            str(chart["parts"]),
            f"{chart['shift']:g} sd after {chart['delay']:.0f} parts",
            f"{chart['level']:.1f} of {chart['limit']:.1f}",
            str(chart["calls"]),
        )
        for name, chart in document["charts"].items()
    ]
    header = ("chart", "parts", "finds, on average", "stands at", "alarms")
    began = document["since"]["calibration"]
    state.screen.table(f"Line {line} since calibration {began}", header, rows)
    one = next(iter(document["charts"].values()))
    together = one["between_false_alarms"] / (len(rows) + len(document["left_out"]))
    state.screen.say(
        f"False alarms: one in {together:,.0f} parts that are "
        "independent of each other, in nine lines of ten; more where parts come in lots."
    )
    for name, why in document["left_out"].items():
        state.screen.say(f"[yellow]note:[/yellow] no chart of {name}: {why}")
    for name, found in alarms_by_chart(document["alarms"]).items():
        for alarm, which in zip(found, ("first", "latest"), strict=False):
            which_one = f"{name}, {which}" if len(found) > 1 else name
            state.screen.say(f"[red]alarm[/red] {which_one}: {describe_alarm(alarm)}")
    if document["alarms"]:
        state.screen.say(
            "Look at light, focus and the parts themselves. If they are as they should be, "
            "add photographs of them to the good parts, train and calibrate."
        )
    return document
