"""Decisions on parts: kept with their audit entries, and read with their parts."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import select
from sqlalchemy.orm import Session

from cdm_inspect.encoding import readable
from cdm_inspect.errors import StorageError
from cdm_inspect.records import Decision, Purpose, Review, StoredInspection, Verdict
from cdm_inspect.storage import audit, hours
from cdm_inspect.storage.engine import Database
from cdm_inspect.storage.rows import audited, to_record, to_review
from cdm_inspect.storage.schema import Base, DecisionRow, InspectionRow, Status

# SQLite takes some thousands of parameters in a statement.
_CHUNK = 1000
_LATE = dt.timedelta(minutes=1)


def read_decisions(
    session: Session,
    line: str,
    since: dt.datetime | None,
    until: dt.datetime | None,
    purpose: Purpose | None,
) -> Sequence[tuple[StoredInspection, Review]]:
    """Oldest first; see `contracts.VerdictStore`.

    First the decisions, then the parts by their numbers: joined, a database that knows little of
    its tables reads all parts of the line. Not through the mapper, of a month there are many.
    """
    decision, part = (Base.metadata.tables[r.__tablename__] for r in (DecisionRow, InspectionRow))
    statement = select(decision).order_by(decision.c.id)
    if since is not None:
        statement = statement.where(decision.c.decided_at >= since)
    if until is not None:
        statement = statement.where(decision.c.decided_at < until)
    if purpose is not None:
        statement = statement.where(decision.c.purpose == purpose.value)
    made = session.execute(statement).all()
    numbers = sorted({row.inspection_id for row in made})
    parts: dict[int, StoredInspection] = {}
    for start in range(0, len(numbers), _CHUNK):
        page = select(part).where(part.c.id.in_(numbers[start : start + _CHUNK]))
        rows = session.execute(page.where(part.c.line == readable(line)))
        parts |= {row.id: to_record(row) for row in rows}
    return [
        (parts[row.inspection_id], to_review(row)) for row in made if row.inspection_id in parts
    ]


def keep_decision(database: Database, review: Review) -> tuple[StoredInspection, bool]:
    """Keep it with its audit entry; the part as it then is, and whether it was refused."""
    with database.writing() as session:
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
            database,
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
            _change_part(session, row, review)
        session.flush()
        return to_record(row), is_refused


def _change_part(session: Session, row: InspectionRow, review: Review) -> None:
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


def _kept_late(review: Review) -> dict[str, str]:
    """When a decision arrived that was made before: a browser that was cut off says when."""
    now = dt.datetime.now(dt.UTC)
    return {"kept_at": now.isoformat()} if now - review.decided_at > _LATE else {}
