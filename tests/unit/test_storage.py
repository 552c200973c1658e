"""One suite over every database: SQLite always, PostgreSQL where a server can be reached."""

import json
import os
import threading
import time
import uuid
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from cdm_inspect.errors import StorageError
from cdm_inspect.images import decode_heatmap
from cdm_inspect.records import Decision, Inspection, InspectionQuery, Review, Verdict
from cdm_inspect.review import ReviewDesk
from cdm_inspect.storage import SqlStore, upgrade_database, versions
from cdm_inspect.storage.schema import VERSION_TABLE
from cdm_inspect.storage.sql import _ARRIVAL_LOCK

SERVER = os.environ.get("CDM_INSPECT_TEST_POSTGRES", "postgresql+psycopg://postgres@127.0.0.1/")


@pytest.fixture(scope="session")
def postgres():
    """A database of its own on a running PostgreSQL server."""
    name = f"cdm_inspect_{uuid.uuid4().hex[:8]}"
    admin = create_engine(f"{SERVER}postgres", isolation_level="AUTOCOMMIT")
    try:
        with admin.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
    except SQLAlchemyError as error:
        pytest.skip(
            f"no PostgreSQL at {SERVER}: the store was tested on SQLite only. Start a server "
            f"or set CDM_INSPECT_TEST_POSTGRES. ({type(error).__name__})"
        )
    yield f"{SERVER}{name}"
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, tmp_path):
    url = "sqlite:///cdm.db"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres")
        engine = create_engine(url)
        with engine.begin() as connection:
            connection.execute(text("DROP SCHEMA public CASCADE; CREATE SCHEMA public"))
        engine.dispose()
    with SqlStore(url, "images/", root=tmp_path) as opened:
        yield opened


def inspection(number=0, **changes):
    facts = dict(
        image=Path(f"part {number}.png"),
        sha256=f"{number:064x}",
        line="A",
        verdict=Verdict.REJECT,
        model="m",
        calibration="c",
        scorer="residual",
        threshold=1.0,
        score=float(number),
        p_value=0.02,
        heatmap=np.random.default_rng(number).normal(size=(6, 8)).astype(np.float32),
    )
    return Inspection(**{**facts, **changes})


def review(number, decision=Decision.ACCEPT, **changes):
    facts = dict(
        client_id=uuid.uuid4().hex, inspection_id=number, decision=decision, reviewer="sato"
    )
    return Review(**{**facts, **changes})


def at_once(count, call):
    """Call from so many threads; what went wrong."""
    errors = []

    def guarded():
        try:
            call()
        except StorageError as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


def test_an_inspection_comes_back_whole(store):
    given = inspection(3)
    kept = store.append(given, evidence=b"bytes of the file")
    assert store.read_file(kept.image_sha256) == b"bytes of the file"
    heatmap = decode_heatmap(
        store.read_file(kept.heatmap_sha256), kept.heatmap_scale, kept.heatmap_offset
    )
    assert np.abs(heatmap - given.heatmap).max() <= kept.heatmap_scale
    again = store.get(kept.id)
    assert again == kept
    assert again.inspected_at == given.inspected_at
    assert again.inspected_at.tzinfo is not None
    assert again.image == "part 3.png"
    assert store.get(10**6) is None


def test_the_same_part_twice_is_one_inspection(store):
    first = store.append(inspection(1), evidence=b"x")
    assert store.append(inspection(1), evidence=b"x") == first
    assert store.append(inspection(1, model="newer"), evidence=b"x").id != first.id
    assert store.count(InspectionQuery(line="A")) == 2


def test_ten_at_once_are_one_inspection(store):
    assert at_once(10, lambda: store.append(inspection(5), evidence=b"y")) == []
    assert store.count(InspectionQuery()) == 1


def test_queries_filter_order_and_page(store):
    for number in range(1, 7):
        verdict = Verdict.PASS if number < 3 else Verdict.REJECT
        store.append(inspection(number, verdict=verdict), evidence=None)
    store.append(
        inspection(9, verdict=Verdict.UNDECIDED, score=None, p_value=None, heatmap=None, line="B"),
        evidence=None,
    )
    flagged = InspectionQuery(line="A", verdicts=(Verdict.REJECT,))
    assert [i.score for i in store.find(flagged)] == [3, 4, 5, 6]
    by_score = replace(flagged, order_by_score=True, limit=2)
    assert [i.score for i in store.find(by_score)] == [6, 5]
    page = store.find(replace(flagged, limit=2))
    assert [i.score for i in store.find(replace(flagged, after_id=page[-1].id))] == [5, 6]
    assert store.find(InspectionQuery(newest_first=True, limit=1))[0].line == "B"
    assert store.lines() == ["A", "B"]


def test_decisions_are_kept_beside_each_other_and_chained(store):
    kept = store.append(inspection(1), evidence=None)
    first = review(kept.id, Decision.ACCEPT, comment="dust, 埃")
    assert store.record_review(first).decision is Decision.ACCEPT
    assert store.record_review(first).decision is Decision.ACCEPT  # sent twice, kept once
    changed = store.record_review(review(kept.id, Decision.REJECT, reviewer="ito"))
    assert (changed.decision, changed.reviewer) == (Decision.REJECT, "ito")
    assert [r.decision for r in store.reviews(kept.id)] == [Decision.ACCEPT, Decision.REJECT]
    assert store.reviews(kept.id)[0].comment == "dust, 埃"
    assert store.verify() == (2, None)
    assert store.count(InspectionQuery(is_decided=False)) == 0
    with pytest.raises(StorageError, match="no inspection 999"):
        store.record_review(review(999))


@pytest.mark.parametrize(
    ("tampering", "bad"),
    [
        ("UPDATE audit SET entry = replace(entry, 'accept', 'reject') WHERE number = 2", 2),
        ("UPDATE audit SET previous = hash WHERE number = 3", 3),
        ("DELETE FROM audit WHERE number = 2", 2),
    ],
)
def test_tampering_is_found_at_its_place(store, tampering, bad):
    kept = store.append(inspection(1), evidence=None)
    for _ in range(4):
        store.record_review(review(kept.id))
    with store.engine.begin() as connection:
        connection.execute(text(tampering))
    assert store.verify()[1] == bad


def test_decisions_of_many_reviewers_are_all_kept(store):
    kept = [store.append(inspection(n), evidence=None).id for n in range(1, 4)]
    errors = []

    def decide(name):
        for number in kept * 3:
            try:
                store.record_review(review(number, reviewer=name))
            except StorageError as error:
                errors.append(error)

    threads = [threading.Thread(target=decide, args=(f"r{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert store.verify() == (36, None)


def test_the_desk_shows_what_waits_and_tells_observers(store):
    told = []
    desk = ReviewDesk(store, told.append)
    for number in range(1, 4):
        store.append(inspection(number), evidence=b"no image")
    store.append(inspection(8, verdict=Verdict.PASS), evidence=None)
    assert [part.score for part in desk.waiting("A")] == [3, 2, 1]
    assert desk.picture(desk.waiting("A")[0]) is None  # a file that is no image is no crash
    number = desk.waiting("A")[0].id
    desk.decide(number, Decision.UNSURE, reviewer="sato")
    assert told[0].inspection_id == number
    counts = desk.counts("A")
    assert (counts.inspected, counts.flagged, counts.waiting) == (4, 3, 2)
    assert [part.id for part in desk.decided("A")] == [number]


def test_files_are_checked_against_their_name(store, tmp_path):
    kept = store.append(inspection(1), evidence=b"evidence")
    (path,) = (tmp_path / "images").rglob(kept.image_sha256)
    path.write_bytes(b"evidencE")
    with pytest.raises(StorageError, match="changed"):
        store.read_file(kept.image_sha256)
    path.unlink()
    with pytest.raises(StorageError, match="missing"):
        store.read_file(kept.image_sha256)
    for name in ("../../etc/passwd", "a" * 63, "A" * 64, ""):
        with pytest.raises(StorageError, match="64 digits"):
            store.read_file(name)


def test_what_was_stored_is_there_after_a_restart(tmp_path):
    with SqlStore("sqlite:///x.db", "images", root=tmp_path) as first:
        kept = first.append(inspection(1), evidence=b"z")
        first.record_review(review(kept.id))
    with SqlStore("sqlite:///x.db", "images", root=tmp_path) as second:
        assert second.get(kept.id).decision is Decision.ACCEPT
        assert second.verify() == (1, None)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense", "expected a database URL"),
        ("sqlite:///no/such/folder/x.db", "cannot be used"),
        ("postgresql+psycopg://postgres@127.0.0.1:1/none", "cannot be used"),
    ],
)
def test_a_store_that_cannot_be_opened_says_so(tmp_path, url, message):
    with pytest.raises(StorageError, match=message):
        SqlStore(url, "images", root=tmp_path)


def test_garbage_foreign_and_newer_databases_are_not_touched(tmp_path):
    garbage = tmp_path / "garbage.db"
    garbage.write_bytes(b"this is no database " * 100)
    with pytest.raises(StorageError, match="not a database"):
        SqlStore("sqlite:///garbage.db", "images", root=tmp_path)
    assert garbage.read_bytes() == b"this is no database " * 100
    with (
        SqlStore("sqlite:///newer.db", "images", root=tmp_path) as store,
        store.engine.begin() as connection,
    ):
        connection.execute(text("UPDATE cdm_inspect_revision SET version_num = '9999'"))
    with pytest.raises(StorageError, match="schema 9999"):
        SqlStore("sqlite:///newer.db", "images", root=tmp_path)
    foreign = create_engine(f"sqlite:///{tmp_path}/foreign.db")
    with foreign.begin() as connection:
        connection.execute(text("CREATE TABLE decision (x int)"))
    foreign.dispose()
    with pytest.raises(StorageError, match="another program"):
        SqlStore("sqlite:///foreign.db", "images", root=tmp_path)
    with pytest.raises(StorageError, match="expected a folder"):
        SqlStore("sqlite:///x.db", "s3://bucket/x", root=tmp_path)


def test_a_full_disk_records_nothing(tmp_path, monkeypatch):
    with SqlStore("sqlite:///x.db", "images", root=tmp_path) as store:

        def full(descriptor):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.fsync", full)
        with pytest.raises(StorageError, match=r"not recorded.*No space left"):
            store.append(inspection(1), evidence=b"x")
        assert store.count(InspectionQuery()) == 0


def test_where_charts_stand_only_moves_on(store):
    assert store.position("A/1") is None
    store.keep_position("A/1", 5, {"level": 1.5})
    store.keep_position("A/1", 3, {"level": 0.0})  # of a slower process
    assert store.position("A/1") == (5, {"level": 1.5})
    store.keep_position("A/1", 6, {"level": 2.0})
    assert store.position("A/1") == (6, {"level": 2.0})


def test_the_tables_are_those_that_the_program_describes(store):
    with store.engine.connect() as connection:
        assert versions.compare_schema(connection) == []


def first_schema(store):
    """Tables as the first version made them, and one inspection and its decision in them."""
    kept = store.append(inspection(2), evidence=b"z")
    store.record_review(review(kept.id))
    dialect = store.engine.dialect.name
    schema = (Path(__file__).parent / "schemas" / f"0001-{dialect}.sql").read_text()
    with store.engine.execution_options(is_writing=True).begin() as connection:
        rows = {
            name: [dict(row._mapping) for row in connection.execute(text(f"SELECT * FROM {name}"))]
            for name in ("inspection", "decision", "audit")
        }
        for table in ("chart", "audit", "decision", "inspection", VERSION_TABLE):
            connection.execute(text(f"DROP TABLE {table}"))
        for statement in schema.split(";"):
            if statement.strip():
                connection.execute(text(statement))
        for name, found in rows.items():
            for row in found:
                row.pop("acquisition", None)
                if dialect == "postgresql" and "regions" in row:
                    row["regions"] = json.dumps(row["regions"])
                columns = ", ".join(row)
                values = ", ".join(f":{column}" for column in row)
                connection.execute(text(f"INSERT INTO {name} ({columns}) VALUES ({values})"), row)
    return kept


def test_an_older_schema_is_upgraded_with_what_is_in_it(store, tmp_path):
    kept = first_schema(store)
    url = store.url.render_as_string(hide_password=False)
    with pytest.raises(StorageError, match=r"has schema 0001.*store upgrade"):
        SqlStore(url, "images/", root=tmp_path)
    if store.engine.dialect.name == "postgresql":
        with pytest.raises(StorageError, match="make a backup"):
            upgrade_database(url, root=tmp_path)
    before, backup = upgrade_database(url, root=tmp_path, has_backup=True)
    assert before == "0001"
    with SqlStore(url, "images/", root=tmp_path) as opened:
        again = opened.get(kept.id)
        assert (again.score, again.decision) == (kept.score, Decision.ACCEPT)
        assert again.acquisition == {}
        assert opened.verify() == (1, None)
        with opened.engine.connect() as connection:
            assert versions.compare_schema(connection) == []
    if backup:
        copy = create_engine(f"sqlite:///{backup}")
        with copy.connect() as connection:
            assert connection.scalar(text("SELECT version FROM cdm_inspect_schema")) == 1
            assert connection.scalar(text("SELECT count(*) FROM inspection")) == 1
        copy.dispose()
    assert upgrade_database(url, root=tmp_path, has_backup=True) == ("", "")


def test_a_newer_schema_is_refused(store, tmp_path):
    with store.engine.execution_options(is_writing=True).begin() as connection:
        connection.execute(text("UPDATE cdm_inspect_revision SET version_num = '9999'"))
    url = store.url.render_as_string(hide_password=False)
    for attempt in (
        lambda: SqlStore(url, "images/", root=tmp_path),
        lambda: upgrade_database(url, root=tmp_path, has_backup=True),
    ):
        with pytest.raises(StorageError, match="knows none newer than"):
            attempt()


def test_an_upgrade_that_fails_leaves_everything_as_it_was(store, tmp_path, monkeypatch):
    first_schema(store)

    def fail(connection, original=versions.migrate):
        original(connection)
        raise StorageError("the disk is full")

    monkeypatch.setattr(versions, "migrate", fail)
    url = store.url.render_as_string(hide_password=False)
    with pytest.raises(StorageError, match="disk is full"):
        upgrade_database(url, root=tmp_path, has_backup=True)
    with store.engine.connect() as connection:
        assert versions.find_revision(connection, "here") == "0001"
        assert connection.scalar(text("SELECT count(*) FROM inspection")) == 1


def test_several_that_open_a_new_database_at_once_make_it_once(store, tmp_path):
    with store.engine.execution_options(is_writing=True).begin() as connection:
        for table in ("chart", "audit", "decision", "inspection", VERSION_TABLE):
            connection.execute(text(f"DROP TABLE {table}"))
    url = store.url.render_as_string(hide_password=False)
    assert at_once(6, lambda: SqlStore(url, "images/", root=tmp_path).engine.dispose()) == []
    assert store.count(InspectionQuery()) == 0


def test_the_newest_revision_is_the_one_that_the_program_needs(store):
    with store.engine.connect() as connection:
        scripts = ScriptDirectory.from_config(versions._alembic_config(connection))
    assert scripts.get_current_head() == versions.SCHEMA


def test_another_program_with_alembic_in_the_same_database_is_no_hindrance(store, tmp_path):
    kept = store.append(inspection(2), evidence=b"z")
    with store.engine.execution_options(is_writing=True).begin() as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32))"))
        connection.execute(text("INSERT INTO alembic_version VALUES ('ae1027a6acf'), ('0001')"))
    url = store.url.render_as_string(hide_password=False)
    with SqlStore(url, "images/", root=tmp_path) as opened:
        assert opened.get(kept.id) == kept


@pytest.mark.parametrize("store", ["postgresql"], indirect=True)  # SQLite has one writer at a time
def test_who_reads_forwards_misses_no_part_that_is_on_its_way(store):
    """A server numbers rows before others can see them; the reader waits, and holds up nobody."""
    stored = [store.append(inspection(0), evidence=None)]
    with store._writing() as session:
        # As `append` of another station, which has its number and is not done yet.
        store._lock(session, _ARRIVAL_LOCK, is_shared=True)
        session.execute(text("SELECT nextval(pg_get_serial_sequence('inspection', 'id'))"))
        began = time.monotonic()
        assert store.find(InspectionQuery(after_id=0)) == []
        assert time.monotonic() - began < 5
        # Readers that ask again and again keep no other station from writing.
        readers = [
            threading.Thread(target=store.find, args=(InspectionQuery(after_id=0),))
            for _ in range(3)
        ]
        for reader in readers:
            reader.start()
        began = time.monotonic()
        stored.append(store.append(inspection(2), evidence=None))
        assert time.monotonic() - began < 0.4
        for reader in readers:
            reader.join()
        assert [part.id for part in stored] == [1, 3]
        # Who does not read forwards sees what there is.
        assert [part.id for part in store.find(InspectionQuery())] == [1, 3]
        session.execute(
            text(
                "INSERT INTO inspection SELECT (jsonb_populate_record(NULL::inspection, "
                'to_jsonb(i) || \'{"id": 2, "key": "k"}\')).* FROM inspection i WHERE id = 1'
            )
        )
    assert [part.id for part in store.find(InspectionQuery(after_id=0))] == [1, 2, 3]


@pytest.mark.parametrize("store", ["postgresql"], indirect=True)
def test_a_station_that_freezes_in_the_midst_is_thrown_out(store):
    with store.engine.connect() as connection:
        shown = connection.execute(text("SHOW idle_in_transaction_session_timeout")).scalar()
    assert shown == "1min"
