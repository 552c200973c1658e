"""Who is at the browser: a local user, somebody the plant's own login vouches for, or anybody.

Anybody only where the app is for this machine alone and nobody has added a user: whoever sits at it
could as well change its files. `cdm-inspect dashboard` listens to others only behind a login.
"""

from __future__ import annotations

import math
import os
import threading
import time
from enum import StrEnum
from typing import Any
from urllib.parse import quote

import streamlit as st
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from cdm_inspect.config.hosts import LOCAL
from cdm_inspect.errors import CdmInspectError
from cdm_inspect.roles import Actor
from cdm_inspect_review.launcher import ADDRESS_VARIABLE, OIDC_VARIABLE
from cdm_inspect_review.oidc import is_expired, role_of_claims
from cdm_inspect_review.plant import current_plant

COOKIE = "cdm_session"

LOGIN, LOGOUT = "/cdm/login", "/cdm/logout"
RELEASE = "/cdm/desk/release"
# What shows nothing of the plant.
_PUBLIC = (LOGIN, LOGOUT, RELEASE, "/healthz", "/favicon.png")
_PUBLIC_BELOW = "/cdm/assets/"
# Of the server itself; where Streamlit asks who people are it asks nobody here.
_INNER = "/_stcore/metrics"
_SECONDS_AN_HOUR = 3600

# Stand for the epoch of a user in sessions of people who have none here. So a session of one mode
# is none in another, whatever the app is asked to be the next time.
_ANYBODY, _VOUCHED_FOR = 0, -1


class Mode(StrEnum):
    """How people say who they are."""

    OPEN = "open"
    LOCAL = "local"
    OIDC = "oidc"


def mode() -> Mode:
    """As of now: the first user that is added closes the desk to everybody else."""
    if os.environ.get(OIDC_VARIABLE):
        return Mode.OIDC
    plant = current_plant()
    is_for_others = os.environ.get(ADDRESS_VARIABLE, LOCAL[0]) not in LOCAL
    is_named = bool(plant.project.config.review.hosts)  # a proxy brings others here
    return Mode.LOCAL if plant.has_users or is_for_others or is_named else Mode.OPEN


class _LeftSessions:
    """Sessions that people have ended before their time.

    Kept in memory until they would be over anyway; by what was signed, for the same signature can
    be written in several ways.
    """

    def __init__(self) -> None:
        self._until: dict[str, float] = {}
        self._lock = threading.Lock()

    def add(self, session: str, seconds: float) -> None:
        now = time.time()
        with self._lock:
            self._until = {text: end for text, end in self._until.items() if end > now}
            self._until[_signed_part(session)] = now + seconds

    def __contains__(self, session: str) -> bool:
        with self._lock:
            return _signed_part(session) in self._until


_LEFT = _LeftSessions()


def _signed_part(session: str) -> str:
    return session.rpartition(".")[0]


def session_seconds() -> float:
    """How long a login lasts."""
    return current_plant().project.config.review.session_hours * _SECONDS_AN_HOUR


def open_session(actor: Actor) -> str:
    """A session of whoever sits at this machine, where there are no users."""
    return current_plant().signer.session(actor, _ANYBODY)


def actor_of(session: str) -> Actor | None:
    """Whose session it is, as they may act now; None if it is over, or none of ours."""
    plant = current_plant()
    found = plant.signer.read_session(session, session_seconds())
    if found is None or session in _LEFT:
        return None
    name, role, epoch = found
    match mode():
        case Mode.LOCAL:
            return plant.accounts.actor(name, epoch)
        case Mode.OIDC:
            return Actor(name, role) if epoch == _VOUCHED_FOR else None
        case Mode.OPEN:
            return Actor(name, role) if epoch == _ANYBODY else None


def whoever_it_was(session: str) -> Actor | None:
    """Whose session it is, or was before they left; None if this plant has never signed it."""
    found = current_plant().signer.read_session(session, math.inf)
    return None if found is None else Actor(found[0], found[1])


def leave(session: str) -> None:
    """End a session here, not only in the browser that forgets it."""
    if actor_of(session) is not None:
        _LEFT.add(session, session_seconds())


def current() -> Actor | None:
    """Who looks at this page of Streamlit; None if nobody has said so."""
    return actor_of(_session())


def token_for(actor: Actor | None) -> str:
    """What the desk in the browser shows with each request, so that it acts for this person."""
    return "" if actor is None else _session()


def leave_plant_login() -> None:
    """Log out of the plant's own login, and end what was signed for it."""
    leave(_session())
    st.logout()


def _session() -> str:
    """The session of who looks at this page; "" if there is none."""
    if mode() is not Mode.OIDC:
        return st.context.cookies.get(COOKIE, "")
    if not st.user.is_logged_in:
        return ""
    claims: dict[str, Any] = dict(st.user)
    actor = role_of_claims(claims, current_plant().project.config.review.oidc)
    now = time.time()
    # Streamlit keeps people logged in for as long as its cookie lasts.
    if actor is None or is_expired(claims, now):
        return ""
    # It began so that it ends with the token, or after the hours of a session, whichever is first.
    issued = claims.get("iat")
    issued = issued if isinstance(issued, (int, float)) else 0
    began = min(issued, claims["exp"] - session_seconds(), now)
    return current_plant().signer.session(actor, _VOUCHED_FOR, now=began)


class LoginRequired:
    """With local users, nothing of the app is seen without a session."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket") and not _is_public(scope["path"]):
            session = HTTPConnection(scope).cookies.get(COOKIE, "")
            if not await run_in_threadpool(_may_pass, session, scope["path"]):
                await _turn_away(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _is_public(path: str) -> bool:
    return path in _PUBLIC or path.startswith(_PUBLIC_BELOW)


def _may_pass(session: str, path: str) -> bool:
    try:
        if mode() is Mode.LOCAL:
            return actor_of(session) is not None
        return mode() is Mode.OPEN or path != _INNER
    except CdmInspectError:
        return False  # the login page says what is wrong


async def _turn_away(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    if "text/html" in Headers(scope=scope).get("accept", ""):
        query = scope["query_string"].decode("latin-1")
        following = quote(f"{scope['path']}?{query}" if query else scope["path"])
        answer: Response = RedirectResponse(f"{LOGIN}?next={following}", 303)
    else:
        answer = JSONResponse({"error": "log in first."}, 401)
    await answer(scope, receive, send)
