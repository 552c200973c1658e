"""The SQL store: SQLite by default, PostgreSQL by URL."""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import time
from collections.abc import Collection, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy import func, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from cdm_inspect.encoding import readable
from cdm_inspect.errors import DecisionConflict, StorageError, StoreUnreachable
from cdm_inspect.records import (
    Decision,
    Event,
    HourlyCount,
    Inspection,
    InspectionQuery,
    JsonObject,
    JudgingSetup,
    Order,
    Purpose,
    Review,
    StoredInspection,
    Verdict,
)
from cdm_inspect.storage import audit, hours, queue
from cdm_inspect.storage.audit import Anchor, AnchorFile
from cdm_inspect.storage.decisions import read_decisions
from cdm_inspect.storage.engine import Database, is_lock_timeout
from cdm_inspect.storage.events import keep_event
from cdm_inspect.storage.files import open_files
from cdm_inspect.storage.rows import (
    as_new,
    audited,
    fitting,
    insert_rows,
    inspection_key,
    new_row,
    to_event,
    to_record,
    to_review,
)
from cdm_inspect.storage.schema import ChartRow, DecisionRow, EventRow, InspectionRow, Status
from cdm_inspect.storage.setups import find_setup, keep_setup
from cdm_inspect.storage.versions import open_schema

_log = logging.getLogger(__name__)

# Any number, the same in every process.
_ARRIVAL_LOCK = 4_207_849_485
_ARRIVAL_SECONDS = 0.5
_QUEUED_MS = 50
_ANCHORED_EVERY = dt.timedelta(days=1)
_LATE = dt.timedelta(minutes=1)


class SqlStore:
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
        self._anchored_at: dt.datetime | None = None
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

    def append(self, inspection: Inspection, *, evidence: bytes | None) -> StoredInspection:
        """Keep one inspection; see `contracts.VerdictStore`."""
        return self.append_many([(inspection, evidence)])[0]

    def append_many(
        self, parts: Sequence[tuple[Inspection, bytes | None]]
    ) -> Sequence[StoredInspection]:
        """Keep several in one transaction; see `contracts.VerdictStore`. Files first, then rows."""
        keys = [inspection_key(inspection) for inspection, _ in parts]
        known = self.database.persistently(lambda: self._find_keys(keys))
        values: dict[str, dict[str, Any]] = {}
        for key, (inspection, evidence) in zip(keys, parts, strict=True):
            if key not in known and key not in values:
                values[key] = new_row(self.files, key, inspection, evidence)
        if values:
            known |= self.database.persistently(lambda: self._insert(list(values.values())))
        return [known[key] for key in keys]

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

    def claim(
        self,
        line: str,
        holder: str,
        *,
        count: int = 12,
        seconds: float = 120.0,
        order: Order = Order.ODDEST,
    ) -> Sequence[StoredInspection]:
        """Lend waiting parts to one who looks at them; see `contracts.VerdictStore`."""

        def lend() -> Sequence[StoredInspection]:
            with self.database.writing() as session:
                rows = queue.claim(session, line, holder, count=count, seconds=seconds, order=order)
                return [to_record(row) for row in rows]

        return self.database.persistently(lend)

    def release(self, holder: str, inspection_ids: Sequence[int] | None = None) -> None:
        """Give lent parts back; see `contracts.VerdictStore`."""

        def take_back() -> None:
            with self.database.writing() as session:
                queue.release(session, holder, inspection_ids)

        self.database.persistently(take_back)

    def record_review(self, review: Review) -> StoredInspection:
        """Keep a decision and its audit entry in one transaction; see `contracts.VerdictStore`."""
        review = fitting(review)
        stored, is_refused = self.database.persistently(lambda: self._decide(review))
        self._anchor_daily()
        if is_refused:
            said = stored.decision.value if stored.decision else "that nobody decides yet"
            raise DecisionConflict(
                f"{stored.reviewer or 'somebody'} has decided part {stored.id} since it was shown: "
                f"{said}. Look at it again; your decision was not recorded."
            )
        return stored

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

    def record_event(self, event: Event) -> None:
        """Keep an event and its audit entry in one transaction; see `contracts.VerdictStore`."""
        keep_event(self.database, event)
        self._anchor_daily()

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

    def record_setup(self, setup: JudgingSetup) -> None:
        """Keep with what a line judges, and tell the audit; see `contracts.VerdictStore`."""
        self.database.persistently(lambda: keep_setup(self.database, setup))
        self._anchor_daily()

    def read_file(self, sha256: str) -> bytes:
        """The bytes of a kept file."""
        return self.files.get(sha256)

    def position(self, name: str) -> tuple[int, JsonObject] | None:
        """What was kept under a name; see `contracts.VerdictStore`."""
        with self.database.reading() as session:
            row = session.get(ChartRow, name)
            return None if row is None else (row.last, row.state)

    def keep_position(self, name: str, last: int, state: JsonObject) -> None:
        """Keep it, unless a later one is kept already; see `contracts.VerdictStore`."""
        insert = postgresql.insert(ChartRow) if self.database.is_server else sqlite.insert(ChartRow)
        insert = insert.values(name=name, last=last, state=state)
        insert = insert.on_conflict_do_update(
            index_elements=["name"],
            set_={"last": insert.excluded.last, "state": insert.excluded.state},
            where=ChartRow.last < insert.excluded.last,
        )

        def keep() -> None:
            with self.database.writing() as session:
                session.execute(insert)

        self.database.persistently(keep)

    def anchor(self) -> Anchor:
        """Write down outside the database where the audit chain stands.

        Raises:
            StorageError: if the chain is not the one that was anchored last, or the file cannot be
                written.
        """
        anchors = self.anchors.read()
        with self.database.reading() as session:
            number, link = audit.head(session)
            if anchors and not audit.has_entry(session, anchors[-1]):
                raise StorageError(
                    f"the audit chain is not the one that {self.anchors.path} speaks of. Nothing "
                    "was anchored: run `cdm-inspect store verify`."
                )
        anchor = Anchor(number=number, hash=link, at=dt.datetime.now(dt.UTC))
        if number:
            self.anchors.add(anchor)
        return anchor

    def _insert(self, rows: Sequence[dict[str, Any]]) -> dict[str, StoredInspection]:
        by_key = {row["key"]: row for row in rows}
        with self.database.writing() as session:
            self.database.lock(session, _ARRIVAL_LOCK, is_shared=True)
            new = insert_rows(session, rows)
            counted = [by_key[key] for key, _ in new]
            hours.add(
                session,
                (
                    (
                        hours.cell(
                            row["line"],
                            row["inspected_at"],
                            row["verdict"],
                            None,
                            row["calibration"],
                        ),
                        1,
                    )
                    for row in counted
                ),
            )
        kept = {key: as_new(by_key[key], number) for key, number in new}
        # Another process was faster with these.
        return kept | self._find_keys([key for key in by_key if key not in kept])

    def _decide(self, review: Review) -> tuple[StoredInspection, bool]:
        """The part as it then is, and whether the decision was refused."""
        with self.database.writing() as session:
            row = session.get(InspectionRow, review.inspection_id, with_for_update=True)
            if row is None:
                raise StorageError(f"there is no inspection {review.inspection_id}.")
            known = session.scalar(
                select(DecisionRow.inspection_id).where(DecisionRow.client_id == review.client_id)
            )
            if known == row.id:
                return to_record(row), False
            if known is not None:
                raise StorageError(
                    f"the decision {review.client_id!r} on part {row.id} has the name of one on "
                    f"part {known}: names are used once."
                )
            is_refused = review.version is not None and review.version != row.version
            audit.add_entry(
                self.database,
                session,
                {
                    **audited(review),
                    "action": "refuse" if is_refused else "decide",
                    "image": row.sha256,
                    "model": row.model,
                    "calibration": row.calibration,
                    "verdict": row.verdict,
                    "former_decision": row.decision,
                    **_kept_late(review),
                },
            )
            if not is_refused:
                self._keep_decision(session, row, review)
            session.flush()
            return to_record(row), is_refused

    def _keep_decision(self, session: Session, row: InspectionRow, review: Review) -> None:
        is_undone = review.decision is Decision.UNDO
        session.add(
            DecisionRow(
                client_id=review.client_id,
                inspection_id=review.inspection_id,
                decision=review.decision.value,
                reviewer=review.reviewer,
                comment=review.comment,
                reason=review.reason,
                region=asdict(review.region) if review.region else None,
                role=review.role,
                seen_ms=review.seen_ms,
                version=review.version,
                purpose=review.purpose.value,
                decided_at=review.decided_at,
            )
        )
        row.version += 1
        if review.purpose is Purpose.SECOND:
            return
        former = row.decision
        row.decision = None if is_undone else review.decision.value
        row.reviewer = "" if is_undone else review.reviewer
        row.decided_at = None if is_undone else review.decided_at
        is_flagged = row.verdict != Verdict.PASS.value
        undone = Status.WAITING if is_flagged else Status.FILED
        row.status = (undone if is_undone else Status.DECIDED).value
        row.claimed_by, row.claimed_until = "", None
        where = [
            hours.cell(row.line, row.inspected_at, row.verdict, decision, row.calibration)
            for decision in (former, row.decision)
        ]
        hours.add(session, [(where[0], -1), (where[1], 1)])

    def _anchor_daily(self) -> None:
        now = dt.datetime.now(dt.UTC)
        if self._anchored_at is None:
            with contextlib.suppress(StorageError):  # `verify` tells of it
                anchors = self.anchors.read()
                self._anchored_at = anchors[-1].at if anchors else None
        if self._anchored_at is not None and now - self._anchored_at < _ANCHORED_EVERY:
            return
        self._anchored_at = now
        try:
            self.anchor()
        except StorageError as error:
            # The decision is kept; without an anchor only a cut tail would go unseen.
            _log.error("no anchor of the audit chain was written: %s", error)

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
                    self.database.lock(session, _ARRIVAL_LOCK)
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


def _kept_late(review: Review) -> dict[str, str]:
    """When a decision arrived that was made before: a browser that was cut off says when."""
    now = dt.datetime.now(dt.UTC)
    return {"kept_at": now.isoformat()} if now - review.decided_at > _LATE else {}
