"""`cdm-inspect report`: the report of a shift."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from cdm_inspect.cli.arguments import Line
from cdm_inspect.cli.context import Context
from cdm_inspect.errors import InvalidOption
from cdm_inspect.roles import administrator

if TYPE_CHECKING:
    from cdm_inspect.config import ProjectConfig
    from cdm_inspect.config.shifts import Shift


def report(
    context: typer.Context,
    line: Line,
    day: Annotated[
        dt.datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="On which the shift begins, in the plant."),
    ] = None,
    shift: Annotated[
        int | None, typer.Option(help="Number of the shift within its day, from 1.")
    ] = None,
    file_format: Annotated[
        list[str] | None,
        typer.Option(
            "--format", help="html, csv, pdf; html and csv, and pdf where it can be made."
        ),
    ] = None,
    language: Annotated[str, typer.Option(help="Of the report: en or ja.")] = "en",
    out: Annotated[
        Path | None, typer.Option(help="Folder; reports/shifts of the project otherwise.")
    ] = None,
) -> None:
    """Write the report of a shift, the last one that is over, and anchor the audit chain."""
    from cdm_inspect.review.shift_report.making import FOLDER, make_shift_report

    state: Context = context.obj
    project = state.open()
    with project.open_store() as store:
        made = make_shift_report(
            store,
            project.store_upkeep(),
            project.config,
            actor=administrator(),
            line=line,
            shift=_shift(project.config, day, shift),
            folder=out or project.path(FOLDER),
            language=language,
            formats=file_format or None,
        )
    counts = made.statistics.counts
    state.screen.say(
        f"Line {escape(line)}, shift {made.shift.name}: {counts.inspected} parts inspected, "
        f"{counts.flagged} flagged, {counts.waiting} of them undecided."
    )
    for path in made.files.values():
        state.screen.say(f"report: {escape(str(path))}")
    state.screen.say(f"Entry {made.head.number} of the audit chain is anchored: {made.head.hash}")
    state.screen.finish(made.to_json())


def _shift(config: ProjectConfig, day: dt.datetime | None, number: int | None) -> Shift:
    from cdm_inspect.config.shifts import shift_of
    from cdm_inspect.review.shift_report.making import last_shift

    if day is None and number is None:
        return last_shift(config, dt.datetime.now(dt.UTC))
    if day is None or number is None:
        raise InvalidOption("--day and --shift belong together; give both, or neither.")
    return shift_of(day.date(), number, config.review)
