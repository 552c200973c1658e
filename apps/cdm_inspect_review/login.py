"""The page on which people say who they are, the way out, and back from the plant's login."""

from __future__ import annotations

import html
import re
from string import Template
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cdm_inspect.config.words import LANGUAGES, Speech
from cdm_inspect.errors import AccessError, CdmInspectError
from cdm_inspect.roles import Actor, Role
from cdm_inspect_review import access
from cdm_inspect_review.access import COOKIE, LOGIN, LOGOUT, Mode, mode
from cdm_inspect_review.page_state import LANGUAGE_COOKIE
from cdm_inspect_review.plant import current_plant
from cdm_inspect_review.users import checked_name

_LONGEST_FORM = 8192
# Browsers take `//host` and `/\\host` for another place, and leave out tabs and line breaks.
_OWN_PATH = re.compile(r"/(?![/\\])[^\\\x00-\x20\x7f]*")
_LONGEST_PATH = 2048
# Of Streamlit: they lead to the plant's own login, out of it, and back.
_AWAY, _BACK = ("/auth/login", "/auth/logout"), "/oauth2callback"
# Whoever came back to these would be led away again.
_NO_WAY_BACK = (LOGIN, LOGOUT, *_AWAY, _BACK)
_WAY_COOKIE, _WAY_SECONDS = "cdm_way", 900
_LANGUAGE_SECONDS = 365 * 24 * 3600


async def login(request: Request) -> Response:
    """The page on which people say who they are."""
    following = _within(request.query_params.get("next", "/"))
    if mode_or_local() is Mode.OIDC:
        return RedirectResponse(following, 303)
    speech = Speech(_language(request))
    if request.method != "POST":
        answer: Response = await run_in_threadpool(_login_page, speech, following, "", "")
        if request.query_params.get("language") == speech.language:
            answer.set_cookie(LANGUAGE_COOKIE, speech.language, max_age=_LANGUAGE_SECONDS)
        return answer
    body = await _form(request)
    if body is None:
        return HTMLResponse("expected a name and a password, found far more.", 413)
    form = parse_qs(body.decode("utf-8", "replace"))
    name, password = (form.get(key, [""])[0] for key in ("name", "password"))
    following = _within(form.get("next", ["/"])[0])
    address = request.client.host if request.client else ""
    try:
        session = await run_in_threadpool(_enter, name, password, address)
    except CdmInspectError as error:
        # With a password it is the guessing that is slowed down, without one it is the name.
        status = 429 if mode_or_local() is Mode.LOCAL else 422
        why = speech.error(error)
        return await run_in_threadpool(_login_page, speech, following, name, why, status)
    if not session:
        wrong = speech("login.wrong")
        return await run_in_threadpool(_login_page, speech, following, name, wrong, 401)
    answer = RedirectResponse(following, 303)
    answer.set_cookie(
        COOKIE,
        session,
        max_age=int(access.session_seconds()),
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return answer


async def logout(request: Request) -> Response:
    """The session ends, in this browser and for whoever else has it."""
    await run_in_threadpool(_leave, request.cookies.get(COOKIE, ""))
    following = _within(request.query_params.get("next", "/"))
    if mode_or_local() is Mode.LOCAL:
        following = LOGIN if following == "/" else f"{LOGIN}?next={quote(following, safe='')}"
    answer = RedirectResponse(following, 303)
    # From the page of somebody else it does not come along, and stays.
    if COOKIE in request.cookies:
        answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return answer


ROUTES = [
    Route(LOGIN, login, methods=["GET", "POST"]),
    Route(LOGOUT, logout, methods=["GET"]),
]


class WayBack:
    """From the plant's own login, and out of it, people come back to the page that they were on.

    Streamlit leads them to the first page, and so a kiosk would be none any more. While they are
    away, a cookie keeps the way.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] not in (*_AWAY, _BACK):
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        is_back = scope["path"] == _BACK
        kept = connection.cookies.get(_WAY_COOKIE, "")
        way = _within(unquote(kept)) if is_back else _way_from(connection)

        async def send_with_way(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                cookies = Response()
                if headers.get("location") == "/":
                    headers["location"] = way
                    if kept:
                        cookies.delete_cookie(_WAY_COOKIE, httponly=True, samesite="lax")
                elif not is_back:
                    cookies.set_cookie(
                        _WAY_COOKIE, quote(way, safe=""), max_age=_WAY_SECONDS, httponly=True
                    )
                for value in cookies.headers.getlist("set-cookie"):
                    headers.append("set-cookie", value)
            await send(message)

        await self._app(scope, receive, send_with_way)


def _way_from(connection: HTTPConnection) -> str:
    """The page of ours that led here."""
    parts = urlsplit(connection.headers.get("referer", ""))
    if parts.netloc != connection.headers.get("host"):
        return "/"
    return _within(f"{parts.path}?{parts.query}" if parts.query else parts.path)


def mode_or_local() -> Mode:
    """How people log in; by a password, which nobody can, while the users cannot be read."""
    try:
        return mode()
    except AccessError:
        return Mode.LOCAL


def _leave(session: str) -> None:
    try:
        access.leave(session)
    except CdmInspectError:
        return  # whoever cannot be read cannot act either


def _enter(name: str, password: str, address: str) -> str:
    """A session for who has the password, or, where there are no users, a name; "" for others."""
    plant = current_plant()
    if mode() is Mode.LOCAL:
        user = plant.accounts.check(name, password, address=address)
        return "" if user is None else plant.signer.session(user.actor, user.epoch)
    return access.open_session(Actor(checked_name(name), Role.ENGINEER))


def _login_page(
    speech: Speech, following: str, name: str, message: str, status: int = 200
) -> HTMLResponse:
    try:
        is_local = mode() is Mode.LOCAL
        if is_local:
            current_plant().accounts.users()  # can be read, or says why not
    except AccessError as error:
        is_local, message, status = True, speech.error(error), 503
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
    escaped = {key: html.escape(value) for key, value in texts.items()}
    page = _PAGE.substitute(escaped, languages=_languages(speech, following))
    return HTMLResponse(page, status, headers={"Cache-Control": "no-store"})


async def _form(request: Request) -> bytes | None:
    """What was sent; None if it is more than a name and a password."""
    found = b""
    async for piece in request.stream():
        found += piece
        if len(found) > _LONGEST_FORM:
            return None
    return found


def _within(path: str) -> str:
    """A path of this app; whoever names another place comes to the first page."""
    if len(path) > _LONGEST_PATH or not _OWN_PATH.fullmatch(path):
        return "/"
    return "/" if path.partition("?")[0] in _NO_WAY_BACK else path


def _language(request: Request) -> str:
    """Chosen on this page, or in this browser before; at first that of the browser."""
    for chosen in (request.query_params.get("language"), request.cookies.get(LANGUAGE_COOKIE)):
        if chosen in LANGUAGES:
            return str(chosen)
    return "ja" if request.headers.get("accept-language", "").lower().startswith("ja") else "en"


def _languages(speech: Speech, following: str) -> str:
    """The switch: a link for each language."""
    links = []
    for code, name in LANGUAGES.items():
        query = html.escape(urlencode({"language": code, "next": following}))
        current = ' aria-current="true"' if code == speech.language else ""
        links.append(f'<a href="{LOGIN}?{query}" lang="{code}"{current}>{name}</a>')
    return f'<nav aria-label="{html.escape(speech("language"))}">{"".join(links)}</nav>'


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
nav { display: flex; gap: .5rem; }
nav a { display: grid; place-items: center; min-width: 44px; min-height: 44px; padding: 0 1rem;
 border: 1px solid #888; border-radius: 8px; color: inherit; text-decoration: none; }
nav a[aria-current] { border: 2px solid; font-weight: 600; }
.message { padding: .7rem 1rem; border-radius: 8px; background: #7d1f23; color: #fff; }
[hidden] { display: none; }
</style>
<main>
$languages
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
