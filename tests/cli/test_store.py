"""`cdm-inspect store`, as its users call it."""

import datetime as dt
import json

import pytest

from cdm_inspect.records import Verdict
from cdm_inspect.storage import SqlStore
from cdm_inspect.testing.specimens import a_part, a_review, evidence_of

PROJECT = """\
[store.retention]
passed = "30d"
"""


@pytest.fixture
def project(tmp_path):
    root = tmp_path / "project"
    root.mkdir()
    (root / "cdm-inspect.toml").write_text(PROJECT)
    long_ago = dt.datetime.now(dt.UTC) - dt.timedelta(days=60)
    with SqlStore("sqlite:///cdm-inspect.db", "images/", root=root) as store:
        for number in range(6):
            verdict = Verdict.PASS if number < 4 else Verdict.REJECT
            part = a_part(number, verdict=verdict, lot=f"L{number}", inspected_at=long_ago)
            kept = store.append(part, evidence=evidence_of(number))
        store.record_review(a_review(kept.id))
    return root


@pytest.fixture
def store(run, project):
    def call(*arguments, code=0):
        done = run("--json", "--project", project, "store", *arguments)
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout) if done.stdout else done.stderr

    return call


@pytest.mark.slow
def test_a_year_of_a_store(store, project, run, tmp_path):
    assert store("verify", "--files")["files"] == 12
    assert store("anchor")["entries"] == 1
    assert store("backup", tmp_path / "backup")["rows"]["inspection"] == 6
    assert store("restore", tmp_path / "backup", "--verify")["audit_number"] == 1
    assert store("hold", "--lot", "L1", "--reason", "case 17")["changed"] == 1
    counted = store("prune")
    assert (counted["parts"], counted["applied"]) == ({"passed": 3}, False)
    assert store("prune", "--apply")["parts"] == {"passed": 3}
    assert store("unhold", "--lot", "L1", "--reason", "case 17")["changed"] == 1
    assert store("export", tmp_path / "parts.csv", "--line", "A")["rows"] == 3
    assert store("export", tmp_path / "late.csv", "--since", "2999-01-01")["rows"] == 0
    assert store("upgrade")["upgraded_from"] is None
    said = run("--project", project, "store", "prune")
    assert "1 parts, passed, would be deleted." in said.stdout
    assert "add --apply" in said.stdout


def test_what_is_wrong_ends_with_a_sentence_and_its_code(store, project, tmp_path):
    assert "name the parts" in store("hold", "--reason", "all", code=2)
    assert "expected the reason" in store("hold", "--lot", "L1", "--reason", " ", code=2)
    assert "ends in .csv or .parquet" in store("export", tmp_path / "parts.xlsx", code=2)
    assert "found none" in store("restore", tmp_path, "--verify", code=9)
    assert "nothing is ever written over one" in store("create", code=9)
    next((project / "images").rglob("??/*")).write_bytes(b"?")
    store("verify")
    found = store("verify", "--files", code=9)
    assert len(found["bad_files"]) == 1


def test_a_lost_database_is_told_of_and_restored(store, project, run, tmp_path):
    store("backup", tmp_path / "backup")
    for file in project.glob("cdm-inspect.db*"):
        file.unlink()
    for command in (("verify",), ("prune",), ("backup", tmp_path / "other"), ("anchor",)):
        assert "there is no database" in store(*command, code=9)
    assert list(project.glob("cdm-inspect.db*")) == []
    assert store("restore", tmp_path / "backup")["rows"]["decision"] == 1
    assert store("verify", "--files")["entries"] == 2
