"""The SQL store: SQLite by default, PostgreSQL by URL."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Select, func, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from cdm_inspect.durable import readable, sha256_of
from cdm_inspect.errors import StorageError
from cdm_inspect.images import encode_heatmap
from cdm_inspect.records import (
    Decision,
    Inspection,
    InspectionQuery,
    JsonObject,
    Region,
    Review,
    StoredInspection,
    Verdict,
)
from cdm_inspect.storage.engine import errors_explained, make_engine, resolve_url
from cdm_inspect.storage.files import FileStore
from cdm_inspect.storage.schema import (
    AuditRow,
    ChartRow,
    DecisionRow,
    InspectionRow,
)
from cdm_inspect.storage.versions import is_empty, migrate

GENESIS = "0" * 64
# Any numbers, the same in every process.
_AUDIT_LOCK = 4_207_849_484
_ARRIVAL_LOCK = 4_207_849_485
_ARRIVAL_SECONDS = 0.5


class SqlStore:
    """Inspections and decisions in a database, images and heat maps as files beside it.

    Args:
        url: of SQLAlchemy; a relative SQLite path counts from `root`.
        images: folder of the files, from `root` if relative.
        root: the project directory.

    Raises:
        StorageError: if the database cannot be opened, or is none of ours.
    """

    def __init__(self, url: str, images: str, *, root: Path) -> None:
        if "://" in images:
            raise StorageError(
                f"store.images: expected a folder, found {images!r}. Object stores are not "
                "supported yet."
            )
        self.files = FileStore(root / images)
        self.url = resolve_url(url, root)
        self.engine = make_engine(self.url)
        try:
            self._open_schema()
        except BaseException:
            self.engine.dispose()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.engine.dispose()

    def append(self, inspection: Inspection, *, evidence: bytes | None) -> StoredInspection:
        """Keep one inspection; see `contracts.VerdictStore`. Files first, then the row."""
        key = inspection_key(inspection)
        if (known := self._find_key(key)) is not None:
            return known
        image_sha256 = self.files.put(evidence) if evidence is not None else ""
        heatmap_sha256, scale, offset = "", 1.0, 0.0
        if inspection.heatmap is not None:
            data, scale, offset = encode_heatmap(inspection.heatmap)
            heatmap_sha256 = self.files.put(data)
        row = InspectionRow(
            key=key,
            image=readable(inspection.image),
            sha256=inspection.sha256,
            line=inspection.line,
            verdict=inspection.verdict.value,
            model=inspection.model,
            calibration=inspection.calibration,
            scorer=inspection.scorer,
            threshold=inspection.threshold,
            score=inspection.score,
            p_value=inspection.p_value,
            regions=[asdict(region) for region in inspection.regions],
            reason=readable(inspection.reason),
            acquisition=dict(inspection.acquisition),
            inspected_at=inspection.inspected_at,
            image_sha256=image_sha256,
            heatmap_sha256=heatmap_sha256,
            heatmap_scale=scale,
            heatmap_offset=offset,
            reviewer="",
        )
        try:
            with self._writing() as session:
                self._lock(session, _ARRIVAL_LOCK, is_shared=True)
                session.add(row)
                session.flush()
                stored = _to_record(row)
        except IntegrityError as error:
            # Another process was faster with the same part.
            if (known := self._find_key(key)) is not None:
                return known
            raise StorageError(f"{self._where} refused an inspection: {error.orig}.") from error
        return stored

    def get(self, inspection_id: int) -> StoredInspection | None:
        """One inspection by its number."""
        with self._reading() as session:
            row = session.get(InspectionRow, inspection_id)
            return None if row is None else _to_record(row)

    def find(self, query: InspectionQuery) -> Sequence[StoredInspection]:
        """Inspections that match; see `contracts.VerdictStore`."""
        statement = _filtered(select(InspectionRow), query)
        if query.after_id is not None:
            column = InspectionRow.id
            is_past = column < query.after_id if query.newest_first else column > query.after_id
            statement = statement.where(is_past)
        if query.order_by_score:
            # Parts without a score are undecided; somebody has to look at them first.
            statement = statement.order_by(
                InspectionRow.score.is_(None).desc(), InspectionRow.score.desc()
            )
        if query.at_random:
            # The key is a hash of what makes the inspection what it is.
            statement = statement.order_by(InspectionRow.key)
        order = InspectionRow.id.desc() if query.newest_first else InspectionRow.id
        with self._reading() as session:
            is_forward = query.after_id is not None and not query.newest_first
            if is_forward and not self._has_arrived(session):
                return []  # a later reading finds them
            rows = session.scalars(statement.order_by(order).limit(query.limit))
            return [_to_record(row) for row in rows]

    def count(self, query: InspectionQuery) -> int:
        """How many match."""
        statement = _filtered(select(func.count()).select_from(InspectionRow), query)
        with self._reading() as session:
            return session.scalar(statement) or 0

    def lines(self) -> Sequence[str]:
        """Names of the lines that have inspections, sorted."""
        with self._reading() as session:
            return list(session.scalars(select(InspectionRow.line).distinct().order_by("line")))

    def record_review(self, review: Review) -> StoredInspection:
        """Keep a decision and its audit entry in one transaction.

        Raises:
            StorageError: if there is no such inspection, or the database fails.
        """
        with self._writing() as session:
            row = session.get(InspectionRow, review.inspection_id, with_for_update=True)
            if row is None:
                raise StorageError(f"there is no inspection {review.inspection_id}.")
            known = session.scalar(
                select(DecisionRow).where(DecisionRow.client_id == review.client_id)
            )
            if known is None:
                former = row.decision
                session.add(
                    DecisionRow(
                        client_id=review.client_id,
                        inspection_id=review.inspection_id,
                        decision=review.decision.value,
                        reviewer=review.reviewer,
                        comment=review.comment,
                        decided_at=review.decided_at,
                    )
                )
                row.decision, row.reviewer = review.decision.value, review.reviewer
                row.decided_at = review.decided_at
                self._append_audit(
                    session,
                    {
                        "action": "decide",
                        "at": review.decided_at.isoformat(),
                        "who": review.reviewer,
                        "inspection": review.inspection_id,
                        "image": row.sha256,
                        "model": row.model,
                        "calibration": row.calibration,
                        "verdict": row.verdict,
                        "decision": review.decision.value,
                        "former_decision": former,
                        "comment": review.comment,
                    },
                )
            session.flush()
            return _to_record(row)

    def reviews(self, inspection_id: int) -> Sequence[Review]:
        """Every decision ever made on an inspection, oldest first."""
        statement = (
            select(DecisionRow)
            .where(DecisionRow.inspection_id == inspection_id)
            .order_by(DecisionRow.id)
        )
        with self._reading() as session:
            return [
                Review(
                    client_id=row.client_id,
                    inspection_id=row.inspection_id,
                    decision=Decision(row.decision),
                    reviewer=row.reviewer,
                    comment=row.comment,
                    decided_at=row.decided_at,
                )
                for row in session.scalars(statement)
            ]

    def read_file(self, sha256: str) -> bytes:
        """The bytes of a kept file."""
        return self.files.get(sha256)

    def verify(self) -> tuple[int, int | None]:
        """Check the audit chain.

        Returns:
            Entries read, and the number of the first bad one (None if all are sound). A tail that
            was cut off cannot be seen from within the database.
        """
        previous, count = GENESIS, 0
        statement = select(AuditRow).order_by(AuditRow.number)
        with (
            self._reading() as session,
            # Closed before the session, also where a bad entry ends the reading early.
            closing(session.scalars(statement, execution_options={"yield_per": 5000})) as rows,
        ):
            for row in rows:
                count += 1
                is_sound = (
                    row.number == count
                    and row.previous == previous
                    and row.hash == _link(row.number, row.entry, previous)
                )
                if not is_sound:
                    return count, min(row.number, count)
                previous = row.hash
        return count, None

    def position(self, name: str) -> tuple[int, JsonObject] | None:
        """What was kept under a name; see `contracts.VerdictStore`."""
        with self._reading() as session:
            row = session.get(ChartRow, name)
            return None if row is None else (row.last, row.state)

    def keep_position(self, name: str, last: int, state: JsonObject) -> None:
        """Keep it, unless a later one is kept already; see `contracts.VerdictStore`."""
        # What another process has kept for the first time meanwhile is as good.
        with contextlib.suppress(IntegrityError), self._writing() as session:
            row = session.get(ChartRow, name, with_for_update=True)
            if row is None:
                session.add(ChartRow(name=name, last=last, state=state))
            elif row.last < last:
                row.last, row.state = last, state

    @property
    def _where(self) -> str:
        return self.url.render_as_string(hide_password=True)

    def _append_audit(self, session: Session, entry: dict[str, Any]) -> None:
        self._lock(session, _AUDIT_LOCK)
        last = session.scalar(select(AuditRow).order_by(AuditRow.number.desc()).limit(1))
        number, previous = (last.number + 1, last.hash) if last else (1, GENESIS)
        canonical = json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        session.add(
            AuditRow(
                number=number,
                entry=canonical,
                previous=previous,
                hash=_link(number, canonical, previous),
            )
        )

    def _lock(self, session: Session, number: int, *, is_shared: bool = False) -> None:
        """Until the end of the transaction; in SQLite, writers wait for each other anyway."""
        if self.engine.dialect.name == "postgresql":
            kind = "_shared" if is_shared else ""
            session.execute(text(f"SELECT pg_advisory_xact_lock{kind}({number})"))

    def _has_arrived(self, session: Session) -> bool:
        """Whether no part is on its way; one who reads forwards then misses none.

        A server numbers rows before they can be seen. Readers ask for the lock that writers share,
        again and again for a while and never in their queue: one writer that is stuck must not
        hold up the others.
        """
        if self.engine.dialect.name != "postgresql":
            return True
        question = text(f"SELECT pg_try_advisory_xact_lock({_ARRIVAL_LOCK})")
        deadline = time.monotonic() + _ARRIVAL_SECONDS
        while not session.scalar(question):
            if time.monotonic() > deadline:
                return False
            time.sleep(_ARRIVAL_SECONDS / 100)
        return True

    def _find_key(self, key: str) -> StoredInspection | None:
        with self._reading() as session:
            row = session.scalar(select(InspectionRow).where(InspectionRow.key == key))
            return None if row is None else _to_record(row)

    def _open_schema(self) -> None:
        with self._reading() as session:
            is_new = is_empty(session.connection(), self._where)
        if is_new:
            with self._writing() as session:
                migrate(session.connection())

    @contextmanager
    def _reading(self) -> Iterator[Session]:
        with errors_explained(self._where), Session(self.engine) as session:
            yield session

    @contextmanager
    def _writing(self) -> Iterator[Session]:
        with (
            errors_explained(self._where),
            Session(self.engine.execution_options(is_writing=True)) as session,
            session.begin(),
        ):
            yield session


def inspection_key(inspection: Inspection) -> str:
    """What makes two inspections the same: line, image content, model and calibration.

    A part that could not be judged is another matter than the same part judged later, when, say,
    its scorer works again.
    """
    why = inspection.reason.partition(":")[0]
    facts = [inspection.line, inspection.sha256, inspection.model, inspection.calibration, why]
    return sha256_of("\n".join(facts).encode())


def _link(number: int, entry: str, previous: str) -> str:
    return sha256_of(f"{number}\n{entry}\n{previous}".encode())


def _filtered(statement: Select[Any], query: InspectionQuery) -> Select[Any]:
    if query.line is not None:
        statement = statement.where(InspectionRow.line == query.line)
    if query.verdicts:
        statement = statement.where(InspectionRow.verdict.in_([v.value for v in query.verdicts]))
    if query.calibration is not None:
        statement = statement.where(InspectionRow.calibration == query.calibration)
    if query.since is not None:
        statement = statement.where(InspectionRow.inspected_at >= query.since)
    if query.is_decided is not None:
        has_none = InspectionRow.decision.is_(None)
        statement = statement.where(~has_none if query.is_decided else has_none)
    return statement


def _to_record(row: InspectionRow) -> StoredInspection:
    return StoredInspection(
        id=row.id,
        image=row.image,
        sha256=row.sha256,
        line=row.line,
        verdict=Verdict(row.verdict),
        model=row.model,
        calibration=row.calibration,
        scorer=row.scorer,
        threshold=row.threshold,
        score=row.score,
        p_value=row.p_value,
        regions=tuple(Region(**region) for region in row.regions),
        reason=row.reason,
        acquisition=row.acquisition,
        inspected_at=row.inspected_at,
        image_sha256=row.image_sha256,
        heatmap_sha256=row.heatmap_sha256,
        heatmap_scale=row.heatmap_scale,
        heatmap_offset=row.heatmap_offset,
        decision=None if row.decision is None else Decision(row.decision),
        reviewer=row.reviewer,
        decided_at=row.decided_at,
    )
