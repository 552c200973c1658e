"""`cdm-inspect init`: a project file for one line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cdm_inspect.cli.arguments import (
    Line,
)
from cdm_inspect.cli.context import Context
from cdm_inspect.config import PROJECT_FILE
from cdm_inspect.errors import ConfigError


def init(
    context: typer.Context,
    line: Line = "A",
    normal: Annotated[str, typer.Option(help="Folder of good parts.")] = "",
) -> None:
    """Write a commented cdm-inspect.toml for one line."""
    state: Context = context.obj
    file = state.root / PROJECT_FILE
    if file.exists():
        raise ConfigError(f"{file} is there already; add a table [lines.{line}] to it.")
    state.root.mkdir(parents=True, exist_ok=True)
    folder = normal or f"data/{line}/train/good"
    template = Path(__file__).with_name("project_template.toml").read_text(encoding="utf-8")
    file.write_text(template.format(line=line, normal=folder), encoding="utf-8")
    state.screen.say(f"wrote {file}. Put photographs of good parts into {folder}, then run")
    state.screen.say(f"  cdm-inspect check --line {line}")
    state.screen.say(f"  cdm-inspect train --line {line}")
    state.screen.finish({"file": str(file), "line": line})
