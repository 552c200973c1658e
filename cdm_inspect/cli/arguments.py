"""Options that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

Line = Annotated[str, typer.Option("--line", "-l", help="Name of the line.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the line."),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
ScorerName = Annotated[str | None, typer.Option("--scorer", help="Instead of the line's own.")]
