"""Decisions of a line within a time, with their parts."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from cdm_inspect.encoding import readable
from cdm_inspect.records import Purpose, Review, StoredInspection
from cdm_inspect.storage.rows import to_record, to_review
from cdm_inspect.storage.schema import Base, DecisionRow, InspectionRow

# SQLite takes some thousands of parameters in a statement.
_CHUNK = 1000


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
