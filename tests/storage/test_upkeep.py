"""Audit, backup, restore, retention, export: over every database."""

import csv
import datetime as dt
import gzip
import json
import os
import shutil
import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from cdm_inspect.errors import InvalidOption, StorageError
from cdm_inspect.monitoring.record_table import COLUMNS, export_records
from cdm_inspect.records import Decision, InspectionQuery, Purpose, Region, Verdict
from cdm_inspect.storage import SqlStore, SqlUpkeep
from cdm_inspect.storage.audit import KEY_VARIABLE, Anchor, AnchorFile
from cdm_inspect.testing.specimens import a_part, a_review, evidence_of

EVERYTHING = InspectionQuery(limit=10_000)


def no_progress(what, done, total):
    assert 0 <= done <= total, what


def fill(store, count=8):
    kept = store.append_many([(a_part(n), evidence_of(n)) for n in range(count)])
    for part in kept[:5]:
        store.record_review(a_review(part.id))
    return kept


def verify(upkeep, **changes):
    return upkeep.verify(**{"anchor": None, "has_files": False, "progress": no_progress, **changes})


def test_a_whole_record_is_sound(store, upkeep):
    fill(store)
    found = verify(upkeep, has_files=True)
    assert found.is_sound
    assert (found.entries, found.anchors, found.files) == (5, 1, 16)


@pytest.mark.parametrize(
    ("tampering", "bad"),
    [
        ("UPDATE audit SET entry = replace(entry, 'accept', 'reject') WHERE number = 2", 2),
        ("UPDATE audit SET previous = hash WHERE number = 3", 3),
        ("DELETE FROM audit WHERE number = 2", 2),
        ("DELETE FROM audit WHERE number = 1", 1),
    ],
)
def test_tampering_is_found_at_its_place(store, upkeep, as_owner, tampering, bad):
    fill(store)
    as_owner(tampering)
    assert verify(upkeep).first_bad == bad


def test_entries_that_changed_places_are_found(store, upkeep, as_owner):
    fill(store)
    as_owner(
        "UPDATE audit SET number = -2 WHERE number = 2",
        "UPDATE audit SET number = 2 WHERE number = 3",
        "UPDATE audit SET number = 3 WHERE number = -2",
    )
    assert verify(upkeep).first_bad == 2


def test_a_tail_that_was_cut_off_is_found_by_an_anchor(store, upkeep, as_owner, tmp_path):
    fill(store)
    assert upkeep.anchor().entries == 5
    elsewhere = tmp_path / "elsewhere.jsonl"
    shutil.copy(tmp_path / "audit-anchors.jsonl", elsewhere)
    as_owner("DELETE FROM audit WHERE number > 3")
    assert verify(upkeep).first_bad == 4
    # Also of a thorough forger.
    as_owner(
        "UPDATE inspection SET decision = NULL, reviewer = '', decided_at = NULL, version = 0, "
        "status = 'waiting' WHERE id > 3",
        "DELETE FROM decision WHERE id > 3",
    )
    assert verify(upkeep).first_bad == 4
    # Whoever cuts the tail may cut the store's own anchors as well.
    (tmp_path / "audit-anchors.jsonl").unlink()
    assert verify(upkeep).is_sound
    assert verify(upkeep, anchor=elsewhere).first_bad == 4
    with pytest.raises(StorageError, match="found none"):
        verify(upkeep, anchor=tmp_path / "nothing.jsonl")


def test_a_chain_that_was_made_anew_is_found_by_an_anchor(store, upkeep, as_owner):
    fill(store)
    upkeep.anchor()
    as_owner("DELETE FROM audit", "DELETE FROM decision")
    for part in store.find(EVERYTHING)[:5]:
        store.record_review(a_review(part.id, Decision.REJECT))
    assert verify(upkeep).first_bad == 1
    # And the program does not put its own name to it.
    with pytest.raises(StorageError, match="not the one that"):
        upkeep.anchor()
    assert verify(upkeep).first_bad == 1


def test_anchors_are_signed_with_a_key_that_the_database_does_not_hold(tmp_path, monkeypatch):
    anchor = Anchor(number=3, hash="0" * 64, at=dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
    monkeypatch.setenv(KEY_VARIABLE, "secret")
    file = AnchorFile(tmp_path / "anchors.jsonl")
    file.add(anchor)
    assert file.read() == [anchor]
    forged = file.path.read_text().replace('"number": 3', '"number": 2')
    file.path.write_text(forged)
    with pytest.raises(StorageError, match="line 1: the signature"):
        file.read()
    for line in ('{"number": 1}', '{"number": Infinity, "hash": "", "at": ""}', "[]"):
        file.path.write_text(line.replace("}", ', "hmac": "é"}') + "\n")
        with pytest.raises(StorageError, match="line 1"):
            file.read()
    # What a full disk leaves is no anchor, and keeps none from being read or written behind it.
    file.path.write_text('{"number": 3, "ha')
    file.add(anchor)
    assert file.read() == [anchor]
    # Lines of before there was a key tell nothing.
    monkeypatch.delenv(KEY_VARIABLE)
    AnchorFile(file.path).add(anchor)
    assert len(AnchorFile(file.path).read()) == 2
    assert file.read() == [anchor]


def test_an_anchor_is_written_once_a_day(store, url, tmp_path):
    fill(store)
    file = tmp_path / "audit-anchors.jsonl"
    assert len(AnchorFile(file).read()) == 1
    yesterday = dt.datetime.now(dt.UTC) - dt.timedelta(hours=25)
    line = {**json.loads(file.read_text()), "at": yesterday.isoformat()}
    file.write_text(json.dumps(line) + "\n")
    with SqlStore(url, "images/", root=tmp_path) as opened:
        for part in opened.find(EVERYTHING)[:2]:
            opened.record_review(a_review(part.id))
    assert [anchor.number for anchor in AnchorFile(file).read()] == [1, 6]


def test_changed_and_missing_files_are_found(store, upkeep, tmp_path):
    kept = fill(store)
    paths = [next((tmp_path / "images").rglob(part.image_sha256)) for part in kept[:2]]
    paths[0].write_bytes(b"another photograph")
    paths[1].unlink()
    assert set(verify(upkeep, has_files=True).bad_files) == {p.image_sha256 for p in kept[:2]}


def test_a_backup_becomes_the_same_store_again(store, upkeep, lose, url, tmp_path):
    kept = [store.get(part.id) for part in fill(store)]
    store.keep_position("sink/x", 4, {"level": 1.5})
    hours, reviews = store.hourly("A"), store.reviews(kept[0].id)
    copied = upkeep.backup(tmp_path / "backup", progress=no_progress)
    assert (copied.rows["inspection"], copied.files, copied.audit_number) == (8, 16, 5)
    store.append(a_part(50), evidence=None)  # after the backup
    proof = upkeep.restore(tmp_path / "backup", is_trial=True, progress=no_progress)
    assert proof == copied
    with pytest.raises(StorageError, match="nothing is ever written over one"):
        upkeep.restore(tmp_path / "backup", is_trial=False, progress=no_progress)
    lose()
    shutil.rmtree(tmp_path / "images")
    assert upkeep.restore(tmp_path / "backup", is_trial=False, progress=no_progress) == copied
    with SqlStore(url, "images/", root=tmp_path) as opened:
        assert list(opened.find(EVERYTHING)) == kept
        assert opened.reviews(kept[0].id) == reviews
        assert opened.hourly("A") == hours
        assert opened.position("sink/x") == (4, {"level": 1.5})
        assert opened.append(a_part(60), evidence=None).id > kept[-1].id
        opened.record_review(a_review(kept[-1].id))
    found = verify(upkeep, has_files=True)
    assert found.is_sound
    assert found.entries == 7  # that it was restored is one of them


def test_a_backup_of_one_database_becomes_the_other(store, upkeep, url, tmp_path, request):
    kept = [store.get(part.id) for part in fill(store)]
    upkeep.backup(tmp_path / "backup", progress=no_progress)
    if url.startswith("sqlite"):
        other = request.getfixturevalue("postgres")
        SqlStore(url, "images/", root=tmp_path).database.close()
        from sqlalchemy import create_engine

        engine = create_engine(other)
        with engine.begin() as connection:
            connection.execute(text("DROP SCHEMA public CASCADE; CREATE SCHEMA public"))
        engine.dispose()
    else:
        other = "sqlite:///other.db"
    SqlUpkeep(other, "elsewhere/", root=tmp_path).restore(
        tmp_path / "backup", is_trial=False, progress=no_progress
    )
    with SqlStore(other, "elsewhere/", root=tmp_path) as opened:
        assert list(opened.find(EVERYTHING)) == kept
        assert opened.read_file(kept[3].image_sha256) == evidence_of(3)


def test_a_second_backup_copies_only_new_files(store, upkeep, tmp_path):
    fill(store)
    upkeep.backup(tmp_path / "backup", progress=no_progress)
    files = {path: path.stat().st_ino for path in (tmp_path / "backup/images").rglob("*")}
    store.append(a_part(20), evidence=evidence_of(20))
    assert upkeep.backup(tmp_path / "backup", progress=no_progress).rows["inspection"] == 9
    assert all(path.stat().st_ino == inode for path, inode in files.items())
    newest = upkeep.restore(tmp_path / "backup", is_trial=True, progress=no_progress)
    assert newest.rows["inspection"] == 9


def damage_rows(folder):
    file = next(folder.glob("*/tables/decision.jsonl.gz"))
    rows = gzip.decompress(file.read_bytes()).replace(b"accept", b"reject")
    file.write_bytes(gzip.compress(rows))


def damage_tail(folder):
    file = next(folder.glob("*/tables/inspection.jsonl.gz"))
    file.write_bytes(file.read_bytes()[:-20])


def damage_image(folder):
    file = next(path for path in (folder / "images").rglob("*") if path.is_file())
    file.write_bytes(b"?")


def lose_image(folder):
    next(path for path in (folder / "images").rglob("*") if path.is_file()).unlink()


def damage_manifest(folder):
    next(folder.glob("*/backup.json")).write_text("{}")


@pytest.mark.parametrize("damage", [damage_image, lose_image])
def test_a_damaged_picture_keeps_no_record_back(store, upkeep, lose, url, tmp_path, damage):
    fill(store)
    upkeep.backup(tmp_path / "backup", progress=no_progress)
    damage(tmp_path / "backup")
    proof = upkeep.restore(tmp_path / "backup", is_trial=True, progress=no_progress)
    assert len(proof.bad_files) == 1
    # The next backup mends it, while the store has it.
    again = tmp_path / "again"
    shutil.copytree(tmp_path / "backup", again)
    upkeep.backup(again, progress=no_progress)
    assert upkeep.restore(again, is_trial=True, progress=no_progress).bad_files == ()
    lose()
    shutil.rmtree(tmp_path / "images")
    restored = upkeep.restore(tmp_path / "backup", is_trial=False, progress=no_progress)
    assert restored.bad_files == proof.bad_files
    with SqlStore(url, "images/", root=tmp_path) as opened:
        assert opened.count(EVERYTHING) == 8
    assert verify(upkeep, has_files=True).bad_files == proof.bad_files


@pytest.mark.parametrize("damage", [damage_rows, damage_tail, damage_manifest])
def test_a_damaged_backup_is_refused_and_restores_nothing(
    store, upkeep, lose, url, tmp_path, damage
):
    fill(store)
    upkeep.backup(tmp_path / "backup", progress=no_progress)
    damage(tmp_path / "backup")
    with pytest.raises(StorageError):
        upkeep.restore(tmp_path / "backup", is_trial=True, progress=no_progress)
    lose()
    with pytest.raises(StorageError):
        upkeep.restore(tmp_path / "backup", is_trial=False, progress=no_progress)
    with pytest.raises(StorageError, match="missing or empty"):
        SqlStore(url, "images/", root=tmp_path)


def test_what_is_no_backup_says_so(upkeep, tmp_path):
    with pytest.raises(StorageError, match="found none"):
        upkeep.restore(tmp_path, is_trial=True, progress=no_progress)


def old_parts(store):
    """Ten parts of a year ago: passed, decided, waiting, held; and one of today."""
    long_ago = dt.datetime.now(dt.UTC) - dt.timedelta(days=365)
    kept = store.append_many(
        [
            (
                a_part(
                    n,
                    verdict=Verdict.PASS if n < 4 else Verdict.REJECT,
                    lot="held" if n in (3, 9) else "",
                    inspected_at=long_ago,
                ),
                evidence_of(n),
            )
            for n in range(10)
        ]
    )
    for part in kept[6:]:
        store.record_review(a_review(part.id, decided_at=long_ago))
    store.append(a_part(20, verdict=Verdict.PASS), evidence=evidence_of(20))
    return kept


def make_old(folder):
    then = time.time() - 2 * 86400
    for path in folder.rglob("*"):
        os.utime(path, (then, then))


MONTH = {"passed": dt.timedelta(days=30), "decided": dt.timedelta(days=30)}


def test_what_is_past_its_time_goes_and_what_waits_or_is_held_stays(store, upkeep, tmp_path):
    kept = old_parts(store)
    assert upkeep.hold(InspectionQuery(lot="held"), "case 17", ends=False, who="sato") == 2
    make_old(tmp_path / "images")
    left_over = tmp_path / "images" / "00" / f".{'0' * 64}.x1_y"
    left_over.parent.mkdir(exist_ok=True)
    left_over.write_bytes(b"...")
    os.utime(left_over, (0, 0))
    counted = upkeep.prune(MONTH, is_dry=True, progress=no_progress)
    assert counted.parts == {"passed": 3, "decided": 3}
    assert counted.held == {"passed": 1, "decided": 1}
    assert (counted.files, counted.temporaries) == (0, 1)  # of rows that are still there
    assert store.count(EVERYTHING) == 11
    pruned = upkeep.prune(MONTH, is_dry=False, progress=no_progress)
    assert pruned.parts == counted.parts
    assert (pruned.files, pruned.temporaries) == (12, 1)
    stay = [kept[n].id for n in (3, 4, 5, 9)]
    assert [part.id for part in store.find(EVERYTHING)][:4] == stay
    assert store.get(kept[9].id).hold == "case 17"
    assert store.read_file(kept[9].image_sha256) == evidence_of(9)
    with pytest.raises(StorageError, match="missing"):
        store.read_file(kept[0].image_sha256)
    # The counts stay, and so does the chain: with what was deleted, by whom it was held.
    assert sum(count.parts for count in store.hourly("A")) == 11
    found = verify(upkeep, has_files=True)
    assert found.is_sound
    assert found.entries == 4 + 1 + 2
    held = InspectionQuery(lot="held")
    assert upkeep.hold(held, "case 18", ends=False, who="ito") == 2
    assert upkeep.hold(held, "case 17", ends=True, who="sato") == 2
    assert store.get(kept[9].id).hold == "case 18"
    assert upkeep.prune(MONTH, is_dry=True, progress=no_progress).held == {
        "passed": 1,
        "decided": 1,
    }
    assert upkeep.hold(held, "case 18", ends=True, who="ito") == 2
    with pytest.raises(StorageError, match="expected the reason"):
        upkeep.hold(held, "  ", ends=False, who="ito")
    assert upkeep.prune(MONTH, is_dry=False, progress=no_progress).parts == {
        "passed": 1,
        "decided": 1,
    }


def test_a_class_without_a_time_stays_for_ever(store, upkeep):
    old_parts(store)
    assert upkeep.prune({}, is_dry=False, progress=no_progress).parts == {}
    assert store.count(EVERYTHING) == 11
    with pytest.raises(StorageError, match="expected retention of"):
        upkeep.prune({"everything": dt.timedelta(1)}, is_dry=True, progress=no_progress)


def test_a_file_that_two_parts_name_stays_while_one_does(store, upkeep, tmp_path):
    long_ago = dt.datetime.now(dt.UTC) - dt.timedelta(days=365)
    old = a_part(1, verdict=Verdict.PASS, inspected_at=long_ago)
    kept = store.append(old, evidence=evidence_of(1))
    store.append(a_part(1, verdict=Verdict.PASS, line="B"), evidence=evidence_of(1))
    make_old(tmp_path / "images")
    assert upkeep.prune(MONTH, is_dry=False, progress=no_progress).files == 0
    assert store.read_file(kept.image_sha256) == evidence_of(1)


def test_a_file_that_is_put_again_while_it_is_swept_stays(store, tmp_path):
    kept = store.append(a_part(1), evidence=evidence_of(1))
    make_old(tmp_path / "images")

    def in_use(names):
        # At this moment, after the rows were read, another process keeps the same picture.
        assert store.files.put(evidence_of(1)) == kept.image_sha256
        return set()

    store.files.sweep(in_use, age=86400.0, is_dry=False)
    assert store.read_file(kept.image_sha256) == evidence_of(1)


def test_a_sweep_that_was_killed_between_its_steps_loses_no_file(store, tmp_path):
    kept = store.append(a_part(1), evidence=evidence_of(1))
    path = next((tmp_path / "images").rglob(kept.image_sha256))
    path.rename(path.with_name(f"{path.name}.swept"))
    store.files.sweep(lambda names: set(names), age=86400.0, is_dry=False)
    assert store.read_file(kept.image_sha256) == evidence_of(1)


def test_the_record_as_a_table_is_safe_to_open(store, tmp_path):
    fill(store)
    part = store.append(
        a_part(30, serial='=HYPERLINK("http://x")', lot="+1", image=Path("-2.png")),
        evidence=None,
    )
    store.record_review(
        a_review(part.id, Decision.REJECT, comment="@home", reason="dent", region=None)
    )
    # What a second person says stands beside it, and not in its place.
    said = {"purpose": Purpose.SECOND, "reviewer": "伊藤", "comment": "fine", "reason": ""}
    store.record_review(a_review(part.id, Decision.ACCEPT, **said))
    file = tmp_path / "out" / "parts.csv"
    assert export_records(store, EVERYTHING, file, progress=no_progress) == 9
    assert file.read_bytes().startswith(b"\xef\xbb\xbf")
    with file.open(encoding="utf-8-sig", newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert tuple(rows[0]) == tuple(COLUMNS)
    last = rows[-1]
    assert last["serial"] == '\'=HYPERLINK("http://x")'
    assert (last["lot"], last["image"], last["comment"]) == ("'+1", "'-2.png", "'@home")
    assert (last["decision"], last["decision_reason"]) == ("reject", "dent")
    assert float(last["score"]) == part.score
    assert rows[0]["camera"] == "上"


def test_the_record_as_parquet_keeps_its_types(store, tmp_path):
    from pyarrow import parquet

    kept = fill(store)
    store.append(
        a_part(40, verdict=Verdict.UNDECIDED, score=None, p_value=None, heatmap=None),
        evidence=None,
    )
    file = tmp_path / "parts.parquet"
    assert export_records(store, InspectionQuery(line="A"), file, progress=no_progress) == 9
    table = parquet.read_table(file)
    assert table.column("score").to_pylist()[:8] == [part.score for part in kept]
    assert table.column("score").to_pylist()[8] is None
    assert table.column("inspected_at").to_pylist()[0] == kept[0].inspected_at
    with pytest.raises(InvalidOption, match=r"ends in \.csv or \.parquet"):
        export_records(store, EVERYTHING, tmp_path / "parts.xlsx", progress=no_progress)
    assert [path.name for path in tmp_path.glob(".parts*")] == []


def test_a_region_and_a_reason_come_back(store):
    part = store.append(a_part(1), evidence=None)
    region = Region(x=1, y=2, width=3, height=4, area=12, peak=0.5)
    given = a_review(part.id, region=region, reason="scratch", seen_ms=350, role="operator")
    store.record_review(given)
    assert store.reviews(part.id) == [given]


def test_files_of_others_are_never_removed(store, upkeep, lose, url, tmp_path):
    """Neither a user's own, nor those of a store that was lost, whose backup may come yet."""
    kept = store.append(a_part(1), evidence=evidence_of(1))
    (tmp_path / "images" / "01").mkdir(exist_ok=True)
    own = tmp_path / "images" / "01" / "photo_0001.png"
    own.write_bytes(b"a user's own")
    make_old(tmp_path / "images")
    assert upkeep.prune({}, is_dry=False, progress=no_progress).temporaries == 0
    assert own.exists()
    lose()
    upkeep.create()
    with pytest.raises(StorageError, match="belong to another store"):
        upkeep.prune({}, is_dry=False, progress=no_progress)
    assert next((tmp_path / "images").rglob(kept.image_sha256)).exists()
    # Its anchors were set aside: of the new chain they say nothing.
    with SqlStore(url, "images/", root=tmp_path) as opened:
        part = opened.append(a_part(2), evidence=evidence_of(2))
        opened.record_review(a_review(part.id))
    assert verify(upkeep).is_sound


def test_the_highest_number_is_never_given_again(store, upkeep):
    long_ago = dt.datetime.now(dt.UTC) - dt.timedelta(days=365)
    for number in range(4):
        part = a_part(number, verdict=Verdict.PASS, inspected_at=long_ago)
        last = store.append(part, evidence=None)
    store.keep_position("sink/x", last.id, {})
    assert upkeep.prune(MONTH, is_dry=False, progress=no_progress).parts["passed"] == 3
    new = store.append(a_part(10), evidence=None)
    assert [part.id for part in store.find(InspectionQuery(after_id=last.id))] == [new.id]


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE decision SET decision = 'reject' WHERE inspection_id = 2",
        "UPDATE decision SET comment = 'another' WHERE inspection_id = 2",
        "UPDATE decision SET decided_at = '2026-01-01 00:00:00.000000' WHERE inspection_id = 2",
        "UPDATE decision SET seen_ms = 60000 WHERE inspection_id = 2",
        "UPDATE decision SET seen_ms = NULL WHERE inspection_id = 2",
        "UPDATE decision SET region = NULL WHERE inspection_id = 2",
        "UPDATE decision SET purpose = 'audit' WHERE inspection_id = 2",
        "DELETE FROM decision WHERE inspection_id = 2",
        "UPDATE inspection SET verdict = 'pass' WHERE id = 2",
        "UPDATE inspection SET decision = 'reject' WHERE id = 2",
        "UPDATE inspection SET sha256 = 'another' WHERE id = 2",
        "UPDATE inspection SET model = 'another' WHERE id = 2",
        "UPDATE inspection SET calibration = 'another' WHERE id = 2",
        "UPDATE inspection SET reviewer = 'another' WHERE id = 2",
        "UPDATE inspection SET decided_at = '2026-01-01 00:00:00.000000' WHERE id = 2",
        "UPDATE inspection SET decided_at = NULL WHERE id = 2",
        "UPDATE inspection SET version = 2 WHERE id = 2",
        "UPDATE inspection SET decision = NULL, reviewer = '', decided_at = NULL, "
        "status = 'waiting', version = 0 WHERE id = 2",
        "UPDATE inspection SET status = 'waiting' WHERE id = 2",
        "INSERT INTO decision (client_id, inspection_id, decision, reviewer, comment, decided_at) "
        "VALUES ('forged', 2, 'accept', 'sato', '', '2026-01-01 00:00:00.000000')",
    ],
)
def test_records_that_say_other_than_the_chain_are_found(store, upkeep, as_owner, tampering):
    for part in fill(store)[:5]:
        store.record_review(a_review(part.id, Decision.UNDO))
        store.record_review(a_review(part.id))
    assert verify(upkeep).is_sound
    as_owner(tampering)
    found = verify(upkeep)
    assert (found.first_bad, found.unlike) == (None, (2,))


@pytest.mark.parametrize("hours", [0, 9, -3.5])
def test_decisions_by_any_clock_and_without_anything_beside_are_as_the_chain_tells(
    store, upkeep, hours
):
    zone = dt.timezone(dt.timedelta(hours=hours))
    for number, microsecond in enumerate((0, 1, 999_999)):
        at = dt.datetime(2026, 11, 25, 23, 59, 59, microsecond, tzinfo=zone)
        part = store.append(a_part(number), evidence=None)
        store.record_review(a_review(part.id, decided_at=at))
        bare = {"comment": "", "reason": "", "role": "", "region": None, "seen_ms": None}
        for decision in (Decision.UNSURE, Decision.UNDO, Decision.REJECT):
            store.record_review(a_review(part.id, decision, decided_at=at, **bare))
        store.record_review(a_review(part.id, purpose=Purpose.SECOND, seen_ms=0))
    second = store.append(a_part(9), evidence=None)
    store.record_review(a_review(second.id, purpose=Purpose.SECOND))
    found = verify(upkeep)
    assert (found.first_bad, found.unlike) == (None, ())


def test_a_part_that_is_deleted_while_it_is_exported_does_no_harm(store, tmp_path):
    kept = fill(store)

    class Pruned:
        def __getattr__(self, name):
            return getattr(store, name)

        def reviews(self, number):
            return () if number == kept[2].id else store.reviews(number)

    assert export_records(Pruned(), EVERYTHING, tmp_path / "x.csv", progress=no_progress) == 8


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_an_export_waits_for_a_part_that_is_on_its_way(store, tmp_path):
    fill(store, 6)
    with store.database.writing() as session:
        store.database.lock(session, 4_207_849_485, is_shared=True)
        timer = threading.Timer(1.5, session.rollback)
        timer.start()
        assert export_records(store, EVERYTHING, tmp_path / "x.csv", progress=no_progress) == 6
        timer.join()


def test_a_backup_is_of_one_moment_while_another_writes(store, upkeep, tmp_path):
    fill(store)
    is_done = threading.Event()

    def write():
        number = 1000
        while not is_done.is_set():
            part = store.append(a_part(number), evidence=evidence_of(number))
            store.record_review(a_review(part.id))
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(3):
            copied = upkeep.backup(tmp_path / "backup", progress=no_progress)
            # As many entries as decisions: none is cut in two.
            assert copied.rows["decision"] == copied.audit_number
            proof = upkeep.restore(tmp_path / "backup", is_trial=True, progress=no_progress)
            assert proof == copied
    finally:
        is_done.set()
        writer.join()
    assert copied.rows["inspection"] > 8


def test_a_decision_that_nobody_has_made_is_found(store, upkeep, as_owner):
    kept = fill(store)
    as_owner(
        f"UPDATE inspection SET decision = 'accept', status = 'decided' WHERE id = {kept[7].id}"
    )
    assert verify(upkeep).unlike == (kept[7].id,)


def test_two_stores_do_not_share_images(store, url, upkeep, tmp_path):
    with pytest.raises(StorageError, match=r"claimed by another store.*name another store\.images"):
        SqlStore("sqlite:///second.db", "images/", root=tmp_path)
    assert not (tmp_path / "second.db").exists()
    # A restored copy beside the living store removes nothing of it.
    store.append(a_part(1), evidence=evidence_of(1))
    upkeep.backup(tmp_path / "backup", progress=no_progress)
    newer = store.append(a_part(2), evidence=evidence_of(2))
    clone = SqlUpkeep("sqlite:///second.db", "images/", root=tmp_path, anchor="second.jsonl")
    clone.restore(tmp_path / "backup", is_trial=False, progress=no_progress)
    make_old(tmp_path / "images")
    with pytest.raises(StorageError, match="belong to another store"):
        clone.prune({}, is_dry=False, progress=no_progress)
    assert store.read_file(newer.image_sha256) == evidence_of(2)
    assert upkeep.prune({}, is_dry=False, progress=no_progress).files == 0


def test_a_damaged_picture_does_not_keep_a_backup_from_being_made(store, upkeep, tmp_path):
    kept = fill(store)
    next((tmp_path / "images").rglob(kept[0].image_sha256)).write_bytes(b"?" * 999)
    copied = upkeep.backup(tmp_path / "backup", progress=no_progress)
    assert (copied.missing_files, copied.files) == (1, 15)
    proof = upkeep.restore(tmp_path / "backup", is_trial=True, progress=no_progress)
    assert proof.bad_files == (kept[0].image_sha256,)


def test_the_table_can_be_read_by_others(store, tmp_path):
    fill(store)
    file = tmp_path / "parts.csv"
    export_records(store, EVERYTHING, file, progress=no_progress)
    umask = os.umask(0)
    os.umask(umask)
    assert file.stat().st_mode & 0o777 == 0o666 & ~umask


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_replace_goes_round_no_guard(store):
    part = store.append(a_part(1), evidence=None)
    store.record_review(a_review(part.id))
    for table in ("inspection", "decision", "audit"):
        with (
            pytest.raises(SQLAlchemyError, match=r"cannot be (changed|deleted)"),
            store.engine.execution_options(is_writing=True).begin() as connection,
        ):
            connection.execute(text(f"INSERT OR REPLACE INTO {table} SELECT * FROM {table}"))
    assert store.get(part.id).verdict is part.verdict
