"""`cdm-inspect diagnose`: what a model has understood."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from cdm_inspect.cli.arguments import (
    Device,
    Line,
    Overrides,
)
from cdm_inspect.cli.context import Context

if TYPE_CHECKING:
    from cdm_inspect.project import Project


def diagnose(
    context: typer.Context,
    line: Line,
    compare: Annotated[
        Path | None, typer.Option(help="Folder of another model of the line.")
    ] = None,
    parts: Annotated[int, typer.Option(help="At most so many held-out parts.", min=2)] = 24,
    report: Annotated[Path | None, typer.Option(help="Where the PNG page goes.")] = None,
    device: Device = "auto",
    overrides: Overrides = None,
) -> None:
    """Measure a model on held-out good parts: overfit, martingale gap, curl, drift."""
    state: Context = context.obj
    project = state.open(line, overrides)
    state.screen.finish(
        _diagnose_line(
            state, project, line, compare=compare, parts=parts, report=report, device=device
        )
    )


def _diagnose_line(
    state: Context,
    project: Project,
    line: str,
    *,
    compare: Path | None,
    parts: int,
    report: Path | None,
    device: str,
) -> dict[str, Any]:
    """Measure the model; one table by noise level, one by steps, then the warnings."""
    from cdm_inspect.workflows.diagnose import diagnose as measure_model

    with state.screen.counting(f"diagnose {line}") as tick:
        document = measure_model(
            project, line, compare=compare, parts=parts, report=report, device=device, tick=tick
        )
    for found in filter(None, (document, document.get("compare"))):
        levels = ("dsm_train", "dsm_held_out", "overfit", "gap", "curl", "z_squared")
        state.screen.table(
            f"Model {found['model']}: {found['n_held_out']} held-out good parts",
            ("sigma", "DSM training", "DSM held out", "overfit", "gap", "curl", "z²"),
            [
                (f"{row['sigma']:g}", *(_estimate(row[name]) for name in levels))
                for row in found["levels"]
            ],
        )
        state.screen.table(
            "Restored parts",
            ("from noise", "steps", "drift", "pushed back"),
            [
                (
                    f"{row['start']:g}",
                    str(row["steps"]),
                    _estimate(row["drift"]),
                    _estimate(row["returned"]),
                )
                for row in found["drifts"]
            ],
        )
        for warning in found["warnings"]:
            state.screen.say(f"[yellow]warning:[/yellow] {warning}")
    state.screen.say(f"figures: {escape(document['report'])}")
    return document


def _estimate(row: dict[str, float]) -> str:
    return f"{row['value']:.3g} \\[{row['low']:.3g}, {row['high']:.3g}]"
