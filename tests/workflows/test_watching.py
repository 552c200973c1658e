"""Drift of a line, from what is in its store."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cdm_inspect import workflows
from cdm_inspect.assembly import line_calibration
from cdm_inspect.calibration import conformal_p_value
from cdm_inspect.errors import InvalidOption
from cdm_inspect.project import open_project
from cdm_inspect.records import Inspection

SCORES = tuple(np.sort(np.random.default_rng(7).normal(size=100)).tolist())
THRESHOLD = float(np.nextafter(SCORES[-1], np.inf))


@pytest.fixture
def project(line):
    """The walked line with a calibration by a hundred simulated scores."""
    opened = open_project(line, line="A")
    folder = opened.calibration_folder("A")
    calibration = replace(
        line_calibration(opened, "A"),
        scores=SCORES,
        threshold=THRESHOLD,
        reject_threshold=THRESHOLD,
    )
    calibration.save(folder)
    return opened


def make_parts(project, scores, start=0):
    calibration = line_calibration(project, "A")
    with project.open_store() as store:
        for number, score in enumerate(scores, start=start):
            store.append(
                Inspection(
                    image=Path(f"{number}.png"),
                    sha256=f"{number}",
                    line="A",
                    verdict=calibration.verdict(score),
                    model=calibration.model,
                    calibration=calibration.id,
                    scorer=calibration.scorer,
                    threshold=THRESHOLD,
                    score=float(score),
                    p_value=conformal_p_value(SCORES, float(score)),
                ),
                evidence=None,
            )


def test_a_line_that_changes_is_found_and_told_since_when(run, project):
    random = np.random.default_rng(8)
    make_parts(project, random.normal(size=300))
    quiet = workflows.drift(project, "A")
    assert quiet["alarms"] == []
    assert 250 < quiet["parts"] <= 300
    assert quiet["chart"]["delay"] < 30
    # Parts begin to look odder by a standard deviation, most of them still passing.
    make_parts(project, random.normal(1.0, 1.0, size=80), start=300)
    found = workflows.drift(project, "A")
    (alarm, *_) = found["alarms"]
    assert alarm["direction"] == "odder"
    assert 300 < alarm["inspection"] <= 360
    assert 285 <= alarm["since_inspection"] <= 320
    done = run("--project", project.root, "drift", "--line", "A")
    assert done.returncode == 0, done.stderr
    assert "parts look odder since about inspection" in done.stderr + done.stdout


def test_parts_that_look_less_odd_are_a_change_as_well(project):
    make_parts(project, np.random.default_rng(9).normal(-1.5, 1.0, size=60))
    (alarm, *_) = workflows.drift(project, "A")["alarms"]
    assert alarm["direction"] == "less odd"


def test_flagged_parts_are_no_drift(project):
    """A burst of defects is what the verdicts are for."""
    random = np.random.default_rng(10)
    scores = np.where(np.arange(300) % 2, random.normal(8, 1, 300), random.normal(size=300))
    make_parts(project, scores)
    found = workflows.drift(project, "A")
    assert found["parts"] < 160
    assert found["alarms"] == []


def test_a_change_too_small_to_be_told_is_refused(project):
    with pytest.raises(InvalidOption, match="that takes"):
        workflows.drift(project, "A", shift=0.3)
