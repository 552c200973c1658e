"""The whole record: identity, queue and claims, reasons, hours, set-ups; guards of what is kept."""

import uuid

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_WAITING = "status = 'waiting'"
_QUEUE = {
    "ix_inspection_priority": (["line", "priority", "id"], _WAITING),
    "ix_inspection_doubt": (["line", "doubt", "id"], _WAITING),
    "ix_inspection_waiting": (["line", "id"], _WAITING),
    "ix_inspection_random": (["line", "key"], _WAITING),
    "ix_inspection_claimed_by": (["claimed_by"], "claimed_by != ''"),
    "ix_inspection_decided": (["line", "id"], "status = 'decided'"),
    "ix_inspection_serial": (["serial"], "serial != ''"),
    "ix_inspection_lot": (["lot"], "lot != ''"),
}
# What the machine has said of a part.
_SAID = (
    "id, key, image, sha256, line, verdict, model, calibration, scorer, threshold, score, p_value, "
    "regions, reason, acquisition, inspected_at, image_sha256, heatmap_sha256, heatmap_scale, "
    "heatmap_offset, serial, lot, station, camera"
)
# As the store computes it for new parts: smaller comes first, parts without a score before all.
_MARGIN = "(score - threshold) / (CASE WHEN threshold = 0 THEN 1 ELSE abs(threshold) END)"


def upgrade() -> None:
    """From the second schema, with what is in it."""
    _add_columns()
    _add_tables()
    _fill()
    op.drop_index("ix_inspection_queue", "inspection")
    for name, (columns, where) in _QUEUE.items():
        op.create_index(
            name,
            "inspection",
            columns,
            sqlite_where=sa.text(where),
            postgresql_where=sa.text(where),
        )
    op.create_index("ix_inspection_line_inspected_at", "inspection", ["line", "inspected_at"])
    if op.get_bind().dialect.name == "postgresql":
        _guard_postgresql()
    else:
        _guard_sqlite()


def _add_columns() -> None:
    for column in (
        *(
            sa.Column(name, sa.String(128), nullable=False, server_default="")
            for name in ("serial", "lot", "station", "camera", "claimed_by")
        ),
        sa.Column("status", sa.String(16), nullable=False, server_default="filed"),
        sa.Column("priority", sa.Double, nullable=False, server_default="0"),
        sa.Column("doubt", sa.Double, nullable=False, server_default="0"),
        sa.Column("claimed_until", sa.DateTime),
        sa.Column("hold", sa.Text, nullable=False, server_default=""),
        sa.Column("version", sa.Integer, nullable=False, server_default="0"),
    ):
        op.add_column("inspection", column)
    for column in (
        sa.Column("reason", sa.String(64), nullable=False, server_default=""),
        sa.Column("region", sa.JSON),
        sa.Column("role", sa.String(64), nullable=False, server_default=""),
        sa.Column("seen_ms", sa.BigInteger),
        sa.Column("version", sa.Integer),
    ):
        op.add_column("decision", column)


def _add_tables() -> None:
    op.create_table(
        "hourly",
        sa.Column("line", sa.String(64), nullable=False),
        sa.Column("hour", sa.DateTime, nullable=False),
        sa.Column("verdict", sa.String(16), nullable=False),
        sa.Column("decision", sa.String(16), nullable=False),
        sa.Column("calibration", sa.String(64), nullable=False),
        sa.Column("parts", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint(
            "line", "hour", "verdict", "decision", "calibration", name="pk_hourly"
        ),
    )
    op.create_table(
        "note",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_note"),
    )
    op.create_table(
        "line_version",
        sa.Column("line", sa.String(64), nullable=False),
        sa.Column("number", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("configuration", sa.JSON, nullable=False),
        sa.Column("since", sa.DateTime, nullable=False),
        sa.PrimaryKeyConstraint("line", "number", name="pk_line_version"),
    )
    op.create_table(
        "model",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("line", sa.String(64), nullable=False),
        sa.Column("record", sa.JSON, nullable=False),
        sa.Column("since", sa.DateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_model"),
    )
    op.create_table(
        "calibration",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("line", sa.String(64), nullable=False),
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("record", sa.JSON, nullable=False),
        sa.Column("since", sa.DateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_calibration"),
    )


def _fill() -> None:
    op.execute(
        "UPDATE inspection SET status = CASE WHEN decision IS NOT NULL THEN 'decided' "
        "WHEN verdict != 'pass' THEN 'waiting' ELSE 'filed' END, "
        f"priority = coalesce(-{_MARGIN}, -1e9), doubt = coalesce(abs({_MARGIN}), -1), "
        "version = (SELECT count(*) FROM decision WHERE decision.inspection_id = inspection.id)"
    )
    hour = (
        "date_trunc('hour', inspected_at)"
        if op.get_bind().dialect.name == "postgresql"
        else "strftime('%Y-%m-%d %H:00:00.000000', inspected_at)"
    )
    op.execute(
        "INSERT INTO hourly (line, hour, verdict, decision, calibration, parts) "
        f"SELECT line, {hour}, verdict, coalesce(decision, ''), calibration, count(*) "
        "FROM inspection GROUP BY 1, 2, 3, 4, 5"
    )
    notes = sa.table("note", sa.column("name"), sa.column("value"))
    op.execute(notes.insert().values(name="store_id", value=uuid.uuid4().hex))


def _guard_sqlite() -> None:
    # REPLACE deletes without asking the triggers below.
    for table, again in (
        ("audit", "number = NEW.number"),
        ("decision", "id = NEW.id OR client_id = NEW.client_id"),
        # Not by its key: the same part twice is no mistake.
        ("inspection", "id = NEW.id"),
    ):
        op.execute(
            f"CREATE TRIGGER {table}_once BEFORE INSERT ON {table} "
            f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {again}) "
            f"BEGIN SELECT RAISE(ABORT, '{table}: entries cannot be changed'); END"
        )
    op.execute(
        "CREATE TRIGGER inspection_grows BEFORE DELETE ON inspection "
        "WHEN OLD.status IS NOT 'expired' "
        "BEGIN SELECT RAISE(ABORT, 'inspection: entries cannot be deleted'); END"
    )
    # A program of an earlier version knows no status, and its flagged parts would wait nowhere.
    op.execute(
        "CREATE TRIGGER inspection_waits BEFORE INSERT ON inspection "
        "WHEN NEW.status = 'filed' AND NEW.verdict != 'pass' "
        "BEGIN SELECT RAISE(ABORT, 'inspection: a flagged part must wait; update the program'); END"
    )
    for table in ("audit", "decision"):
        op.execute(
            f"CREATE TRIGGER {table}_stays BEFORE UPDATE ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table}: entries cannot be changed'); END"
        )
    op.execute(
        "CREATE TRIGGER audit_grows BEFORE DELETE ON audit "
        "BEGIN SELECT RAISE(ABORT, 'audit: entries cannot be deleted'); END"
    )
    op.execute(
        "CREATE TRIGGER decision_grows BEFORE DELETE ON decision "
        "WHEN (SELECT status FROM inspection WHERE id = OLD.inspection_id) IS NOT 'expired' "
        "BEGIN SELECT RAISE(ABORT, 'decision: entries cannot be deleted'); END"
    )
    op.execute(
        f"CREATE TRIGGER inspection_stays BEFORE UPDATE OF {_SAID} ON inspection "
        "BEGIN SELECT RAISE(ABORT, 'inspection: what was said cannot be changed'); END"
    )


def _guard_postgresql() -> None:
    op.execute(
        "CREATE FUNCTION cdm_inspect_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "RAISE EXCEPTION '%: what is recorded cannot be changed or deleted', TG_TABLE_NAME; "
        "END $$"
    )
    op.execute(
        "CREATE FUNCTION cdm_inspect_refuse_unless_expired() RETURNS trigger LANGUAGE plpgsql "
        "AS $$ BEGIN IF (SELECT status FROM inspection WHERE id = OLD.inspection_id) "
        "IS DISTINCT FROM 'expired' THEN "
        "RAISE EXCEPTION 'decision: entries cannot be deleted'; END IF; RETURN OLD; END $$"
    )
    op.execute(
        "CREATE FUNCTION cdm_inspect_refuse_inspection() RETURNS trigger LANGUAGE plpgsql AS $$ "
        "BEGIN IF TG_OP = 'INSERT' THEN IF NEW.status = 'filed' AND NEW.verdict <> 'pass' THEN "
        "RAISE EXCEPTION 'inspection: a flagged part must wait; update the program'; END IF; "
        "RETURN NEW; END IF; IF OLD.status IS DISTINCT FROM 'expired' THEN "
        "RAISE EXCEPTION 'inspection: entries cannot be deleted'; END IF; RETURN OLD; END $$"
    )
    op.execute(
        "CREATE TRIGGER inspection_grows BEFORE INSERT OR DELETE ON inspection FOR EACH ROW "
        "EXECUTE FUNCTION cdm_inspect_refuse_inspection()"
    )
    for name, when, table, action in (
        ("audit_stays", "UPDATE OR DELETE", "audit", "ROW"),
        ("audit_whole", "TRUNCATE", "audit", "STATEMENT"),
        ("decision_stays", "UPDATE", "decision", "ROW"),
        ("decision_whole", "TRUNCATE", "decision", "STATEMENT"),
        ("inspection_stays", f"UPDATE OF {_SAID}", "inspection", "ROW"),
    ):
        op.execute(
            f"CREATE TRIGGER {name} BEFORE {when} ON {table} FOR EACH {action} "
            "EXECUTE FUNCTION cdm_inspect_refuse()"
        )
    op.execute(
        "CREATE TRIGGER decision_grows BEFORE DELETE ON decision FOR EACH ROW "
        "EXECUTE FUNCTION cdm_inspect_refuse_unless_expired()"
    )
