"""Tables of the SQL store."""

from __future__ import annotations

import datetime as dt
from enum import StrEnum
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    TypeDecorator,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

SCHEMA = "0004"
"""Newest revision below `migrations`; a test sees that it is."""

VERSION_TABLE = "cdm_inspect_revision"
"""A name of our own: another program in the same database may use Alembic as well."""

_BigId = BigInteger().with_variant(Integer, "sqlite")


class UtcDateTime(TypeDecorator[dt.datetime]):
    """Times in UTC in every database; SQLite would drop the zone."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: dt.datetime | None, dialect: Dialect) -> Any:
        """Store without a zone, in UTC."""
        return None if value is None else value.astimezone(dt.UTC).replace(tzinfo=None)

    def process_result_value(self, value: Any, dialect: Dialect) -> dt.datetime | None:
        """Give the zone back."""
        return None if value is None else value.replace(tzinfo=dt.UTC)


FILE_NAMES = ("image_sha256", "heatmap_sha256", "restoration_sha256")
"""Columns of an inspection that name a file."""


class Base(DeclarativeBase):
    """Base of all tables; constraints are named so that migrations can find them."""

    # Said here, since SQLAlchemy 2.0 and 2.1 mean different things by a float.
    type_annotation_map: ClassVar = {float: Double}
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


def _partial(name: str, *columns: str, where: str) -> Index:
    return Index(name, *columns, sqlite_where=text(where), postgresql_where=text(where))


class Status(StrEnum):
    """Where an inspection stands."""

    FILED = "filed"
    """Passed; nobody has to look at it."""
    WAITING = "waiting"
    """Flagged, and nobody has decided."""
    DECIDED = "decided"
    EXPIRED = "expired"
    """Within the transaction that deletes it; only then may its decisions go with it."""


_WAITING = "status = 'waiting'"


class InspectionRow(Base):
    """One inspection; `key` makes the same one a second time the same row.

    What the machine has said can never be changed: a trigger sees to it. What may change is where
    the part stands: status, decision, claim and hold.
    """

    __tablename__ = "inspection"
    __table_args__ = (
        # An order of the queue each. Few parts wait, so that these cost next to nothing.
        _partial("ix_inspection_priority", "line", "priority", "id", where=_WAITING),
        _partial("ix_inspection_doubt", "line", "doubt", "id", where=_WAITING),
        _partial("ix_inspection_waiting", "line", "id", where=_WAITING),
        _partial("ix_inspection_random", "line", "key", where=_WAITING),
        _partial("ix_inspection_claimed_by", "claimed_by", where="claimed_by != ''"),
        _partial("ix_inspection_decided", "line", "id", where="status = 'decided'"),
        # Of which a few are drawn for a second opinion.
        _partial("ix_inspection_once", "line", "key", where="status = 'decided' AND version = 1"),
        _partial("ix_inspection_open", "line", "id", where="decision = 'unsure'"),
        _partial("ix_inspection_serial", "serial", where="serial != ''"),
        _partial("ix_inspection_lot", "lot", where="lot != ''"),
        Index("ix_inspection_line_id", "line", "id"),
        Index("ix_inspection_line_inspected_at", "line", "inspected_at"),
    )

    id: Mapped[int] = mapped_column(_BigId, primary_key=True, autoincrement=True)
    key: Mapped[str] = mapped_column(String(64), unique=True)
    image: Mapped[str] = mapped_column(Text)
    sha256: Mapped[str] = mapped_column(String(64), index=True)
    line: Mapped[str] = mapped_column(String(64))
    verdict: Mapped[str] = mapped_column(String(16))
    model: Mapped[str] = mapped_column(String(64))
    calibration: Mapped[str] = mapped_column(String(64))
    scorer: Mapped[str] = mapped_column(String(64))
    threshold: Mapped[float | None]
    score: Mapped[float | None]
    p_value: Mapped[float | None]
    regions: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    reason: Mapped[str] = mapped_column(Text)
    acquisition: Mapped[dict[str, float]] = mapped_column(JSON, server_default="{}")
    inspected_at: Mapped[dt.datetime] = mapped_column(UtcDateTime)
    image_sha256: Mapped[str] = mapped_column(String(64))
    heatmap_sha256: Mapped[str] = mapped_column(String(64))
    heatmap_scale: Mapped[float]
    heatmap_offset: Mapped[float]
    restoration_sha256: Mapped[str] = mapped_column(String(64), server_default="")
    serial: Mapped[str] = mapped_column(String(128), server_default="")
    lot: Mapped[str] = mapped_column(String(128), server_default="")
    station: Mapped[str] = mapped_column(String(128), server_default="")
    camera: Mapped[str] = mapped_column(String(128), server_default="")
    status: Mapped[str] = mapped_column(String(16), server_default=Status.FILED.value)
    # Smaller comes first; see `storage.queue`.
    priority: Mapped[float] = mapped_column(server_default="0")
    doubt: Mapped[float] = mapped_column(server_default="0")
    claimed_by: Mapped[str] = mapped_column(String(128), server_default="")
    claimed_until: Mapped[dt.datetime | None] = mapped_column(UtcDateTime)
    hold: Mapped[str] = mapped_column(Text, server_default="")
    # The standing decision, kept here for the queue; the record is the table below.
    decision: Mapped[str | None] = mapped_column(String(16))
    reviewer: Mapped[str] = mapped_column(String(128), default="")
    decided_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime)
    version: Mapped[int] = mapped_column(Integer, server_default="0")


class DecisionRow(Base):
    """One decision of a person; append-only: a trigger sees to it."""

    __tablename__ = "decision"

    id: Mapped[int] = mapped_column(_BigId, primary_key=True, autoincrement=True)
    client_id: Mapped[str] = mapped_column(String(64), unique=True)
    inspection_id: Mapped[int] = mapped_column(ForeignKey("inspection.id"), index=True)
    decision: Mapped[str] = mapped_column(String(16))
    reviewer: Mapped[str] = mapped_column(String(128))
    comment: Mapped[str] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(String(64), server_default="")
    region: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    role: Mapped[str] = mapped_column(String(64), server_default="")
    seen_ms: Mapped[int | None] = mapped_column(BigInteger)
    version: Mapped[int | None] = mapped_column(Integer)
    purpose: Mapped[str] = mapped_column(String(16), server_default="queue")
    decided_at: Mapped[dt.datetime] = mapped_column(UtcDateTime, index=True)


class EventRow(Base):
    """What somebody has done that is no decision; append-only: a trigger sees to it."""

    __tablename__ = "event"
    __table_args__ = (Index("ix_event_line_action", "line", "action"),)

    id: Mapped[int] = mapped_column(_BigId, primary_key=True, autoincrement=True)
    action: Mapped[str] = mapped_column(String(64))
    who: Mapped[str] = mapped_column(String(128))
    role: Mapped[str] = mapped_column(String(64))
    line: Mapped[str] = mapped_column(String(64))
    # No foreign key: it stays when the inspection is deleted.
    inspection_id: Mapped[int | None] = mapped_column(BigInteger)
    reason: Mapped[str] = mapped_column(Text)
    facts: Mapped[dict[str, Any]] = mapped_column(JSON)
    at: Mapped[dt.datetime] = mapped_column(UtcDateTime)


class AuditRow(Base):
    """One link of the audit chain: `hash` covers the entry and the link before it; append-only."""

    __tablename__ = "audit"

    number: Mapped[int] = mapped_column(_BigId, primary_key=True, autoincrement=False)
    entry: Mapped[str] = mapped_column(Text)
    previous: Mapped[str] = mapped_column(String(64))
    hash: Mapped[str] = mapped_column(String(64))


class HourlyRow(Base):
    """How many parts were inspected in an hour; counted in the transaction that keeps them."""

    __tablename__ = "hourly"

    line: Mapped[str] = mapped_column(String(64), primary_key=True)
    hour: Mapped[dt.datetime] = mapped_column(UtcDateTime, primary_key=True)
    verdict: Mapped[str] = mapped_column(String(16), primary_key=True)
    decision: Mapped[str] = mapped_column(String(16), primary_key=True)
    """Empty where there is none."""
    calibration: Mapped[str] = mapped_column(String(64), primary_key=True)
    parts: Mapped[int] = mapped_column(BigInteger)


class LineVersionRow(Base):
    """One version of a line's configuration; the newest is the one in use."""

    __tablename__ = "line_version"

    line: Mapped[str] = mapped_column(String(64), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    digest: Mapped[str] = mapped_column(String(64))
    configuration: Mapped[dict[str, Any]] = mapped_column(JSON)
    since: Mapped[dt.datetime] = mapped_column(UtcDateTime)


class ModelRow(Base):
    """A model that has judged parts."""

    __tablename__ = "model"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    line: Mapped[str] = mapped_column(String(64))
    record: Mapped[dict[str, Any]] = mapped_column(JSON)
    since: Mapped[dt.datetime] = mapped_column(UtcDateTime)


class CalibrationRow(Base):
    """A calibration that has judged parts, with its thresholds."""

    __tablename__ = "calibration"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    line: Mapped[str] = mapped_column(String(64))
    model: Mapped[str] = mapped_column(String(64))
    record: Mapped[dict[str, Any]] = mapped_column(JSON)
    since: Mapped[dt.datetime] = mapped_column(UtcDateTime)


class NoteRow(Base):
    """What the store knows of itself, by name."""

    __tablename__ = "note"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[str] = mapped_column(Text)


class ChartRow(Base):
    """Where the control charts of a calibration stand; can be made anew from the inspections."""

    __tablename__ = "chart"

    name: Mapped[str] = mapped_column(String(200), primary_key=True)
    last: Mapped[int] = mapped_column(BigInteger)
    state: Mapped[dict[str, Any]] = mapped_column(JSON)
