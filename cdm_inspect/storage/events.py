"""What people do, beside deciding on parts: kept as rows, and told in the audit chain."""

from __future__ import annotations

from dataclasses import asdict

from sqlalchemy.orm import Session

from cdm_inspect.durable import as_json, readable
from cdm_inspect.errors import StorageError
from cdm_inspect.records import Event
from cdm_inspect.storage import audit
from cdm_inspect.storage.engine import Database
from cdm_inspect.storage.schema import Base, EventRow

_TEXTS = ("action", "who", "role", "line", "reason")


def keep_event(database: Database, session: Session, event: Event) -> None:
    """Add an event and the audit entry that tells of it, within one transaction.

    Raises:
        StorageError: if a name in it is longer than there is room for.
    """
    columns = Base.metadata.tables[EventRow.__tablename__].c
    texts = {name: readable(getattr(event, name)) for name in _TEXTS}
    for name, value in texts.items():
        room = getattr(columns[name].type, "length", None)
        if room is not None and len(value) > room:
            raise StorageError(
                f"expected a text of at most {room} characters as {name}, found {len(value)}. "
                "Nothing was recorded."
            )
    values = {**asdict(event), **texts, "facts": as_json(dict(event.facts))}
    told = {**values, "at": event.at.isoformat(), "inspection": event.inspection_id}
    del told["inspection_id"]
    audit.add_entry(
        database,
        session,
        {name: value for name, value in told.items() if value not in ("", None, {})},
    )
    session.add(EventRow(**values))
