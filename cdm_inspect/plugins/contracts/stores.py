"""Where verdicts are kept, and where else they are sent."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

from pydantic import BaseModel

from cdm_inspect.plugins.contracts.options import Options
from cdm_inspect.plugins.contracts.upkeep import StoreUpkeep
from cdm_inspect.records import Order

if TYPE_CHECKING:
    from cdm_inspect.records import (
        Event,
        HourlyCount,
        Inspection,
        InspectionQuery,
        JsonObject,
        JudgingSetup,
        Purpose,
        Review,
        StoredInspection,
    )


class InspectionReader(Protocol):
    """What may be read of a store."""

    def get(self, inspection_id: int) -> StoredInspection | None:
        """One inspection by its number."""
        ...

    def find(self, query: InspectionQuery) -> Sequence[StoredInspection]:
        """Inspections that match, in the order of their numbers unless the query says otherwise.

        Whoever reads forwards by `after_id` misses nothing: below a number that was returned no
        other can appear any more, whoever else is writing. While one is on its way it may find
        nothing yet.
        """
        ...

    def count(self, query: InspectionQuery) -> int:
        """How many match, whatever the query's page and limit."""
        ...

    def lines(self) -> Sequence[str]:
        """Names of the lines that have inspections, sorted."""
        ...

    def reviews(self, inspection_id: int) -> Sequence[Review]:
        """Every decision ever made on an inspection, oldest first."""
        ...

    def decisions(
        self,
        line: str,
        *,
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
        purpose: Purpose | None = None,
    ) -> Sequence[tuple[StoredInspection, Review]]:
        """Decisions on parts of a line that were made within a time, oldest first; undone ones too.

        Each comes with its inspection as it stands now.

        Args:
            since: earliest time of a decision.
            until: end of the time; that moment is no longer part of it.
            purpose: only decisions made for it. Asked every few seconds: few have it, and the
                others should not be read.
        """
        ...

    def events(
        self,
        *,
        line: str | None = None,
        action: str | None = None,
        inspection_id: int | None = None,
        limit: int = 100,
    ) -> Sequence[Event]:
        """What people have done, newest first."""
        ...

    def judged_with(self, inspection_id: int) -> JudgingSetup | None:
        """With what an inspection was judged, as `record_setup` kept it; None if it was not.

        The configuration is the one that was in force at the time of the inspection.
        """
        ...

    def read_file(self, sha256: str) -> bytes:
        """The bytes of a kept file, checked against its name.

        Raises:
            StorageError: if there is none, or it was changed.
        """
        ...


class VerdictStore(InspectionReader, Protocol):
    """Keeps inspections, their images and people's decisions; may be used by several threads."""

    def append(self, inspection: Inspection, *, evidence: bytes | None) -> StoredInspection:
        """Keep one inspection durably; the same one twice is kept once.

        The same are two of the same part by the same model and calibration, with the same reason
        where they are undecided.

        Args:
            inspection: what was said of the part.
            evidence: bytes of the image file, unchanged; None where there was nothing to read.
        """
        ...

    def append_many(
        self, parts: Sequence[tuple[Inspection, bytes | None]]
    ) -> Sequence[StoredInspection]:
        """Keep several as `append` does, in their order: all of them, or none."""
        ...

    def record_review(self, review: Review) -> StoredInspection:
        """Keep a person's decision; sending the same `client_id` twice keeps it once.

        `Decision.UNDO` takes the standing one back. Nothing is ever replaced: each is an entry. One
        with `Purpose.SECOND` is an entry as well, and what stands stays.

        Raises:
            StorageError: if there is no such inspection.
            DecisionConflict: if the review names a version, and there was another decision since.
        """
        ...

    def record_event(self, event: Event) -> None:
        """Keep what somebody has done, in the audit chain as well."""
        ...

    def claim(
        self,
        line: str,
        holder: str,
        *,
        count: int = 12,
        seconds: float = 120.0,
        order: Order = Order.ODDEST,
    ) -> Sequence[StoredInspection]:
        """Lend waiting parts of a line to one who looks at them; asked again, renew the loan.

        While the loan lasts nobody else is lent these parts. Deciding one ends its loan; a decision
        needs none.

        Args:
            holder: one screen of one person, under a name of its own.
            count: at most so many in all.
            seconds: until the loan ends by itself.
            order: which come first.
        """
        ...

    def release(self, holder: str, inspection_ids: Sequence[int] | None = None) -> None:
        """Give lent parts back; all of the holder where none are named."""
        ...

    def hourly(
        self, line: str, *, since: dt.datetime | None = None, until: dt.datetime | None = None
    ) -> Sequence[HourlyCount]:
        """Parts of a line by hour of inspection, verdict and standing decision, oldest first.

        Those count that were ever kept, also where their records have been deleted since.
        """
        ...

    def record_setup(self, setup: JudgingSetup) -> None:
        """Keep with what a line judges; what is kept already is not kept again."""
        ...

    def position(self, name: str) -> tuple[int, JsonObject] | None:
        """Where one who reads the inspections forwards stands, as `keep_position` kept it."""
        ...

    def keep_position(self, name: str, last: int, state: JsonObject) -> None:
        """Keep the number of the last inspection read, and a state; a later one stays."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


@dataclass(frozen=True, kw_only=True)
class StoreOffer:
    """A store, by name; `open` receives the options and the project directory.

    Attributes:
        upkeep: what keeps it in order, from the same arguments. None where nothing has to.
    """

    name: str
    summary: str
    open: Callable[[Any, Path], VerdictStore]
    upkeep: Callable[[Any, Path], StoreUpkeep] | None = None
    options: type[BaseModel] = Options
    contract: int


class VerdictSink(Protocol):
    """Tells verdicts to somebody else: a broker, a controller, a manufacturing system.

    The store is its outbox: the host reads on from where the sink stands, in order, and moves on
    only after `send` has returned. So nothing is lost while the other side is away or this process
    is killed, but what was sent last may come again. Each sink has a thread of its own.
    """

    def send(self, inspections: Sequence[StoredInspection]) -> None:
        """Tell some verdicts; returns once the other side has confirmed all of them.

        What is raised is logged, and the same inspections come again after a while.
        """
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


@dataclass(frozen=True, kw_only=True)
class SinkOffer:
    """A sink, by name; `open` receives the options and the project directory.

    It is opened anew after every failure, so that `open` is the place to connect.
    """

    name: str
    summary: str
    open: Callable[[Any, Path], VerdictSink]
    options: type[BaseModel] = Options
    contract: int
