"""`cdm-inspect train`: the model of a line, from its good parts."""

from __future__ import annotations

import logging
import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cdm_inspect.cli.arguments import (
    Device,
    Line,
    Overrides,
)
from cdm_inspect.cli.context import Context
from cdm_inspect.errors import InvalidOption

if TYPE_CHECKING:
    from cdm_inspect.project import Project
    from cdm_inspect.records import TrainingTick

from cdm_inspect.cli.check import with_problems


def train(
    context: typer.Context,
    line: Line,
    preset: Annotated[str | None, typer.Option(help="tiny, small or base.")] = None,
    budget: Annotated[str | None, typer.Option(help="Wall-clock, such as 20m.")] = None,
    images: Annotated[str | None, typer.Option(help="Images to see, such as 2M.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a stopped run.")] = False,
    device: Device = "auto",
    devices: Annotated[int, typer.Option(help="How many to train on.")] = 1,
    precision: Annotated[str | None, typer.Option(help="32-true, bf16-mixed, ...")] = None,
    overrides: Overrides = None,
) -> None:
    """Train the model of a line on its good parts."""
    state: Context = context.obj
    if budget is not None and images is not None:
        raise InvalidOption("--budget and --images exclude each other; give one.")
    given = {
        "preset": preset,
        "training.budget": budget,
        "training.images": "" if budget is not None else images,
        "training.precision": precision,
    }
    # As quoted TOML strings, so that "20" is text and not a number.
    short = [f"{key}='{value}'" for key, value in given.items() if value is not None]
    project = state.open(line, [*(overrides or []), *short])
    state.screen.finish(
        train_line(state, project, line, device=device, devices=devices, resume=resume)
    )


def train_line(
    state: Context,
    project: Project,
    line: str,
    *,
    device: str = "auto",
    devices: int = 1,
    resume: bool = False,
) -> dict[str, Any]:
    """Train with a progress bar; a table of what was seen and what it cost."""
    from cdm_inspect.workflows.train import train as train_model

    # Lightning sets its own level when it is imported; what it says, our own screen says.
    for name in ("lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        with state.screen.training(f"train {line}") as show:
            shown: set[str] = set()

            def tick(at: TrainingTick) -> None:
                show(at)
                for warning in at.warnings:
                    if warning not in shown:
                        shown.add(warning)
                        state.screen.say(f"[yellow]warning:[/yellow] {warning}")

            report = train_model(
                project, line, device=device, devices=devices, resume=resume, tick=tick
            )
    except KeyboardInterrupt:
        state.screen.say(f"stopped; go on with: cdm-inspect train --line {line} --resume")
        raise
    ratio = report.consistency_cost_ratio
    state.screen.facts(
        f"Line {line}: model {report.model}",
        [
            ("parameters", f"{report.parameters:,} on {report.device}, {report.precision}"),
            ("good parts", f"{report.n_train} trained on, {report.n_held_out} held out"),
            ("seen", f"{report.images_seen:,} crops, {report.images_per_second:.1f} a second"),
            ("DSM loss", f"{report.loss_dsm:.4f}, held out {report.loss_held_out:.4f}"),
            ("consistency", _loss(report.loss_consistency)),
            ("its cost", "not measured" if ratio is None else f"{ratio:.2f} x a step without"),
        ],
    )
    state.screen.problems(report.set_aside, "files set aside")
    return with_problems(asdict(report), "set_aside")


def _loss(value: float) -> str:
    return f"{value:+.2e}" if math.isfinite(value) else "never on"
