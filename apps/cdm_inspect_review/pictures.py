"""Pictures of parts under signed addresses: the kept files themselves, by their hash."""

from __future__ import annotations

import functools
import hashlib
import re
import threading
from collections.abc import Callable

from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from cdm_inspect.errors import (
    CdmInspectError,
    DamagedFile,
    ImageError,
    StorageError,
    StoreUnreachable,
)
from cdm_inspect.records import StoredInspection
from cdm_inspect.review import Picture, heatmap_picture, photograph_picture, photograph_size
from cdm_inspect_review.plant import current_plant

PREFIX = "/cdm/pictures"
_HASH = re.compile(r"[0-9a-f]{64}")
_SECONDS = 12 * 3600
_NUMBER = re.compile(r"[0-9]{1,18}")
# Browsers keep what they have seen; this is for several people who look at the same line.
_KEPT = 16
# Threads of their own, so that decisions never wait for pictures; and few of them decode at a time,
# for each takes ten times as much memory as the photograph has pixels.
_READERS = CapacityLimiter(8)
_DECODERS = threading.Semaphore(2)


def addresses(part: StoredInspection) -> dict[str, str]:
    """Where a browser finds the pictures of a part; "" where there is none."""
    found = {"photo": "", "full": "", "restoration": "", "map": ""}
    if part.image_sha256:
        found["photo"] = _signed(f"photo/{part.image_sha256}")
        found["full"] = _signed(f"full/{part.image_sha256}")
    if part.restoration_sha256:
        found["restoration"] = _signed(f"full/{part.restoration_sha256}")
    if part.heatmap_sha256 and part.threshold is not None:
        found["map"] = _signed(f"map/{part.id}")
    return found


def size(name: str) -> tuple[int, int] | None:
    """Width and height of a kept photograph, pixels; None where it cannot be read."""
    try:
        return _size(name)
    except StoreUnreachable:
        raise
    except (StorageError, ImageError):
        return None  # the desk says that there is no picture


@functools.lru_cache(maxsize=4096)
def _size(name: str) -> tuple[int, int]:
    return photograph_size(current_plant().desk.store.read_file(name))


async def photo(request: Request) -> Response:
    """A photograph, the largest ones with fewer pixels."""
    name = request.path_params["name"]
    return await _answer(request, _HASH, lambda: _preview(name))


async def full(request: Request) -> Response:
    """A photograph or a restoration, with its own pixels."""
    name = request.path_params["name"]
    return await _answer(request, _HASH, lambda: _photograph(name))


async def heatmap(request: Request) -> Response:
    """The heat map of an inspection, in grey."""
    name = request.path_params["name"]
    return await _answer(request, _NUMBER, lambda: _heatmap(int(name)))


ROUTES = [
    Route(f"{PREFIX}/photo/{{name}}", photo),
    Route(f"{PREFIX}/full/{{name}}", full),
    Route(f"{PREFIX}/map/{{name}}", heatmap),
]


async def _answer(
    request: Request, names: re.Pattern[str], read: Callable[[], Picture]
) -> Response:
    path, given = request.scope["path"], request.query_params
    if not names.fullmatch(request.path_params["name"]):
        return JSONResponse({"error": "no such picture."}, 404)
    try:
        is_signed = current_plant().signer.is_signed(path, given.get("e", ""), given.get("s", ""))
    except CdmInspectError as error:
        return JSONResponse({"error": str(error)}, 503)
    if not is_signed:
        return JSONResponse({"error": "the address of this picture has expired."}, 403)
    # What is under an address never changes, so that a browser that has it need not ask again.
    tag = f'"{hashlib.sha256(path.encode()).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": f"private, max-age={_SECONDS}, immutable"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    try:
        picture = await to_thread.run_sync(read, limiter=_READERS)
    except (DamagedFile, ImageError) as error:
        return JSONResponse({"error": str(error)}, 404)
    except CdmInspectError as error:
        return JSONResponse({"error": str(error)}, 503)
    return Response(picture.data, media_type=picture.media_type, headers=headers)


def _photograph(name: str) -> Picture:
    # Not kept: a few of them would take all the memory there is.
    return _as_picture(name, is_preview=False)


@functools.lru_cache(maxsize=_KEPT)
def _preview(name: str) -> Picture:
    return _as_picture(name, is_preview=True)


def _as_picture(name: str, *, is_preview: bool) -> Picture:
    desk = current_plant().desk
    data = desk.store.read_file(name)
    with _DECODERS:
        return photograph_picture(data, max_pixels=desk.config.most_pixels, is_preview=is_preview)


def _heatmap(number: int) -> Picture:
    part = current_plant().desk.store.get(number)
    if part is None or not part.heatmap_sha256 or part.threshold is None:
        raise ImageError(f"inspection {number} has no heat map.")
    # By its content: numbers are given anew where the server turns to another plant.
    return _drawn(part.heatmap_sha256, part.heatmap_scale, part.heatmap_offset, part.threshold)


@functools.lru_cache(maxsize=_KEPT)
def _drawn(name: str, scale: float, offset: float, threshold: float) -> Picture:
    return heatmap_picture(current_plant().desk.store.read_file(name), scale, offset, threshold)


def _signed(path: str) -> str:
    return current_plant().signer.sign_path(f"{PREFIX}/{path}", _SECONDS)
