"""The SQL store: SQLite by default, PostgreSQL by URL."""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
from collections.abc import Sequence
from typing import Any

from sqlalchemy.dialects import postgresql, sqlite

from cdm_inspect.errors import DecisionConflict, StorageError
from cdm_inspect.records import (
    Event,
    Inspection,
    JsonObject,
    JudgingSetup,
    Order,
    Review,
    StoredInspection,
)
from cdm_inspect.storage import audit, hours, queue
from cdm_inspect.storage.audit import Anchor
from cdm_inspect.storage.decisions import keep_decision
from cdm_inspect.storage.events import keep_event
from cdm_inspect.storage.reading import ARRIVAL_LOCK, SqlReader
from cdm_inspect.storage.rows import (
    as_new,
    fitting,
    insert_rows,
    inspection_key,
    new_row,
    to_record,
)
from cdm_inspect.storage.schema import ChartRow
from cdm_inspect.storage.setups import keep_setup

_log = logging.getLogger(__name__)

_ANCHORED_EVERY = dt.timedelta(days=1)


class SqlStore(SqlReader):
    """Inspections and decisions in a database, images and heat maps as files beside it.

    Arguments and errors are those of `SqlReader`.
    """

    _anchored_at: dt.datetime | None = None

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
        stored, is_refused = self.database.persistently(
            lambda: keep_decision(self.database, review)
        )
        self._anchor_daily()
        if is_refused:
            said = stored.decision.value if stored.decision else "that nobody decides yet"
            raise DecisionConflict(
                f"{stored.reviewer or 'somebody'} has decided part {stored.id} since it was shown: "
                f"{said}. Look at it again; your decision was not recorded."
            )
        return stored

    def record_event(self, event: Event) -> None:
        """Keep an event and its audit entry in one transaction; see `contracts.VerdictStore`."""
        keep_event(self.database, event)
        self._anchor_daily()

    def record_setup(self, setup: JudgingSetup) -> None:
        """Keep with what a line judges, and tell the audit; see `contracts.VerdictStore`."""
        self.database.persistently(lambda: keep_setup(self.database, setup))
        self._anchor_daily()

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
            self.database.lock(session, ARRIVAL_LOCK, is_shared=True)
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
