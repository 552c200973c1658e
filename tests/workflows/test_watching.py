"""Drift of a line, from what is in its store."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cdm_inspect import watching, workflows
from cdm_inspect.assembly import open_inspector
from cdm_inspect.drift import ChartState
from cdm_inspect.errors import InvalidOption
from cdm_inspect.project import open_project
from cdm_inspect.records import Inspection, Verdict

SCORES = tuple(np.sort(np.random.default_rng(7).normal(size=100)).tolist())
THRESHOLD = float(np.nextafter(SCORES[-1], np.inf))


@pytest.fixture
def project(line):
    """The walked line with a calibration by a hundred simulated scores."""
    opened = open_project(line, line="A")
    folder = opened.calibration_folder("A")
    calibration = replace(
        opened.calibration("A"),
        scores=SCORES,
        threshold=THRESHOLD,
        reject_threshold=THRESHOLD,
    )
    calibration.save(folder)
    return opened


def make_parts(project, scores, start=0, acquisition=None):
    """Inspections with these scores; without one the photograph is to be taken again."""
    calibration = project.calibration("A")
    with project.open_store() as store:
        for number, score in enumerate(scores, start=start):
            facts = {}
            if score is not None:
                facts = {"score": float(score), "p_value": calibration.p_value(float(score))}
            if acquisition is not None:
                facts["acquisition"] = acquisition[number - start]
            store.append(
                Inspection(
                    image=Path(f"{number}.png"),
                    sha256=f"{number}",
                    line="A",
                    verdict=Verdict.UNDECIDED if score is None else calibration.verdict(score),
                    model=calibration.model,
                    calibration=calibration.id,
                    scorer=calibration.scorer,
                    threshold=calibration.threshold,
                    **facts,
                ),
                evidence=None,
            )


def test_a_line_that_changes_is_found_and_told_since_when(run, project):
    random = np.random.default_rng(8)
    make_parts(project, random.normal(size=300))
    quiet = workflows.drift(project, "A")
    assert quiet["alarms"] == []
    chart = quiet["charts"]["p-value"]
    assert 250 < chart["parts"] <= 300
    assert chart["delay"] < 30
    assert chart["values"][-1]["id"] == 300
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


def photographs(project, count, **shifts):
    """Measures like those of good parts, shifted by so many standard deviations."""
    random, usual = np.random.default_rng(11), project.calibration("A").envelope["usual"]
    return [
        {
            name: float(random.choice(values) + shifts.get(name, 0) * np.std(values))
            for name, values in usual.items()
        }
        for _ in range(count)
    ]


def test_a_lamp_that_fades_is_found_whatever_the_scores_say(project):
    random = np.random.default_rng(12)
    taken = [*photographs(project, 200), *photographs(project, 60, exposure=-1.5)]
    make_parts(project, random.normal(size=260), acquisition=taken)
    found = workflows.drift(project, "A")
    assert set(found["charts"]) == {"p-value", "exposure", "contrast", "focus"}
    (alarm, *_) = found["alarms"]
    assert (alarm["chart"], alarm["direction"]) == ("exposure", "darker")
    assert 200 < alarm["inspection"] <= 240


def test_photographs_to_be_taken_again_are_followed_as_well(project):
    taken = photographs(project, 40, exposure=-6)
    make_parts(project, [None] * 40, acquisition=taken)
    found = workflows.drift(project, "A")
    assert found["alarms"][0]["chart"] == "exposure"
    assert found["charts"]["p-value"]["parts"] == 0


def test_where_the_charts_stand_is_kept_and_gone_on_with(project, monkeypatch):
    random = np.random.default_rng(13)
    scores = random.normal(0.6, 1, size=200)
    make_parts(project, scores[:120])
    workflows.drift(project, "A")
    make_parts(project, scores[120:], start=120)
    read = []
    follow = watching.LineWatch._follow
    monkeypatch.setattr(
        watching.LineWatch,
        "_follow",
        lambda self, name, value, part: (read.append(part.id), follow(self, name, value, part)),
    )
    found = workflows.drift(project, "A")
    assert min(read) > 120  # what was read before is not read again
    with project.open_store() as store:
        calibration = project.calibration("A")
        fresh = watching.LineWatch(store, calibration, watching.charts_of(calibration)[0])
        fresh._last, fresh._states = 0, {name: ChartState() for name in fresh._states}
        fresh._values["p-value"].clear()
        fresh.alarms = []
        fresh.catch_up()
    assert {**fresh.to_json(), "left_out": {}} == found
    assert found["alarms"]


def test_an_alarm_ends_a_calibration_that_asks_for_it(project):
    """Nothing passes any more until somebody has looked and calibrated again."""
    image = next((project.root / "data/A/train/good").glob("*.png"))
    ordinary = open_inspector(project, "A").inspect_file(image)[0].score
    scores = tuple(score + ordinary for score in SCORES)
    threshold = float(np.nextafter(scores[-1], np.inf))
    calibration = replace(
        project.calibration("A"), scores=scores, threshold=threshold, reject_threshold=None
    )
    random = np.random.default_rng(14)
    odder = ordinary + np.concatenate([random.normal(size=100), random.normal(1.2, 1, size=80)])
    for expires, verdict in ((False, Verdict.PASS), (True, Verdict.REVIEW)):
        replace(calibration, expiry_drift=expires).save(project.calibration_folder("A"))
        make_parts(project, odder)
        (judged,) = workflows.inspect(project, "A", [image])
        assert judged.score < threshold
        assert judged.verdict is verdict
    assert judged.reason.startswith("calibration_expired: since calibration")
    assert "odder" in judged.reason


def test_flagged_parts_are_no_drift(project):
    """A burst of defects is what the verdicts are for."""
    random = np.random.default_rng(10)
    scores = np.where(np.arange(300) % 2, random.normal(8, 1, 300), random.normal(size=300))
    make_parts(project, scores)
    found = workflows.drift(project, "A")
    assert found["charts"]["p-value"]["parts"] < 160
    assert found["alarms"] == []


def test_a_change_too_small_to_be_told_is_refused(project):
    with pytest.raises(InvalidOption, match="that takes"):
        workflows.drift(project, "A", shift=0.3)


def test_few_held_out_parts_leave_the_charts_of_the_photographs(project):
    calibration = replace(project.calibration("A"), scores=SCORES[:10], threshold=9.0)
    calibration.save(project.calibration_folder("A"))
    # Some were judged, and have p-values that nobody charts.
    scores = [None if number % 2 else 0.0 for number in range(40)]
    make_parts(project, scores, acquisition=photographs(project, 40, focus=-6))
    found = workflows.drift(project, "A")
    assert "that takes" in found["left_out"]["p-value"]
    assert [alarm["chart"] for alarm in watching.first_alarms(found["alarms"])] == ["focus"]


def test_a_line_on_which_no_part_passes_is_followed_by_its_photographs_alone(run, project):
    """As where costs have everything reviewed."""
    folder = project.calibration_folder("A")
    replace(project.calibration("A"), threshold=SCORES[0] - 1).save(folder)
    make_parts(project, [5.0] * 30)
    found = workflows.drift(project, "A")
    assert "no part passes" in found["left_out"]["p-value"]
    assert set(found["charts"]) == {"exposure", "contrast", "focus"}
    told = run("--project", project.root, "drift", "--line", "A")
    assert told.returncode == 0, told.stderr
    replace(project.calibration("A"), envelope={}).save(folder)
    with pytest.raises(InvalidOption, match="no part passes"):
        workflows.drift(project, "A")
