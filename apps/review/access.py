"""Who is at the browser: a local user, somebody the plant's own login vouches for, or anybody.

Anybody only where the app is for this machine alone and nobody has added a user: whoever sits at it
could as well change its files. `cdm-inspect dashboard` listens to others only behind a login.
"""

from __future__ import annotations

import html
import os
import time
from enum import StrEnum
from string import Template
from urllib.parse import parse_qs, quote, urlsplit

import desk
import streamlit as st
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send
from words import Speech

from cdm_inspect.accounts import checked_name
from cdm_inspect.claims import is_expired, role_of_claims
from cdm_inspect.errors import AccessError, CdmInspectError
from cdm_inspect.people import Actor, Role

COOKIE = "cdm_session"
OIDC_VARIABLE = "CDM_INSPECT_OIDC"
"""Set by `cdm-inspect dashboard` where `[auth]` is configured for Streamlit."""

LOGIN, LOGOUT = "/cdm/login", "/cdm/logout"
# What shows nothing of the plant.
_PUBLIC = (LOGIN, "/healthz", "/cdm/assets/", "/favicon")
_LONGEST_FORM = 8192
_SECONDS_AN_HOUR = 3600


class Mode(StrEnum):
    """How people say who they are."""

    OPEN = "open"
    LOCAL = "local"
    OIDC = "oidc"


def mode() -> Mode:
    """As of now: the first user that is added closes the desk to everybody else."""
    if os.environ.get(OIDC_VARIABLE):
        return Mode.OIDC
    return Mode.LOCAL if desk.plant().has_users else Mode.OPEN


def actor_of(session: str) -> Actor | None:
    """Whose session it is, as they may act now; None if it is over, or none of ours."""
    plant = desk.plant()
    found = plant.signer.read_session(session, _session_seconds())
    if found is None:
        return None
    name, role, epoch = found
    return plant.accounts.actor(name, epoch) if mode() is Mode.LOCAL else Actor(name, role)


def current() -> Actor | None:
    """Who looks at this page of Streamlit; None if nobody has said so."""
    if mode() is not Mode.OIDC:
        return actor_of(st.context.cookies.get(COOKIE, ""))
    if not st.user.is_logged_in:
        return None
    claims = dict(st.user)
    # Streamlit keeps people logged in for as long as its cookie lasts.
    if is_expired(claims, time.time()):
        return None
    return role_of_claims(claims, desk.plant().project.config.review.oidc)


def token_for(actor: Actor | None) -> str:
    """What the desk in the browser shows with each request, so that it acts for this person."""
    if actor is None:
        return ""
    if mode() is Mode.LOCAL:
        return st.context.cookies.get(COOKIE, "")
    return desk.plant().signer.session(actor, 0)


class LoginRequired:
    """With local users, nothing of the app is seen without a session."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket") and not scope["path"].startswith(_PUBLIC):
            is_in = await run_in_threadpool(
                _may_pass, HTTPConnection(scope).cookies.get(COOKIE, "")
            )
            if not is_in:
                await _turn_away(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _may_pass(session: str) -> bool:
    try:
        return mode() is not Mode.LOCAL or actor_of(session) is not None
    except CdmInspectError:
        return False  # the login page says what is wrong


async def _turn_away(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    if "text/html" in Headers(scope=scope).get("accept", ""):
        answer: Response = RedirectResponse(f"{LOGIN}?next={quote(scope['path'])}", 303)
    else:
        answer = JSONResponse({"error": "log in first."}, 401)
    await answer(scope, receive, send)


async def login(request: Request) -> Response:
    """The page on which people say who they are."""
    speech = Speech("ja" if _prefers_japanese(request) else "en")
    following = _within(request.query_params.get("next", "/"))
    if request.method == "GET":
        return await run_in_threadpool(_login_page, speech, following, "", "")
    form = parse_qs((await _form(request)).decode("utf-8", "replace"))
    name, password = (form.get(key, [""])[0] for key in ("name", "password"))
    following = _within(form.get("next", ["/"])[0])
    address = request.client.host if request.client else ""
    try:
        session = await run_in_threadpool(_enter, name, password, address)
    except CdmInspectError as error:
        return await run_in_threadpool(_login_page, speech, following, name, str(error), 429)
    if not session:
        wrong = speech("login.wrong")
        return await run_in_threadpool(_login_page, speech, following, name, wrong, 401)
    answer = RedirectResponse(following, 303)
    answer.set_cookie(
        COOKIE,
        session,
        max_age=int(_session_seconds()),
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return answer


async def logout(request: Request) -> Response:
    """The session ends in this browser."""
    answer = RedirectResponse(LOGIN if mode() is Mode.LOCAL else "/", 303)
    answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return answer


ROUTES = [
    Route(LOGIN, login, methods=["GET", "POST"]),
    Route(LOGOUT, logout, methods=["GET"]),
]


def _enter(name: str, password: str, address: str) -> str:
    """A session for who has the password, or, where there are no users, a name; "" for others."""
    plant = desk.plant()
    if mode() is Mode.LOCAL:
        user = plant.accounts.check(name, password, address=address)
        return "" if user is None else plant.signer.session(user.actor, user.epoch)
    return plant.signer.session(Actor(checked_name(name), Role.ENGINEER), 0)


def _login_page(
    speech: Speech, following: str, name: str, message: str, status: int = 200
) -> HTMLResponse:
    try:
        is_local = mode() is Mode.LOCAL
    except AccessError as error:
        is_local, message, status = True, str(error), 503
    texts = {
        "language": speech.language,
        "title": speech("login.title"),
        "why": speech("login.why_local" if is_local else "login.why_open"),
        "name_label": speech("login.name"),
        "password_label": speech("login.password"),
        "enter": speech("login.enter"),
        "next": following,
        "name": name[:128],
        "message": message,
        "password_hidden": "" if is_local else "hidden disabled",
        "message_hidden": "" if message else "hidden",
    }
    page = _PAGE.substitute({key: html.escape(value) for key, value in texts.items()})
    return HTMLResponse(page, status, headers={"Cache-Control": "no-store"})


async def _form(request: Request) -> bytes:
    found = b""
    async for piece in request.stream():
        found += piece
        if len(found) > _LONGEST_FORM:
            return b""
    return found


def _within(path: str) -> str:
    """A path of this app; whoever names another place comes to the first page."""
    parts = urlsplit(path)
    is_ours = not parts.scheme and not parts.netloc and path.startswith("/")
    return path if is_ours and "\\" not in path and not path.startswith("//") else "/"


def _prefers_japanese(request: Request) -> bool:
    return request.headers.get("accept-language", "").lower().startswith("ja")


def _session_seconds() -> float:
    return desk.plant().project.config.review.session_hours * _SECONDS_AN_HOUR


_PAGE = Template(
    """<!doctype html>
<html lang="$language">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>cdm-inspect: $title</title>
<style>
:root { color-scheme: light dark; font-family: system-ui, sans-serif; }
body { min-height: 100vh; margin: 0; display: grid; place-items: center; }
main { width: min(24rem, 90vw); }
label, input, button { display: block; width: 100%; box-sizing: border-box; font-size: 1.1rem; }
input, button { min-height: 56px; margin: .3rem 0 1rem; padding: 0 .8rem; border-radius: 8px; }
input { border: 1px solid #888; }
button { border: 0; background: #005a9c; color: #fff; font-weight: 600; }
.message { padding: .7rem 1rem; border-radius: 8px; background: #7d1f23; color: #fff; }
[hidden] { display: none; }
</style>
<main>
<h1>cdm-inspect</h1>
<p>$why</p>
<p class="message" role="alert" $message_hidden>$message</p>
<form method="post" action="/cdm/login">
<input type="hidden" name="next" value="$next">
<label for="name">$name_label</label>
<input id="name" name="name" value="$name" required maxlength="128"
 autocomplete="username" autofocus>
<div $password_hidden>
<label for="password">$password_label</label>
<input id="password" name="password" type="password" autocomplete="current-password">
</div>
<button>$enter</button>
</form>
</main>
</html>
"""
)
