"""What people see of a command: tables, progress, errors. JSON goes to standard output alone."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from cdm_inspect.encoding import to_json
from cdm_inspect.records import ImageProblem, PilotProgress, StoredInspection, TrainingTick, Verdict

_PLAIN_SECONDS = 10.0
_MOST_PROBLEMS = 20
_LOG_WIDTH = 140
_COLOURS = {
    Verdict.PASS: "green",
    Verdict.REVIEW: "yellow",
    Verdict.REJECT: "red",
    Verdict.UNDECIDED: "magenta",
}


_kept: list[IO[str]] = []


def keep_for_json(stream: IO[str]) -> None:
    """Where JSON documents go from now on, whatever standard output becomes."""
    _kept[:] = [stream]


def _documents_go_to() -> IO[str]:
    return _kept[0] if _kept else sys.stdout


class Screen:
    """Where a command writes: Rich for people, or one JSON document for programs."""

    def __init__(self, *, as_json: bool) -> None:
        # Of several processes that train together, the first speaks.
        is_silent = int(os.environ.get("LOCAL_RANK", "0")) > 0
        self.as_json = as_json and not is_silent
        self.console = Console(stderr=as_json, quiet=is_silent)
        if not self.console.is_terminal and "COLUMNS" not in os.environ:
            self.console.width = _LOG_WIDTH  # a log file has no edge to wrap at

    def say(self, text: str) -> None:
        """One line for people."""
        self.console.print(text, highlight=False)

    def show_line(self, text: str) -> None:
        """One line to be copied: as it is, and never broken."""
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def finish(self, document: dict[str, Any]) -> None:
        """The one JSON document, if JSON was asked for."""
        if self.as_json:
            typer.echo(to_json(document).decode(), file=_documents_go_to())

    def facts(self, title: str, rows: Sequence[tuple[str, str]]) -> None:
        """A small table of names and values."""
        table = Table(title=title, show_header=False, title_justify="left")
        table.add_column(style="bold")
        table.add_column()
        for name, value in rows:
            table.add_row(name, escape(value))
        self.console.print(table)

    def table(self, title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table with a header."""
        table = Table(*header, title=title, title_justify="left")
        for row in rows:
            table.add_row(*row)
        self.console.print(table)

    def problems(self, problems: Sequence[ImageProblem], title: str) -> None:
        """Files with something the matter, each with its reason."""
        if not problems:
            return
        self.table(
            f"{len(problems)} {title}",
            ("reason", "what was found"),
            [(p.reason, escape(p.detail)) for p in problems[:_MOST_PROBLEMS]],
        )
        if len(problems) > _MOST_PROBLEMS:
            self.say(f"... and {len(problems) - _MOST_PROBLEMS} more (all of them with --json)")

    def verdict(self, inspection: StoredInspection) -> None:
        """One line for one inspected part."""
        colour = _COLOURS[inspection.verdict]
        if inspection.score is None:
            detail = escape(inspection.reason)
        else:
            detail = f"score {inspection.score:.3f}, p {inspection.p_value:.4f}"
            if inspection.reason:
                detail += f"; {escape(inspection.reason)}"
        verdict = f"[{colour}]{inspection.verdict.value:<9}[/{colour}]"
        self.say(f"{verdict} {escape(inspection.image)}  {detail}")

    @contextmanager
    def counting(self, title: str) -> Iterator[Any]:
        """A progress bar that takes done, total and the step; plain lines without a terminal."""
        if not self.console.is_terminal:
            yield _PlainCounter(self, title)
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self.console, transient=True) as progress:
            task = progress.add_task(title, total=None)
            yield lambda done, total, step=title: progress.update(
                task, description=step, completed=done, total=total
            )

    @contextmanager
    def training(self, title: str) -> Iterator[Any]:
        """A progress bar that takes `TrainingTick`s; plain lines where there is no terminal."""
        if not self.console.is_terminal:
            yield _PlainTraining(self)
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[detail]}"),
        )
        with Progress(*columns, console=self.console) as progress:
            task = progress.add_task(title, total=1.0, detail="")
            yield lambda tick: progress.update(
                task, completed=tick.progress, detail=_describe(tick)
            )

    @contextmanager
    def piloting(self, title: str) -> Iterator[Any]:
        """A progress bar that takes `PilotProgress`; plain lines without a terminal."""
        if not self.console.is_terminal:
            yield _PlainPilot(self)
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[detail]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self.console) as progress:
            task = progress.add_task(title, total=1.0, detail="")
            yield lambda at: progress.update(task, completed=at.overall, detail=at.text)


class _PlainPilot:
    def __init__(self, screen: Screen) -> None:
        self.screen, self.printed, self.printed_at = screen, "", time.monotonic()

    def __call__(self, at: PilotProgress) -> None:
        if at.text != self.printed or time.monotonic() - self.printed_at >= _PLAIN_SECONDS:
            self.printed, self.printed_at = at.text, time.monotonic()
            self.screen.say(f"pilot: {at.overall:.0%} {at.text}")


class _PlainCounter:
    def __init__(self, screen: Screen, title: str) -> None:
        self.screen, self.title, self.printed_at = screen, title, time.monotonic()

    def __call__(self, done: int, total: int, step: str | None = None) -> None:
        if done == total or time.monotonic() - self.printed_at >= _PLAIN_SECONDS:
            self.printed_at = time.monotonic()
            self.screen.say(f"{step or self.title}: {done} of {total}")


class _PlainTraining:
    def __init__(self, screen: Screen) -> None:
        self.screen, self.printed_at = screen, -math.inf

    def __call__(self, tick: TrainingTick) -> None:
        if tick.progress >= 1 or tick.seconds - self.printed_at >= _PLAIN_SECONDS:
            self.printed_at = tick.seconds
            self.screen.say(f"train: {tick.progress:.0%} {_describe(tick)}")


def show_error(message: str) -> None:
    """An error for people, on standard error."""
    Console(stderr=True).print(f"[bold red]error:[/bold red] {escape(message)}", highlight=False)


def _describe(tick: TrainingTick) -> str:
    minutes, seconds = divmod(round(tick.seconds_left), 60)
    facts = [f"{tick.images_per_second:.0f} images/s", f"dsm {tick.loss_dsm:.4f}"]
    # The term comes on and the first check falls some way into a run.
    if math.isfinite(tick.loss_consistency):
        facts.append(f"consistency {tick.loss_consistency:+.1e}")
    if math.isfinite(tick.loss_held_out):
        facts.append(f"held-out {tick.loss_held_out:.4f}")
    return "  ".join([*facts, f"{minutes}:{seconds:02d} left"])
