"""The server of the review app: Streamlit's pages, and routes and headers of our own.

Started by `cdm-inspect dashboard` as a module.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

import streamlit as st
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from cdm_inspect.errors import CdmInspectError
from cdm_inspect_review import assets, desk_api, login, pictures
from cdm_inspect_review.launcher import (
    ADDRESS_VARIABLE,
    OIDC_FILE,
    OIDC_VARIABLE,
    PORT_VARIABLE,
)
from cdm_inspect_review.plant import current_plant
from cdm_inspect_review.security import middleware

_log = logging.getLogger(__name__)


def _state() -> tuple[dict[str, str], int]:
    try:
        current_plant().desk.lines()
    except CdmInspectError as error:
        # Anybody may ask, but not where the store is.
        _log.warning("not ready: %s", error)
        return {"status": "not ready"}, 503
    return {"status": "ready"}, 200


async def health(request: Request) -> Response:
    """Whether decisions can be recorded."""
    found, status = await run_in_threadpool(_state)
    return JSONResponse(found, status)


async def nothing(request: Request) -> Response:
    """Under our own prefix Streamlit has no pages."""
    return JSONResponse({"error": "no such address."}, 404)


app = st.App(
    Path(__file__).with_name("app.py"),
    routes=[
        Route("/healthz", health),
        *login.ROUTES,
        *assets.ROUTES,
        *desk_api.ROUTES,
        *pictures.ROUTES,
        Route("/cdm/{rest:path}", nothing),
    ],
    middleware=middleware(),
)


def settings() -> dict[str, object]:
    """Streamlit's, whatever its files and variables in the surroundings say."""
    oidc = [str(current_plant().root / OIDC_FILE)] if os.environ.get(OIDC_VARIABLE) else []
    return {
        "server.address": os.environ[ADDRESS_VARIABLE],
        "server.port": int(os.environ[PORT_VARIABLE]),
        "server.baseUrlPath": "",
        "server.headless": True,
        "server.fileWatcherType": "none",
        "server.enableStaticServing": False,
        "server.maxUploadSize": 1,
        "server.enableXsrfProtection": True,
        "server.enableCORS": True,
        "server.corsAllowedOrigins": [],
        "server.trustedUserHeaders": "{}",
        "server.enableAgentApi": False,
        "global.developmentMode": False,
        "browser.gatherUsageStats": False,
        "client.toolbarMode": "minimal",
        # What went wrong is in the log; links to help lead out of the plant.
        "client.showErrorDetails": "none",
        "client.showErrorLinks": False,
        "logger.level": "warning",
        # Streamlit's own red lacks contrast, and here red means rejected.
        "theme.light.primaryColor": "#0a5294",
        "theme.dark.primaryColor": "#8ab8ff",
        "secrets.files": oidc,
    }


def main() -> None:
    """Serve until stopped."""
    app.run(config=settings())


if __name__ == "__main__":
    main()
