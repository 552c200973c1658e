"""Those who are said of verdicts and decisions, on a line that was trained."""

import json

import pytest

from cdm_inspect.project import open_project
from cdm_inspect.roles import Actor, Role
from cdm_inspect.testing.specimens import a_review
from cdm_inspect.workflows.inspect import inspect

OBSERVER = """
import json, os
from cdm_inspect.plugins import hookimpl

def note(**facts):
    with open(os.environ["SPECIMEN_NOTES"], "a") as file:
        file.write(json.dumps(facts) + "\\n")

@hookimpl
def cdm_inspect_verdict_reached(inspection):
    note(image=inspection.image.name, verdict=inspection.verdict)

@hookimpl
def cdm_inspect_review_recorded(review):
    note(inspection=review.inspection_id, decision=review.decision, who=review.reviewer)
    raise RuntimeError("an observer stops nobody")
"""


@pytest.fixture
def notes(install, tmp_path, monkeypatch):
    install("notes", OBSERVER)
    monkeypatch.setenv("SPECIMEN_NOTES", str(tmp_path / "notes.jsonl"))

    def read():
        file = tmp_path / "notes.jsonl"
        return [json.loads(row) for row in file.read_text().splitlines()] if file.exists() else []

    return read


def test_verdicts_and_decisions_are_told_once(notes, line, monkeypatch):
    parts = sorted((line / "data/A/test/stain").glob("*.png"))[:2]
    (line / "cut.png").write_bytes(parts[0].read_bytes()[:900])
    for _ in range(2):  # the second time they are in the store
        project = open_project(line, line="A")
        kept = list(inspect(project, "A", [*parts, line / "cut.png"]))
    assert [note["image"] for note in notes()] == [*(part.name for part in parts), "cut.png"]
    assert [note["verdict"] for note in notes()] == [part.verdict.value for part in kept]
    assert notes()[-1]["verdict"] == "undecided"

    # As the server of the review app records them.
    from cdm_inspect_review.plant import Plant

    review = a_review(kept[0].id, reason="", version=0)
    plant = Plant(line)
    for _ in range(2):  # sent again it is known
        plant.desk.decide(Actor("sato", Role.QA), review)
    assert notes()[3:] == [{"inspection": kept[0].id, "decision": "accept", "who": "sato"}]
