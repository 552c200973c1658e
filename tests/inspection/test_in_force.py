"""A calibration that comes into force while a program judges by the one before."""

import datetime as dt
import os
import time
from dataclasses import replace

import pytest

from cdm_inspect.errors import StoreUnreachable
from cdm_inspect.images import find_images
from cdm_inspect.inspection import recorder
from cdm_inspect.inspection.recorder import recording
from cdm_inspect.project import open_project
from cdm_inspect.records import Verdict
from cdm_inspect.workflows.assembly import open_inspector


@pytest.fixture
def plant(line):
    return open_project(line, line="A")


@pytest.fixture
def parts(line):
    return iter(sorted(find_images(line / "data" / "A" / "test" / "good")))


@pytest.fixture
def put(plant):
    """Save a calibration made now, in a file that nobody has touched for some seconds."""

    def save(calibration, **changes):
        folder = plant.calibration_folder("A")
        saved = replace(calibration, **{"made_at": dt.datetime.now(dt.UTC), **changes}).save(folder)
        aged(folder / f"{saved.scorer}.json")
        return saved

    return save


def aged(file, seconds=5):
    at = time.time() - seconds
    os.utime(file, (at, at))


def test_thresholds_come_into_force_with_the_next_part(plant, parts, put, caplog):
    inspector = open_inspector(plant, "A")
    former = inspector.calibration
    with recording(plant, inspector) as record:
        before = record.file(next(parts))
        assert before.calibration == former.id
        low = put(former, threshold=-1e6, reject_threshold=None, expiry_parts=2)
        found = [record.file(next(parts)) for _ in range(3)]
        assert {part.calibration for part in found} == {low.id}
        assert {part.verdict for part in found} == {Verdict.REVIEW}
        # Of its own two parts, and not of those that another one has judged.
        high = put(former, threshold=1e6, reject_threshold=None, expiry_parts=2)
        found = [record.file(next(parts)) for _ in range(3)]
        assert [part.verdict for part in found] == [Verdict.PASS, Verdict.PASS, Verdict.REVIEW]
        assert found[-1].reason.startswith("calibration_expired")
    with plant.open_store() as store:
        assert store.judged_with(before.id).calibration == former.id
        setup = store.judged_with(found[0].id)
        assert (setup.calibration, setup.calibration_record["version"]) == (high.id, high.version)
    assert not caplog.records


def test_what_changes_scores_is_taken_up_at_the_next_start(plant, parts, put, caplog, monkeypatch):
    inspector = open_inspector(plant, "A")
    former = inspector.calibration
    file = plant.calibration_folder("A") / f"{former.scorer}.json"
    with recording(plant, inspector) as record:
        whole = file.read_bytes()
        put(former, scores=(*former.scores, 1e6), threshold=-1e6)
        assert [record.file(next(parts)).calibration for _ in range(2)] == [former.id] * 2
        [said] = [entry.getMessage() for entry in caplog.records]
        assert "more has changed than thresholds" in said
        assert f"goes on with calibration {former.id}" in said
        caplog.clear()
        file.write_bytes(whole[:200])
        aged(file, seconds=0)
        with monkeypatch.context() as patched:
            patched.setattr(recorder, "_WRITTEN_FOR_S", 3600.0)
            assert record.file(next(parts)).calibration == former.id
            assert not caplog.records  # it may still be written
        aged(file)
        assert [record.file(next(parts)).calibration for _ in range(2)] == [former.id] * 2
        [said] = [entry.getMessage() for entry in caplog.records]
        assert "is damaged" in said
        file.unlink()
        assert record.file(next(parts)).calibration == former.id


def test_a_store_that_fails_meanwhile_costs_no_thresholds(plant, parts, put, monkeypatch):
    inspector = open_inspector(plant, "A")
    with recording(plant, inspector) as record:
        saved = put(inspector.calibration, threshold=-1e6, reject_threshold=None)

        def away(setup):
            raise StoreUnreachable("the store does not answer.")

        part = next(parts)
        with monkeypatch.context() as patched:
            patched.setattr(record._store, "record_setup", away)
            with pytest.raises(StoreUnreachable):
                record.file(part)
        assert record.file(part).calibration == saved.id


def test_what_could_not_be_read_for_a_moment_is_read_again(plant, parts, put):
    inspector = open_inspector(plant, "A")
    saved = put(inspector.calibration, threshold=-1e6, reject_threshold=None)
    (state,) = plant.calibration_folder("A").glob(f"{saved.scorer}-*.safetensors")
    aside = state.rename(state.with_suffix(".aside"))
    with recording(plant, inspector) as record:
        assert record.file(next(parts)).calibration != saved.id
        aside.rename(state)
        assert record.file(next(parts)).calibration == saved.id


def test_an_older_one_is_not_taken_up(plant, parts, put):
    """A station judges by the newer of two: the one of its project, and the exported one."""
    inspector = open_inspector(plant, "A")
    former = inspector.calibration
    with recording(plant, inspector) as record:
        put(former, threshold=-1e6, made_at=former.made_at.replace(year=2020))
        assert record.file(next(parts)).calibration == former.id
