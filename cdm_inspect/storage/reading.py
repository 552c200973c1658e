"""The SQL store, read: inspections, decisions, events and positions."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import func, select, text

from cdm_inspect.encoding import readable
from cdm_inspect.errors import StoreUnreachable
from cdm_inspect.records import (
    Event,
    HourlyCount,
    InspectionQuery,
    JsonObject,
    JudgingSetup,
    Order,
    Purpose,
    Review,
    StoredInspection,
)
from cdm_inspect.storage import hours, queue
from cdm_inspect.storage.audit import AnchorFile
from cdm_inspect.storage.decisions import read_decisions
from cdm_inspect.storage.engine import Database, is_lock_timeout
from cdm_inspect.storage.files import open_files
from cdm_inspect.storage.rows import (
    to_event,
    to_record,
    to_review,
)
from cdm_inspect.storage.schema import ChartRow, DecisionRow, EventRow, InspectionRow
from cdm_inspect.storage.setups import find_setup
from cdm_inspect.storage.versions import open_schema

# Any number, the same in every process.
ARRIVAL_LOCK = 4_207_849_485
_ARRIVAL_SECONDS = 0.5
_QUEUED_MS = 50


class SqlReader:
    """Inspections and decisions in a database, images and heat maps as files beside it.

    Args:
        url: of SQLAlchemy; a relative SQLite path counts from `root`.
        images: folder of the files, from `root` if relative, or an address of fsspec.
        anchor: file outside the database that tells where the audit chain stands.
        may_create: whether an empty database is set up; never where one has been before.

    Raises:
        StorageError: if the database cannot be opened, is none of ours, or has been lost.
    """

    def __init__(
        self,
        url: str,
        images: str,
        *,
        root: Path,
        anchor: str = "audit-anchors.jsonl",
        may_create: bool = True,
    ) -> None:
        self.files = open_files(images, root)
        self.anchors = AnchorFile(root / anchor)
        self.database = Database(url, root)
        self.engine = self.database.engine
        try:
            open_schema(self.database, self.files, self.anchors, may_create=may_create)
        except BaseException:
            self.database.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.database.close()

    def get(self, inspection_id: int) -> StoredInspection | None:
        """One inspection by its number."""
        if not 0 < inspection_id < 2**63:
            return None
        with self.database.reading() as session:
            row = session.get(InspectionRow, inspection_id)
            return None if row is None else to_record(row)

    def find(self, query: InspectionQuery) -> Sequence[StoredInspection]:
        """Inspections that match; see `contracts.VerdictStore`."""
        return self.database.persistently(lambda: self._find(query))

    def count(self, query: InspectionQuery) -> int:
        """How many match."""
        asked = replace(query, line=None, order=Order.OLDEST, after_id=None, limit=0)
        with self.database.reading() as session:
            if asked == InspectionQuery(is_waiting=True, limit=0):
                # Counted already: nothing that waits is ever deleted.
                return hours.waiting(session, query.line)
            return queue.count_matching(session, query)

    def lines(self) -> Sequence[str]:
        """Names of the lines that have inspections, sorted."""
        # A look into the index for each line; DISTINCT would read the whole of it.
        names: list[str] = []
        with self.database.reading() as session:
            statement = select(func.min(InspectionRow.line))
            name = session.scalar(statement)
            while name is not None:
                names.append(name)
                name = session.scalar(statement.where(InspectionRow.line > name))
        return sorted(names)

    def hourly(
        self, line: str, *, since: dt.datetime | None = None, until: dt.datetime | None = None
    ) -> Sequence[HourlyCount]:
        """Parts of a line by hour, verdict and decision; see `contracts.VerdictStore`."""
        with self.database.reading() as session:
            return hours.read(session, line, since, until)

    def reviews(self, inspection_id: int) -> Sequence[Review]:
        """Every decision ever made on an inspection, oldest first."""
        statement = (
            select(DecisionRow)
            .where(DecisionRow.inspection_id == inspection_id)
            .order_by(DecisionRow.id)
        )
        with self.database.reading() as session:
            return [to_review(row) for row in session.scalars(statement)]

    def decisions(
        self,
        line: str,
        *,
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
        purpose: Purpose | None = None,
    ) -> Sequence[tuple[StoredInspection, Review]]:
        """Decisions within a time, with their parts; see `contracts.VerdictStore`."""
        with self.database.reading() as session:
            return read_decisions(session, line, since, until, purpose)

    def events(
        self,
        *,
        line: str | None = None,
        action: str | None = None,
        inspection_id: int | None = None,
        limit: int = 100,
    ) -> Sequence[Event]:
        """What people have done, newest first."""
        statement = select(EventRow).order_by(EventRow.id.desc()).limit(limit)
        if line is not None:
            statement = statement.where(EventRow.line == readable(line))
        if action is not None:
            statement = statement.where(EventRow.action == action)
        if inspection_id is not None:
            statement = statement.where(EventRow.inspection_id == inspection_id)
        with self.database.reading() as session:
            return [to_event(row) for row in session.scalars(statement)]

    def judged_with(self, inspection_id: int) -> JudgingSetup | None:
        """With what an inspection was judged; see `contracts.VerdictStore`."""
        part = self.get(inspection_id)
        if part is None:
            return None
        with self.database.reading() as session:
            return find_setup(session, part)

    def read_file(self, sha256: str) -> bytes:
        """The bytes of a kept file."""
        return self.files.get(sha256)

    def position(self, name: str) -> tuple[int, JsonObject] | None:
        """What was kept under a name; see `contracts.VerdictStore`."""
        with self.database.reading() as session:
            row = session.get(ChartRow, name)
            return None if row is None else (row.last, row.state)

    def _find(self, query: InspectionQuery) -> Sequence[StoredInspection]:
        statement = select(InspectionRow).where(*queue.matching(query))
        if query.after_id is not None and query.order is Order.OLDEST:
            last = self._last_arrived()
            if last is not None and last <= query.after_id:
                return []  # a later reading finds more
            if last is not None:
                statement = statement.where(InspectionRow.id <= last)
        with self.database.reading() as session:
            rows = session.scalars(queue.ordered(statement, query, session))
            return [to_record(row) for row in rows]

    def _last_arrived(self) -> int | None:
        """Number below which no part is on its way any more; None where all have arrived always.

        A server numbers rows before they can be seen. Who reads forwards waits for a moment in the
        queue of those that write, and again for a while: one writer that is stuck must not hold up
        the others for longer than that moment.
        """
        if not self.database.is_server:
            return None
        deadline = time.monotonic() + _ARRIVAL_SECONDS
        while True:
            try:
                with self.database.reading() as session:
                    session.execute(text(f"SET LOCAL lock_timeout = {_QUEUED_MS}"))
                    self.database.lock(session, ARRIVAL_LOCK)
                    return session.scalar(select(func.max(InspectionRow.id))) or 0
            except StoreUnreachable as error:
                if not is_lock_timeout(error):
                    raise
                if time.monotonic() > deadline:
                    return 0
                time.sleep(_QUEUED_MS / 1000)

    def _find_keys(self, keys: Collection[str]) -> dict[str, StoredInspection]:
        if not keys:
            return {}
        with self.database.reading() as session:
            rows = session.scalars(select(InspectionRow).where(InspectionRow.key.in_(keys)))
            return {row.key: to_record(row) for row in rows}
