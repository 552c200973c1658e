"""`cdm-inspect plugins`: what is installed, and what of it was refused."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.markup import escape

from cdm_inspect.cli.context import Context
from cdm_inspect.errors import PluginInvalid
from cdm_inspect.plugins.registry import open_registry


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
