"""The random sample of passed parts: each part of a shift has the same chance."""

import datetime as dt
import itertools
import math
from collections import Counter

import pytest
from sqlalchemy import text

from cdm_inspect.config import LineConfig, LineReviewConfig, ProjectConfig, ReviewConfig
from cdm_inspect.config.shifts import shift_of
from cdm_inspect.monitoring.summary import summarise_line
from cdm_inspect.records import Decision, Purpose, Verdict
from cdm_inspect.review import Queue, ReviewDesk
from cdm_inspect.review.sampling import AuditSample
from cdm_inspect.roles import Actor, Role
from cdm_inspect.storage import hours
from cdm_inspect.testing.specimens import a_review

CONFIG = ReviewConfig(timezone="Asia/Tokyo")
DAY = dt.date(2026, 10, 5)
FIRST, SECOND = (shift_of(DAY, number, CONFIG) for number in (1, 2))
BEFORE = shift_of(DAY - dt.timedelta(days=1), 3, CONFIG)
MINUTE = dt.timedelta(minutes=1)
END = FIRST.until - dt.timedelta(seconds=1)
LINES = tuple("ABCDEFGHIJ")


@pytest.fixture
def sample(store):
    return AuditSample(store, CONFIG)


@pytest.fixture
def judge(store, sample):
    def say(parts, at=END, purpose=Purpose.AUDIT):
        for part in parts:
            review = a_review(part.id, decided_at=at, purpose=purpose)
            store.record_review(review)
            sample.on_decision(part, review)

    return say


@pytest.fixture
def at_once(monkeypatch):
    """Nothing that was counted is good for a while."""
    monkeypatch.setattr("cdm_inspect.review.sampling._COUNTED_FOR_S", 0)


def in_shift(parts, shift):
    return [part for part in parts if shift.since <= part.inspected_at < shift.until]


def test_the_current_shift_comes_first_then_those_of_the_last_day(sample, add, judge):
    add(480, BEFORE.since)
    add(480, FIRST.since)
    add(40, FIRST.since, verdict=Verdict.REVIEW)
    drawn = sample.waiting("A", 20, END)
    own, former = in_shift(drawn, FIRST), in_shift(drawn, BEFORE)
    assert drawn == [*own, *former]
    assert {part.verdict for part in drawn} == {Verdict.PASS}
    # Of each about twenty: 480 draws of 1 in 24 have a standard deviation of 4.4.
    assert abs(len(former) - 20) < 4 * 4.4
    assert abs(len(own) - 20) < 4 * 4.4
    judge(drawn[:4])
    assert sample.judged("A", 20, END) == 4
    assert sample.waiting("A", 20, END) == drawn[4:]
    # What is decided in the next shift, of parts of this one, counts for this one.
    assert sample.judged("A", 20, FIRST.until + MINUTE) == 0
    assert sample.waiting("none", 20, END) == []


def test_desk_and_line_page_count_the_same(store, sample, add, judge):
    add(30, BEFORE.since, every=16)
    parts = add(30, FIRST.since, every=16)
    judge(in_shift(sample.waiting("A", 10, END), BEFORE)[:1])
    assert sample.judged("A", 10, END) == 0
    judge(parts[:2], purpose=Purpose.CORRECTION)  # a complaint is no random sample
    assert sample.judged("A", 10, END) == 0
    judge(in_shift(sample.waiting("A", 10, END), FIRST)[:2])
    window = {"since": FIRST.since, "until": FIRST.until, "config": CONFIG}
    assert summarise_line(store, "A", **window).escapes.audited == 2
    assert sample.judged("A", 10, END) == 2


def test_what_was_taken_back_is_not_judged(store, sample, add, judge):
    add(5, FIRST.since, every=0.1)
    part, *others = sample.waiting("A", 5000, FIRST.since + 100 * MINUTE)
    assert len(others) == 4
    judge([part])
    assert sample.judged("A", 5000, END) == 1
    undo = a_review(part.id, Decision.UNDO, decided_at=END)
    sample.on_decision(store.record_review(undo), undo)
    assert sample.judged("A", 5000, END) == 0
    assert part.id in [again.id for again in sample.waiting("A", 5000, END)]


@pytest.mark.parametrize("every", [0.5, 100, 200])
def test_a_shift_of_few_parts_is_complete_when_all_are_judged(sample, add, judge, every):
    parts = add(3, FIRST.since + 50 * MINUTE, every=every)
    drawn = sample.waiting("A", 20, FIRST.until)
    assert {part.id for part in drawn} == {part.id for part in parts}
    judge(drawn)
    assert sample.waiting("A", 20, FIRST.until) == []


def test_who_has_parts_keeps_them_when_the_line_runs_faster(sample, add, at_once):
    add(480, BEFORE.since)
    add(240, FIRST.since)
    drawn = in_shift(sample.waiting("A", 40, FIRST.since + 240 * MINUTE), FIRST)
    add(600, FIRST.since + 240 * MINUTE, every=0.1)
    later = in_shift(sample.waiting("A", 40, FIRST.since + 300 * MINUTE), FIRST)
    assert {part.id for part in drawn} < {part.id for part in later}
    # 1 in 12 of 840 parts; the standard deviation is 8.
    assert abs(len(later) - 70) < 4 * 8


def test_a_shift_with_fewer_parts_than_usual_is_filled_up_once_it_is_over(sample, add, at_once):
    add(4800, BEFORE.since, every=0.1)
    add(120, FIRST.since, every=4)
    before = in_shift(sample.waiting("A", 40, END), FIRST)
    after = in_shift(sample.waiting("A", 40, FIRST.until), FIRST)
    assert len(before) < 8
    assert {part.id for part in before} <= {part.id for part in after}
    assert abs(len(after) - 40) < 4 * 5.2


def at_quarter(part):
    return math.floor((part.inspected_at - FIRST.since) / (FIRST.until - FIRST.since) * 4)


def quarters(store, lines=("A",)):
    """How many parts of each quarter of the shift were judged as a sample."""
    said = [said for line in lines for said in store.decisions(line, purpose=Purpose.AUDIT)]
    found = Counter(at_quarter(part) for part, _ in said)
    return [found[quarter] for quarter in range(4)]


def work(store, samples, wanted, now, line="A"):
    """People who have a screen each, and judge all that they are given."""
    for sample in samples:
        for part in sample.waiting(line, wanted, now):
            if store.get(part.id).decision is None:
                review = a_review(part.id, decided_at=now, purpose=Purpose.AUDIT, version=0)
                store.record_review(review)
                sample.on_decision(part, review)


# How many servers there are, which of 80 visits they have, and whether they start anew before.
PACES = {
    "steadily": (1, range(1, 81), False),
    "all at the end": (1, [80], False),
    "in the first half, the rest later": (1, [*range(1, 41, 2), 80], False),
    "two servers that know nothing of each other": (2, range(2, 81, 3), False),
    "a server that starts anew each time": (1, range(2, 81, 3), True),
    "twice": (1, [33, 80], False),
}


# One that looks often and one that looks late; the whole matrix takes two minutes.
OFTEN = {("steadily", True), ("two servers that know nothing of each other", False)}


@pytest.mark.parametrize(
    ("pace", "has_history"),
    [
        pytest.param(*case, marks=[] if case in OFTEN else pytest.mark.long)
        for case in itertools.product(PACES, (True, False))
    ],
)
def test_every_part_of_a_shift_has_the_same_chance_whenever_people_judge(
    store, add, at_once, pace, has_history
):
    """Ten lines of 4,000 parts each, of which twenty are wanted."""
    servers, visits, is_restarted = PACES[pace]
    (first,) = add(1, END, line="none")
    samples = [AuditSample(store, CONFIG) for _ in range(servers)]
    if has_history:
        with store.database.writing() as session:
            where = [hours.cell(line, BEFORE.since, "pass", None, "c") for line in LINES]
            hours.add(session, [(cell, 4000) for cell in where])
    for visit in range(1, 81):
        now = FIRST.since + visit * 6 * MINUTE
        multiply(store, first.id, 50, now, minutes=6, lines=LINES)
        if is_restarted:
            samples = [AuditSample(store, CONFIG)]
        for line in LINES if visit in visits else ():
            work(store, samples, 20, now, line)
    judged = quarters(store, LINES)
    # Drawn evenly, each has 50, with a standard deviation of 7.
    assert max(abs(count - 50) for count in judged) < 3.5 * 7
    assert abs(sum(judged) - 200) < 3.5 * 14
    assert AuditSample(store, CONFIG).waiting("B", 20, FIRST.until) == []


def test_so_it_has_in_a_shift_of_many_parts(store, add, at_once):
    """Of 60,000."""
    sample, (first,) = AuditSample(store, CONFIG), add(1, END, line="none")
    for visit in range(1, 41):
        now = FIRST.since + visit * 12 * MINUTE
        multiply(store, first.id, 1500, now, minutes=12)
    work(store, [sample], 100, now)
    judged = quarters(store)
    # Drawn evenly, each has 25, with a standard deviation of 5.
    assert max(abs(count - 25) for count in judged) < 3.5 * 5
    assert abs(sum(judged) - 100) < 3.5 * 10


def multiply(store, number, count, now, *, minutes, lines=("A",)):
    """Keep a part again and again on each line, evenly through the last minutes."""
    since = now - minutes * MINUTE
    first = round((since - FIRST.since) / MINUTE) * 1000
    values = ", ".join(f"('{line}')" for line in lines)
    square = "(123456789 + i * 10 + unicode(name)) * (123456789 + i * 10 + unicode(name))"
    copied = {
        # Squares differ modulo a prime, and come in an order that looks like none.
        "key": f"printf('%08x', {square} % 2147483647 * 48271 % 2147483647 * 2) || substr(key, 9)",
        "line": "name",
        "inspected_at": f"strftime('%Y-%m-%d %H:%M:%f000', '{since:%Y-%m-%d %H:%M:%S}', "
        f"'+' || round((i - {first}) * {60.0 * minutes} / {count}, 3) || ' seconds')",
    }
    with store.database.writing() as session:
        names = list(session.execute(text("SELECT * FROM inspection LIMIT 1")).keys())[1:]
        session.execute(
            text(
                f"WITH RECURSIVE g(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM g "
                f"WHERE i < {first + count - 1}), l(name) AS (VALUES {values}) "
                f"INSERT INTO inspection ({', '.join(names)}) "
                f"SELECT {', '.join(copied.get(name, name) for name in names)} "
                f"FROM g, l, inspection WHERE id = {number}".replace(":", "\\:")
            )
        )
        where = [hours.cell(line, since, "pass", None, "calibration") for line in lines]
        hours.add(session, [(cell, count) for cell in where])


def test_two_people_together_are_given_the_sample_and_no_part_twice(store, add):
    now = dt.datetime.now(dt.UTC)
    # Of one shift a day, nearly all of the current one is over.
    plant = ReviewConfig(timezone="UTC", shifts=((now + 3 * MINUTE).time(),))
    asked = LineReviewConfig(audit_per_shift=7)
    lines = {"A": LineConfig(normal="good", review=asked)}
    desk = ReviewDesk(store, ProjectConfig(lines=lines, review=plant))
    add(140, now - 1400 * MINUTE, every=10)
    expected = AuditSample(store, plant).waiting("A", 7, now)
    sato, ito = Actor("sato", Role.OPERATOR), Actor("ito", Role.OPERATOR)
    half = len(expected) // 2
    first = desk.take(sato, "A", Queue.AUDIT, holder="one", count=half)
    second = desk.take(ito, "A", Queue.AUDIT, holder="two", count=len(expected))
    assert len(first) == half
    assert {part.id for part in (*first, *second)} == {part.id for part in expected}
    assert len(first) + len(second) == len(expected)
    for part in (*first, *second):
        review = a_review(part.id, version=0, reason="", purpose=Purpose.AUDIT)
        desk.decide(sato, review)
    assert (desk.work("A").audited, desk.work("A").audit_wanted) == (len(expected), 7)
    assert desk.take(ito, "A", Queue.AUDIT, holder="two") == []


def test_decisions_of_another_process_are_counted_after_a_while(store, sample, add, at_once):
    add(30, FIRST.since, every=16)
    first, *others = sample.waiting("A", 10, END)
    store.record_review(a_review(first.id, purpose=Purpose.AUDIT, decided_at=END))
    assert sample.judged("A", 10, END) == 1
    assert sample.waiting("A", 10, END) == others


def test_decisions_are_read_only_where_passed_parts_were_decided(
    store, sample, add, at_once, monkeypatch
):
    (part, *_) = add(30, FIRST.since)
    (flagged,) = add(1, FIRST.since, verdict=Verdict.REJECT)
    store.record_review(a_review(flagged.id, decided_at=END))
    read, decisions = [], store.decisions
    monkeypatch.setattr(
        store, "decisions", lambda *args, **facts: read.append(1) or decisions(*args, **facts)
    )
    assert sample.judged("A", 5, END) == 0
    assert not read
    store.record_review(a_review(part.id, decided_at=END, purpose=Purpose.AUDIT))
    assert sample.judged("A", 5, END) == 1
    assert read


def test_it_counts_at_most_every_few_seconds(store, add, sample, monkeypatch):
    add(30, FIRST.since, every=16)
    drawn = sample.waiting("A", 5, END)
    for name in ("find", "decisions", "hourly", "count"):
        monkeypatch.setattr(store, name, None)
    assert sample.waiting("A", 5, END) == drawn
    assert sample.judged("A", 5, END) == 0
