"""Drift of a line, from what is in its store."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cdm_inspect.calibration.costs import Costs, ScoreSample
from cdm_inspect.calibration.in_force import calibration_in_force
from cdm_inspect.calibration.reviewed_sample import ReviewedParts
from cdm_inspect.calibration.what_if import WhatIf
from cdm_inspect.errors import InvalidOption
from cdm_inspect.monitoring import drift as watching
from cdm_inspect.monitoring.cusum import ChartState
from cdm_inspect.monitoring.drift import drift
from cdm_inspect.project import open_project
from cdm_inspect.records import Inspection, JudgingSetup, Verdict
from cdm_inspect.review.thresholds import save_thresholds
from cdm_inspect.roles import Actor, Role
from cdm_inspect.workflows.assembly import open_inspector
from cdm_inspect.workflows.inspect import inspect

SCORES = tuple(np.sort(np.random.default_rng(7).normal(size=100)).tolist())
THRESHOLD = float(np.nextafter(SCORES[-1], np.inf))


@pytest.fixture
def project(line):
    """The walked line with a calibration by a hundred simulated scores."""
    opened = open_project(line, line="A")
    folder = opened.calibration_folder("A")
    calibration = replace(
        calibration_in_force(opened, "A"),
        scores=SCORES,
        threshold=THRESHOLD,
        reject_threshold=THRESHOLD,
    )
    calibration.save(folder)
    return opened


def make_parts(project, scores, start=0, acquisition=None, calibration=None):
    """Inspections with these scores; without one the photograph is to be taken again."""
    calibration = calibration or calibration_in_force(project, "A")
    with project.open_store() as store:
        # As a station does before its first part.
        store.record_setup(
            JudgingSetup(
                line="A",
                configuration={},
                model=calibration.model,
                model_record={},
                calibration=calibration.id,
                calibration_record=calibration.record,
            )
        )
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
    quiet = drift(project, "A")
    assert quiet["alarms"] == []
    chart = quiet["charts"]["p-value"]
    assert 250 < chart["parts"] <= 300
    assert chart["delay"] < 30
    assert chart["values"][-1]["id"] == 300
    # Parts begin to look odder by a standard deviation, most of them still passing.
    make_parts(project, random.normal(1.0, 1.0, size=80), start=300)
    found = drift(project, "A")
    (alarm, *_) = found["alarms"]
    assert alarm["direction"] == "odder"
    assert 300 < alarm["inspection"] <= 360
    assert 285 <= alarm["since_inspection"] <= 320
    done = run("--project", project.root, "drift", "--line", "A")
    assert done.returncode == 0, done.stderr
    assert "parts look odder since about part" in done.stderr + done.stdout


def test_parts_that_look_less_odd_are_a_change_as_well(project):
    make_parts(project, np.random.default_rng(9).normal(-1.5, 1.0, size=60))
    (alarm, *_) = drift(project, "A")["alarms"]
    assert alarm["direction"] == "less odd"


def photographs(project, count, **shifts):
    """Measures like those of good parts, shifted by so many standard deviations."""
    random, usual = np.random.default_rng(11), calibration_in_force(project, "A").envelope["usual"]
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
    found = drift(project, "A")
    assert set(found["charts"]) == {"p-value", "exposure", "contrast", "focus"}
    (alarm, *_) = found["alarms"]
    assert (alarm["chart"], alarm["direction"]) == ("exposure", "darker")
    assert 200 < alarm["inspection"] <= 240


def test_photographs_to_be_taken_again_are_followed_as_well(project):
    taken = photographs(project, 40, exposure=-6)
    make_parts(project, [None] * 40, acquisition=taken)
    found = drift(project, "A")
    assert found["alarms"][0]["chart"] == "exposure"
    assert found["charts"]["p-value"]["parts"] == 0


def test_where_the_charts_stand_is_kept_and_gone_on_with(project, monkeypatch):
    random = np.random.default_rng(13)
    scores = random.normal(0.6, 1, size=200)
    make_parts(project, scores[:120])
    drift(project, "A")
    make_parts(project, scores[120:], start=120)
    read = []
    follow = watching.LineWatch._follow
    monkeypatch.setattr(
        watching.LineWatch,
        "_follow",
        lambda self, name, value, part: (read.append(part.id), follow(self, name, value, part)),
    )
    found = drift(project, "A")
    assert min(read) > 120  # what was read before is not read again
    with project.open_store() as store:
        calibration = calibration_in_force(project, "A")
        fresh = watching.LineWatch(store, calibration, watching.charts_of(calibration)[0])
        fresh._last, fresh._states = 0, {name: ChartState() for name in fresh._states}
        fresh._values["p-value"].clear()
        fresh.alarms = []
        fresh.catch_up()
    assert {**fresh.to_json(), "left_out": {}, "left_out_why": {}} == found
    assert found["alarms"]


def test_an_alarm_ends_a_calibration_that_asks_for_it(project):
    """Nothing passes any more until somebody has looked and calibrated again."""
    image = next((project.root / "data/A/train/good").glob("*.png"))
    ordinary = open_inspector(project, "A").inspect_file(image)[0].score
    scores = tuple(score + ordinary for score in SCORES)
    threshold = float(np.nextafter(scores[-1], np.inf))
    calibration = replace(
        calibration_in_force(project, "A"),
        scores=scores,
        threshold=threshold,
        reject_threshold=None,
    )
    random = np.random.default_rng(14)
    odder = ordinary + np.concatenate([random.normal(size=100), random.normal(1.2, 1, size=80)])
    for expires, verdict in ((False, Verdict.PASS), (True, Verdict.REVIEW)):
        replace(calibration, expiry_drift=expires).save(project.calibration_folder("A"))
        make_parts(project, odder)
        (judged,) = inspect(project, "A", [image])
        assert judged.score < threshold
        assert judged.verdict is verdict
    assert judged.reason.startswith("calibration_expired: since calibration")
    assert "odder" in judged.reason


def test_flagged_parts_are_no_drift(project):
    """A burst of defects is what the verdicts are for."""
    random = np.random.default_rng(10)
    scores = np.where(np.arange(300) % 2, random.normal(8, 1, 300), random.normal(size=300))
    make_parts(project, scores)
    found = drift(project, "A")
    assert found["charts"]["p-value"]["parts"] < 160
    assert found["alarms"] == []


def test_a_change_too_small_to_be_told_is_refused(project):
    with pytest.raises(InvalidOption, match="that takes"):
        drift(project, "A", shift=0.3)


def test_few_held_out_parts_leave_the_charts_of_the_photographs(project):
    calibration = replace(calibration_in_force(project, "A"), scores=SCORES[:10], threshold=9.0)
    calibration.save(project.calibration_folder("A"))
    # Some were judged, and have p-values that nobody charts.
    scores = [None if number % 2 else 0.0 for number in range(40)]
    make_parts(project, scores, acquisition=photographs(project, 40, focus=-6))
    found = drift(project, "A")
    assert "that takes" in found["left_out"]["p-value"]
    assert found["left_out_why"]["p-value"] == {"reason": "few-parts", "parts": 10, "needed": 14}
    assert list(watching.alarms_by_chart(found["alarms"])) == ["focus"]


def test_a_line_on_which_no_part_passes_is_followed_by_its_photographs_alone(run, project):
    """As where costs have everything reviewed."""
    folder = project.calibration_folder("A")
    replace(calibration_in_force(project, "A"), threshold=SCORES[0] - 1).save(folder)
    # The last one passes: it looks less odd than all that were held out.
    make_parts(project, [*[5.0] * 30, SCORES[0] - 2])
    found = drift(project, "A")
    assert "no part passes" in found["left_out"]["p-value"]
    assert found["left_out_why"]["p-value"]["reason"] == "no-part-passes"
    assert set(found["charts"]) == {"exposure", "contrast", "focus"}
    said = run("--project", project.root, "drift", "--line", "A")
    assert said.returncode == 0, said.stderr
    replace(calibration_in_force(project, "A"), envelope={}).save(folder)
    with pytest.raises(InvalidOption, match="no part passes"):
        drift(project, "A")


def set_thresholds(project, review):
    """As on the page Thresholds, where people have judged enough."""
    calibration = calibration_in_force(project, "A")
    random = np.random.default_rng(1)
    reviewed = ReviewedParts(
        inspected=400,
        reviewed=400,
        good=ScoreSample.of(random.normal(size=300)),
        defective=ScoreSample.of(random.normal(5, 1, size=100)),
        defect_share=0.25,
        size=400.0,
        lacking="",
    )
    what_if = WhatIf(
        calibration=calibration,
        reviewed=reviewed,
        costs=Costs(escape=100.0, false_reject=5.0, review=0.5, defect_share=0.03),
        parts_per_day=1000.0,
        refusal="",
    )
    with project.open_store() as store:
        return save_thresholds(
            project,
            store,
            what_if,
            actor=Actor("kato", Role.QA),
            review=review,
            reject=None,
            reason="too many false alarms",
        )


def stand(project, calibration):
    """Where the charts stand, read from the beginning by a station with that calibration."""
    with project.open_store() as store:
        store.position = lambda name: None
        watch = watching.LineWatch(store, calibration, watching.charts_of(calibration)[0])
        watch.catch_up()
        return watch.alarms, {name: state.parts for name, state in watch._states.items()}


def test_thresholds_saved_by_hand_leave_the_charts_and_their_alarms(project):
    random = np.random.default_rng(21)
    first = calibration_in_force(project, "A")
    make_parts(project, random.normal(1.2, 1, size=80))
    before = drift(project, "A")
    assert before["alarms"]
    second = set_thresholds(project, SCORES[60])
    after = drift(project, "A")
    assert after["calibration"] == second.id != first.id
    assert after["since"]["calibration"] == first.id
    assert after["alarms"] == before["alarms"]
    assert after["charts"]["p-value"]["parts"] == before["charts"]["p-value"]["parts"]
    # Half of the stations have not taken them up yet. Each part counts that passed when it came:
    # by the new threshold those of score SCORES[80] would not have.
    taken = photographs(project, 20)
    make_parts(project, [SCORES[80]] * 20, start=80, calibration=first, acquisition=taken)
    make_parts(project, [SCORES[80]] * 20, start=100, calibration=second, acquisition=taken)
    found = drift(project, "A")
    assert found["charts"]["p-value"]["parts"] == before["charts"]["p-value"]["parts"] + 20
    assert found["charts"]["focus"]["parts"] == 40
    third = set_thresholds(project, SCORES[90])
    make_parts(project, random.normal(1.2, 1, size=40), start=120)
    found = drift(project, "A")
    said = found["alarms"], {name: chart["parts"] for name, chart in found["charts"].items()}
    # Whoever reads, with whichever thresholds, and whether on from what was kept: all agree.
    for calibration in (first, second, third):
        assert stand(project, calibration) == said
    assert [one["calibration"] for one in third.lineage] == [first.id, second.id, third.id]


def test_only_calibrate_begins_anew(project):
    make_parts(project, np.random.default_rng(22).normal(1.2, 1, size=80))
    second = set_thresholds(project, SCORES[60])
    assert drift(project, "A")["alarms"]
    renewed = replace(calibration_in_force(project, "A"), rule="false-reject", basis={})
    renewed = replace(renewed, made_at=watching.dt.datetime.now(watching.dt.UTC))
    renewed.save(project.calibration_folder("A"))
    found = drift(project, "A")
    assert found["alarms"] == []
    assert found["charts"]["p-value"]["parts"] == 0
    # Nor does it hear of stations that still judge as before.
    make_parts(project, [0.0] * 5, start=200, calibration=second)
    assert drift(project, "A")["charts"]["p-value"]["parts"] == 0


def test_where_no_part_passes_any_more_its_alarms_stay(project):
    make_parts(project, np.random.default_rng(23).normal(1.2, 1, size=80))
    alarms = drift(project, "A")["alarms"]
    assert {alarm["chart"] for alarm in alarms} == {"p-value"}
    set_thresholds(project, SCORES[0] - 1)
    found = drift(project, "A")
    assert "p-value" not in found["charts"]
    assert found["alarms"] == alarms


def test_a_calibration_ends_by_what_came_before_its_thresholds_as_well(project):
    """Neither half of the odd parts is an alarm; the station that judges now hears of both."""
    image = next((project.root / "data/A/train/good").glob("*.png"))
    ordinary = open_inspector(project, "A").inspect_file(image)[0].score
    scores = tuple(score + ordinary for score in SCORES)
    replace(
        calibration_in_force(project, "A"),
        scores=scores,
        threshold=float(np.nextafter(scores[-1], np.inf)),
        reject_threshold=None,
        expiry_drift=True,
    ).save(project.calibration_folder("A"))
    make_parts(project, [scores[95]] * 8)
    set_thresholds(project, scores[98])
    assert drift(project, "A")["alarms"] == []
    make_parts(project, [scores[95]] * 8, start=10)
    (judged,) = inspect(project, "A", [image])
    assert judged.reason.startswith("calibration_expired: since calibration"), judged
    assert drift(project, "A")["charts"]["p-value"]["calls"] == 1


def test_the_command_tells_the_first_and_the_latest_alarm(run, project):
    make_parts(project, np.random.default_rng(24).normal(1.5, 1, size=100))
    found = drift(project, "A")
    assert found["charts"]["p-value"]["calls"] > 2
    first, latest = found["alarms"]
    done = run("--project", project.root, "drift", "--line", "A")
    assert done.returncode == 0, done.stderr
    said = " ".join((done.stderr + done.stdout).split())
    for which, alarm in (("first", first), ("latest", latest)):
        assert f"alarm p-value, {which}: {watching.describe_alarm(alarm)}" in said
