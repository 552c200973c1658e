"""Checks of a plant: each finds what is wrong, says what to do, and leaves the others alone."""

import datetime as dt
import json
import shutil
import sqlite3
from dataclasses import replace

import pytest

from cdm_inspect.monitoring.health import Problem, check_health, package_versions
from cdm_inspect.project import open_project
from cdm_inspect.records import InspectionQuery
from cdm_inspect.testing.specimens import a_part, a_review, evidence_of


@pytest.fixture
def project(tmp_path):
    (tmp_path / "cdm-inspect.toml").write_text(
        '[lines.A]\nnormal = "good"\n\n[review]\ntimezone = "Asia/Tokyo"\n'
    )
    return open_project(tmp_path)


@pytest.fixture
def filled(project):
    with project.open_store() as store:
        kept = store.append(a_part(0), evidence=evidence_of(0))
        store.record_review(a_review(kept.id))
    return project


def check(project, **options):
    opened = []

    def open_store():
        opened.append(project.open_store())
        return opened[-1]

    try:
        found = check_health(project, open_store, **options)
    finally:
        for store in opened:
            store.__exit__(None, None, None)
    return {check.name: check for check in found}


def test_a_plant_in_order(filled):
    found = check(filled)
    assert not [name for name, check in found.items() if check.is_good is False]
    assert found["store"].facts == {"lines": ["A"], "waiting": 0}
    assert found["schema"].facts["found"] == found["schema"].facts["expected"]
    assert found["pictures"].is_good
    assert found["pictures"].facts["where"] == str(filled.root / "images")
    disk = shutil.disk_usage(filled.root)
    assert found["disk"].facts["total"] == disk.total
    assert found["clock"].facts["zone"] == "JST"
    assert found["packages"].facts["cdm-inspect"]


def test_an_empty_plant_is_not_ill(project):
    found = check(project)
    assert not [name for name, check in found.items() if check.is_good is False]
    assert found["pictures"].is_good is None


def test_a_store_that_cannot_be_opened_is_one_problem(filled):
    file = filled.root / "cdm-inspect.db"
    with sqlite3.connect(file) as database:
        database.execute("UPDATE cdm_inspect_revision SET version_num = '0001'")
    database.close()
    found = check(filled)
    assert "store upgrade" in found["store"].problem
    assert found["schema"].facts["found"] == "0001"
    assert "store upgrade" in found["schema"].problem
    assert found["schema"].kind is Problem.OTHER_SCHEMA
    assert found["disk"].is_good is not None
    file.write_bytes(b"no database " * 99)
    found = check(filled)
    assert found["store"].is_good is False
    assert found["schema"].is_good is False
    assert (found["store"].kind, found["schema"].kind) == (Problem.STORE, Problem.SCHEMA)


def test_pictures_that_are_gone(filled):
    shutil.rmtree(filled.root / "images")
    found = check(filled)
    assert found["pictures"].is_good is False
    assert found["pictures"].problem
    assert found["pictures"].kind is Problem.PICTURE
    assert found["store"].is_good


def test_a_full_disk(filled, monkeypatch):
    real = shutil.disk_usage(filled.root)
    nearly = real._replace(free=2**20)
    monkeypatch.setattr("cdm_inspect.monitoring.health.shutil.disk_usage", lambda path: nearly)
    found = check(filled)
    assert found["disk"].is_good is False
    assert "0.0 GiB" in found["disk"].problem
    assert found["disk"].kind is Problem.FULL_DISK


def test_anchors_that_have_stopped(filled):
    file = filled.root / "audit-anchors.jsonl"
    filled.store_upkeep().anchor()
    assert check(filled)["anchors"].is_good
    line = json.loads(file.read_text().splitlines()[-1])
    line["at"] = (dt.datetime.now(dt.UTC) - dt.timedelta(days=3)).isoformat()
    file.write_text(json.dumps(line) + "\n")
    found = check(filled)["anchors"]
    assert "store anchor" in found.problem
    assert found.kind is Problem.LATE_ANCHOR
    assert found.facts["age_hours"] == pytest.approx(72, abs=0.1)
    assert found.facts["signed"] is False
    file.write_text('{"number": "no"}\n')
    assert check(filled)["anchors"].is_good is False


def test_an_old_anchor_of_a_plant_at_rest_is_sound(filled):
    filled.store_upkeep().anchor()
    later = dt.datetime.now(dt.UTC) + dt.timedelta(days=30)
    assert check(filled, now=later)["anchors"].is_good


def test_a_clock_that_was_set_back(filled):
    assert check(filled)["clock"].is_good
    with filled.open_store() as store:
        (part,) = store.find(InspectionQuery())
    before = part.inspected_at - dt.timedelta(days=1)
    found = check(filled, now=before)["clock"]
    assert found.is_good is False
    assert "time server" in found.problem
    assert found.kind is Problem.CLOCK
    assert dt.datetime.fromisoformat(found.facts["newest"]) > before


def test_a_store_of_a_plugin_has_no_schema_that_anybody_knows(filled):
    store = filled.config.store.model_copy(update={"backend": "other"})
    config = filled.config.model_copy(update={"store": store})
    with filled.open_store() as opened:
        found = check_health(replace(filled, config=config), lambda: opened)
    (schema,) = (check for check in found if check.name == "schema")
    assert (schema.is_good, schema.facts) == (None, {"backend": "other"})


def test_versions_name_this_package_and_python():
    found = package_versions()
    assert found["python"].startswith("3.")
    assert "numpy" in found
