"""HTTP for gateways and execution systems: photographs in, verdicts out. Loads without torch.

Paths below `/v2` are those of the Open Inference Protocol, so that clients of KServe, Triton and
OpenVINO Model Server fit; they judge and record nothing. `/v1/lines/LINE/inspections` takes an
image file as its body and answers when what was said of it is stored. One part is judged at a
time, as the memory and the threads of a station want it; what waits is bounded, and what comes
beyond is asked to come again.

Source: Open Inference Protocol v2 (KServe), REST.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path, PurePath
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from pydantic import BaseModel, Field, ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from cdm_inspect.encoding import sha256_of, to_json
from cdm_inspect.errors import CdmInspectError
from cdm_inspect.inspection.inspector import Inspector
from cdm_inspect.inspection.recorder import Recorder, recording
from cdm_inspect.project import Project
from cdm_inspect.records import PartImage, inspection_json

# Parts that may wait; at a second each the last would wait as long as a gateway does.
MOST_WAITING = 32
MOST_BYTES = 256 * 2**20
_HIGHEST = {"UINT8": 255, "UINT16": 65_535}
_BUCKETS = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)

T = TypeVar("T")


class _InferInput(BaseModel):
    """One input of an inference request."""

    name: Literal["images"]
    shape: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=4, max_length=4)]
    datatype: Literal["UINT8", "UINT16"]
    data: list[Any]


class _InferRequest(BaseModel):
    """An inference request, as far as it is heeded."""

    id: str | None = None
    inputs: Annotated[list[_InferInput], Field(min_length=1, max_length=1)]


class Service:
    """Lines over HTTP.

    Args:
        lines: each with its project, opened for it, and what judges its parts.
        token: that clients must bear; None asks for none.
        hosts: names by which clients may call this machine.
    """

    def __init__(
        self,
        lines: Mapping[str, tuple[Project, Inspector[Any]]],
        *,
        token: str | None,
        hosts: Sequence[str],
    ) -> None:
        self._projects = {name: project for name, (project, _) in lines.items()}
        self._inspectors = {name: inspector for name, (_, inspector) in lines.items()}
        self._token = token
        self._recorders: dict[str, Recorder] = {}
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="judge")
        self._open_lines = contextlib.ExitStack()
        self._waiting = 0
        self._registry = CollectorRegistry()
        self._verdicts = Counter(
            "cdm_inspect_inspections",
            "Photographs that were judged and recorded; sent again, they count again.",
            ["line", "verdict"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "cdm_inspect_inspection_seconds",
            "From the photograph to the stored verdict.",
            ["line"],
            buckets=_BUCKETS,
            registry=self._registry,
        )
        waiting = Gauge(
            "cdm_inspect_waiting", "Parts that wait or are in hand.", registry=self._registry
        )
        waiting.set_function(lambda: self._waiting)
        self.app = Starlette(
            routes=self._routes(),
            middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))],
            exception_handlers={HTTPException: _as_error, CdmInspectError: _as_failure},
            lifespan=self._lifespan,
        )

    def _routes(self) -> list[Route]:
        model = "/v2/models/{line}"
        return [
            Route("/v2", _server),
            Route("/v2/health/live", _live),
            Route("/v2/health/ready", self._ready),
            Route(model, self._model),
            Route(model + "/ready", self._model_ready),
            Route(model + "/infer", self._infer, methods=["POST"]),
            Route("/v1/lines/{line}/inspections", self._inspect, methods=["POST"]),
            Route("/metrics", self._metrics),
        ]

    @contextlib.asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await asyncio.to_thread(self.close)

    def open(self) -> None:
        """Open stores and sinks; before the server begins, so that what is wrong ends the command.

        Raises:
            StorageError: if a store cannot be opened.
        """
        try:
            # They are opened, used and closed by the one thread that judges.
            self._worker.submit(self._open).result()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        for line, inspector in self._inspectors.items():
            record = self._open_lines.enter_context(recording(self._projects[line], inspector))
            self._recorders[line] = record

    def close(self) -> None:
        """Close them, after the part in hand."""
        self._recorders.clear()
        self._worker.submit(self._open_lines.close).result()
        self._worker.shutdown()

    async def _ready(self, request: Request) -> Response:
        return _readiness(len(self._recorders) == len(self._inspectors))

    async def _model_ready(self, request: Request) -> Response:
        self._line(request)
        return _readiness(request.path_params["line"] in self._recorders)

    async def _model(self, request: Request) -> Response:
        inspector = self._line(request)
        preparation = inspector.scorer.preparation
        taken = {
            "name": "images",
            "datatype": "UINT16" if preparation.white > _HIGHEST["UINT8"] else "UINT8",
            "shape": [1, -1, -1, preparation.channels],
        }
        return JSONResponse(
            {
                "name": inspector.line,
                "versions": [inspector.scorer.model_id],
                "platform": "cdm-inspect",
                "inputs": [taken],
                "outputs": [
                    {"name": "score", "datatype": "FP64", "shape": [1]},
                    {"name": "p_value", "datatype": "FP64", "shape": [1]},
                    {"name": "verdict", "datatype": "BYTES", "shape": [1]},
                    {"name": "reason", "datatype": "BYTES", "shape": [1]},
                ],
            }
        )

    async def _infer(self, request: Request) -> Response:
        """Judge, and record nothing."""
        _admit(request, self._token)
        inspector = self._line(request)
        with self._place():
            data = await _body(request)
            try:
                # Not in the loop, which answers others meanwhile.
                asked, part = await asyncio.to_thread(_parse_request, data, inspector.max_pixels)
            except (ValidationError, ValueError, TypeError) as error:
                raise HTTPException(400, f"no inference request: {_first_line(error)}") from error
            recorder = self._recorders[inspector.line]
            found = await self._in_turn(lambda: recorder.judge(part))
        outputs = [
            {"name": "score", "datatype": "FP64", "shape": [1], "data": [found.score]},
            {"name": "p_value", "datatype": "FP64", "shape": [1], "data": [found.p_value]},
            {"name": "verdict", "datatype": "BYTES", "shape": [1], "data": [found.verdict.value]},
            {"name": "reason", "datatype": "BYTES", "shape": [1], "data": [found.reason]},
        ]
        return _json(
            {
                "model_name": inspector.line,
                "model_version": found.model,
                **({} if asked.id is None else {"id": asked.id}),
                "outputs": outputs,
            }
        )

    async def _inspect(self, request: Request) -> Response:
        """Judge an image file and record what is said of it; the same file again is the same part.

        The header `X-Part-Name` is what the file is called; `X-Part-Serial`, `X-Part-Lot`,
        `X-Part-Station` and `X-Part-Camera` say which part it shows.
        """
        _admit(request, self._token)
        line = self._line(request).line
        # A name, never a path: nothing is read or written by it.
        name = PurePath(_header(request, "x-part-name") or "part").name or "part"
        identity = {
            key: value[:128]
            for key in ("serial", "lot", "station", "camera")
            if (value := _header(request, f"x-part-{key}"))
        }
        with self._place():
            data = await _body(request)
            if not data:
                raise HTTPException(400, "expected an image file as the body, found nothing")
            began = time.perf_counter()
            recorder = self._recorders[line]
            stored = await self._in_turn(lambda: recorder.photograph(data, Path(name), identity))
        self._seconds.labels(line).observe(time.perf_counter() - began)
        self._verdicts.labels(line, stored.verdict.value).inc()
        return _json(inspection_json(stored))

    async def _metrics(self, request: Request) -> Response:
        return Response(generate_latest(self._registry), media_type=CONTENT_TYPE_LATEST)

    def _line(self, request: Request) -> Inspector[Any]:
        if (line := request.path_params["line"]) not in self._inspectors:
            known = ", ".join(self._inspectors)
            raise HTTPException(404, f"there is no line {line!r} here; there are: {known}")
        return self._inspectors[line]

    @contextlib.contextmanager
    def _place(self) -> Iterator[None]:
        """One of the places of those that wait, taken before the body is read."""
        if self._waiting >= MOST_WAITING:
            raise HTTPException(
                503, f"{self._waiting} parts wait already; send it again", {"Retry-After": "2"}
            )
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    async def _in_turn(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._worker, work)


async def _server(request: Request) -> Response:
    return JSONResponse(
        {"name": "cdm-inspect", "version": version("cdm-inspect"), "extensions": []}
    )


async def _live(request: Request) -> Response:
    return JSONResponse({"live": True})


def _admit(request: Request, token: str | None) -> None:
    """Only who bears the token, and no page of the web that a browser here has open."""
    if "origin" in request.headers or "sec-fetch-site" in request.headers:
        raise HTTPException(403, "expected a program, found a browser")
    borne = request.headers.get("authorization", "")
    expected = f"Bearer {token}"
    if token is not None and not hmac.compare_digest(borne.encode(), expected.encode()):
        raise HTTPException(
            401, "expected the token of this server", {"WWW-Authenticate": "Bearer"}
        )


def _header(request: Request, name: str) -> str:
    """A header as UTF-8, which HTTP itself does not know."""
    return request.headers.get(name, "").encode("latin-1").decode("utf-8", "replace")


async def _body(request: Request) -> bytes:
    """The body, if it is no larger than a photograph can be."""
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MOST_BYTES:
            raise HTTPException(413, f"expected at most {MOST_BYTES} bytes")
        chunks.append(chunk)
    return b"".join(chunks)


def _parse_request(data: bytes, max_pixels: int) -> tuple[_InferRequest, PartImage]:
    """A request and its photograph.

    Raises:
        ValueError: if it is none, or the photograph is too large.
    """
    asked = _InferRequest.model_validate_json(data)
    _, height, width, _ = asked.inputs[0].shape
    if height * width > max_pixels:
        raise ValueError(f"expected at most {max_pixels} pixels, found {height} x {width}")
    pixels = _pixels_of(asked.inputs[0])
    part = PartImage(
        path=Path(asked.id or "request"),
        sha256=sha256_of(pixels.tobytes()),
        pixels=pixels,
        media_type="application/octet-stream",
    )
    return asked, part


def _pixels_of(given: _InferInput) -> Any:
    """(height, width, channels) of one photograph, from flat or nested numbers."""
    values, highest = np.asarray(given.data), _HIGHEST[given.datatype]
    if values.dtype.kind not in "iu" or values.min() < 0 or values.max() > highest:
        raise ValueError(f"expected whole numbers from 0 to {highest}")
    batch, height, width, channels = given.shape
    if batch != 1 or channels not in (1, 3):
        raise ValueError(f"expected shape [1, height, width, 1 or 3], found {given.shape}")
    return values.astype(given.datatype.lower()).reshape(height, width, channels)


def _readiness(is_ready: bool) -> Response:
    return JSONResponse({"ready": is_ready}, status_code=200 if is_ready else 503)


def _json(document: Any) -> Response:
    return Response(to_json(document), media_type="application/json")


async def _as_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse(
        {"error": str(error.detail)}, status_code=error.status_code, headers=error.headers
    )


async def _as_failure(request: Request, error: Exception) -> Response:
    """Nothing was recorded; the gateway must not count the part as judged."""
    return JSONResponse({"error": str(error)}, status_code=503)


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return str(error).split("\n", 1)[0]
