"""What the desk in the browser asks for, and where its decisions arrive.

The desk does not depend on a Streamlit session: decisions that a browser has kept while the server
was away are sent here by whatever page opens next. Each request carries the token that the page was
given, so that what is recorded is recorded under the name of the person who decided.
"""

from __future__ import annotations

import datetime as dt
import math
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from cdm_inspect.config.words import kind_of
from cdm_inspect.errors import (
    CdmInspectError,
    DecisionConflict,
    InvalidOption,
    NotAllowed,
    StoreUnreachable,
)
from cdm_inspect.records import Decision, Order, Region, Review, StoredInspection
from cdm_inspect.review import PURPOSES, Queue
from cdm_inspect.roles import Actor
from cdm_inspect_review import access, part_history, pictures
from cdm_inspect_review.plant import current_plant

PREFIX = "/cdm/desk"
TOKEN_HEADER = "x-desk-token"  # noqa: S105 - its name
_LONGEST_BODY = 256 * 1024
_LONGEST_WAIT_MS = 3 * 24 * 3_600_000
_MOST_PARTS = 60
_NUMBERS = 2**63
"""Numbers of parts are below."""
_WORK_SECONDS = 10.0

Number = Annotated[int, Field(ge=1, lt=_NUMBERS)]
Name = Annotated[str, Field(min_length=1, max_length=64)]
Holder = Annotated[str, Field(min_length=8, max_length=64)]


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TakeRequest(_Asked):
    """Parts that a screen wants to show."""

    line: Name
    queue: Queue
    order: Order
    holder: Holder
    count: Annotated[int, Field(ge=1, le=_MOST_PARTS)]
    busy: Annotated[list[Number], Field(max_length=_MOST_PARTS)] = []
    lost: Annotated[list[Number], Field(max_length=_MOST_PARTS)] = []


class ReleaseRequest(_Asked):
    """A screen that shows its parts no longer."""

    holder: Holder


class SentRegion(_Asked):
    """Of a photograph, in its own pixels."""

    x: int
    y: int
    width: int
    height: int
    area: int
    peak: float


class SentDecision(_Asked):
    """A decision as a browser has kept it."""

    client_id: Annotated[str, Field(min_length=8, max_length=64)]
    inspection_id: Number
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    version: Annotated[int, Field(ge=0, lt=2**31)]
    decision: Decision
    queue: Queue
    reason: Annotated[str, Field(max_length=64)] = ""
    comment: Annotated[str, Field(max_length=1000)] = ""
    region: SentRegion | None = None
    seen_ms: Annotated[int, Field(ge=0, lt=2**53)] | None = None
    undoes: Annotated[str, Field(max_length=64)] = ""
    waited_ms: Annotated[int, Field(ge=0, lt=2**53)] = 0

    def review(self) -> Review:
        """As the desk records it."""
        region = Region(**self.region.model_dump()) if self.region else None
        waited = dt.timedelta(milliseconds=min(self.waited_ms, _LONGEST_WAIT_MS))
        return Review(
            client_id=self.client_id,
            inspection_id=self.inspection_id,
            version=self.version,
            decision=self.decision,
            reviewer="",
            reason=self.reason,
            comment=self.comment,
            region=region,
            seen_ms=self.seen_ms,
            # By the clock of the server; a browser that was cut off tells how long ago it was.
            decided_at=dt.datetime.now(dt.UTC) - waited,
            purpose=PURPOSES[self.queue],
        )


class _WorkBoard:
    """How much there is to do, counted anew every few seconds at most, and by one at a time."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[float, dict[str, Any] | None]] = {}
        self._lock = threading.Lock()

    def of(self, line: str) -> dict[str, Any] | None:
        """As of a moment ago; None where it has never been counted."""
        now = time.monotonic()
        with self._lock:
            counted, known = self._found.get(line, (-math.inf, None))
            if now - counted < _WORK_SECONDS:
                return known
            # Whoever asks meanwhile is called with what is known.
            self._found[line] = now, known
        work = current_plant().desk.work(line)
        found = {**asdict(work), "oldest": work.oldest.isoformat() if work.oldest else None}
        with self._lock:
            self._found[line] = now, found
        return found


_WORK = _WorkBoard()


def part_json(part: StoredInspection, *, is_blind: bool = False) -> dict[str, Any]:
    """A part as the desk shows it; blind, it tells nothing of what was decided."""
    is_told = part.decision is not None and not is_blind
    return {
        "id": part.id,
        "sha256": part.sha256,
        "version": part.version,
        "line": part.line,
        "serial": part.serial,
        "lot": part.lot,
        "station": part.station,
        "camera": part.camera,
        "image": part.image.replace("\\", "/").rsplit("/", 2)[-1],
        "model": part.model,
        "calibration": part.calibration,
        "scorer": part.scorer,
        "verdict": part.verdict.value,
        "reason": part.reason,
        "score": part.score,
        "threshold": part.threshold,
        "reject": current_plant().reject_threshold(part),
        "p_value": part.p_value,
        "regions": [vars(region) for region in part.regions],
        "size": pictures.size(part.image_sha256) if part.image_sha256 else None,
        "inspected_at": part.inspected_at.isoformat(),
        "taken_at": part_history.moment(
            part.inspected_at, current_plant().project.config.review.zone
        ),
        "decision": part.decision.value if part.decision and is_told else None,
        "reviewer": part.reviewer if is_told else "",
        "pictures": pictures.addresses(part),
    }


def _take(actor: Actor, asked: TakeRequest) -> dict[str, Any]:
    parts = current_plant().desk.take(
        actor,
        asked.line,
        asked.queue,
        holder=asked.holder,
        order=asked.order,
        count=asked.count,
        busy=asked.busy,
        lost=asked.lost,
    )
    is_blind = asked.queue is Queue.SECOND
    return {
        "parts": [part_json(part, is_blind=is_blind) for part in parts],
        "work": _WORK.of(asked.line),
    }


def _decide(actor: Actor, sent: SentDecision) -> dict[str, Any]:
    try:
        stored = current_plant().desk.decide(
            actor, sent.review(), undoes=sent.undoes, sha256=sent.sha256
        )
    except DecisionConflict as error:
        return {"status": "conflict", "kind": kind_of(error), "message": str(error)}
    except (NotAllowed, InvalidOption) as error:
        return {"status": "refused", "kind": kind_of(error), "message": str(error)}
    return {"status": "stored", "version": stored.version}


def _alike(number: int) -> list[dict[str, Any]]:
    desk = current_plant().desk
    part = desk.store.get(number) if number < _NUMBERS else None
    return [] if part is None else [part_json(other) for other in desk.alike(part)]


async def take(request: Request, actor: Actor) -> Response:
    """Parts to show; asked again, the loan of those that a screen has is renewed."""
    asked = TakeRequest.model_validate_json(await _body(request))
    return JSONResponse(await run_in_threadpool(_take, actor, asked))


async def decide(request: Request, actor: Actor) -> Response:
    """One decision; answered once it is durable. The same one twice is recorded once."""
    sent = SentDecision.model_validate_json(await _body(request))
    return JSONResponse(await run_in_threadpool(_decide, actor, sent))


async def release(request: Request, actor: Actor) -> Response:
    """A screen shows its parts no longer.

    It says so as its page goes away, which may be after the session of its person has ended.
    """
    asked = ReleaseRequest.model_validate_json(await _body(request))
    await run_in_threadpool(current_plant().desk.release, asked.holder)
    return JSONResponse({})


async def alike(request: Request, actor: Actor) -> Response:
    """Decided parts that look like one."""
    found = await run_in_threadpool(_alike, request.path_params["number"])
    return JSONResponse({"parts": found})


async def limit_samples(request: Request, actor: Actor) -> Response:
    """Border cases of a line."""
    line = request.query_params.get("line", "")
    found = await run_in_threadpool(current_plant().desk.marks.limit_samples, line)
    return JSONResponse({"parts": [part_json(part) for part in found]})


async def _body(request: Request) -> bytes:
    """The body, if it is one of ours; more is not read.

    Raises:
        InvalidOption: if it is too long.
    """
    found = b""
    async for piece in request.stream():
        found += piece
        if len(found) > _LONGEST_BODY:
            raise InvalidOption(f"expected at most {_LONGEST_BODY} bytes, found more.")
    return found


def _trouble(error: CdmInspectError, status: int) -> Response:
    """Its sentence, and its kind, which the desk says in the language of its page."""
    return JSONResponse({"error": str(error), "kind": kind_of(error)}, status)


def _guarded(
    answer: Callable[[Request, Actor], Awaitable[Response]],
    actor_of: Callable[[str], Actor | None] = access.actor_of,
) -> Callable[[Request], Awaitable[Response]]:
    """Only for who has a token; what goes wrong is said in a sentence, with a status of HTTP."""

    async def guard(request: Request) -> Response:
        token = request.headers.get(TOKEN_HEADER, "")
        try:
            actor = await run_in_threadpool(actor_of, token)
            if actor is None:
                return JSONResponse({"error": "expected the token of a page, log in again."}, 401)
            return await answer(request, actor)
        except ValidationError:
            return JSONResponse({"error": "expected what the desk sends."}, 422)
        except NotAllowed as error:
            return _trouble(error, 403)
        except InvalidOption as error:
            return _trouble(error, 413)
        except StoreUnreachable as error:
            return _trouble(error, 503)
        except CdmInspectError as error:
            return _trouble(error, 500)

    return guard


ROUTES = [
    Route(f"{PREFIX}/take", _guarded(take), methods=["POST"]),
    Route(f"{PREFIX}/decisions", _guarded(decide), methods=["POST"]),
    Route(access.RELEASE, _guarded(release, access.whoever_it_was), methods=["POST"]),
    Route(f"{PREFIX}/alike/{{number:int}}", _guarded(alike)),
    Route(f"{PREFIX}/limit-samples", _guarded(limit_samples)),
]
