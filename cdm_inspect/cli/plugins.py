"""`cdm-inspect plugins`: what is installed, and what of it was refused."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from cdm_inspect.cli.context import Context
from cdm_inspect.config import PROJECT_FILE, load_project
from cdm_inspect.errors import PluginInvalid
from cdm_inspect.plugins import Registry


def plugins(
    context: typer.Context,
    strict: Annotated[bool, typer.Option("--strict", help="Fail if one is not sound.")] = False,
) -> None:
    """What plugins are installed, what they offer, and which were refused."""
    state: Context = context.obj
    registry = open_registry(state.root)
    rows = [
        (
            f"{row.distribution} {row.version}",
            escape(row.name),
            row.status,
            ", ".join(row.offers),
            escape(row.reason),
        )
        for row in registry.rows
    ]
    header = ("distribution", "plugin", "status", "offers", "reason")
    state.screen.table("Plugins", header, rows)
    state.screen.finish({"plugins": [asdict(row) for row in registry.rows]})
    unsound = [row.name for row in registry.rows if "refused" in row.status]
    if strict and unsound:
        raise PluginInvalid(
            f"not sound: {', '.join(unsound)}; the reasons are in the table. Mend or uninstall "
            "them."
        )


def open_registry(root: Path) -> Registry:
    """What is installed, as the project allows it, where there is one."""
    if not (root / PROJECT_FILE).is_file():
        return Registry()
    plugins = load_project(root).plugins
    # Of what is required and not there the table says why; other commands refuse to begin.
    return Registry(plugins.model_copy(update={"required": ()}))
