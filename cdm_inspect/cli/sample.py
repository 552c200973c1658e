"""`cdm-inspect sample`: good parts drawn from the model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cdm_inspect.cli.arguments import (
    Device,
    Line,
    Overrides,
)
from cdm_inspect.cli.context import Context


def sample(
    context: typer.Context,
    line: Line,
    count: Annotated[int, typer.Option("-n", "--count", help="Parts to draw.", min=1)] = 16,
    sampler: Annotated[
        str, typer.Option(help="heun, dpm-solver, ancestral or euler-maruyama.")
    ] = "heun",
    sampler_steps: Annotated[int, typer.Option("--steps", help="Of the sampler.", min=2)] = 18,
    sigma_max: Annotated[float, typer.Option(help="Noise level to start from.", min=0.01)] = 80.0,
    seed: Annotated[int, typer.Option(help="Of the noise.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Where the PNG grid goes.")] = None,
    device: Device = "auto",
    overrides: Overrides = None,
) -> None:
    """Draw good parts from the model: what it has understood of the line."""
    from cdm_inspect.workflows.sample import sample as draw_parts

    state: Context = context.obj
    project = state.open(line, overrides)
    path = draw_parts(
        project,
        line,
        count=count,
        sampler=sampler,
        steps=sampler_steps,
        sigma_max=sigma_max,
        seed=seed,
        device=device,
        destination=out,
    )
    state.screen.say(f"{count} parts drawn: {path}")
    state.screen.finish({"line": line, "count": count, "sampler": sampler, "file": str(path)})
