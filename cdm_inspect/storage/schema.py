"""Tables of the SQL store."""

from __future__ import annotations

import datetime as dt
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

SCHEMA = "0002"
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


class InspectionRow(Base):
    """One inspection; `key` makes the same one a second time the same row."""

    __tablename__ = "inspection"
    __table_args__ = (
        Index(
            "ix_inspection_queue",
            "line",
            "score",
            "id",
            sqlite_where=text("decision IS NULL AND verdict != 'pass'"),
            postgresql_where=text("decision IS NULL AND verdict != 'pass'"),
        ),
        Index("ix_inspection_line_id", "line", "id"),
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
    # The standing decision, kept here for the queue; the record is the table below.
    decision: Mapped[str | None] = mapped_column(String(16))
    reviewer: Mapped[str] = mapped_column(String(128), default="")
    decided_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime)


class DecisionRow(Base):
    """One decision of a person; append-only."""

    __tablename__ = "decision"

    id: Mapped[int] = mapped_column(_BigId, primary_key=True, autoincrement=True)
    client_id: Mapped[str] = mapped_column(String(64), unique=True)
    inspection_id: Mapped[int] = mapped_column(ForeignKey("inspection.id"), index=True)
    decision: Mapped[str] = mapped_column(String(16))
    reviewer: Mapped[str] = mapped_column(String(128))
    comment: Mapped[str] = mapped_column(Text)
    decided_at: Mapped[dt.datetime] = mapped_column(UtcDateTime)


class AuditRow(Base):
    """One link of the audit chain: `hash` covers the entry and the link before it."""

    __tablename__ = "audit"

    number: Mapped[int] = mapped_column(_BigId, primary_key=True, autoincrement=False)
    entry: Mapped[str] = mapped_column(Text)
    previous: Mapped[str] = mapped_column(String(64))
    hash: Mapped[str] = mapped_column(String(64))


class ChartRow(Base):
    """Where the control charts of a calibration stand; can be made anew from the inspections."""

    __tablename__ = "chart"

    name: Mapped[str] = mapped_column(String(200), primary_key=True)
    last: Mapped[int] = mapped_column(BigInteger)
    state: Mapped[dict[str, Any]] = mapped_column(JSON)
