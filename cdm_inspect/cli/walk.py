"""The whole product on a small synthetic line, step by step."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Any

from rich.markup import escape

from cdm_inspect.cli import evaluations, judging, steps, thresholds
from cdm_inspect.cli.steps import Context


def walk_demo(state: Context, directory: Path, *, budget: str | None, seed: int) -> dict[str, Any]:
    """Render a line, check, train, calibrate, evaluate and inspect; says what comes next.

    Args:
        state: of the command.
        directory: where the project is written.
        budget: training time; None means the demo's own.
        seed: of the synthetic photographs.
    """
    from cdm_inspect.images.demo_line import write_demo_project
    from cdm_inspect.project import open_project

    screen, line = state.screen, "A"
    screen.say(f"[bold]1/6[/bold] rendering a synthetic line into {directory}/data/A")
    write_demo_project(directory, seed=seed)
    given = [] if budget is None else [f"training.budget='{budget}'"]
    project = open_project(directory, line=line, overrides=given)
    data = directory / "data" / "A"
    screen.say("[bold]2/6[/bold] check: are the photographs usable?")
    checked = steps.check(state, project, line)
    screen.say("[bold]3/6[/bold] train: a consistent diffusion model on good parts")
    trained = steps.train(state, project, line)
    screen.say("[bold]4/6[/bold] calibrate: a threshold from held-out good parts")
    calibrated = thresholds.calibrate(state, project, line, project.config.line(line).scorer)
    screen.say("[bold]5/6[/bold] evaluate: labelled parts the model has never seen")
    evaluated = evaluations.evaluate(state, project, line, data, None)
    evaluations.show_evaluations(state, [evaluated])
    screen.say("[bold]6/6[/bold] inspect: verdicts into the store")
    inspected = judging.inspect_paths(state, project, line, [data / "test"], is_quiet=True)
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
