"""Statistics of a line: against counts by hand, closed forms, simulation and other libraries."""

import datetime as dt
import json
import subprocess
import sys

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import cohen_kappa_score

from cdm_inspect.config.review import ReviewConfig
from cdm_inspect.config.shifts import shift_of
from cdm_inspect.errors import InvalidOption
from cdm_inspect.monitoring.agreement import SecondOpinion, measure_agreement, summarise_agreement
from cdm_inspect.monitoring.escapes import Stratum, estimate_escapes
from cdm_inspect.monitoring.p_chart import p_chart
from cdm_inspect.monitoring.score_sample import SAMPLE, bin_scores, draw_parts
from cdm_inspect.monitoring.summary import Rate, summarise_line
from cdm_inspect.records import Decision, InspectionQuery, Purpose, Verdict
from cdm_inspect.storage import SqlUpkeep
from cdm_inspect.testing.specimens import a_review

CONFIG = ReviewConfig(timezone="Asia/Tokyo")
DAY = dt.date(2026, 10, 5)
SHIFT = shift_of(DAY, 1, CONFIG)
BEGAN = SHIFT.since
ACCEPT, REJECT, UNSURE, UNDO = Decision
A, R = ACCEPT, REJECT


@pytest.fixture
def add(add):
    """As elsewhere; the shift of these tests is the usual one."""

    def keep(count, verdict=Verdict.PASS, *, since=BEGAN, **facts):
        return add(count, since, verdict=verdict, **facts)

    return keep


@pytest.fixture
def decide(store):
    def say(part, decision, *, minutes=10.0, **facts):
        at = part.inspected_at + dt.timedelta(minutes=minutes)
        return store.record_review(a_review(part.id, decision, decided_at=at, **facts))

    return say


def of_shift(store, **changes):
    window = {"since": SHIFT.since, "until": SHIFT.until, **changes}
    return summarise_line(store, "A", config=CONFIG, **window)


def test_counts_rates_and_reasons_of_a_shift(store, add, decide):
    add(300)
    add(2, Verdict.UNDECIDED, score=None)
    flagged = [*add(6, Verdict.REVIEW), *add(4, Verdict.REJECT)]
    for part, decision in zip(flagged, [A, A, A, R, R, UNSURE, R, A], strict=False):
        decide(part, decision, reason={A: "", R: "dent", UNSURE: ""}[decision])
    decide(flagged[6], REJECT, reason="", minutes=11)  # another reason, none this time
    decide(flagged[0], UNDO, minutes=12)
    add(5, Verdict.REJECT, since=SHIFT.until)  # the next shift
    add(5, Verdict.REJECT, line="B")

    found = of_shift(store)
    counts = found.counts
    assert (counts.inspected, counts.flagged, counts.waiting) == (312, 12, 5)
    assert counts.by_verdict == {
        Verdict.PASS: 300,
        Verdict.REVIEW: 6,
        Verdict.REJECT: 4,
        Verdict.UNDECIDED: 2,
    }
    assert counts.by_decision == {ACCEPT: 3, REJECT: 3, UNSURE: 1}
    for rate, (k, n) in ((found.flag_rate, (12, 312)), (found.false_reject_rate, (3, 6))):
        exact = binomtest(k, n).proportion_ci(0.95, "exact")
        assert (rate.k, rate.n, rate.rate) == (k, n, k / n)
        assert (rate.lower, rate.upper) == pytest.approx((exact.low, exact.high))
    assert [(r.code, r.count) for r in found.reasons] == [("dent", 2), ("", 1)]
    assert [r.cumulative for r in found.reasons] == pytest.approx([2 / 3, 1])
    (open_,) = found.escalations
    assert (open_.part.id, open_.review.comment) == (flagged[5].id, "=looks fine")
    (version,) = found.versions
    assert (version.model, version.threshold, version.parts) == ("model", 1.5, 312)
    document = json.loads(json.dumps(found.to_json()))
    assert document["counts"]["by_decision"] == {"accept": 3, "reject": 3, "unsure": 1}
    assert document["since"] == "2026-10-04T21:00:00+00:00"


def test_an_empty_window_has_no_rates(store):
    found = of_shift(store)
    assert found.counts.inspected == 0
    assert found.flag_rate == Rate(k=0, n=0, rate=None, lower=None, upper=None)
    assert found.flag_chart.points == ()
    assert found.flag_chart.centre is None
    assert found.escapes.lacking == "no-passed-parts"
    assert found.queue.oldest_seconds is None
    assert found.histogram.sampled == 0
    assert found.judging.median_ms is None
    json.dumps(found.to_json())


@pytest.mark.parametrize(
    ("since", "until"),
    [(BEGAN, BEGAN), (SHIFT.until, BEGAN), (BEGAN.replace(tzinfo=None), SHIFT.until)],
)
def test_a_window_that_is_none(store, since, until):
    with pytest.raises(InvalidOption, match="expected two times with a zone"):
        of_shift(store, since=since, until=until)


def test_a_window_that_cuts_hours_is_counted_exactly(store, add, decide):
    parts = add(120, Verdict.REVIEW)
    for part in parts[::2]:
        decide(part, ACCEPT)
    minutes = dt.timedelta(minutes=1)
    found = of_shift(store, since=BEGAN + 25 * minutes, until=BEGAN + 92 * minutes)
    assert found.counts.inspected == 67
    assert found.counts.by_decision[ACCEPT] == 33
    assert [point.since for point in found.flag_chart.points] == [
        BEGAN + 25 * minutes,
        BEGAN + 60 * minutes,
    ]
    assert [point.n for point in found.flag_chart.points] == [35, 32]
    within = of_shift(store, since=BEGAN + 10 * minutes, until=BEGAN + 20 * minutes)
    assert within.counts.inspected == 10


def test_people_decide_after_the_shift_and_it_still_counts_for_its_parts(store, add, decide):
    late, much_later, waiting = add(3, Verdict.REJECT)
    decide(late, REJECT, minutes=9 * 60, reason="dent")
    decide(much_later, REJECT, minutes=40 * 24 * 60, reason="burr")
    found = of_shift(store)
    assert {reason.code for reason in found.reasons} == {"dent", "burr"}
    assert found.counts.waiting == 1
    assert found.judging.parts == 0  # nobody judged within the shift
    assert waiting.decision is None


def test_a_p_chart_against_limits_by_hand():
    hours = [BEGAN + dt.timedelta(hours=hour) for hour in range(4)]
    chart = p_chart(
        [(hours[0], 100, 5), (hours[1], 400, 8), (hours[2], 0, 0), (hours[3], 100, 17)], unit="hour"
    )
    assert chart.centre == pytest.approx(0.05)
    assert [point.since for point in chart.points] == [hours[0], hours[1], hours[3]]
    assert [point.upper for point in chart.points] == pytest.approx(
        [0.05 + 3 * 0.0475**0.5 / 10, 0.05 + 3 * 0.0475**0.5 / 20, 0.05 + 3 * 0.0475**0.5 / 10]
    )
    assert chart.points[0].lower == 0
    assert chart.points[1].lower == pytest.approx(0.05 - 3 * 0.0475**0.5 / 20)
    assert [point.is_out for point in chart.points] == [False, False, True]


@pytest.mark.parametrize("k", [0, 7])
def test_a_share_of_none_or_all_is_within_its_limits(k):
    chart = p_chart([(BEGAN, 7, k)], unit="hour")
    assert not chart.points[0].is_out
    assert chart.points[0].lower == chart.points[0].upper == k / 7


def test_charts_are_by_hour_for_three_days_and_by_shift_beyond(store, add, decide):
    add(4 * 24, Verdict.PASS, every=60)
    flagged = add(4 * 24, Verdict.REVIEW, every=60)
    for part in flagged[:8]:
        decide(part, ACCEPT)
    days = dt.timedelta(days=1)
    short = of_shift(store, until=BEGAN + 3 * days)
    assert (short.flag_chart.unit, len(short.flag_chart.points)) == ("hour", 72)
    long = of_shift(store, until=BEGAN + 4 * days)
    assert (long.flag_chart.unit, len(long.flag_chart.points)) == ("shift", 12)
    assert {point.n for point in long.flag_chart.points} == {16}
    (judged,) = long.false_reject_chart.points
    assert (judged.since, judged.n, judged.k) == (SHIFT.since, 8, 8)


@pytest.mark.parametrize("n", [1, 20, 59, 300])
def test_no_escape_in_one_stratum_has_the_known_bound(n):
    found = estimate_escapes([Stratum(name="1", passed=5000, audited=n, escapes=0)])
    assert found.rate == 0
    assert found.upper == pytest.approx(1 - 0.05 ** (1 / n))
    assert found.effective == pytest.approx(n)


def test_one_stratum_with_escapes_has_the_bound_of_clopper_and_pearson():
    found = estimate_escapes([Stratum(name="1", passed=5000, audited=80, escapes=3)])
    exact = binomtest(3, 80, alternative="less").proportion_ci(0.95, "exact")
    assert found.rate == pytest.approx(3 / 80)
    assert found.upper == pytest.approx(exact.high)


def test_strata_audited_alike_are_as_good_as_one():
    one = estimate_escapes([Stratum(name="1", passed=4000, audited=80, escapes=2)])
    halves = [Stratum(name=str(i), passed=2000, audited=40, escapes=i) for i in (0, 2)]
    both = estimate_escapes(halves)
    assert (both.rate, both.upper) == pytest.approx((one.rate, one.upper))


def test_a_part_weighs_what_it_stands_for():
    found = estimate_escapes(
        [
            Stratum(name="1", passed=9000, audited=30, escapes=3),
            Stratum(name="2", passed=1000, audited=30, escapes=0),
            Stratum(name="3", passed=500, audited=0, escapes=0),
        ]
    )
    assert found.rate == pytest.approx(0.9 * 0.1)
    assert found.effective < 60
    assert (found.uncovered, found.uncovered_shifts) == (500, ("3",))
    assert found.passed == 10_500


@pytest.mark.parametrize(
    ("passed", "why"), [(0, "no-passed-parts"), (700, "no-audited-parts")], ids=str
)
def test_without_audited_parts_nothing_is_said(passed, why):
    found = estimate_escapes([Stratum(name="1", passed=passed, audited=0, escapes=0)])
    assert (found.rate, found.upper, found.lacking) == (None, None, why)
    assert found.uncovered == passed


def test_all_audited_parts_escaped():
    found = estimate_escapes([Stratum(name="1", passed=9, audited=3, escapes=3)])
    assert (found.rate, found.upper) == (1.0, 1.0)


@pytest.mark.parametrize(
    "rates",
    # Beside the first, such that a draw without an escape says too little of them.
    [(0.02, 0.02, 0.02), (0.1, 0.1, 0.1), (0.15, 0.0, 0.0), (0.2, 0.1, 0.3), (0.1, 0.0, 0.05)],
    ids=str,
)
def test_the_bound_covers_the_true_rate(rates):
    passed, audited = np.array([9000, 3000, 1000]), np.array([60, 120, 60])
    true = float(passed @ np.array(rates) / passed.sum())
    draw = np.random.default_rng(0)
    drawn = draw.binomial(audited, rates, size=(2000, 3))
    covered = 0
    for escapes in drawn:
        found = estimate_escapes(
            [
                Stratum(name=str(i), passed=int(passed[i]), audited=int(audited[i]), escapes=int(k))
                for i, k in enumerate(escapes)
            ]
        )
        covered += found.upper >= true
    assert covered / 2000 >= 0.945  # 0.95, less one standard error of the simulation


def test_only_audits_that_stand_tell_of_escapes(store, add, decide):
    passed = add(200)
    for part in passed[:10]:
        decide(part, ACCEPT, purpose=Purpose.AUDIT)
    decide(passed[0], UNDO, purpose=Purpose.CORRECTION, minutes=11)
    # Somebody else saw a defect in a drawn part: it stays drawn.
    decide(passed[1], REJECT, purpose=Purpose.CORRECTION, minutes=12)
    decide(passed[2], REJECT, purpose=Purpose.SECOND, minutes=12)
    decide(passed[3], UNSURE, purpose=Purpose.AUDIT, minutes=13)
    # A customer sent this one back: it was not drawn at random.
    decide(passed[50], REJECT, purpose=Purpose.CORRECTION)
    add(100, since=SHIFT.until)
    found = of_shift(store, until=SHIFT.until + (SHIFT.until - SHIFT.since)).escapes
    # An unsure one is audited, and an escape until somebody settles it.
    assert (found.passed, found.audited, found.escapes) == (300, 9, 2)
    assert found.rate == pytest.approx(2 / 9)
    assert (found.uncovered, found.uncovered_shifts) == (100, ("2026-10-05 / 2",))


def test_shifts_that_begin_between_hours_weigh_the_same_hours(store, add, decide):
    config = ReviewConfig(timezone="Asia/Kolkata")  # 06:00 is half past of an hour
    since = shift_of(DAY, 1, config).since
    parts = add(20 * 6, since=since, every=10)
    for part in parts[::6]:
        decide(part, ACCEPT, purpose=Purpose.AUDIT)
    found = summarise_line(
        store, "A", since=since, until=since + dt.timedelta(hours=20), config=config
    )
    assert found.escapes.audited == 20
    assert found.escapes.effective == pytest.approx(20, rel=0.02)
    assert found.counts.inspected == 120


def test_scores_are_binned_about_the_threshold(store, add, decide):
    add(40, score=0.75)
    add(3, Verdict.UNDECIDED, score=None, p_value=None)
    flagged = add(10, Verdict.REVIEW, score=3.0, model="newer", calibration="newer")
    for part in flagged[:4]:
        decide(part, REJECT)
    histogram = of_shift(store).histogram
    assert (histogram.sampled, histogram.inspected, histogram.unscored) == (53, 53, 3)
    edges = np.array(histogram.edges)
    found = {}
    for series in histogram.series:
        place = int(np.flatnonzero(series.counts)[0])
        found[series.model, series.decision, series.verdict] = sum(series.counts)
        score = 0.75 if series.model == "model" else 3.0
        assert edges[place] <= score / 1.5 <= edges[place + 1]
    assert found == {
        ("model", None, Verdict.PASS): 40,
        ("newer", REJECT, None): 4,
        ("newer", None, Verdict.REVIEW): 6,
    }


def test_a_threshold_below_zero_still_has_flagged_parts_above_it(store, add):
    parts = [*add(5, score=-4.0, threshold=-2.0), *add(5, score=-1.0, threshold=-2.0)]
    edges = bin_scores(parts, 10).edges
    assert edges[0] <= 0.0
    assert edges[-1] >= 1.5


def test_a_large_window_is_drawn_from_without_reading_all_of_it(store, add, monkeypatch):
    monkeypatch.setattr("cdm_inspect.monitoring.score_sample._SORTED", 3000)
    add(8000, score=1.0, every=0.05)
    add(4000, Verdict.REVIEW, score=2.0, since=BEGAN + dt.timedelta(hours=12), every=0.05)
    until = BEGAN + dt.timedelta(hours=20)
    cells = store.hourly("A", since=BEGAN, until=until)
    parts = draw_parts(store, "A", cells, until)
    assert len({part.id for part in parts}) == len(parts)
    assert 0.9 * SAMPLE <= len(parts) <= SAMPLE
    share = np.mean([part.verdict is Verdict.REVIEW for part in parts])
    assert share == pytest.approx(1 / 3, abs=0.15)  # of 40 stretches
    assert draw_parts(store, "A", cells, until) == parts


def test_how_long_people_looked(store, add, decide):
    parts = add(11, Verdict.REVIEW)
    for index, part in enumerate(parts):
        decide(part, ACCEPT, reviewer="佐藤", seen_ms=100 * (index + 1))
    decide(parts[0], REJECT, reviewer="Smith", seen_ms=None, purpose=Purpose.SECOND)
    decide(parts[1], UNDO, reviewer="佐藤", seen_ms=1)
    found = of_shift(store)
    smith, sato = found.reviewers
    assert (smith.reviewer, smith.parts, smith.timed, smith.median_ms) == ("Smith", 1, 0, None)
    assert (sato.parts, sato.timed, sato.median_ms, sato.p90_ms) == (11, 11, 600, 1000)
    assert sato.hasty_share == pytest.approx(2 / 11)
    assert (found.judging.parts, found.judging.timed) == (11, 11)


def test_the_queue_and_its_age(store, add, decide):
    now = dt.datetime.now(dt.UTC)
    parts = add(3, Verdict.REVIEW, since=now - dt.timedelta(minutes=30), every=10)
    add(3, since=now - dt.timedelta(minutes=90))
    queue = of_shift(store).queue
    assert queue.waiting == 3
    assert queue.oldest_seconds == pytest.approx(1800, abs=30)
    assert queue.median_seconds == pytest.approx(1200, abs=30)
    decide(parts[0], ACCEPT)
    assert of_shift(store).queue.oldest_seconds == pytest.approx(1200, abs=30)


# Rows are the first opinion, columns the second: accept and accept, accept and reject, ...
@pytest.mark.parametrize(
    ("table", "kappa", "word"),
    [
        ((20, 5, 10, 15), 0.4, "unacceptable"),
        ((45, 15, 25, 15), 0.1304, "unacceptable"),
        ((50, 1, 1, 48), 0.96, "very-good"),
        ((50, 5, 5, 40), 0.798, "marginal"),
        ((0, 5, 5, 0), -1.0, "unacceptable"),
    ],
)
def test_kappa_against_tables_by_hand_and_another_library(table, kappa, word):
    answers = pairs(table)
    found = measure_agreement(answers)
    assert found.kappa == pytest.approx(kappa, abs=5e-4)
    assert found.kappa == pytest.approx(cohen_kappa_score(*zip(*answers, strict=True)))
    assert (found.word, found.n, found.agreed) == (word, sum(table), table[0] + table[3])
    assert found.lower <= found.kappa <= found.upper


def pairs(table):
    kinds = [(A, A), (A, R), (R, A), (R, R)]
    return [kind for kind, count in zip(kinds, table, strict=True) for _ in range(count)]


@pytest.mark.parametrize("table", [(20, 5, 10, 15), (45, 15, 25, 15), (50, 5, 5, 40)])
def test_the_interval_of_kappa_is_that_of_the_delta_method(table):
    """Another way to the large-sample variance: the gradient of kappa over the four shares."""

    def kappa(share):
        p = share.reshape(2, 2) / share.sum()
        chance = p.sum(1) @ p.sum(0)
        return (np.trace(p) - chance) / (1 - chance)

    share, n = np.array(table) / sum(table), sum(table)
    steps = 1e-6 * np.eye(4)
    slope = np.array([(kappa(share + s) - kappa(share - s)) / 2e-6 for s in steps])
    variance = slope @ (np.diag(share) - np.outer(share, share)) @ slope / n
    found = measure_agreement(pairs(table))
    assert found.upper - found.kappa == pytest.approx(1.959964 * variance**0.5, rel=1e-5)
    assert found.kappa - found.lower == pytest.approx(found.upper - found.kappa)


def test_the_interval_of_kappa_covers_it():
    draw, truth = np.random.default_rng(1), np.array([0.6, 0.06, 0.04, 0.3])
    kappa = (0.9 - (0.66 * 0.64 + 0.34 * 0.36)) / (1 - (0.66 * 0.64 + 0.34 * 0.36))
    found = [measure_agreement(pairs(draw.multinomial(150, truth))) for _ in range(400)]
    assert np.mean([one.lower <= kappa <= one.upper for one in found]) >= 0.91


@pytest.mark.parametrize("table", [(7, 0, 0, 0), (0, 0, 0, 3), (0, 0, 0, 0)])
def test_the_same_answer_to_all_tells_nothing(table):
    found = measure_agreement(pairs(table))
    assert (found.kappa, found.lower, found.upper, found.word) == (None, None, None, "")
    assert found.n == sum(table)


def test_few_parts_in_full_agreement_are_not_certain():
    found = measure_agreement(pairs((5, 0, 0, 5)))
    assert (found.kappa, found.upper) == (1.0, 1.0)
    # Of ten parts at least 69.15 % agree (0.025 ^ (1 / 10)), half of which is chance.
    assert found.lower == pytest.approx(2 * 0.025**0.1 - 1)


def test_pairs_count_whoever_was_first_and_one_alone_is_no_second_person():
    def opinion(first, second, a, b):
        return SecondOpinion(first=a, second=b, first_reviewer=first, second_reviewer=second)

    found = summarise_agreement(
        [
            opinion("b", "a", A, R),
            opinion("a", "b", R, A),
            opinion("a", "b", A, A),
            opinion("a", "a", A, R),
        ]
    )
    assert [(p.reviewers, p.agreement.n) for p in found.pairs] == [(("a", "a"), 1), (("a", "b"), 3)]
    assert found.overall.n == 3
    # "a" said R, R, A where "b" said A, A, A.
    assert found.pairs[1].agreement.agreed == 1


def test_second_opinions_count_against_what_stood_when_they_were_given(store, add, decide):
    parts = add(5, Verdict.REVIEW, every=60)
    for part in parts:
        decide(part, ACCEPT, reviewer="佐藤")
    decide(parts[0], REJECT, reviewer="Smith", purpose=Purpose.SECOND, minutes=11)
    decide(parts[0], REJECT, reviewer="佐藤", purpose=Purpose.CORRECTION, minutes=12)
    decide(parts[1], ACCEPT, reviewer="Smith", purpose=Purpose.SECOND, minutes=11)
    decide(parts[2], UNSURE, reviewer="Smith", purpose=Purpose.SECOND, minutes=11)
    # The first opinion is of this shift, the second of the next.
    decide(parts[3], REJECT, reviewer="Smith", purpose=Purpose.SECOND, minutes=8 * 60)
    decide(parts[4], UNDO, reviewer="佐藤", minutes=11)
    decide(parts[4], REJECT, reviewer="Smith", purpose=Purpose.SECOND, minutes=12)
    overall = of_shift(store).agreement.overall
    assert (overall.n, overall.agreed) == (2, 1)
    later = of_shift(store, since=SHIFT.until, until=SHIFT.until + dt.timedelta(hours=8))
    (pair,) = later.agreement.pairs
    assert (pair.reviewers, pair.agreement.n, pair.agreement.agreed) == (("Smith", "佐藤"), 1, 0)


def test_what_the_program_leaves_open_is_nobodys_decision(store, add, decide):
    part, audited = add(1, Verdict.REVIEW)[0], add(1)[0]
    for one, purpose in ((part, Purpose.QUEUE), (audited, Purpose.AUDIT)):
        decide(one, ACCEPT, reviewer="佐藤", purpose=purpose, seen_ms=900)
        decide(one, REJECT, reviewer="Smith", purpose=Purpose.SECOND, minutes=11, seen_ms=900)
        nobody = {"reviewer": "", "role": "", "comment": "", "reason": "", "seen_ms": None}
        decide(one, UNSURE, purpose=Purpose.DISAGREEMENT, minutes=11, **nobody)
    found = of_shift(store)
    assert [(r.reviewer, r.parts, r.timed) for r in found.reviewers] == [
        ("Smith", 2, 2),
        ("佐藤", 2, 2),
    ]
    assert (found.judging.parts, found.judging.timed) == (2, 4)
    (pair,) = found.agreement.pairs
    assert (pair.reviewers, pair.agreement.n, pair.agreement.agreed) == (("Smith", "佐藤"), 2, 0)
    assert [e.review.purpose for e in found.escalations] == [Purpose.DISAGREEMENT] * 2
    assert found.counts.by_decision == {ACCEPT: 0, REJECT: 0, UNSURE: 1}
    assert found.false_reject_rate.n == 0
    assert (found.counts.waiting, found.reasons) == (0, ())
    # It was drawn at random, and counts as an escape until somebody settles it.
    assert (found.escapes.audited, found.escapes.escapes) == (1, 1)


def test_versions_that_judged(store, add):
    add(5)
    add(
        90,
        model="newer",
        calibration="newer",
        threshold=1.75,
        since=BEGAN + 2 * (DAY_HOUR := dt.timedelta(hours=1)),
    )
    add(1, calibration="older", since=BEGAN + 5 * DAY_HOUR)
    versions = of_shift(store).versions
    assert [(v.calibration, v.model, v.threshold, v.parts) for v in versions] == [
        ("newer", "newer", 1.75, 90),
        ("calibration", "model", 1.5, 5),
        ("older", "model", 1.5, 1),
    ]


def test_a_version_that_no_draw_has_met_is_looked_up(store, add, monkeypatch):
    add(3, calibration="rare")
    monkeypatch.setattr("cdm_inspect.monitoring.score_sample.SAMPLE", 0)
    found = of_shift(store)
    assert found.histogram.sampled == 0
    (version,) = found.versions
    assert (version.calibration, version.model, version.threshold) == ("rare", "model", 1.5)


def test_it_counts_with_the_store_and_not_by_reading_parts(store, add):
    """Of a thousand parts that passed none is read, beside the random sample."""
    add(1000)
    read = []
    find = store.find

    def counting(query):
        found = find(query)
        read.append((query.order, len(found)))
        return found

    store.find = counting
    assert of_shift(store, until=BEGAN + dt.timedelta(hours=16, minutes=30)).counts.inspected == 990
    assert store.count(InspectionQuery(line="A")) == 1000
    assert sum(count for _, count in read) <= SAMPLE


def test_parts_whose_records_were_deleted_still_count(store, add, tmp_path):
    add(3)
    add(1, line="B")  # the newest one stays
    upkeep = SqlUpkeep("sqlite:///x.db", "images/", root=tmp_path)
    limit = {"passed": dt.timedelta(days=1), "decided": dt.timedelta(days=1)}
    assert upkeep.prune(limit, is_dry=False, progress=lambda *stated: None).parts["passed"] == 3
    found = of_shift(store)
    assert found.counts.inspected == 3
    assert found.histogram.sampled == 0
    assert [(v.model, v.threshold, v.parts) for v in found.versions] == [("", None, 3)]


def test_it_loads_without_torch():
    code = (
        "import sys, cdm_inspect.monitoring.summary\n"
        "import cdm_inspect.review.shift_report.table\n"
        "assert not {'torch', 'sqlalchemy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
