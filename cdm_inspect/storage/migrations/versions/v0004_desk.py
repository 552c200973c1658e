"""What the review desk needs: purposes of decisions, events, restorations."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_OPEN = "decision = 'unsure'"
_ONCE = "status = 'decided' AND version = 1"
_SAID = (
    "id, key, image, sha256, line, verdict, model, calibration, scorer, threshold, score, p_value, "
    "regions, reason, acquisition, inspected_at, image_sha256, heatmap_sha256, heatmap_scale, "
    "heatmap_offset, serial, lot, station, camera, restoration_sha256"
)


def upgrade() -> None:
    """From the third schema, with what is in it."""
    name = sa.Column("restoration_sha256", sa.String(64), nullable=False, server_default="")
    op.add_column("inspection", name)
    purpose = sa.Column("purpose", sa.String(16), nullable=False, server_default="queue")
    op.add_column("decision", purpose)
    op.create_index("ix_decision_decided_at", "decision", ["decided_at"])
    op.create_index(
        "ix_inspection_once",
        "inspection",
        ["line", "key"],
        sqlite_where=sa.text(_ONCE),
        postgresql_where=sa.text(_ONCE),
    )
    op.create_index(
        "ix_inspection_open",
        "inspection",
        ["line", "id"],
        sqlite_where=sa.text(_OPEN),
        postgresql_where=sa.text(_OPEN),
    )
    op.create_table(
        "event",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("who", sa.String(128), nullable=False),
        sa.Column("role", sa.String(64), nullable=False),
        sa.Column("line", sa.String(64), nullable=False),
        sa.Column("inspection_id", sa.BigInteger),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("facts", sa.JSON, nullable=False),
        sa.Column("at", sa.DateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_event"),
    )
    op.create_index("ix_event_line_action", "event", ["line", "action"])
    if op.get_bind().dialect.name == "postgresql":
        _guard_postgresql()
    else:
        _guard_sqlite()


def _guard_sqlite() -> None:
    op.execute(
        "CREATE TRIGGER event_once BEFORE INSERT ON event "
        "WHEN EXISTS (SELECT 1 FROM event WHERE id = NEW.id) "
        "BEGIN SELECT RAISE(ABORT, 'event: entries cannot be changed'); END"
    )
    for name, when in (("event_stays", "UPDATE"), ("event_grows", "DELETE")):
        op.execute(
            f"CREATE TRIGGER {name} BEFORE {when} ON event "
            "BEGIN SELECT RAISE(ABORT, 'event: entries cannot be changed'); END"
        )
    op.execute("DROP TRIGGER inspection_stays")
    op.execute(
        f"CREATE TRIGGER inspection_stays BEFORE UPDATE OF {_SAID} ON inspection "
        "BEGIN SELECT RAISE(ABORT, 'inspection: what was said cannot be changed'); END"
    )


def _guard_postgresql() -> None:
    op.execute("DROP TRIGGER inspection_stays ON inspection")
    for name, when, table, action in (
        ("event_stays", "UPDATE OR DELETE", "event", "ROW"),
        ("event_whole", "TRUNCATE", "event", "STATEMENT"),
        ("inspection_stays", f"UPDATE OF {_SAID}", "inspection", "ROW"),
    ):
        op.execute(
            f"CREATE TRIGGER {name} BEFORE {when} ON {table} FOR EACH {action} "
            "EXECUTE FUNCTION cdm_inspect_refuse()"
        )
