"""Set-up and upgrade of the tables: from every revision, with what is in them."""

import json
import re
import threading
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, text

from cdm_inspect.errors import StorageError
from cdm_inspect.records import Decision, InspectionQuery, Order, Verdict
from cdm_inspect.storage import SqlStore, SqlUpkeep, versions
from cdm_inspect.storage.audit import first_bad_entry
from cdm_inspect.storage.schema import VERSION_TABLE, Base
from cdm_inspect.testing.specimens import a_part, a_review, evidence_of

REVISIONS = ("0001", "0002", "0003")
SCHEMAS = Path(__file__).parent / "schemas"


def drop_all(connection):
    server = connection.dialect.name == "postgresql"
    if server:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
        return
    for table in (*reversed(Base.metadata.sorted_tables), VERSION_TABLE):
        connection.execute(text(f"DROP TABLE {table}"))


def as_revision(store, revision):
    """What a store holds, in the tables that an older version would have made for it."""
    dialect = store.engine.dialect.name
    schema = (SCHEMAS / f"{revision}-{dialect}.sql").read_text()
    with store.engine.execution_options(is_writing=True).begin() as connection:
        rows = {
            table.name: [
                dict(row._mapping)
                for row in connection.execute(text(f"SELECT * FROM {table.name}"))
            ]
            for table in Base.metadata.sorted_tables
        }
        drop_all(connection)
        for statement in re.split(r";\n+(?=\S)", schema):
            if statement.strip():
                connection.execute(text(statement))
        tables = inspect(connection)
        for name, found in rows.items():
            if not tables.has_table(name):
                continue
            known = {column["name"] for column in tables.get_columns(name)}
            for row in found:
                kept = {
                    column: json.dumps(value) if isinstance(value, (dict, list)) else value
                    for column, value in row.items()
                    if column in known
                }
                columns = ", ".join(kept)
                values = ", ".join(f":{column}" for column in kept)
                connection.execute(text(f"INSERT INTO {name} ({columns}) VALUES ({values})"), kept)
        if dialect == "postgresql":
            for name in ("inspection", "decision"):
                connection.execute(
                    text(
                        f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), "
                        f"(SELECT max(id) FROM {name}))"
                    )
                )


def fill(store):
    """Parts of every kind, as the oldest version could keep them."""
    plain = {"serial": "", "lot": "", "station": "", "camera": ""}
    kept = [
        store.append(a_part(n, **plain, **change), evidence=evidence_of(n))
        for n, change in enumerate(
            (
                {"verdict": Verdict.PASS, "score": 0.5},
                {"score": 4.0},
                {"score": 2.0},
                {"verdict": Verdict.UNDECIDED, "score": None, "p_value": None, "threshold": None},
                {"line": "B", "threshold": 0.0},
            )
        )
    ]
    for number in (1, 4):
        for decision in (Decision.ACCEPT, Decision.REJECT):
            store.record_review(
                a_review(kept[number].id, decision, reason="", region=None, role="", seen_ms=None)
            )
    store.keep_position("sink/x", 3, {})
    return [store.get(part.id) for part in kept]


@pytest.mark.parametrize("revision", REVISIONS)
def test_an_older_schema_is_upgraded_with_what_is_in_it(store, url, upkeep, tmp_path, revision):
    kept = fill(store)
    reviews = store.reviews(kept[1].id)
    waiting = store.find(InspectionQuery(is_waiting=True, order=Order.ODDEST))
    hours = {line: store.hourly(line) for line in "AB"}
    as_revision(store, revision)
    with pytest.raises(StorageError, match=rf"has schema {revision}.*store upgrade"):
        SqlStore(url, "images/", root=tmp_path)
    before, backup = upkeep.upgrade(has_backup=False)
    assert before == revision
    lost = {"restoration_sha256": ""} | ({"acquisition": {}} if revision == "0001" else {})
    with SqlStore(url, "images/", root=tmp_path) as opened:
        for part in kept:
            again = opened.get(part.id)
            assert again == type(part)(**{**vars(part), **lost})
        assert opened.reviews(kept[1].id) == reviews
        found = opened.find(InspectionQuery(is_waiting=True, order=Order.ODDEST))
        assert [part.id for part in found] == [part.id for part in waiting]
        assert {line: opened.hourly(line) for line in "AB"} == hours
        with opened.database.reading() as session:
            assert first_bad_entry(session) == (4, None)
            assert versions.compare_schema(session.connection()) == []
        if revision != "0001":
            assert opened.position("sink/x") == (3, {})
        # And it goes on: numbers, chain, guards.
        new = opened.append(a_part(9), evidence=None)
        assert new.id > kept[-1].id
        opened.record_review(a_review(new.id))
    assert Path(backup).exists()
    if url.startswith("sqlite"):
        copy = create_engine(f"sqlite:///{backup}")
        with copy.connect() as connection:
            assert versions.find_revision(connection, "copy") == revision
            assert connection.scalar(text("SELECT count(*) FROM inspection")) == len(kept)
        copy.dispose()
    else:
        trial = SqlUpkeep("sqlite:///unused.db", "images/", root=tmp_path)
        copied = trial.restore(Path(backup), is_trial=True, progress=lambda *said: None)
        assert copied.rows["inspection"] == len(kept)
        assert copied.schema == revision
    assert upkeep.upgrade(has_backup=False) == ("", "")


def test_the_tables_are_those_that_the_program_describes(store):
    with store.engine.connect() as connection:
        assert versions.compare_schema(connection) == []


def test_a_newer_schema_is_refused(store, url, upkeep, tmp_path):
    with store.engine.execution_options(is_writing=True).begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    for attempt in (
        lambda: SqlStore(url, "images/", root=tmp_path),
        lambda: upkeep.upgrade(has_backup=True),
    ):
        with pytest.raises(StorageError, match="knows none newer than"):
            attempt()


def test_an_upgrade_that_fails_leaves_everything_as_it_was(store, upkeep, monkeypatch):
    fill(store)
    as_revision(store, "0001")

    def fail(connection, original=versions.migrate):
        original(connection)
        raise StorageError("the disk is full")

    monkeypatch.setattr(versions, "migrate", fail)
    with pytest.raises(StorageError, match="disk is full"):
        upkeep.upgrade(has_backup=True)
    with store.engine.connect() as connection:
        assert versions.find_revision(connection, "here") == "0001"
        assert connection.scalar(text("SELECT count(*) FROM inspection")) == 5


def test_several_that_open_a_new_database_at_once_make_it_once(url, tmp_path):
    errors = []

    def open_it():
        try:
            with SqlStore(url, "images/", root=tmp_path) as opened:
                opened.append(a_part(1), evidence=evidence_of(1))
        except StorageError as error:
            errors.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    with SqlStore(url, "images/", root=tmp_path) as opened:
        assert opened.count(InspectionQuery()) == 1


def test_the_newest_revision_is_the_one_that_the_program_needs(store):
    with store.engine.connect() as connection:
        scripts = ScriptDirectory.from_config(versions._alembic_config(connection))
    assert scripts.get_current_head() == versions.SCHEMA
    # Each but the newest has its tables among those that the upgrade is tried from.
    older = {script.revision for script in scripts.walk_revisions()} - {versions.SCHEMA}
    assert older == set(REVISIONS)


def test_another_program_with_alembic_in_the_same_database_is_no_hindrance(store, url, tmp_path):
    kept = store.append(a_part(2), evidence=b"z")
    with store.engine.execution_options(is_writing=True).begin() as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32))"))
        connection.execute(text("INSERT INTO alembic_version VALUES ('ae1027a6acf'), ('0001')"))
    with SqlStore(url, "images/", root=tmp_path) as opened:
        assert opened.get(kept.id) == kept
