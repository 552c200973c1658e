"""What stands before every answer: known hosts, our own pages only, headers."""

from __future__ import annotations

import base64
import functools
import hashlib
import logging
import os
import re
from importlib.resources import files
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cdm_inspect.config.hosts import EVERYWHERE, LOCAL
from cdm_inspect_review.access import LoginRequired
from cdm_inspect_review.launcher import ADDRESS_VARIABLE
from cdm_inspect_review.login import WayBack
from cdm_inspect_review.plant import current_plant

_SAFE = ("GET", "HEAD", "OPTIONS")
_INLINE_SCRIPT = re.compile(rb"<script>(.*?)</script>", re.DOTALL)
_log = logging.getLogger(__name__)


@functools.cache
def content_policy() -> str:
    """Nothing from elsewhere, and of scripts within the page only Streamlit's own, by hash."""
    page = files("streamlit").joinpath("static/index.html").read_bytes()
    hashes = [
        f"'sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}'"
        for script in _INLINE_SCRIPT.findall(page)
    ]
    return "; ".join(
        (
            "default-src 'self'",
            # Streamlit loads components from blobs.
            f"script-src 'self' blob: {' '.join(hashes)}".rstrip(),
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "connect-src 'self'",
            "font-src 'self' data:",
            "worker-src 'self' blob:",
            "frame-ancestors 'none'",
            "base-uri 'self'",
            "form-action 'self'",
            "object-src 'none'",
        )
    )


class SecurityHeaders:
    """Adds to every answer what keeps a browser from harm, to those as well that went wrong."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._headers = {
            "Content-Security-Policy": content_policy(),
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Referrer-Policy": "same-origin",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        has_started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal has_started
            if message["type"] == "http.response.start":
                has_started = True
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
                if scope["scheme"] == "https":
                    message["headers"] = [_over_tls(*header) for header in message["headers"]]
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except Exception:
            # Starlette answers outside of all middleware, without the headers.
            if has_started:
                raise
            _log.exception("%s %s", scope["method"], scope["path"])
            answer = JSONResponse({"error": "something went wrong; the log tells what."}, 500)
            await answer(scope, receive, send_with_headers)


def _over_tls(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    """A cookie that was given over TLS never travels without, Streamlit's own neither."""
    if name.lower() != b"set-cookie" or b"; secure" in value.lower():
        return name, value
    return name, value + b"; Secure"


class OwnPagesOnly:
    """Refuses what changes something, and live connections, from the pages of somebody else."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        changes = scope["type"] == "websocket" or (
            scope["type"] == "http" and scope["method"] not in _SAFE
        )
        if changes:
            headers = Headers(scope=scope)
            origin = headers.get("origin")
            if origin is not None and not _is_own(origin, headers.get("host"), scope["scheme"]):
                answer = JSONResponse({"error": "expected a page of this app."}, 403)
                if scope["type"] == "http":
                    await answer(scope, receive, send)
                else:
                    await send({"type": "websocket.close", "code": 1008})
                return
        await self._app(scope, receive, send)


def _is_own(origin: str, host: str | None, scheme: str) -> bool:
    parts = urlsplit(origin)
    # Where a proxy does not say that it speaks TLS, the page is safer than it looks from here.
    schemes = ("https",) if scheme in ("https", "wss") else ("http", "https")
    return parts.netloc == host and parts.scheme in schemes


def allowed_hosts() -> list[str]:
    """Names under which browsers may come: of this machine, the address it listens on, as listed.

    An address cannot be made to lead elsewhere. A name can, by whoever answers for it: so those
    that lead here are not guessed.
    """
    address = os.environ.get(ADDRESS_VARIABLE, LOCAL[0])
    addresses = dict.fromkeys([*LOCAL, *([] if address in EVERYWHERE else [address])])
    bare = [f"[{name}]" if ":" in name else name for name in addresses]
    return [*bare, *current_plant().project.config.review.hosts]


def middleware() -> list[Middleware]:
    """From the outside to the inside."""
    return [
        Middleware(SecurityHeaders),
        Middleware(TrustedHostMiddleware, allowed_hosts=allowed_hosts(), www_redirect=False),
        Middleware(OwnPagesOnly),
        Middleware(LoginRequired),
        Middleware(WayBack),
    ]
