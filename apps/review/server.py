"""The server of the review app: Streamlit's pages, and routes and headers of our own.

Started by `cdm-inspect dashboard` as `python server.py`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import access
import assets
import desk
import desk_api
import pictures
import streamlit as st
from security import middleware
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from cdm_inspect.errors import CdmInspectError

ADDRESS_VARIABLE, PORT_VARIABLE = "CDM_INSPECT_ADDRESS", "CDM_INSPECT_PORT"


def _state() -> tuple[dict[str, str], int]:
    try:
        desk.plant().desk.lines()
    except CdmInspectError as error:
        return {"status": "not ready", "reason": str(error)}, 503
    return {"status": "ready"}, 200


async def health(request: Request) -> Response:
    """Whether decisions can be recorded."""
    found, status = await run_in_threadpool(_state)
    return JSONResponse(found, status)


app = st.App(
    Path(__file__).with_name("app.py"),
    routes=[
        Route("/healthz", health),
        *access.ROUTES,
        *assets.ROUTES,
        *desk_api.ROUTES,
        *pictures.ROUTES,
    ],
    middleware=middleware(),
)


def main() -> None:
    """Serve until stopped."""
    app.run(
        config={
            "server.address": os.environ[ADDRESS_VARIABLE],
            "server.port": int(os.environ[PORT_VARIABLE]),
            "server.headless": True,
            "server.fileWatcherType": "none",
            "server.enableStaticServing": False,
            "server.maxUploadSize": 1,
            "browser.gatherUsageStats": False,
            "client.toolbarMode": "minimal",
            # What went wrong is in the log; links to help lead out of the plant.
            "client.showErrorDetails": "none",
            "client.showErrorLinks": False,
            "logger.level": "warning",
            # Streamlit's own red lacks contrast, and here red means rejected.
            "theme.light.primaryColor": "#0a5294",
            "theme.dark.primaryColor": "#8ab8ff",
        }
    )


if __name__ == "__main__":
    main()
