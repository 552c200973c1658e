"""Counts by the hour, kept in the transaction that changes them."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Sequence

from sqlalchemy import func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from cdm_inspect.encoding import readable
from cdm_inspect.records import Decision, HourlyCount, Verdict, hour_of
from cdm_inspect.storage.schema import Base, HourlyRow

Cell = tuple[str, dt.datetime, str, str, str]
"""Line, hour, verdict, decision (empty where there is none), calibration."""

_CELL = ("line", "hour", "verdict", "decision", "calibration")


def cell(line: str, at: dt.datetime, verdict: str, decision: str | None, calibration: str) -> Cell:
    """Where a part is counted."""
    return line, hour_of(at), verdict, decision or "", calibration


def add(session: Session, changes: Iterable[tuple[Cell, int]]) -> None:
    """Add to the counts, in one order: of two transactions none waits for the other in a ring."""
    sums: Counter[Cell] = Counter()
    for where, parts in changes:
        sums[where] += parts
    rows = [
        {**dict(zip(_CELL, where, strict=True)), "parts": parts}
        for where, parts in sorted(sums.items())
        if parts
    ]
    if not rows:
        return
    is_server = session.get_bind().dialect.name == "postgresql"
    insert = postgresql.insert(HourlyRow) if is_server else sqlite.insert(HourlyRow)
    insert = insert.values(rows)  # one way to the server, not one for each
    session.execute(
        insert.on_conflict_do_update(
            index_elements=list(_CELL),
            set_={"parts": HourlyRow.parts + insert.excluded.parts},
        )
    )


def waiting(session: Session, line: str | None) -> int:
    """Flagged parts that nobody has decided, of a line or of all."""
    statement = select(func.sum(HourlyRow.parts)).where(
        HourlyRow.decision == "", HourlyRow.verdict != Verdict.PASS.value
    )
    if line is not None:
        statement = statement.where(HourlyRow.line == readable(line))
    return int(session.scalar(statement) or 0)


def read(
    session: Session, line: str, since: dt.datetime | None, until: dt.datetime | None
) -> Sequence[HourlyCount]:
    """The counts of a line, oldest hour first."""
    table = Base.metadata.tables[HourlyRow.__tablename__]
    # Not through the mapper: of a year there are tens of thousands.
    statement = select(table).where(HourlyRow.line == readable(line), HourlyRow.parts > 0)
    if since is not None:
        statement = statement.where(HourlyRow.hour >= since)
    if until is not None:
        statement = statement.where(HourlyRow.hour < until)
    return [
        HourlyCount(
            line=row.line,
            hour=row.hour,
            verdict=Verdict(row.verdict),
            decision=Decision(row.decision) if row.decision else None,
            calibration=row.calibration,
            parts=row.parts,
        )
        for row in session.execute(statement.order_by(*(table.c[name] for name in _CELL[1:])))
    ]
