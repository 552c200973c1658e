"""What other thresholds would cost, how certain that is, and what saving them leaves behind."""

import datetime as dt
import json
import math
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import beta

from cdm_inspect.calibration.bayesian_bootstrap import Draws
from cdm_inspect.calibration.costs import Costs, ScoreSample, choose_band, cost_of
from cdm_inspect.calibration.in_force import calibration_in_force
from cdm_inspect.calibration.record import Calibration, read_history
from cdm_inspect.calibration.reviewed_sample import ReviewedParts
from cdm_inspect.calibration.what_if import FEWEST_DEFECTS, MissingData, WhatIf, open_what_if
from cdm_inspect.errors import CalibrationError, InvalidOption, NotAllowed, StorageError
from cdm_inspect.project import open_project
from cdm_inspect.records import Decision, Inspection, Review, Verdict
from cdm_inspect.review.thresholds import save_thresholds
from cdm_inspect.roles import Actor, Role
from cdm_inspect.storage import SqlUpkeep

COSTS = Costs(escape=100.0, false_reject=5.0, review=0.5, defect_share=0.03)
QA = Actor("sato", Role.QA)
REASON = "customer complained about scratches"
MODEL = "0123456789ab"

PROJECT = """\
[lines.A]
normal = "good"
scorer = "residual"

[lines.A.costs]
escape = 80.0
parts_per_hour = 50.0
"""


def make(**changes):
    scores = np.sort(np.random.default_rng(0).normal(size=100))
    facts = dict(
        line="A",
        model=MODEL,
        scorer="residual",
        options={"top": 0.1},
        view={"tile": 512, "region": None},
        found={},
        scores=tuple(scores.tolist()),
        max_false_reject=0.05,
        confidence=0.95,
        false_reject_bound=0.06,
        parts_needed=59,
        threshold=1.5,
        reject_threshold=3.0,
        rule="false-reject",
        basis={},
        explanation="because",
        state={"mean": np.arange(3, dtype=np.float32), "cov": np.eye(2, dtype=np.float32)},
    )
    return Calibration(**{**facts, **changes})


def simulated(good=900, bad=60, seed=0, gap=3.0, **changes):
    """A what-if on parts with uneven weights, without a store."""
    random = np.random.default_rng(seed)
    samples = [
        ScoreSample.of(random.normal(mean, size=n), random.choice([1.0, 1.0, 6.0], size=n))
        for mean, n in ((0.0, good), (gap, bad))
    ]
    weights = [s.weights.sum() for s in samples]
    reviewed = ReviewedParts(
        inspected=int(sum(weights)),
        reviewed=good + bad,
        good=samples[0],
        defective=samples[1],
        defect_share=weights[1] / sum(weights),
        size=float(good + bad) / 2,
        lacking="",
    )
    facts = dict(
        calibration=make(), reviewed=reviewed, costs=COSTS, parts_per_day=1000.0, refusal=""
    )
    return WhatIf(**{**facts, **changes})


@pytest.mark.parametrize("seed", range(4))
def test_the_curves_are_what_costs_are_reckoned_from(seed):
    what_if = simulated(seed=seed, gap=1.0 + seed)
    document = json.loads(json.dumps(what_if.curves(), allow_nan=False))
    cuts, good, bad = (
        document["thresholds"],
        document["good"]["share"],
        document["defective"]["share"],
    )
    for number in np.random.default_rng(seed).integers(len(cuts), size=60).tolist():
        parts = what_if.reviewed.good, what_if.reviewed.defective
        band = cost_of(*parts, COSTS, cuts[number], cuts[number])
        expected = good[number], bad[number]
        assert (band.false_reject_rate, band.escape_rate) == pytest.approx(expected, abs=1e-12)


def test_the_grid_holds_what_must_be_on_it_and_is_no_longer_than_said():
    what_if = simulated(good=20_000, bad=400)
    best = what_if.best()
    marks = [best.review, best.reject if math.isfinite(best.reject) else 2.0]
    document = what_if.curves(marks=marks)
    cuts = document["thresholds"]
    assert 300 < len(cuts) <= 400
    assert cuts == sorted(set(cuts))
    assert {1.5, 3.0, *marks} <= set(cuts)
    assert what_if.reviewed.good.scores[0] >= cuts[0]
    # The last one flags nothing that was seen.
    assert what_if.reviewed.defective.scores[-1] < cuts[-1]
    for name, parts in (("good", 20_000), ("defective", 400)):
        assert sum(document["histogram"][name]) == parts
        curve = {key: np.array(values) for key, values in document[name].items()}
        assert (curve["low"] <= curve["high"]).all()
        assert (curve["low"] <= curve["share"]).mean() > 0.99
    assert (np.diff(document["good"]["share"]) <= 0).all()
    assert (np.diff(document["defective"]["share"]) >= 0).all()
    with pytest.raises(InvalidOption, match="marks"):
        what_if.curves(marks=[math.nan])


def test_far_defects_get_a_logarithmic_axis():
    what_if = simulated()
    far = replace(
        what_if.reviewed,
        good=ScoreSample.of(np.linspace(0.5, 2.0, 50)),
        defective=ScoreSample.of(np.linspace(1.0, 300.0, 50)),
    )
    document = replace(what_if, reviewed=far).curves()
    assert document["scale"] == "log"
    edges = np.array(document["histogram"]["edges"])
    assert np.diff(np.log(edges)) == pytest.approx(np.log(edges[1] / edges[0]))
    assert sum(document["histogram"]["defective"]) == 50
    assert what_if.curves()["scale"] == "linear"


@pytest.mark.parametrize(("wrong", "parts"), [(0, 40), (3, 40), (20, 200)])
def test_the_band_of_equal_parts_is_that_of_a_beta_distribution(wrong, parts):
    sample = ScoreSample.of(np.arange(float(parts)))
    drawn = Draws.of(sample, np.array([wrong - 0.5]), stream=0)
    expected = beta(wrong + 1, parts - wrong)
    assert drawn.passed.mean() == pytest.approx(expected.mean(), rel=0.15)
    assert np.quantile(drawn.passed, 0.975) == pytest.approx(expected.ppf(0.975), rel=0.15)
    seen = Draws.seen(sample, np.array([wrong - 0.5]))
    assert seen.passed[0, 0] == pytest.approx(expected.mean())


def test_a_part_that_stands_for_others_makes_the_band_wider():
    scores = np.random.default_rng(1).normal(size=200)
    cuts = np.array([0.0])
    spread = [
        Draws.of(ScoreSample.of(scores, weights), cuts, stream=0).passed.std()
        for weights in (np.ones(200), np.where(np.arange(200) % 10 == 0, 20.0, 1.0))
    ]
    assert spread[1] > 1.5 * spread[0]


def test_the_outcome_is_what_the_cost_rule_says():
    what_if = simulated()
    for review, reject in ((1.0, 2.5), (2.0, None), (1.5, 1.5)):
        found = what_if.outcome(review, reject)
        band = cost_of(
            what_if.reviewed.good,
            what_if.reviewed.defective,
            COSTS,
            review,
            math.inf if reject is None else reject,
        )
        figures = found.expected
        assert figures.cost_per_part.value == pytest.approx(band.cost)
        assert figures.cost_per_day.value == pytest.approx(1000 * band.cost)
        assert figures.escapes.value == pytest.approx(1000 * 0.03 * band.escape_rate)
        assert figures.false_rejects.value == pytest.approx(1000 * 0.97 * band.false_reject_rate)
        assert figures.reviews.value == pytest.approx(1000 * band.review_rate)
        for figure in vars(figures).values():
            assert figure.low <= figure.value <= figure.high
        assert (found.reviewed, found.defects) == (960, 60)
    assert found == what_if.outcome(1.5, 1.5)
    assert what_if.outcome(1.0, 2.5, parts_per_day=2000.0).expected.escapes.value == pytest.approx(
        2 * what_if.outcome(1.0, 2.5).expected.escapes.value
    )


def test_the_difference_to_what_is_in_force_is_taken_within_each_draw():
    what_if = simulated()
    same = what_if.outcome(1.5, 3.0).difference
    assert all(vars(figure) == dict(value=0, low=0, high=0) for figure in vars(same).values())
    found = what_if.outcome(1.4, 3.0)
    reviews = found.difference.reviews
    # Each draw has more parts above the lower threshold, though reviews vary much more than that.
    assert 0 < reviews.low < reviews.value < reviews.high
    width = found.expected.reviews.high - found.expected.reviews.low
    assert reviews.high - reviews.low < width
    assert found.difference.false_rejects.high == 0


def test_how_many_parts_are_defective_is_uncertain_too():
    """Of so few defects nobody knows the number of escapes better than that of defects."""
    what_if = simulated(bad=40)
    found = what_if.outcome(-9.0, None).expected.reviews
    assert found.value == pytest.approx(1000, rel=0.01)
    escapes = what_if.outcome(9.0, None).expected.escapes
    assert escapes.value == pytest.approx(30, rel=0.01)
    assert escapes.low < 24
    assert escapes.high > 37


def test_bands_cover_the_truth_about_as_often_as_they_say():
    """Of samples drawn anew from a known line, with parts of equal weight."""
    truth = 1000 * 0.03 * 0.15865525  # P(N(3, 1) < 2)
    hits = 0
    for seed in range(60):
        random = np.random.default_rng(seed)
        is_bad = random.random(2000) < 0.03
        scores = random.normal(size=2000) + 3.0 * is_bad
        good, bad = ScoreSample.of(scores[~is_bad]), ScoreSample.of(scores[is_bad])
        base = simulated()
        reviewed = replace(
            base.reviewed, good=good, defective=bad, defect_share=float(is_bad.mean())
        )
        costs = replace(COSTS, defect_share=reviewed.defect_share)
        found = replace(base, reviewed=reviewed).outcome(2.0, 4.0, costs).expected.escapes
        hits += found.low <= truth <= found.high
    assert hits >= 52


def test_twenty_thousand_parts_are_quick():
    what_if = simulated(good=19_500, bad=500)
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        what_if.curves()
        seconds.append(time.perf_counter() - started)
    assert min(seconds) < 0.5


def test_the_best_pair_is_that_of_the_cost_rule():
    what_if = simulated()
    best = what_if.best()
    assert best == choose_band(what_if.reviewed.good, what_if.reviewed.defective, COSTS)
    dear = what_if.best(replace(COSTS, escape=10_000.0))
    assert dear.review < best.review


@pytest.mark.parametrize(
    ("pair", "costs"),
    [
        ((math.nan, 2.0), COSTS),
        ((1.0, math.inf), COSTS),
        ((2.0, 1.0), COSTS),
        ((1.0, 2.0), replace(COSTS, escape=math.inf)),
        ((1.0, 2.0), replace(COSTS, review=-1.0)),
        ((1.0, 2.0), replace(COSTS, defect_share=0.0)),
        ((1.0, 2.0), replace(COSTS, review_share=2.0)),
    ],
)
def test_nonsense_is_refused(pair, costs):
    with pytest.raises(InvalidOption, match=r"found|cannot be used"):
        simulated().outcome(*pair, costs)
    with pytest.raises(InvalidOption, match="parts a day"):
        simulated().outcome(1.0, 2.0, parts_per_day=0.0)


@pytest.fixture
def project(tmp_path):
    """A line with a model's manifest and a calibration; nothing here reads weights."""
    (tmp_path / "cdm-inspect.toml").write_text(PROJECT)
    folder = tmp_path / "models" / "A"
    folder.mkdir(parents=True)
    manifest = {"format": 1, "weights": "w.safetensors", "weights_sha256": MODEL + 52 * "0"}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    found = open_project(tmp_path, line="A")
    make().save(found.calibration_folder("A"))
    return found


@pytest.fixture
def store(project):
    with project.open_store() as opened:
        yield opened


def inspect(store, calibration, scores, decide, name="part", at=None):
    """Judge parts by a calibration, and have a person say of each what `decide` says of it."""
    parts = [
        Inspection(
            image=Path(f"{name}-{number}.png"),
            sha256=f"{name}-{number}",
            line="A",
            verdict=calibration.verdict(score),
            model=MODEL,
            calibration=calibration.id,
            scorer="residual",
            threshold=calibration.threshold,
            score=score,
            p_value=calibration.p_value(score),
            inspected_at=at or dt.datetime.now(dt.UTC),
        )
        for number, score in enumerate(scores)
    ]
    for number, part in enumerate(store.append_many([(part, None) for part in parts])):
        if (decision := decide(number)) is not None:
            store.record_review(
                Review(
                    client_id=f"{name}-{number}",
                    inspection_id=part.id,
                    decision=decision,
                    reviewer="x",
                )
            )


def judged(store, calibration, good=120, bad=40):
    random = np.random.default_rng(3)
    inspect(store, calibration, random.normal(size=good).tolist(), lambda _: Decision.ACCEPT)
    scores = random.normal(3.0, size=bad).tolist()
    inspect(store, calibration, scores, lambda _: Decision.REJECT, "bad")


def test_it_opens_on_what_people_have_said(project, store):
    first = calibration_in_force(project, "A")
    judged(store, first)
    what_if = open_what_if(project, "A", store)
    assert what_if.refusal == ""
    assert what_if.calibration.id == first.id
    assert len(what_if.reviewed.good.scores) == 120
    assert len(what_if.reviewed.defective.scores) == 40
    # Costs are those of the line, defects as frequent as people have found them.
    assert what_if.costs.escape == 80.0
    assert what_if.costs.defect_share == pytest.approx(40 / 160)
    assert what_if.parts_per_day == 1200.0
    # Parts that were judged by the same scores count, whatever the thresholds were then.
    make(threshold=1.0).save(project.calibration_folder("A"))
    assert len(open_what_if(project, "A", store).reviewed.good.scores) == 120
    other = {"mean": np.zeros(3, np.float32)}
    make(state=other).save(project.calibration_folder("A"))
    assert len(open_what_if(project, "A", store).reviewed.good.scores) == 0


def test_too_few_defects_are_refused_and_the_curves_shown_all_the_same(project, store):
    judged(store, calibration_in_force(project, "A"), bad=FEWEST_DEFECTS - 1)
    what_if = open_what_if(project, "A", store)
    assert "at least 30 confirmed defects, found 29 among 149 judged" in what_if.refusal
    assert what_if.lacks == (MissingData.DEFECTS,)
    assert what_if.costs.defect_share == 0.01
    document = what_if.curves()
    assert len(document["good"]["share"]) == len(document["thresholds"])
    for attempt in (what_if.best, lambda: what_if.outcome(1.0, 2.0)):
        with pytest.raises(CalibrationError, match="found 29"):
            attempt()
    with pytest.raises(CalibrationError, match="found 29"):
        save_thresholds(project, store, what_if, actor=QA, review=1.0, reject=2.0, reason=REASON)
    assert calibration_in_force(project, "A").version == 1


def test_judged_parts_that_cannot_stand_for_all_are_refused(project, store):
    first = calibration_in_force(project, "A")
    judged(store, first)
    # Hundreds of passed parts of one kind that nobody has looked at.
    inspect(store, first, [-4.0 - n / 1000 for n in range(500)], lambda _: None, "unseen")
    what_if = open_what_if(project, "A", store)
    assert "cannot stand for all 660" in what_if.refusal
    assert what_if.lacks == (MissingData.SEEN,)
    unseen = what_if.reviewed.unseen
    assert unseen.verdict is Verdict.PASS
    assert f"of {unseen.parts} parts" in what_if.refusal
    assert f"only {unseen.judged} have been judged" in what_if.refusal


def test_records_that_were_deleted_are_told_and_nothing_else_is(project, store):
    """Whoever has decided enough is not asked for more decisions."""
    first = calibration_in_force(project, "A")
    old = dt.datetime.now(dt.UTC) - dt.timedelta(days=99)
    inspect(store, first, [-4.0 - n / 1000 for n in range(500)], lambda _: None, "unseen", old)
    judged(store, first, bad=FEWEST_DEFECTS - 1)
    upkeep = SqlUpkeep("sqlite:///cdm-inspect.db", "images/", root=project.root)
    limits = {"passed": dt.timedelta(days=90)}
    done = upkeep.prune(limits, is_dry=False, progress=lambda *stated: None)
    assert done.parts["passed"] == 500
    what_if = open_what_if(project, "A", store)
    assert what_if.lacks == (MissingData.KEPT,)
    assert "of 649 inspected parts so many records have been deleted" in what_if.refusal
    assert "judge" not in what_if.refusal.removeprefix("the judged parts")


def test_a_line_that_nobody_has_judged_can_be_opened(project, store):
    what_if = open_what_if(project, "A", store)
    document = json.loads(json.dumps(what_if.curves(), allow_nan=False))
    assert document["good"] is None
    assert document["defective"] is None
    assert {1.5, 3.0} <= set(document["thresholds"])
    assert "expected accepted parts, found none" in what_if.refusal
    assert what_if.lacks == (MissingData.DEFECTS, MissingData.GOOD)
    make(threshold=1.5, reject_threshold=1.5).save(project.calibration_folder("A"))
    assert len(open_what_if(project, "A", store).curves()["thresholds"]) >= 2


@pytest.fixture
def what_if(project, store):
    judged(store, calibration_in_force(project, "A"))
    return open_what_if(project, "A", store)


def test_saving_makes_a_version_that_tells_its_story(project, store, what_if):
    former = what_if.calibration
    saved = save_thresholds(
        project, store, what_if, actor=QA, review=1.25, reject=None, reason=f"  {REASON} "
    )
    loaded = calibration_in_force(project, "A")
    assert loaded == saved
    assert (loaded.version, loaded.rule) == (2, "by hand")
    assert (loaded.threshold, loaded.reject_threshold) == (1.25, None)
    # Scores mean the same, so that a station with an export takes it, as the newer one.
    assert loaded.scoring_id == former.scoring_id
    assert loaded.made_at > former.made_at
    assert all((loaded.state[name] == former.state[name]).all() for name in former.state)
    assert loaded.basis["reason"] == REASON
    assert loaded.basis["former"]["calibration"] == former.id
    assert loaded.basis["costs"]["escape"] == 80.0
    assert loaded.basis["guarantee"]["above"] == loaded.flagged_held_out
    assert loaded.false_reject_bound == loaded.basis["guarantee"]["bound"]
    for said in ("sato (qa)", REASON, "1.25", "nothing unseen", "40 of them", "at 95% confidence"):
        assert said in loaded.explanation

    (event,) = store.events(line="A", action="save-thresholds")
    assert (event.who, event.role, event.reason) == ("sato", "qa", REASON)
    assert event.facts["former"]["threshold"] == 1.5
    assert event.facts["saved"] == {
        "calibration": saved.id,
        "version": 2,
        "rule": "by hand",
        "threshold": 1.25,
        "reject_threshold": None,
    }
    # What was judged before is known to it, and it can be moved again.
    again = open_what_if(project, "A", store)
    assert again.refusal == ""
    assert (
        save_thresholds(
            project, store, again, actor=QA, review=1.0, reject=1.0, reason="back to one threshold"
        ).version
        == 3
    )


def test_explain_shows_thresholds_that_were_set_by_hand(project, store, what_if, run):
    save_thresholds(project, store, what_if, actor=QA, review=1.0, reject=2.0, reason=REASON)
    explain = ("--project", project.root, "--json", "calibrate", "--line", "A", "--explain")
    done = run(*explain)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["rule"] == "by hand"
    assert document["basis"]["who"] == "sato"
    assert [row["rule"] for row in document["versions"]] == ["by hand", "false-reject"]
    assert REASON in document["explanation"]
    assert "by hand" in done.stderr


@pytest.mark.parametrize(
    ("changes", "error", "stated"),
    [
        ({"actor": Actor("suzuki", Role.OPERATOR)}, NotAllowed, "set-thresholds"),
        ({"actor": Actor("", Role.QA)}, NotAllowed, "name"),
        ({"reason": "because   "}, InvalidOption, "at least 10 characters, found 7"),
        ({"review": 3.0, "reject": 2.0}, InvalidOption, "not above"),
        ({"review": math.nan}, InvalidOption, "finite"),
    ],
)
def test_what_may_not_be_saved_leaves_nothing_behind(
    project, store, what_if, changes, error, stated
):
    facts = dict(actor=QA, review=1.0, reject=2.0, reason=REASON)
    with pytest.raises(error, match=stated):
        save_thresholds(project, store, what_if, **{**facts, **changes})
    assert calibration_in_force(project, "A").id == what_if.calibration.id
    assert store.events() == []


def test_of_two_who_save_the_second_must_look_again(project, store, what_if):
    save_thresholds(project, store, what_if, actor=QA, review=1.0, reject=2.0, reason=REASON)
    with pytest.raises(CalibrationError, match=r"expected version 1 .* found version 2"):
        save_thresholds(project, store, what_if, actor=QA, review=1.1, reject=2.0, reason=REASON)
    assert len(store.events()) == 1


@pytest.mark.parametrize("costs", [None, COSTS])
def test_thresholds_that_are_in_force_are_no_new_version(project, store, what_if, costs):
    """Another press of the button, also where the costs are others."""
    saved = save_thresholds(
        project, store, what_if, actor=QA, review=1.0, reject=None, reason=REASON
    )
    again = open_what_if(project, "A", store)
    facts = dict(actor=QA, reason=REASON, costs=costs)
    with pytest.raises(InvalidOption, match=r"pass below 1, .* in force already\. Nothing was"):
        save_thresholds(project, store, again, review=1.0, reject=None, **facts)
    assert calibration_in_force(project, "A").id == saved.id
    assert len(store.events()) == 1
    # One of the two is enough.
    other = save_thresholds(project, store, again, review=1.0, reject=9.0, **facts)
    assert other.version == 3


def test_thresholds_are_newer_than_those_before_though_the_clock_was_set_back(
    project, store, what_if
):
    former = replace(
        what_if.calibration, made_at=dt.datetime.now(dt.UTC) + dt.timedelta(minutes=9)
    ).save(project.calibration_folder("A"))
    again = open_what_if(project, "A", store)
    saved = save_thresholds(project, store, again, actor=QA, review=1.0, reject=None, reason=REASON)
    assert saved.made_at > former.made_at


def test_killed_before_the_file_the_record_has_more_than_there_is(
    project, store, what_if, monkeypatch
):
    """Never less: the event is there, and the calibration that it names never came into force."""

    def die(self, folder):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Calibration, "save", die)
        with pytest.raises(KeyboardInterrupt):
            save_thresholds(
                project, store, what_if, actor=QA, review=1.0, reject=2.0, reason=REASON
            )
    assert calibration_in_force(project, "A").id == what_if.calibration.id
    (event,) = store.events(action="save-thresholds")
    known = {record["id"] for record in read_history(project.calibration_folder("A"), "residual")}
    assert event.facts["saved"]["calibration"] not in known
    # Nothing stands in the way of doing it again.
    saved = save_thresholds(
        project, store, what_if, actor=QA, review=1.0, reject=2.0, reason=REASON
    )
    assert saved.version == 2
    assert saved.id == event.facts["saved"]["calibration"]


def test_a_file_that_cannot_be_written_is_told(project, store, what_if):
    history = project.calibration_folder("A") / "history" / "residual"
    for file in history.iterdir():
        file.rename(history.parent / file.name)
    history.rmdir()
    history.write_text("no folder")
    with pytest.raises(StorageError, match="cannot be written"):
        save_thresholds(project, store, what_if, actor=QA, review=1.0, reject=2.0, reason=REASON)
    assert calibration_in_force(project, "A").id == what_if.calibration.id
    assert [event.action for event in store.events()] == [
        "save-thresholds-failed",
        "save-thresholds",
    ]


def test_thresholds_do_not_renew_a_calibration(project, store):
    aged = make(expiry_days=30.0, expiry_parts=1000)
    aged = replace(aged, made_at=aged.made_at.replace(microsecond=0)).save(
        project.calibration_folder("A")
    )
    judged(store, aged)
    what_if = open_what_if(project, "A", store)
    saved = save_thresholds(
        project, store, what_if, actor=QA, review=1.0, reject=2.0, reason=REASON
    )
    assert saved.expiry_days < 30.0
    assert saved.expiry_parts == 840
    spent = make(expiry_parts=340)
    spent.save(project.calibration_folder("A"))
    inspect(store, spent, [0.1 * n for n in range(340)], lambda _: None, "more")
    judged_enough = replace(what_if, calibration=calibration_in_force(project, "A"))
    with pytest.raises(CalibrationError, match="do not renew"):
        save_thresholds(
            project, store, judged_enough, actor=QA, review=1.0, reject=2.0, reason=REASON
        )


def test_a_line_that_has_drifted_is_not_made_fresh_by_thresholds(project, store):
    watched = make(
        scores=tuple(np.linspace(0.0, 1.0, 400)),
        threshold=0.9999,
        reject_threshold=None,
        expiry_drift=True,
    ).save(project.calibration_folder("A"))
    judged(store, watched)
    inspect(store, watched, [0.9] * 200, lambda _: Decision.ACCEPT, "odd")
    what_if = open_what_if(project, "A", store)
    with pytest.raises(CalibrationError, match=r"parts look .* do not renew"):
        save_thresholds(project, store, what_if, actor=QA, review=1.0, reject=2.0, reason=REASON)


def test_what_no_station_could_follow_is_refused(project, store):
    """By so low a threshold no good part passes, and there is nothing for the charts to follow."""
    watched = make(
        scores=tuple(np.linspace(0.0, 2.0, 400)),
        threshold=2.4,
        reject_threshold=None,
        expiry_drift=True,
    ).save(project.calibration_folder("A"))
    random = np.random.default_rng(0)
    good, bad = random.uniform(0.0, 2.0, size=300), random.uniform(2.5, 4.0, size=40)
    inspect(store, watched, good.tolist(), lambda _: Decision.ACCEPT)
    inspect(store, watched, bad.tolist(), lambda _: Decision.REJECT, "bad")
    what_if = open_what_if(project, "A", store)
    with pytest.raises(InvalidOption, match="no part passes"):
        save_thresholds(project, store, what_if, actor=QA, review=-9.0, reject=2.0, reason=REASON)
    assert store.events() == []
    saved = save_thresholds(
        project, store, what_if, actor=QA, review=2.1, reject=3.0, reason=REASON
    )
    assert saved.expiry_drift


def test_it_loads_without_what_learns():
    code = "import sys, cdm_inspect.review.thresholds; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
