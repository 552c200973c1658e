"""`cdm-inspect dashboard`: the review app, for browsers."""

from __future__ import annotations

from typing import Annotated

import typer

from cdm_inspect.plugins import CommandHost
from cdm_inspect.project import open_project


def dashboard(
    context: typer.Context,
    port: Annotated[int, typer.Option(help="Of the web server.", min=1, max=65_535)] = 8501,
    address: Annotated[
        str, typer.Option(help="Address to listen on; others than 127.0.0.1 take users or OIDC.")
    ] = "127.0.0.1",
    kiosk: Annotated[
        bool, typer.Option("--kiosk", help="Name the address of the desk alone, for a kiosk.")
    ] = False,
) -> None:
    """Serve the review app to browsers (stops with Ctrl-C)."""
    from cdm_inspect_review.launcher import run_dashboard

    host: CommandHost = context.obj
    # A broken project is reported here, not in the browser.
    project = open_project(host.root)
    run_dashboard(project, port=port, address=address, is_kiosk=kiosk, say=host.say)
