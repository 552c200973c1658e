"""Inspections and decisions, over every database: SQLite always, PostgreSQL where it runs."""

import datetime as dt
import json
import threading
import time
import uuid
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import event, select, text
from sqlalchemy.exc import SQLAlchemyError

from cdm_inspect.errors import DecisionConflict, StorageError
from cdm_inspect.images import decode_heatmap
from cdm_inspect.records import (
    Decision,
    Event,
    Inspection,
    InspectionQuery,
    JudgingSetup,
    Order,
    Review,
    Verdict,
)
from cdm_inspect.storage import SqlStore, queue
from cdm_inspect.storage.audit import first_bad_entry
from cdm_inspect.storage.reading import ARRIVAL_LOCK
from cdm_inspect.storage.schema import AuditRow, CalibrationRow, LineVersionRow, ModelRow


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


def chain(store):
    """Entries of the audit chain, and the first bad one."""
    with store.database.reading() as session:
        return first_bad_entry(session)


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
    by_score = replace(flagged, order=Order.ODDEST, limit=2)
    assert [i.score for i in store.find(by_score)] == [6, 5]
    page = store.find(replace(flagged, limit=2))
    assert [i.score for i in store.find(replace(flagged, after_id=page[-1].id))] == [5, 6]
    assert store.find(InspectionQuery(order=Order.NEWEST, limit=1))[0].line == "B"
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
    assert chain(store) == (2, None)
    assert store.count(InspectionQuery(is_decided=False)) == 0
    with pytest.raises(StorageError, match="no inspection 999"):
        store.record_review(review(999))


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
    assert chain(store) == (36, None)


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
        assert chain(second) == (1, None)


def test_where_charts_stand_only_moves_on(store):
    assert store.position("A/1") is None
    store.keep_position("A/1", 5, {"level": 1.5})
    store.keep_position("A/1", 3, {"level": 0.0})  # of a slower process
    assert store.position("A/1") == (5, {"level": 1.5})
    store.keep_position("A/1", 6, {"level": 2.0})
    assert store.position("A/1") == (6, {"level": 2.0})


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)  # SQLite has one writer at a time
def test_who_reads_forwards_misses_no_part_that_is_on_its_way(store):
    """A server numbers rows before others can see them; the reader waits, and holds up nobody."""
    stored = [store.append(inspection(0), evidence=None)]
    with store.database.writing() as session:
        # As `append` of another station, which has its number and is not done yet.
        store.database.lock(session, ARRIVAL_LOCK, is_shared=True)
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


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_a_station_that_freezes_in_the_midst_is_thrown_out(store):
    with store.engine.connect() as connection:
        shown = connection.execute(text("SHOW idle_in_transaction_session_timeout")).scalar()
    assert shown == "1min"


def test_what_the_machine_said_and_what_people_decided_cannot_be_changed(store):
    kept = store.append(inspection(1), evidence=None)
    store.record_review(review(kept.id))
    for statement in (
        "UPDATE inspection SET verdict = 'pass'",
        "UPDATE inspection SET score = 0",
        "UPDATE decision SET decision = 'reject'",
        "DELETE FROM decision",
        "UPDATE audit SET entry = '{}'",
        "DELETE FROM audit",
    ):
        with (
            pytest.raises(SQLAlchemyError, match=r"cannot be (changed|deleted)"),
            store.engine.execution_options(is_writing=True).begin() as connection,
        ):
            connection.execute(text(statement))
    assert store.get(kept.id).verdict is Verdict.REJECT
    assert chain(store) == (1, None)


def test_a_refused_decision_is_in_the_audit_too(store):
    kept = store.append(inspection(1), evidence=None)
    store.record_review(review(kept.id, version=0))
    with pytest.raises(DecisionConflict, match=r"sato has decided part .* accept"):
        store.record_review(review(kept.id, Decision.REJECT, reviewer="ito", version=0))
    with store.database.reading() as session:
        entries = [json.loads(entry) for entry in session.scalars(select(AuditRow.entry))]
    assert [(entry["action"], entry["who"]) for entry in entries] == [
        ("decide", "sato"),
        ("refuse", "ito"),
    ]


@pytest.mark.parametrize("is_kept", [True, False])
def test_an_event_is_told_once_whatever_becomes_of_the_answer(store, monkeypatch, is_kept):
    """Of a commit whose answer was lost nobody knows whether the database has it."""
    dialect, lost = store.engine.dialect, []
    commit = dialect.do_commit

    def lose(connection):
        if is_kept or lost:
            commit(connection)
        if not lost:
            lost.append(connection)
            raise dialect.loaded_dbapi.OperationalError("the database is locked")

    stated = Event(action="paint-roof", who="佐藤", line="A", facts={"cost": 1.5, "colour": None})
    store.record_event(replace(stated, who="earlier"))
    with monkeypatch.context() as patch:
        patch.setattr(dialect, "do_commit", lose)
        store.record_event(stated)
    assert lost
    # Another one, alike but for the time of it.
    store.record_event(replace(stated, at=stated.at + dt.timedelta(microseconds=1)))
    assert [event.who for event in store.events()] == ["佐藤", "佐藤", "earlier"]
    assert chain(store) == (3, None)


def test_the_queue_compares_scores_of_different_scorers_by_their_thresholds(store):
    for number, score, threshold in ((1, 300.0, 200.0), (2, 4.0, 1.0), (3, 2.1, 2.0)):
        store.append(inspection(number, score=score, threshold=threshold), evidence=None)
    assert [part.id for part in store.find(InspectionQuery(order=Order.ODDEST))] == [2, 1, 3]
    assert [part.id for part in store.find(InspectionQuery(order=Order.UNCERTAIN))] == [3, 1, 2]


def test_with_what_a_line_judges_is_kept_in_versions(store):
    setup = JudgingSetup(
        line="A",
        configuration={"preset": "small"},
        model="m",
        model_record={"steps": 3},
        calibration="c",
        calibration_record={"threshold": 1.5},
    )
    other = replace(setup, configuration={"preset": "base"}, calibration="d")
    for given in (setup, setup, other, other):
        store.record_setup(given)
    with store.database.reading() as session:
        versions = session.scalars(select(LineVersionRow).order_by(LineVersionRow.number)).all()
        assert [(v.number, v.configuration["preset"]) for v in versions] == [
            (1, "small"),
            (2, "base"),
        ]
        assert [m.record for m in session.scalars(select(ModelRow))] == [{"steps": 3}]
        calibrations = session.scalars(select(CalibrationRow.id).order_by(CalibrationRow.id))
        assert list(calibrations) == ["c", "d"]
    assert chain(store) == (2, None)


def test_pages_go_on_behind_a_part_that_is_gone(store):
    for number in range(1, 4):
        store.append(inspection(number), evidence=None)
    after = InspectionQuery(order=Order.ODDEST, after_id=999)
    assert store.find(after) == []
    assert [p.id for p in store.find(InspectionQuery(after_id=1))] == [2, 3]


def test_text_that_no_database_takes_is_kept_readable(store):
    part = store.append(
        inspection(
            1, reason="scorer_failed: \0 and \ud800", serial="7\0", image=Path("a\ud800.png")
        ),
        evidence=None,
    )
    assert part.reason == "scorer_failed: \\x00 and \\ud800"
    decided = store.record_review(review(part.id, comment="\0 \ud800"))
    assert decided.decision is Decision.ACCEPT
    assert store.reviews(part.id)[0].comment == "\\x00 \\ud800"
    assert store.find(InspectionQuery(serial="\ud800")) == []
    assert store.get(2**70) is None
    with pytest.raises(StorageError, match="reviewer of at most 128 characters, found 200"):
        store.record_review(review(part.id, reviewer="x" * 200))


def test_a_score_that_is_no_number_is_none(store):
    part = store.append(inspection(1, score=float("nan"), p_value=float("inf")), evidence=None)
    assert (store.get(part.id).score, part.p_value) == (None, None)
    assert [p.id for p in store.find(InspectionQuery(order=Order.ODDEST))] == [part.id]


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_a_loan_that_has_ended_may_be_another_ones_by_now(store):
    kept = store.append_many([(inspection(n), None) for n in range(1, 4)])
    store.claim("A", "sato", seconds=0.0)
    with store.database.writing() as session:
        # Ito is lent them, and is not done yet.
        assert len(queue.claim(session, "A", "ito", count=9, seconds=120, order=Order.ODDEST)) == 3
        waiting = threading.Thread(target=lambda: found.extend(store.claim("A", "sato")))
        found = []
        waiting.start()
        time.sleep(0.5)
    waiting.join()
    assert found == []
    assert len(store.claim("A", "ito")) == len(kept)


def test_a_program_of_an_earlier_version_cannot_file_a_flagged_part(store):
    part = store.append(inspection(1), evidence=None)
    columns = (
        "image, sha256, line, verdict, model, calibration, scorer, regions, reason, inspected_at, "
        "image_sha256, heatmap_sha256, heatmap_scale, heatmap_offset, reviewer"
    )
    with (
        pytest.raises(SQLAlchemyError, match="update the program"),
        store.engine.execution_options(is_writing=True).begin() as connection,
    ):
        connection.execute(
            text(f"INSERT INTO inspection (key, {columns}) SELECT 'k', {columns} FROM inspection")
        )
    assert store.count(InspectionQuery()) == part.id


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_every_look_at_the_queue_goes_through_its_index(store):
    """Of a million parts a few thousand wait; whoever reads the others takes seconds."""
    said = []
    store.append_many([(inspection(n, serial=f"S{n}"), None) for n in range(1, 9)])
    event.listen(
        store.engine, "before_cursor_execute", lambda *facts: said.append((facts[2], facts[3]))
    )
    expected = {
        Order.ODDEST: "priority",
        Order.UNCERTAIN: "doubt",
        Order.OLDEST: "waiting",
        Order.RANDOM: "random",
    }
    for order, index in expected.items():
        for after in (None, 3):
            query = InspectionQuery(line="A", is_waiting=True, order=order, after_id=after)
            found = plan(store, said, partial(store.find, query))
            assert f"ix_inspection_{index} (line=?" in found
    waiting = InspectionQuery(line="A", is_waiting=True)
    counted = plan(store, said, partial(store.count, waiting))
    assert "SEARCH hourly" in counted
    decided = InspectionQuery(line="A", is_decided=True, order=Order.NEWEST)
    assert "ix_inspection_decided" in plan(store, said, lambda: store.find(decided))
    serial = InspectionQuery(serial="S3")
    assert "ix_inspection_serial (serial=?)" in plan(store, said, lambda: store.find(serial))
    lent = plan(store, said, lambda: store.claim("A", "sato"))
    assert "ix_inspection_claimed_by (claimed_by=?)" in lent
    assert "ix_inspection_priority (line=?)" in lent


def plan(store, said, work):
    """How SQLite goes about the statements of some work."""
    said.clear()
    work()
    asked = [(sql, values) for sql, values in said if sql.startswith("SELECT")]
    with store.engine.connect() as connection:
        return "\n".join(
            row[3]
            for sql, values in asked
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values)
        )
