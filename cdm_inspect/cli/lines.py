"""`cdm-inspect lines`: what is configured, and how far each line has come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from cdm_inspect.cli.context import Context

if TYPE_CHECKING:
    from cdm_inspect.project import Project


def lines(context: typer.Context) -> None:
    """What lines are configured, and how far each has come."""
    state: Context = context.obj
    state.screen.finish(_list_lines(state, state.open()))


def _list_lines(state: Context, project: Project) -> dict[str, Any]:
    """A table of the lines: what each is set to, and whether it is trained and calibrated."""
    rows, document = [], []
    for name, config in sorted(project.config.lines.items()):
        has_model = (project.model_folder(name) / "manifest.json").is_file()
        is_calibrated = (project.calibration_folder(name) / f"{config.scorer}.json").is_file()
        entry = {
            "line": name,
            "preset": config.preset,
            "scorer": config.scorer,
            "normal": config.normal,
            "is_trained": has_model,
            "is_calibrated": is_calibrated,
            "exports": (exports := _exports_of(project, name)),
        }
        document.append(entry)
        rows.append([*(str(value) for value in list(entry.values())[:-1]), ", ".join(exports)])
    header = ("line", "preset", "scorer", "good parts", "trained", "calibrated", "exported")
    state.screen.table("Lines", header, rows)
    return {"lines": document}


def _exports_of(project: Project, line: str) -> list[str]:
    """Names that a line was exported under."""
    folder = project.export_folder(line, "")
    return sorted(path.parent.name for path in folder.glob("[!.]*/manifest.json"))
