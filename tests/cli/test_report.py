"""`cdm-inspect report`, as its users call it."""

import datetime as dt
import json

import pytest

from cdm_inspect.storage import SqlStore
from cdm_inspect.testing.specimens import a_part, evidence_of

PROJECT = """\
[review]
timezone = "Asia/Tokyo"

[lines.A]
normal = "good"
"""


@pytest.fixture
def project(tmp_path):
    root = tmp_path / "project"
    root.mkdir()
    (root / "cdm-inspect.toml").write_text(PROJECT)
    at = dt.datetime(2026, 3, 2, 6, 30, tzinfo=dt.UTC)  # 15:30 in Tokyo
    with SqlStore("sqlite:///cdm-inspect.db", "images/", root=root) as store:
        for number in range(3):
            store.append(a_part(number, inspected_at=at), evidence=evidence_of(number))
    return root


@pytest.fixture
def report(run, project):
    def call(*arguments, code=0):
        done = run("--json", "--project", project, "report", *arguments)
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout) if done.stdout else done.stderr

    return call


def test_a_shift_is_reported_in_all_formats(report, project, run):
    made = report("--line", "A", "--day", "2026-03-02", "--shift", "2", "--language", "ja")
    assert sorted(made["files"]) == ["csv", "html", "pdf"]
    assert all(
        (project / "reports/shifts").samefile(path.rpartition("/")[0])
        for path in made["files"].values()
    )
    assert made["statistics"]["counts"]["inspected"] == 3
    assert made["anchor"]["number"] == 0
    again = report("--line", "A", "--day", "2026-03-02", "--shift", "2", "--format", "csv")
    assert list(again["files"]) == ["csv"]
    assert again["anchor"]["number"] == 1
    said = run("--project", project, "report", "--line", "A", "--out", project / "mine")
    assert "shift" in said.stdout
    assert "Entry 2 of the audit chain is anchored" in said.stdout
    assert len(list((project / "mine").iterdir())) == 3


def test_what_is_wrong_ends_with_a_sentence_and_its_code(report):
    assert "belong together" in report("--line", "A", "--day", "2026-03-02", code=2)
    assert "from 1 to 3" in report("--line", "A", "--day", "2026-03-02", "--shift", "4", code=2)
    assert "no line 'C'" in report("--line", "C", code=2)
    assert "when it has begun" in report(
        "--line", "A", "--day", "2999-03-02", "--shift", "1", code=2
    )
