"""`cdm-inspect inspect`: parts are judged, by the trained model or by what was exported of it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cdm_inspect.cli.arguments import (
    Device,
    Line,
    Overrides,
    Runtime,
    ScorerName,
)
from cdm_inspect.cli.context import Context
from cdm_inspect.errors import InvalidOption
from cdm_inspect.records import inspection_json

if TYPE_CHECKING:
    from cdm_inspect.inspection.inspector import Inspector
    from cdm_inspect.project import Project


def inspect(
    context: typer.Context,
    line: Line,
    paths: Annotated[list[Path], typer.Argument(help="Image files or folders.")],
    scorer: ScorerName = None,
    device: Device = "auto",
    runtime: Runtime = "torch",
    overrides: Overrides = None,
) -> None:
    """Judge parts and store what was said of them."""
    state: Context = context.obj
    project = state.open(line, overrides)
    found = inspect_paths(
        state, project, line, paths, scorer=scorer, device=device, runtime=runtime
    )
    state.screen.finish({"inspections": found})


def inspect_paths(
    state: Context,
    project: Project,
    line: str,
    paths: list[Path],
    *,
    scorer: str | None = None,
    device: str = "auto",
    runtime: str = "torch",
    is_quiet: bool = False,
) -> list[dict[str, Any]]:
    """Judge and store parts; a line for each unless quiet, then a summary."""
    from cdm_inspect.inspection.recorder import expand_paths, inspect_with

    inspector = open_inspector(project, line, scorer=scorer, device=device, runtime=runtime)
    total = sum(1 for _ in expand_paths(paths))
    found, counts = [], Counter[str]()
    with state.screen.counting("inspect") as tick:
        for stored in inspect_with(project, inspector, paths):
            found.append(inspection_json(stored))
            counts[stored.verdict.value] += 1
            if not is_quiet:
                state.screen.verdict(stored)
            tick(len(found), total)
    say_summary(state, counts)
    return found


def open_inspector(
    project: Project, line: str, *, scorer: str | None, device: str, runtime: str
) -> Inspector[Any]:
    """By the trained model, or by what was exported of it, which needs no torch."""
    if runtime == "torch":
        from cdm_inspect.workflows.assembly import open_inspector

        return open_inspector(project, line, scorer=scorer, device=device)
    from cdm_inspect.inspection.exported.station import open_station

    if device != "auto":
        raise InvalidOption(
            f"--device is for --runtime torch; {runtime} runs where its exporter says: set "
            f"lines.{line}.exporters.NAME."
        )
    return open_station(project, line, runtime, scorer=scorer)


def say_summary(state: Context, counts: Counter[str]) -> None:
    """How many parts there were of each verdict."""
    summary = ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items()))
    state.screen.say(f"{sum(counts.values())} parts inspected: {summary or 'none'}")
