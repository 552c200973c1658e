"""A small OpenID provider that says of everybody what a file says: `python oidc_provider.py`.

It keeps to OpenID Connect Core 1.0: the code flow with PKCE (RFC 7636), tokens signed by RS256, and
logging out at its own end. It asks nobody for a password.
"""

import base64
import hashlib
import json
import secrets
import sys
import time
from pathlib import Path
from urllib.parse import parse_qs, urlencode

import uvicorn
from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

CLIENT, SECRET = "cdm-inspect", "s3cr3t-of-the-client"


class Provider:
    """What it knows of people, and the codes that are under way.

    Args:
        issuer: its address.
        person: file with what to say (`claims`), for how long a token holds (`seconds`), and with
            whose key it is signed (`key`: "own" or "other").
    """

    def __init__(self, issuer: str, person: Path) -> None:
        self.issuer, self._person = issuer, person
        self._keys = {
            name: RSAKey.generate_key(2048, {"kid": "key-1", "use": "sig"})
            for name in ("own", "other")
        }
        self._codes: dict[str, dict[str, str]] = {}

    async def discovery(self, request: Request) -> Response:
        return JSONResponse(
            {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/jwks",
                "end_session_endpoint": f"{self.issuer}/end",
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "code_challenge_methods_supported": ["S256"],
            }
        )

    async def authorize(self, request: Request) -> Response:
        """Approve, as if the person had just given their password."""
        asked = dict(request.query_params)
        if asked["client_id"] != CLIENT or asked["response_type"] != "code":
            return JSONResponse({"error": "invalid_request"}, 400)
        assert asked["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe()
        self._codes[code] = asked
        back = urlencode({"code": code, "state": asked["state"]})
        return RedirectResponse(f"{asked['redirect_uri']}?{back}", 302)

    async def token(self, request: Request) -> Response:
        form = {key: values[0] for key, values in parse_qs((await request.body()).decode()).items()}
        given = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        asked = self._codes.pop(form["code"], None)
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        if (
            asked is None
            or request.headers.get("authorization") != f"Basic {given}"
            or asked["code_challenge"] != challenge
            or asked["redirect_uri"] != form["redirect_uri"]
        ):
            return JSONResponse({"error": "invalid_grant"}, 400)
        person, now = json.loads(self._person.read_text()), int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT,
            "iat": now,
            "exp": now + person["seconds"],
            "nonce": asked["nonce"],
            **person["claims"],
        }
        signed = jwt.encode({"alg": "RS256", "kid": "key-1"}, claims, self._keys[person["key"]])
        return JSONResponse(
            {"access_token": secrets.token_urlsafe(), "token_type": "Bearer", "id_token": signed}
        )

    async def jwks(self, request: Request) -> Response:
        return JSONResponse({"keys": [self._keys["own"].as_dict(private=False)]})

    async def end(self, request: Request) -> Response:
        self._person.with_suffix(".ended").write_text(str(request.url))
        return RedirectResponse(request.query_params["post_logout_redirect_uri"], 302)


def main() -> None:
    """Serve on a port, of the person that a file describes."""
    port, person = int(sys.argv[1]), Path(sys.argv[2])
    provider = Provider(f"http://127.0.0.1:{port}", person)
    routes = [
        Route("/.well-known/openid-configuration", provider.discovery),
        Route("/authorize", provider.authorize),
        Route("/token", provider.token, methods=["POST"]),
        Route("/jwks", provider.jwks),
        Route("/end", provider.end),
    ]
    uvicorn.run(Starlette(routes=routes), host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    main()
