"""In which order inspections come, and who is looking at which of them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, func, or_, select, tuple_, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from cdm_inspect.records import Inspection, InspectionQuery, Order
from cdm_inspect.storage.schema import InspectionRow, Status

# Before every part that has a score.
_FIRST = -1e9

# What an order is by; ascending, except that the newest come by descending number.
_KEYS: dict[Order, tuple[InstrumentedAttribute[Any], ...]] = {
    Order.OLDEST: (InspectionRow.id,),
    Order.NEWEST: (InspectionRow.id,),
    Order.ODDEST: (InspectionRow.priority, InspectionRow.id),
    Order.UNCERTAIN: (InspectionRow.doubt, InspectionRow.id),
    Order.RANDOM: (InspectionRow.key,),
}


def urgency(inspection: Inspection) -> tuple[float, float]:
    """Priority and doubt of a part; of each, smaller comes first.

    Scores of different scorers have different units. What they have in common is their threshold,
    so that a score counts by how far it lies above it, in units of the threshold.
    """
    if inspection.score is None or inspection.threshold is None:
        return _FIRST, -1.0
    margin = (inspection.score - inspection.threshold) / (abs(inspection.threshold) or 1.0)
    return -margin, abs(margin)


def matching(query: InspectionQuery) -> list[ColumnElement[bool]]:
    """The conditions of a query, without its page."""
    row, found = InspectionRow, []
    if query.line is not None:
        found.append(row.line == query.line)
    if query.verdicts:
        found.append(row.verdict.in_([verdict.value for verdict in query.verdicts]))
    if query.is_waiting is not None:
        waits = row.status == Status.WAITING
        found.append(waits if query.is_waiting else ~waits)
    if query.is_decided is not None:
        is_decided = row.status == Status.DECIDED
        found.append(is_decided if query.is_decided else ~is_decided)
    for column, value in (
        (row.calibration, query.calibration),
        (row.serial, query.serial),
        (row.lot, query.lot),
    ):
        if value is not None:
            found.append(column == value)
            if value and column is not row.calibration:
                found.append(column != "")  # as the index says
    if query.since is not None:
        found.append(row.inspected_at >= query.since)
    if query.until is not None:
        found.append(row.inspected_at < query.until)
    return found


def ordered(statement: Select[Any], query: InspectionQuery, session: Session) -> Select[Any]:
    """A page of what a statement finds; one that goes on behind a part that is gone is empty."""
    keys = _KEYS[query.order]
    if query.order is Order.NEWEST:
        if query.after_id is not None:
            statement = statement.where(InspectionRow.id < query.after_id)
        return statement.order_by(InspectionRow.id.desc()).limit(query.limit)
    if query.after_id is not None:
        if query.order is Order.OLDEST:
            statement = statement.where(InspectionRow.id > query.after_id)
        else:
            last = session.execute(
                select(*keys).where(InspectionRow.id == query.after_id)
            ).one_or_none()
            after = tuple_(*keys) > tuple_(*last) if last else InspectionRow.id < 0
            statement = statement.where(after)
    return statement.order_by(*keys).limit(query.limit)


def claim(
    session: Session, line: str, holder: str, *, count: int, seconds: float, order: Order
) -> Sequence[InspectionRow]:
    """Lend waiting parts to one who looks at them; see `contracts.VerdictStore`.

    Of several that ask at once none waits for another's parts: PostgreSQL skips rows that are
    locked, in SQLite one writes at a time.
    """
    now = dt.datetime.now(dt.UTC)
    row = InspectionRow
    waits = [row.line == line, row.status == Status.WAITING]
    mine = list(
        session.scalars(
            select(row.id).where(*waits, row.claimed_by == holder, row.claimed_by != "")
        )
    )
    if len(mine) < count:
        is_free = or_(row.claimed_by == "", row.claimed_until < now)
        query = InspectionQuery(order=order, limit=count - len(mine))
        free = select(row.id).where(*waits, is_free, row.claimed_by != holder)
        mine += session.scalars(
            ordered(free, query, session).with_for_update(skip_locked=True)
        ).all()
    if not mine:
        return []
    session.execute(
        update(row)
        .where(row.id.in_(mine), row.status == Status.WAITING)
        .values(claimed_by=holder, claimed_until=now + dt.timedelta(seconds=seconds))
        .execution_options(synchronize_session=False)
    )
    page = InspectionQuery(order=order, limit=count)
    return session.scalars(ordered(select(row).where(row.id.in_(mine)), page, session)).all()


def release(session: Session, holder: str, inspection_ids: Sequence[int] | None) -> None:
    """Give lent parts back; all of the holder where none are named."""
    statement = update(InspectionRow).where(
        InspectionRow.claimed_by == holder, InspectionRow.claimed_by != ""
    )
    if inspection_ids is not None:
        statement = statement.where(InspectionRow.id.in_(inspection_ids))
    session.execute(
        statement.values(claimed_by="", claimed_until=None).execution_options(
            synchronize_session=False
        )
    )


def count_matching(session: Session, query: InspectionQuery) -> int:
    """How many match, whatever the page."""
    return (
        session.scalar(select(func.count()).select_from(InspectionRow).where(*matching(query))) or 0
    )
