"""`cdm-inspect pilot`: does the consistency term pay on a line?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cdm_inspect.cli.arguments import (
    Device,
    Line,
    Overrides,
)
from cdm_inspect.cli.context import Context

if TYPE_CHECKING:
    from cdm_inspect.project import Project


def pilot(
    context: typer.Context,
    line: Line,
    budget: Annotated[str, typer.Option(help="Training time of all runs together.")] = "20m",
    seeds: Annotated[int, typer.Option(help="Of each arm, at least 3.")] = 3,
    parts: Annotated[
        int | None, typer.Option(help="Train on at most so many good parts.", min=8)
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Labelled folder, for AUROC, escapes and costs.")
    ] = None,
    labelled: Annotated[
        int | None, typer.Option(help="Judge at most so many labelled parts.", min=10)
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Where the HTML page goes.")] = None,
    device: Device = "auto",
    overrides: Overrides = None,
) -> None:
    """Does the consistency term pay on this line? Trains with and without, and says go or no-go."""
    state: Context = context.obj
    project = state.open(line, overrides)
    state.screen.finish(
        _pilot_line(
            state,
            project,
            line,
            budget=budget,
            seeds=seeds,
            parts=parts,
            data=data,
            labelled=labelled,
            report=report,
            device=device,
        )
    )


def _pilot_line(
    state: Context,
    project: Project,
    line: str,
    *,
    budget: str,
    seeds: int,
    parts: int | None,
    data: Path | None,
    labelled: int | None,
    report: Path | None,
    device: str,
) -> dict[str, Any]:
    """Run what is left of a pilot; a table of differences, the answer, and where the page is."""
    from cdm_inspect.workflows.pilot.names import endpoint_name
    from cdm_inspect.workflows.pilot.running import plan_pilot, run_pilot
    from cdm_inspect.workflows.reports.pilot_report import write_pilot_report

    plan, good = plan_pilot(
        project, line, budget=budget, seeds=seeds, parts=parts, data=data, labelled=labelled
    )
    state.screen.say(
        f"{len(plan.runs)} runs of {plan.seconds:.0f} s on {plan.parts} good parts; "
        "an interrupted pilot goes on where it stopped"
    )
    try:
        with state.screen.piloting(f"pilot {line}") as tick:
            document = run_pilot(project, plan, good, device=device, tick=tick)
    except KeyboardInterrupt:
        state.screen.say("stopped; the same command goes on from here")
        raise
    destination = report or project.root / "reports" / f"{line}-pilot.html"
    write_pilot_report(document, destination)
    state.screen.table(
        "Differences over seeds, 95 % interval",
        ("measure", "compared", "reference", "difference"),
        [
            (
                endpoint_name(row["endpoint"], "en"),
                f"{row['arm']} - {row['reference']}",
                f"{row['reference_mean']:.4g}",
                f"{row['difference']:+.3g} \\[{row['low']:+.3g}, {row['high']:+.3g}]",
            )
            for row in document["comparisons"]
        ],
    )
    verdict = document["verdict"]
    state.screen.say(f"[bold]{verdict['answer']}[/bold] ({verdict['rule']}: {verdict['endpoint']})")
    state.screen.say(f"report: {destination}")
    return {**document, "report": str(destination)}
