"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cdm_inspect.errors import CheckpointMismatch, InvalidOption

if TYPE_CHECKING:
    from cdm_inspect.cli.context import Context
    from cdm_inspect.project import Project

Line = Annotated[str, typer.Option("--line", "-l", help="Name of the line.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the line."),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
ScorerName = Annotated[str | None, typer.Option("--scorer", help="Instead of the line's own.")]
AllScorers = Annotated[bool, typer.Option("--all-scorers", help="Every installed scorer.")]
Runtime = Annotated[str, typer.Option(help="torch, or the name that the line was exported under.")]


def parse_share(text: str) -> float:
    """0.5% or 0.005 as a share between 0 and 1.

    Raises:
        InvalidOption: if it is none.
    """
    try:
        value = float(text.rstrip("%").strip()) / (100 if text.strip().endswith("%") else 1)
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise InvalidOption(f"expected a share such as 0.5% or 0.005, found {text!r}.")
    return value


def scorers_asked_for(
    project: Project, line: str, scorer: str | None, all_scorers: bool
) -> list[str]:
    """The line's own scorer, another one, or all, the line's own first."""
    if all_scorers and scorer is not None:
        raise InvalidOption("--scorer and --all-scorers exclude each other; give one.")
    own = project.config.line(line).scorer
    if all_scorers:
        return [own, *(name for name in project.registry.scorers if name != own)]
    return [scorer or own]


def of_each_scorer(
    state: Context, names: list[str], step: Callable[[str], dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """What a step says of each scorer; all but the first may be unfit for the line's model."""
    results = {names[0]: step(names[0])}
    for name in names[1:]:
        try:
            results[name] = step(name)
        except CheckpointMismatch as error:
            state.screen.say(f"[yellow]{name} left out:[/yellow] {error}")
    return results
