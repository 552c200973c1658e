"""What people do, beside deciding on parts: kept as rows, and entered in the audit chain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cdm_inspect.encoding import as_json, readable
from cdm_inspect.errors import StorageError
from cdm_inspect.records import Event
from cdm_inspect.storage import audit
from cdm_inspect.storage.engine import Database
from cdm_inspect.storage.rows import to_event
from cdm_inspect.storage.schema import Base, EventRow

_TEXTS = ("action", "who", "role", "line", "reason")
# Any number, the same in every process.
_EVENT_LOCK = 4_207_849_487


def keep_event(database: Database, event: Event) -> None:
    """Add an event and the audit entry that tells of it, once, however often the connection fails.

    Raises:
        StorageError: if a name in it is longer than there is room for.
    """
    values = _fitting(event)
    former: int | None = None

    def keep() -> None:
        nonlocal former
        with database.writing() as session:
            # A first try whose answer was lost may still be on its way into the record.
            database.lock(session, _EVENT_LOCK)
            if former is None:
                former = session.scalar(select(func.max(EventRow.id))) or 0
            elif _is_kept(session, values, former):
                return
            entry = {**values, "at": event.at.isoformat(), "inspection": event.inspection_id}
            del entry["inspection_id"]
            audit.add_entry(
                database,
                session,
                {name: value for name, value in entry.items() if value not in ("", None, {})},
            )
            session.add(EventRow(**values))

    database.persistently(keep)


def _fitting(event: Event) -> dict[str, Any]:
    """An event as a row, which a database can take."""
    columns = Base.metadata.tables[EventRow.__tablename__].c
    texts = {name: readable(getattr(event, name)) for name in _TEXTS}
    for name, value in texts.items():
        room = getattr(columns[name].type, "length", None)
        if room is not None and len(value) > room:
            raise StorageError(
                f"expected a text of at most {room} characters as {name}, found {len(value)}. "
                "Nothing was recorded."
            )
    return {**asdict(event), **texts, "facts": as_json(dict(event.facts))}


def _is_kept(session: Session, values: Mapping[str, Any], former: int) -> bool:
    """Whether an event is among those since another one; no two are alike to the microsecond."""
    newer = select(EventRow).where(EventRow.id > former, EventRow.at == values["at"])
    return any(to_event(row) == Event(**values) for row in session.scalars(newer))
