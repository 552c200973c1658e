"""`inspect` and `watch`: parts are judged, by the trained model or by what was exported of it."""

from __future__ import annotations

import signal
from collections import Counter
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from cdm_inspect.cli.arguments import Device, Line, Overrides, ScorerName
from cdm_inspect.cli.steps import Context
from cdm_inspect.config.units import parse_duration
from cdm_inspect.encoding import sha256_of
from cdm_inspect.errors import InvalidOption
from cdm_inspect.records import inspection_json

if TYPE_CHECKING:
    from cdm_inspect.inspection.folder_watch import Stop
    from cdm_inspect.inspection.inspector import Inspector
    from cdm_inspect.project import Project

Runtime = Annotated[str, typer.Option(help="torch, or the name that the line was exported under.")]


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


def watch(
    context: typer.Context,
    line: Line,
    folder: Annotated[Path, typer.Argument(help="Where photographs arrive.")],
    every: Annotated[str, typer.Option(help="Time between two looks, such as 0.5s or 2s.")] = "1s",
    once: Annotated[
        bool, typer.Option("--once", help="End when all that is there is done.")
    ] = False,
    scorer: ScorerName = None,
    device: Device = "auto",
    runtime: Runtime = "torch",
    overrides: Overrides = None,
) -> None:
    """Judge what arrives in a folder, each photograph once, until Ctrl-C."""
    from cdm_inspect.inspection.folder_watch import Arrivals
    from cdm_inspect.inspection.recorder import inspect_with

    state: Context = context.obj
    project = state.open(line, overrides)
    if not folder.is_dir():
        raise InvalidOption(f"expected a folder to watch, found none at {folder}. Make it first.")
    inspector = open_inspector(project, line, scorer=scorer, device=device, runtime=runtime)
    known = sha256_of(str(folder.absolute()).encode("utf-8", "surrogateescape"))[:12]
    arrivals = Arrivals(folder, project.root / ".watch" / f"{line}-{known}.jsonl")
    pause = _pause(every)
    state.screen.say(f"line {line} watches {folder} (Ctrl-C stops it)")
    counts, found = Counter[str](), []
    paths = arrivals.follow(
        every=pause, once=once, on_problem=partial(_warn, state), stop=_stopped_by_signals()
    )
    for stored in inspect_with(project, inspector, paths):
        counts[stored.verdict.value] += 1
        state.screen.verdict(stored)
        if once:  # a shift has more than memory should hold
            found.append(inspection_json(stored))
    _say_summary(state, counts)
    state.screen.finish({"line": line, "verdicts": dict(counts), "inspections": found})


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
    _say_summary(state, counts)
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


def _say_summary(state: Context, counts: Counter[str]) -> None:
    summary = ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items()))
    state.screen.say(f"{sum(counts.values())} parts inspected: {summary or 'none'}")


def _pause(text: str) -> float:
    try:
        seconds = parse_duration(text)
    except (ValueError, InvalidOption) as error:
        raise InvalidOption(f"--every: {error}") from error
    if not 0.01 <= seconds <= 3600:
        raise InvalidOption(f"--every: expected 0.01s to an hour, found {text}.")
    return seconds


def _stopped_by_signals() -> Stop:
    """Set by Ctrl-C or a request to end, after the part in hand; a second one ends at once."""
    from cdm_inspect.inspection.folder_watch import Stop

    stop = Stop()

    def ask(number: int, frame: FrameType | None) -> None:
        stop.set()
        signal.signal(number, signal.default_int_handler)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, ask)
    return stop


def _warn(state: Context, problem: str) -> None:
    state.screen.say(f"[yellow]waiting:[/yellow] {escape(problem)}" if problem else "going on")
