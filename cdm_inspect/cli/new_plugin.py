"""`cdm-inspect new-plugin`: the skeleton of a plugin."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from cdm_inspect.cli.context import Context


def new_plugin(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Of what it offers, such as edges.")],
    kind: Annotated[str, typer.Option(help="scorer, sink, reader, page or command.")] = "scorer",
    directory: Annotated[Path, typer.Option(help="Where its folder is made.")] = Path(),
) -> None:
    """Write the skeleton of a plugin: a package that works, with its tests."""
    from cdm_inspect.plugins.skeleton import write_skeleton

    state: Context = context.obj
    folder = write_skeleton(name, kind, directory)
    state.screen.say(f"wrote {escape(str(folder))}. Then:")
    state.screen.say(f"  pip install -e {escape(str(folder))} pytest")
    state.screen.say(f"  pytest {escape(str(folder))}")
    state.screen.say("  cdm-inspect plugins")
    state.screen.finish({"folder": str(folder), "name": name, "kind": kind})
