"""What judged parts stand for: where records have been deleted, and at what size in memory."""

import datetime as dt
import itertools
import math
import tracemalloc

import numpy as np
import pytest

from cdm_inspect.calibration.reviewed_sample import collect_reviewed
from cdm_inspect.records import Decision, Purpose, Review, Verdict
from cdm_inspect.storage import SqlUpkeep
from cdm_inspect.testing.specimens import a_part

NOW = dt.datetime.now(dt.UTC)
QUARTER = dt.timedelta(days=90)
DEFECTIVE = 0.04


@pytest.fixture
def prune(store, tmp_path):
    def run(**days):
        upkeep = SqlUpkeep("sqlite:///x.db", "images/", root=tmp_path)
        limits = {name: dt.timedelta(days=number) for name, number in days.items()}
        return upkeep.prune(limits, is_dry=False, progress=lambda *said: None).parts

    return run


@pytest.fixture
def judge(store):
    """A person's decision, made when the part was inspected."""
    numbers = itertools.count()

    def decide(part, decision, purpose=Purpose.QUEUE, at=None):
        return store.record_review(
            Review(
                client_id=f"judged-{next(numbers)}",
                inspection_id=part.id,
                decision=decision,
                reviewer="x",
                purpose=purpose,
                decided_at=at or part.inspected_at,
            )
        )

    return decide


@pytest.fixture
def produce(store, judge):
    """A while of a line that never changes: flagged parts are all judged, of others a few."""
    random, numbers = np.random.default_rng(0), itertools.count()

    def run(since, parts=400, audited=60, threshold=1.5, calibration="c"):
        is_bad = random.random(parts) < DEFECTIVE
        scores = random.normal(size=parts) + 2.5 * is_bad
        made = [
            a_part(
                next(numbers),
                line="A",
                heatmap=None,
                inspected_at=since,
                calibration=calibration,
                score=score,
                p_value=max(0.5 * math.erfc(score / math.sqrt(2)), 1e-3),
                verdict=Verdict.REVIEW if score >= threshold else Verdict.PASS,
            )
            for score in scores.tolist()
        ]
        left = audited
        for part, bad in zip(
            store.append_many([(part, None) for part in made]), is_bad.tolist(), strict=True
        ):
            decision = Decision.REJECT if bad else Decision.ACCEPT
            if part.verdict is not Verdict.PASS:
                judge(part, decision)
            elif left:
                left -= 1
                judge(part, decision, Purpose.AUDIT)

    return run


def is_like(found, other):
    """Whether the share of defective parts lies within the band of the other."""
    share = other.defect_share
    return abs(found.defect_share - share) < 1.96 * math.sqrt(share * (1 - share) / other.size)


@pytest.mark.parametrize(
    ("limits", "deleted"),
    [
        ({"passed": 100, "decided": 3650}, {"passed"}),
        ({"decided": 300}, {"decided"}),
        ({"passed": 100, "decided": 300}, {"passed", "decided"}),
    ],
)
def test_a_line_that_never_changes_has_the_same_defects_after_its_parts_were_deleted(
    store, produce, prune, limits, deleted
):
    for quarter in range(6):
        produce(NOW - quarter * QUARTER - dt.timedelta(days=1))
    before = collect_reviewed(store, "A", {"c"})
    assert before.is_usable
    assert before.inspected == 2400
    parts = prune(**limits)
    assert {name for name, number in parts.items() if number > 100} == deleted
    after = collect_reviewed(store, "A", {"c"})
    assert after.is_usable
    assert after.inspected == 2400
    assert is_like(after, before)
    cut = np.array([1.5])
    for name, width in (("good", 0.02), ("defective", 0.1)):
        shares = [getattr(each, name).share_below(cut)[0] for each in (before, after)]
        assert shares[1] == pytest.approx(shares[0], abs=width)


def test_passed_parts_of_which_none_is_left_are_told(store, produce, prune):
    """The few that were judged, and the newest of all, do not tell of what kinds they were."""
    for quarter in range(1, 4):
        produce(NOW - quarter * QUARTER)
    assert collect_reviewed(store, "A", {"c"}).is_usable
    prune(passed=30)
    found = collect_reviewed(store, "A", {"c"})
    assert "of 1200 inspected parts so many records have been deleted" in found.lacking
    assert "store.retention" in found.lacking
    assert found.unseen is None
    assert len(found.defective.scores) > 30


def test_other_thresholds_passed_other_parts_and_do_not_stand_for_those_that_are_gone(
    store, produce, prune
):
    produce(NOW - 2 * QUARTER, parts=800, audited=120, threshold=2.0, calibration="former")
    produce(NOW - dt.timedelta(days=1), parts=800, audited=300)
    assert collect_reviewed(store, "A", {"c", "former"}).inspected == 1600
    prune(passed=100)
    own = collect_reviewed(store, "A", {"c"})
    found = collect_reviewed(store, "A", {"c", "former"})
    assert found.is_usable
    assert (found.inspected, found.reviewed) == (800, own.reviewed)
    assert found.defect_share == own.defect_share
    assert np.array_equal(found.good.weights, own.good.weights)


def test_decisions_of_any_time_tell_why_a_part_was_judged(store, add, judge):
    parts = add(60, NOW - 5 * QUARTER, line="A", calibration="c", score=0.5, p_value=0.5)
    for number, part in enumerate(parts[:30]):
        judge(part, Decision.ACCEPT, Purpose.AUDIT, part.inspected_at + number * QUARTER / 6)
    # Somebody came back to one of them, and to one that nobody had drawn.
    for part in parts[29:31]:
        judge(part, Decision.REJECT, Purpose.CORRECTION, NOW)
    found = collect_reviewed(store, "A", {"c"})
    assert found.is_usable
    assert (found.inspected, found.reviewed) == (60, 30)
    assert len(found.defective.scores) == 1
    assert found.defect_share == pytest.approx(1 / 30)


def test_a_station_whose_clock_is_a_month_ahead_loses_no_decision(store, add, judge):
    ahead = NOW + dt.timedelta(days=30)
    for part in add(20, ahead, line="A", calibration="c", score=0.5, p_value=0.5):
        judge(part, Decision.ACCEPT, Purpose.AUDIT, NOW)
    found = collect_reviewed(store, "A", {"c"})
    assert (found.inspected, found.reviewed) == (20, 20)


def test_a_decision_made_meanwhile_is_no_deleted_record(store, add, judge):
    facts = dict(line="A", calibration="c")
    passed = add(60, NOW - dt.timedelta(hours=3), score=0.5, p_value=0.5, **facts)
    flagged = add(
        40, NOW - dt.timedelta(hours=3), score=2.0, p_value=0.01, verdict=Verdict.REVIEW, **facts
    )
    for part in passed[:30]:
        judge(part, Decision.ACCEPT, Purpose.AUDIT)
    for part in flagged[:38]:
        judge(part, Decision.REJECT)
    before = collect_reviewed(store, "A", {"c"})

    class Busy:
        """The store, in which a part is decided between the count and the reading."""

        def __getattr__(self, name):
            return getattr(store, name)

        def find(self, query):
            if store.get(flagged[-1].id).decision is None:
                judge(flagged[-1], Decision.REJECT)
            return store.find(query)

    meanwhile = collect_reviewed(Busy(), "A", {"c"})
    assert meanwhile.is_usable
    assert meanwhile.reviewed == before.reviewed + 1
    assert meanwhile.inspected == pytest.approx(before.inspected, abs=1)
    assert meanwhile.defect_share == pytest.approx(before.defect_share, rel=0.1)


def test_parts_that_nobody_has_judged_take_next_to_no_memory(store, add):
    def peak():
        collect_reviewed(store, "A", {"c"})
        tracemalloc.start()
        found = collect_reviewed(store, "A", {"c"})
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found.inspected, most

    facts = dict(every=0.0, line="A", calibration="c", score=0.5, p_value=0.3)
    add(2_000, NOW - dt.timedelta(days=1), **facts)
    few, little = peak()
    add(6_000, NOW - dt.timedelta(days=1), **facts)
    many, much = peak()
    assert (few, many) == (2_000, 8_000)
    # A whole record has more than a thousand bytes.
    assert (much - little) / (many - few) < 150
