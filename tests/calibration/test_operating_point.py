"""The rules by which thresholds come about, and what reviewed parts change."""

import json
from pathlib import Path

import numpy as np
import pytest

from cdm_inspect.calibration.operating_point import by_cost, by_false_reject
from cdm_inspect.calibration.reviewed_sample import collect_reviewed
from cdm_inspect.config import CostsConfig
from cdm_inspect.records import Decision, Inspection, Review, Verdict
from cdm_inspect.storage import SqlStore

COSTS = CostsConfig(escape=100.0, false_reject=1.0, review_minute=0.5, minutes_per_review=0.5)


def held_out(count=100):
    return tuple(np.sort(np.random.default_rng(0).normal(size=count)))


def synthetic(count=80, mean=2.0):
    return np.random.default_rng(1).normal(mean, 1.5, size=count).tolist()


def decide(costs=COSTS, reviewed=None, **changes):
    options = dict(max_false_reject=0.05, confidence=0.95, reviewed=reviewed)
    return by_cost(held_out(), synthetic(), costs, **{**options, **changes})


def test_the_rule_of_false_rejects_says_what_it_can_promise():
    point = by_false_reject(held_out(), 0.05, 0.95)
    assert point.review == point.reject
    assert point.guarantee.is_kept
    assert "at most" in point.explanation
    assert "cannot be claimed" not in point.explanation
    poor = by_false_reject(held_out(), 0.005, 0.95)
    assert "that takes 598" in poor.explanation
    assert poor.review > held_out()[-1]


def test_the_rule_of_costs_tells_its_whole_story():
    point = decide()
    assert point.rule == "cost"
    band = point.facts["band"]
    assert point.review == band["review"]
    text = point.explanation
    for said in ("An escape costs 100", "100 held-out", "80 synthetic", "Nobody has judged"):
        assert said in text
    assert "off by a factor of two" in text
    assert "at 95% confidence" in text
    assert len(point.facts["doubts"]) == 8
    assert band["cost"] < point.facts["cost_passing_all"]
    is_told = "reviewing everything would be cheaper" in text
    assert is_told == (band["cost"] > point.facts["cost_reviewing_all"])
    json.loads(json.dumps(point.facts, allow_nan=False))


def test_scores_that_part_nothing_are_told():
    point = by_cost(
        held_out(),
        held_out(80),
        COSTS.model_copy(update={"escape": 1000.0}),
        max_false_reject=0.05,
        confidence=0.95,
    )
    assert "reviewing everything would be cheaper" in point.explanation


@pytest.mark.parametrize("change", [{"escape": 1.0}, {"defect_share": 3e-5}, {"escape": 1e6}])
def test_every_answer_is_json(change):
    point = decide(COSTS.model_copy(update=change))
    json.loads(json.dumps([point.review, point.reject, point.facts], allow_nan=False))
    if "defect_share" in change:
        assert "passing everything would be cheaper" in point.explanation


@pytest.mark.parametrize("value", [float("inf"), float("nan"), -1.0])
def test_costs_are_numbers(value):
    with pytest.raises(ValueError, match=r"finite|greater"):
        CostsConfig(escape=value)


def test_little_time_of_people_is_told():
    costs = COSTS.model_copy(update={"parts_per_hour": 1000.0, "reviews_per_hour": 20.0})
    point = decide(costs)
    assert point.facts["band"]["review_rate"] <= 0.02
    assert "People have time for 2.0% of parts" in point.explanation


@pytest.fixture
def store(tmp_path):
    with SqlStore("sqlite:///s.db", "images", root=tmp_path) as opened:
        yield opened


THRESHOLD = 1.5


def fill(store, *, flagged_judged, passed_judged, calibration="c", seed=5):
    """2,000 parts, 5 % defective with scores unlike the synthetic ones; some of them judged."""
    random = np.random.default_rng(seed)
    scores = np.concatenate([random.normal(size=1900), random.normal(0.5, 0.5, size=100)])
    good = np.array(held_out())
    left = {True: flagged_judged, False: passed_judged}
    order = random.permutation(2000)
    parts = [
        Inspection(
            image=Path(f"{number}.png"),
            sha256=f"{calibration}{number}",
            line="A",
            verdict=Verdict.REJECT if scores[number] >= THRESHOLD else Verdict.PASS,
            model="m",
            calibration=calibration,
            scorer="residual",
            threshold=THRESHOLD,
            score=float(scores[number]),
            p_value=float((1 + (good >= scores[number]).sum()) / (len(good) + 1)),
        )
        for number in order
    ]
    kept = store.append_many([(part, None) for part in parts])
    for number, part in zip(order, kept, strict=True):
        is_flagged = part.verdict is Verdict.REJECT
        if left[is_flagged] > 0:
            left[is_flagged] -= 1
            decision = Decision.REJECT if number >= 1900 else Decision.ACCEPT
            store.record_review(
                Review(
                    client_id=f"{calibration}{number}",
                    inspection_id=part.id,
                    decision=decision,
                    reviewer="x",
                )
            )


def test_judged_parts_stand_for_those_nobody_looked_at(store):
    """All flagged parts are judged and a sixth of the others: the shares come out right."""
    fill(store, flagged_judged=10**6, passed_judged=300)
    found = collect_reviewed(store, "A", {"c"})
    assert found.is_usable
    assert found.inspected == 2000
    # Unweighted, the flagged ones would count six times too often.
    assert found.defect_share == pytest.approx(0.05, abs=0.015)
    assert found.defective.share_below(np.array([THRESHOLD]))[0] == pytest.approx(0.977, abs=0.02)
    assert found.good.share_below(np.array([THRESHOLD]))[0] == pytest.approx(0.933, abs=0.01)
    assert 200 < found.size < found.reviewed

    # The line's own defects score lower than the synthetic ones, and there are more of them.
    costs = COSTS.model_copy(update={"escape": 30.0})
    before, after = decide(costs), decide(costs, reviewed=found)
    assert after.review < before.review
    share = after.facts["costs"]["defect_share"]
    assert 0.01 < share < 0.06
    assert f"{found.reviewed} judged parts of 2000" in after.explanation


def test_without_judged_passes_nothing_is_known_of_escapes(store):
    fill(store, flagged_judged=10**6, passed_judged=0)
    found = collect_reviewed(store, "A", {"c"})
    assert not found.is_usable
    point = decide(reviewed=found)
    assert point.review == decide().review
    assert "are left out" in point.explanation
    assert "verdict 'pass'" in point.explanation


def test_flagged_parts_that_nobody_judged_are_no_good_parts(store):
    """They are few, but it is where the defects are."""
    fill(store, flagged_judged=0, passed_judged=10**6)
    found = collect_reviewed(store, "A", {"c"})
    assert not found.is_usable
    assert "verdict 'reject'" in found.lacking


def test_a_part_judged_by_two_equal_calibrations_counts_once(store):
    fill(store, flagged_judged=10**6, passed_judged=300)
    once = collect_reviewed(store, "A", {"c"})
    with store.engine.begin() as connection:
        columns = [row[1] for row in connection.exec_driver_sql("pragma table_info(inspection)")]
        taken = [c for c in columns if c not in ("id", "key", "calibration", "decision")]
        connection.exec_driver_sql(
            f"insert into inspection (key, calibration, {', '.join(taken)}) "
            f"select 'x' || key, 'd', {', '.join(taken)} from inspection"
        )
    both = collect_reviewed(store, "A", {"c", "d"})
    for name in ("inspected", "reviewed", "defect_share", "size", "lacking"):
        assert getattr(both, name) == getattr(once, name)
    assert np.array_equal(both.defective.scores, once.defective.scores)


def test_scores_of_other_statistics_do_not_count(store):
    fill(store, flagged_judged=10, passed_judged=10)
    found = collect_reviewed(store, "A", {"another"})
    assert (found.inspected, found.reviewed) == (0, 0)
    assert "Nobody has judged" in decide(reviewed=found).explanation
