"""In which order inspections come, and who is looking at which of them."""

from __future__ import annotations

import datetime as dt
import math
import sys
from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Select,
    func,
    literal_column,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import InstrumentedAttribute, Session
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from cdm_inspect.encoding import readable
from cdm_inspect.records import Inspection, InspectionQuery, Order
from cdm_inspect.storage.schema import InspectionRow, Status

_TURN = dt.timedelta(minutes=5)
# Before every part that has a score.
_FIRST = -1e9

# As the partial indexes say them, in letters: SQLite cannot tell that a parameter says the same.
_WAITS = InspectionRow.status == literal_column("'waiting'")
_IS_DECIDED = InspectionRow.status == literal_column("'decided'")
_NOTHING: ColumnElement[str] = literal_column("''")
_IS_CLAIMED = InspectionRow.claimed_by != _NOTHING

# What an order is by; ascending, except that the newest come by descending number.
_KEYS: dict[Order, tuple[InstrumentedAttribute[Any], ...]] = {
    Order.OLDEST: (InspectionRow.id,),
    Order.NEWEST: (InspectionRow.id,),
    Order.ODDEST: (InspectionRow.priority, InspectionRow.id),
    Order.UNCERTAIN: (InspectionRow.doubt, InspectionRow.id),
    Order.RANDOM: (InspectionRow.key,),
}

# Behind every text that a name has room for.
_BEHIND = chr(sys.maxunicode) * 128


class _BeginsWith(FunctionElement[bool]):
    """Whether a text begins with another; given text, beginning, and what lies behind all such.

    LIKE would not do: SQLite does not tell capitals from small letters there.
    """

    name = "begins_with"
    type = Boolean()
    inherit_cache = True


@compiles(_BeginsWith)
def _by_range(element: _BeginsWith, compiler: SQLCompiler, **options: Any) -> str:
    # SQLite compares by code point, and so takes a range from the index.
    text, beginning, behind = (compiler.process(each, **options) for each in element.clauses)
    return f"({text} >= {beginning} AND {text} < {behind})"


@compiles(_BeginsWith, "postgresql")
def _by_function(element: _BeginsWith, compiler: SQLCompiler, **options: Any) -> str:
    text, beginning, _ = (compiler.process(each, **options) for each in element.clauses)
    return f"starts_with({text}, {beginning})"


def urgency(inspection: Inspection) -> tuple[float, float]:
    """Priority and doubt of a part; of each, smaller comes first.

    Scores of different scorers have different units. What they have in common is their threshold,
    so that a score counts by how far it lies above it, in units of the threshold.
    """
    if inspection.score is None or inspection.threshold is None:
        return _FIRST, -1.0
    margin = (inspection.score - inspection.threshold) / (abs(inspection.threshold) or 1.0)
    # A score that is no number is none.
    return (-margin, abs(margin)) if math.isfinite(margin) else (_FIRST, -1.0)


def matching(query: InspectionQuery) -> list[ColumnElement[bool]]:
    """The conditions of a query, without its page."""
    row, found = InspectionRow, []
    if query.line is not None:
        found.append(row.line == readable(query.line))
    if query.verdicts:
        found.append(row.verdict.in_([verdict.value for verdict in query.verdicts]))
    if query.is_waiting is not None:
        found.append(_WAITS if query.is_waiting else row.status != Status.WAITING)
    if query.is_decided is not None:
        found.append(_IS_DECIDED if query.is_decided else row.status != Status.DECIDED)
    if query.decision is not None:
        # Of our own words, in letters for the sake of the partial index.
        found += [_IS_DECIDED, row.decision == literal_column(f"'{query.decision.value}'")]
    if query.reviewer is not None:
        found += [_IS_DECIDED, row.reviewer == readable(query.reviewer)]
    if query.version is not None:
        # A small number of our own, in letters for the sake of the partial index.
        found.append(row.version == literal_column(str(int(query.version))))
    if query.ids:
        found.append(row.id.in_(query.ids))
    if query.share is not None and query.share < 1:
        # The key is a SHA-256, in hexadecimal.
        found.append(row.key < f"{int(max(query.share, 0.0) * 2**64):016x}")
    if query.calibration is not None:
        found.append(row.calibration == query.calibration)
    for name in ("serial", "lot"):
        value = getattr(query, name)
        if value is not None:
            found.append(getattr(row, name) == readable(value))
        if value:
            found.append(getattr(row, name) != _NOTHING)
    if query.serial_prefix:
        prefix = readable(query.serial_prefix)
        found += [_BeginsWith(row.serial, prefix, prefix + _BEHIND), row.serial != _NOTHING]
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
    waits = [row.line == line, _WAITS]
    # By the holder alone, which few rows name. Locked, and then looked at again by the server: a
    # loan that ended a moment ago may be somebody else's by now.
    own = session.execute(
        select(row.id, row.line, row.status)
        .where(row.claimed_by == holder, _IS_CLAIMED)
        .with_for_update()
    )
    mine = [number for number, where, status in own if (where, status) == (line, Status.WAITING)]
    if len(mine) < count:
        # Far beyond its length no loan lasts: one that does was made before the clock was set back.
        # Those that were made while this one waited for its turn end a little later.
        longest = now + dt.timedelta(seconds=seconds) + _TURN
        is_free = or_(row.claimed_by == "", row.claimed_until < now, row.claimed_until > longest)
        query = InspectionQuery(order=order, limit=count - len(mine))
        free = select(row.id).where(*waits, is_free, row.claimed_by != holder)
        mine += session.scalars(
            ordered(free, query, session).with_for_update(skip_locked=True)
        ).all()
    if not mine:
        return []
    lent = session.scalars(
        update(row)
        .where(row.id.in_(mine), row.status == Status.WAITING)
        .values(claimed_by=holder, claimed_until=now + dt.timedelta(seconds=seconds))
        .returning(row.id)
        .execution_options(synchronize_session=False)
    ).all()
    page = InspectionQuery(order=order, limit=count)
    return session.scalars(ordered(select(row).where(row.id.in_(lent)), page, session)).all()


def release(session: Session, holder: str, inspection_ids: Sequence[int] | None) -> None:
    """Give lent parts back; all of the holder where none are named."""
    statement = update(InspectionRow).where(InspectionRow.claimed_by == holder, _IS_CLAIMED)
    if inspection_ids is not None:
        statement = statement.where(InspectionRow.id.in_(inspection_ids))
    session.execute(
        statement.values(claimed_by="", claimed_until=None).execution_options(
            synchronize_session=False
        )
    )


def count_matching(session: Session, query: InspectionQuery) -> int:
    """How many match, whatever the page."""
    statement = select(func.count()).select_from(InspectionRow).where(*matching(query))
    return session.scalar(statement) or 0
