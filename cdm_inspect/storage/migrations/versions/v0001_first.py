"""Inspections, decisions, audit."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_BIG_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_WAITS = sa.text("decision IS NULL AND verdict != 'pass'")


def upgrade() -> None:
    """From nothing."""
    op.create_table(
        "inspection",
        sa.Column("id", _BIG_ID, autoincrement=True, nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("image", sa.Text, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("line", sa.String(64), nullable=False),
        sa.Column("verdict", sa.String(16), nullable=False),
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("calibration", sa.String(64), nullable=False),
        sa.Column("scorer", sa.String(64), nullable=False),
        sa.Column("threshold", sa.Double),
        sa.Column("score", sa.Double),
        sa.Column("p_value", sa.Double),
        sa.Column("regions", sa.JSON, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("inspected_at", sa.DateTime, nullable=False),
        sa.Column("image_sha256", sa.String(64), nullable=False),
        sa.Column("heatmap_sha256", sa.String(64), nullable=False),
        sa.Column("heatmap_scale", sa.Double, nullable=False),
        sa.Column("heatmap_offset", sa.Double, nullable=False),
        sa.Column("decision", sa.String(16)),
        sa.Column("reviewer", sa.String(128), nullable=False),
        sa.Column("decided_at", sa.DateTime),
        sa.PrimaryKeyConstraint("id", name="pk_inspection"),
        sa.UniqueConstraint("key", name="uq_inspection_key"),
    )
    op.create_index("ix_inspection_line_id", "inspection", ["line", "id"])
    op.create_index(
        "ix_inspection_queue",
        "inspection",
        ["line", "score", "id"],
        sqlite_where=_WAITS,
        postgresql_where=_WAITS,
    )
    op.create_index("ix_inspection_sha256", "inspection", ["sha256"])
    _create_decisions()


def _create_decisions() -> None:
    op.create_table(
        "decision",
        sa.Column("id", _BIG_ID, autoincrement=True, nullable=False),
        sa.Column("client_id", sa.String(64), nullable=False),
        sa.Column("inspection_id", _BIG_ID, nullable=False),
        sa.Column("decision", sa.String(16), nullable=False),
        sa.Column("reviewer", sa.String(128), nullable=False),
        sa.Column("comment", sa.Text, nullable=False),
        sa.Column("decided_at", sa.DateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_decision"),
        sa.UniqueConstraint("client_id", name="uq_decision_client_id"),
        sa.ForeignKeyConstraint(
            ["inspection_id"], ["inspection.id"], name="fk_decision_inspection_id"
        ),
    )
    op.create_index("ix_decision_inspection_id", "decision", ["inspection_id"])
    op.create_table(
        "audit",
        sa.Column("number", _BIG_ID, autoincrement=False, nullable=False),
        sa.Column("entry", sa.Text, nullable=False),
        sa.Column("previous", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_audit"),
    )
