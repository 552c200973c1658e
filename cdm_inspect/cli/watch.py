"""`cdm-inspect watch`: what arrives in a folder is judged."""

from __future__ import annotations

import signal
from collections import Counter
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from cdm_inspect.cli.arguments import (
    Device,
    Line,
    Overrides,
    Runtime,
    ScorerName,
)
from cdm_inspect.cli.context import Context
from cdm_inspect.config.units import parse_duration
from cdm_inspect.encoding import sha256_of
from cdm_inspect.errors import InvalidOption
from cdm_inspect.records import inspection_json

if TYPE_CHECKING:
    from cdm_inspect.inspection.folder_watch import Stop

from cdm_inspect.cli.inspect import open_inspector, say_summary


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
    say_summary(state, counts)
    state.screen.finish({"line": line, "verdicts": dict(counts), "inspections": found})


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
