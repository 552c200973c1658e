"""`cdm-inspect export`: from a calibrated line to a station."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from cdm_inspect.cli.arguments import (
    Line,
    Overrides,
    ScorerName,
)
from cdm_inspect.cli.context import Context
from cdm_inspect.cli.parity import say_parity


def export(
    context: typer.Context,
    line: Line,
    exporter: Annotated[str, typer.Option("--format", help="Name of an exporter.")] = "onnx",
    precision: Annotated[
        str | None, typer.Option(help="Of the network: fp32, fp16, int8; as the format has it.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="To export it under.")] = None,
    scorer: ScorerName = None,
    fixed_size: Annotated[
        bool, typer.Option("--fixed-size", help="For photographs of one size only.")
    ] = False,
    licence: Annotated[str, typer.Option(help="Of the model, for its metadata.")] = "not stated",
    overrides: Overrides = None,
) -> None:
    """Write a line for a station without PyTorch; fails unless its verdicts are the same."""
    from cdm_inspect.workflows.export import export as export_line

    state: Context = context.obj
    project = state.open(line, overrides)
    with state.screen.counting("export") as tick:
        document = export_line(
            project,
            line,
            exporter,
            name=name,
            options={} if precision is None else {"precision": precision},
            scorer=scorer,
            any_size=not fixed_size,
            licence=licence,
            tick=lambda step, done, total: tick(done, total, step),
        )
    say_parity(state.screen, document["parity"])
    size = sum(document["files"].values()) / 1e6
    state.screen.say(f"exported: {escape(document['folder'])} ({size:.1f} MB)")
    state.screen.say(f"report: {escape(document['report'])}")
    state.screen.finish(document)
