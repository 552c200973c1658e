"""`cdm-inspect deliver`: sinks receive what waits for them."""

from __future__ import annotations

import typer
from rich.markup import escape

from cdm_inspect.cli.context import Context
from cdm_inspect.errors import PluginFailed


def deliver(context: typer.Context) -> None:
    """Tell sinks the verdicts that wait for them."""
    from cdm_inspect.inspection.outbox import deliver as deliver_all

    state: Context = context.obj
    project = state.open()
    with state.screen.counting("deliver") as tick:
        document = deliver_all(project, tick=tick)
    state.screen.table(
        "Sinks",
        ("sink", "sent", "waiting", "trouble"),
        [
            (escape(s["name"]), str(s["sent"]), str(s["waiting"]), escape(s["error"] or ""))
            for s in document["sinks"]
        ],
    )
    state.screen.finish(document)
    if failed := [s["name"] for s in document["sinks"] if s["error"]]:
        raise PluginFailed(
            f"could not tell {', '.join(failed)} everything; nothing is lost. Mend what is wrong "
            "there, and run `cdm-inspect deliver` again."
        )
