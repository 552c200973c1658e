"""`cdm-inspect parity`: does this machine judge as the trained model did?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cdm_inspect.cli.arguments import (
    Line,
    Overrides,
)
from cdm_inspect.cli.context import Context

if TYPE_CHECKING:
    from cdm_inspect.cli.rendering import Screen


def parity(
    context: typer.Context,
    line: Line,
    runtime: Annotated[str, typer.Option(help="Name that it was exported under.")] = "onnx",
    overrides: Overrides = None,
) -> None:
    """Does this machine say of the golden set what the trained model said? Needs no PyTorch."""
    from cdm_inspect.encoding import to_json
    from cdm_inspect.files import write_durably
    from cdm_inspect.inspection.exported.bundle import GOLDEN, read_artefact, read_golden
    from cdm_inspect.inspection.exported.parity import compare_parts
    from cdm_inspect.inspection.exported.station import open_station

    state: Context = context.obj
    project = state.open(line, overrides)
    artefact = read_artefact(project.export_folder(line, runtime))
    inspector = open_station(project, line, runtime, scorer=artefact.scorer)
    with state.screen.counting("parity") as tick:
        found = compare_parts(
            inspector,
            read_golden(artefact.folder / GOLDEN),
            tolerance=artefact.parity["tolerance"],
            tick=tick,
        )
    report = project.root / "reports" / f"{line}-{runtime}-parity-here.json"
    write_durably(report, to_json(found.to_json(), indent=1))
    found.demand(f"{runtime} of line {line!r} on this machine", report)
    say_parity(state.screen, found.summary())
    state.screen.finish({**found.summary(), "report": str(report)})


def say_parity(screen: Screen, found: dict[str, Any]) -> None:
    """The figures, for people."""
    verdicts = ", ".join(f"{count} {verdict}" for verdict, count in found["verdicts"].items())
    screen.say(f"golden set: {found['parts']} photographs, {verdicts}; no verdict differs")
    screen.say(
        f"largest difference: {found['score_difference']:.2g} of a score, "
        f"{found['heatmap_difference']:.2g} of a heat map "
        f"(values up to {found['scale']:.3g}, tolerance {found['tolerance']:g})"
    )
