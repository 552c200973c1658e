"""`cdm-inspect demo`: the whole product on a small synthetic line, step by step."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from cdm_inspect.cli.calibrate import calibrate_line
from cdm_inspect.cli.check import check_line
from cdm_inspect.cli.context import Context
from cdm_inspect.cli.evaluate import evaluate_line, show_evaluations
from cdm_inspect.cli.inspect import inspect_paths
from cdm_inspect.cli.train import train_line
from cdm_inspect.errors import InvalidOption


def demo(
    context: typer.Context,
    directory: Annotated[Path, typer.Option(help="Where the line is written.")] = Path("demo-line"),
    budget: Annotated[str | None, typer.Option(help="Wall-clock of training, such as 3m.")] = None,
    images: Annotated[
        str | None,
        typer.Option(help="Images to train on, such as 4k; the demo's own if not given."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the synthetic photographs.")] = 0,
) -> None:
    """Make a small synthetic line and walk through the whole product on it."""
    state: Context = context.obj
    if budget is not None and images is not None:
        raise InvalidOption("--budget and --images exclude each other; give one.")
    given = [] if budget is None else [f"training.budget='{budget}'", "training.images=''"]
    given += [] if images is None else [f"training.images='{images}'"]
    state.screen.finish(_walk_demo(state, directory, given, seed=seed))


def _walk_demo(
    state: Context, directory: Path, overrides: Sequence[str], *, seed: int
) -> dict[str, Any]:
    """Render a line, check, train, calibrate, evaluate and inspect; says what comes next.

    Args:
        directory: where the project is written.
        overrides: of the line's configuration.
    """
    from cdm_inspect.images.demo_line import write_demo_project
    from cdm_inspect.project import open_project

    screen, line = state.screen, "A"
    screen.say(f"[bold]1/6[/bold] rendering a synthetic line into {directory}/data/A")
    write_demo_project(directory, seed=seed)
    project = open_project(directory, line=line, overrides=overrides)
    data = directory / "data" / "A"
    screen.say("[bold]2/6[/bold] check: are the photographs usable?")
    checked = check_line(state, project, line)
    screen.say("[bold]3/6[/bold] train: a consistent diffusion model on good parts")
    trained = train_line(state, project, line)
    screen.say("[bold]4/6[/bold] calibrate: a threshold from held-out good parts")
    calibrated = calibrate_line(state, project, line, project.config.line(line).scorer)
    screen.say("[bold]5/6[/bold] evaluate: labelled parts the model has never seen")
    evaluated = evaluate_line(state, project, line, data, None)
    show_evaluations(state, [evaluated])
    screen.say("[bold]6/6[/bold] inspect: verdicts into the store")
    inspected = inspect_paths(state, project, line, [data / "test"], is_quiet=True)
    screen.say(f"\nreport with curves and worst cases: {escape(evaluated['report_html'])}")
    screen.say("judge the flagged parts in the review app:")
    program = Path(sys.argv[0])
    # As it was called: in a virtual environment that is not active its bare name is unknown.
    shown = program if program.name == "cdm-inspect" else "cdm-inspect"
    screen.say(f"  [bold]{shown} --project {directory} dashboard[/bold]")
    return {
        "directory": str(directory),
        "check": checked,
        "train": trained,
        "calibrate": calibrated,
        "evaluate": evaluated,
        "inspect": dict(Counter(item["verdict"] for item in inspected)),
    }
