"""Scripts and styles of our own components, under an address that changes with their content."""

from __future__ import annotations

import hashlib
from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

FOLDER = Path(__file__).parent / "components"
_TYPES = {".js": "text/javascript", ".css": "text/css"}
# All there is, read once: an address can name nothing else.
_FILES = {
    path.relative_to(FOLDER).as_posix(): path.read_bytes()
    for path in sorted(FOLDER.rglob("*"))
    if path.suffix in _TYPES
}
_DIGEST = hashlib.sha256(b"\0".join(_FILES.values())).hexdigest()[:16]
PREFIX = f"/cdm/assets/{_DIGEST}"


async def asset(request: Request) -> Response:
    """One file."""
    name = request.path_params["name"]
    if name not in _FILES:
        return JSONResponse({"error": "no such file."}, 404)
    headers = {"Cache-Control": "public, max-age=31536000, immutable"}
    return Response(_FILES[name], media_type=_TYPES[Path(name).suffix], headers=headers)


ROUTES = [Route(f"{PREFIX}/{{name:path}}", asset)]
