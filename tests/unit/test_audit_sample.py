"""The random sample of passed parts: so many of each shift in which they were inspected."""

import datetime as dt

import pytest

from cdm_inspect.config import LineConfig, LineReviewConfig, ProjectConfig, ReviewConfig
from cdm_inspect.hooks.conformance.specimens import a_review
from cdm_inspect.line_statistics import summarise_line
from cdm_inspect.people import Actor, Role
from cdm_inspect.records import Decision, Purpose, Verdict
from cdm_inspect.review import Queue, ReviewDesk
from cdm_inspect.review.sampling import AuditSample
from cdm_inspect.shifts import shift_of

CONFIG = ReviewConfig(timezone="Asia/Tokyo")
DAY = dt.date(2026, 10, 5)
FIRST, SECOND = (shift_of(DAY, number, CONFIG) for number in (1, 2))
BEFORE = shift_of(DAY - dt.timedelta(days=1), 3, CONFIG)
MINUTE = dt.timedelta(minutes=1)
END = FIRST.until - dt.timedelta(seconds=1)


@pytest.fixture
def sample(store):
    return AuditSample(store, CONFIG)


@pytest.fixture
def judge(store, sample):
    def say(parts, at=END, purpose=Purpose.AUDIT):
        for part in parts:
            review = a_review(part.id, decided_at=at, purpose=purpose)
            store.record_review(review)
            sample.hear(part, review)

    return say


@pytest.fixture
def at_once(monkeypatch):
    """Nothing that was counted is good for a while."""
    monkeypatch.setattr("cdm_inspect.review.sampling._COUNTED_FOR_S", 0)


def shifts_of(parts):
    return [
        next(s.name for s in (BEFORE, FIRST, SECOND) if s.since <= part.inspected_at < s.until)
        for part in parts
    ]


def test_the_current_shift_comes_first_then_the_one_before_then_nothing(sample, add, judge):
    add(40, BEFORE.since)
    add(40, FIRST.since)
    add(40, FIRST.since, verdict=Verdict.REVIEW)
    add(40, FIRST.since - dt.timedelta(days=3))
    drawn = sample.waiting("A", 6, END)
    assert shifts_of(drawn) == [FIRST.name] * 6 + [BEFORE.name] * 6
    assert sample.waiting("A", 6, END) == drawn
    judge(drawn[:4])
    assert sample.judged("A", END) == 4
    assert sample.waiting("A", 6, END) == drawn[4:]
    judge(drawn[4:])
    assert sample.waiting("A", 6, END) == []
    assert sample.judged("A", END) == 6
    # What is decided in the next shift, of parts of this one, counts for this one.
    assert sample.judged("A", FIRST.until + MINUTE) == 0
    assert sample.waiting("none", 6, END) == []


def test_desk_and_line_page_count_the_same(store, sample, add, judge):
    add(30, BEFORE.since)
    parts = add(30, FIRST.since)
    before = sample.waiting("A", 3, END)[3:]
    judge(before)
    assert sample.judged("A", END) == 0
    judge(parts[:2], purpose=Purpose.CORRECTION)  # a complaint is no random sample
    assert sample.judged("A", END) == 0
    judge(sample.waiting("A", 3, END)[:2])
    window = {"since": FIRST.since, "until": FIRST.until, "config": CONFIG}
    assert summarise_line(store, "A", **window).escapes.audited == 2
    assert sample.judged("A", END) == 2


def test_what_was_taken_back_is_not_judged(store, sample, add, judge):
    add(1, FIRST.since)
    (part,) = sample.waiting("A", 5, END)
    judge([part])
    assert (sample.judged("A", END), sample.waiting("A", 5, END)) == (1, [])
    undo = a_review(part.id, Decision.UNDO, decided_at=END)
    sample.hear(store.record_review(undo), undo)
    assert sample.judged("A", END) == 0
    assert [again.id for again in sample.waiting("A", 5, END)] == [part.id]


def test_a_shift_of_few_parts_is_complete_when_all_are_judged(sample, add, judge):
    add(3, FIRST.since)
    drawn = sample.waiting("A", 20, END)
    assert len(drawn) == 3
    judge(drawn)
    assert sample.waiting("A", 20, END) == []


def test_a_shift_gives_its_parts_as_it_goes_on(sample, add, at_once):
    wanted, drawn = 8, []
    for quarter in range(4):
        add(120, FIRST.since + quarter * 120 * MINUTE)
        now = FIRST.since + (quarter + 1) * 120 * MINUTE - dt.timedelta(seconds=1)
        found = sample.waiting("A", wanted, now)
        assert len(found) == 2 * (quarter + 1)
        # Who has some on the screen keeps them, whatever has arrived since.
        assert {part.id for part in drawn} <= {part.id for part in found}
        drawn = found
    assert max(part.inspected_at for part in drawn) > FIRST.since + 120 * MINUTE


def test_the_draw_has_nothing_to_do_with_the_time_within_the_shift(store, add):
    add(480, FIRST.since)
    minutes = [
        (part.inspected_at - FIRST.since) / MINUTE
        for part in AuditSample(store, CONFIG).waiting("A", 100, END)
    ]
    assert len(minutes) == 100
    # Of 100 even draws the mean is within 4 standard deviations (139 / 10 minutes each).
    assert abs(sum(minutes) / 100 - 240) < 56


def test_of_a_huge_shift_only_stretches_are_looked_at(store, add, sample, judge, monkeypatch):
    monkeypatch.setattr("cdm_inspect.review.sampling._SORTED", 100)
    monkeypatch.setattr("cdm_inspect.review.sampling._PER_STRETCH", 10)
    add(470, FIRST.since)
    find, lengths = store.find, []

    def counted(query):
        lengths.append(query.until - query.since)
        return find(query)

    monkeypatch.setattr(store, "find", counted)
    drawn = sample.waiting("A", 12, END)
    monkeypatch.undo()
    assert 6 <= len({part.id for part in drawn}) == len(drawn) <= 12
    assert max(lengths) <= 13 * MINUTE
    judge(drawn)
    assert not {part.id for part in drawn} & {part.id for part in sample.waiting("A", 12, END)}


def test_two_people_together_are_given_what_is_wanted_and_no_part_twice(store, add):
    now = dt.datetime.now(dt.UTC)
    plant = ReviewConfig(timezone="UTC", shifts=((now + 3 * MINUTE).time(),))
    asked = LineReviewConfig(audit_per_shift=7)
    lines = {"A": LineConfig(normal="good", review=asked)}
    desk = ReviewDesk(store, ProjectConfig(lines=lines, review=plant))
    add(60, now - 70 * MINUTE)
    sato, ito = Actor("sato", Role.OPERATOR), Actor("ito", Role.OPERATOR)
    first = desk.take(sato, "A", Queue.AUDIT, holder="one", count=5)
    second = desk.take(ito, "A", Queue.AUDIT, holder="two", count=5)
    assert (len(first), len(second)) == (5, 2)
    assert len({part.id for part in (*first, *second)}) == 7
    for part in (*first, *second):
        review = a_review(part.id, version=0, reason="", purpose=Purpose.AUDIT)
        desk.decide(sato, review)
    assert (desk.work("A").audited, desk.work("A").audit_wanted) == (7, 7)
    assert desk.take(ito, "A", Queue.AUDIT, holder="two") == []


def test_decisions_of_another_process_are_counted_after_a_while(store, sample, add, at_once):
    add(30, FIRST.since)
    first, *others = sample.waiting("A", 3, END)
    assert len(others) == 2
    store.record_review(a_review(first.id, purpose=Purpose.AUDIT, decided_at=END))
    assert sample.judged("A", END) == 1
    assert sample.waiting("A", 3, END) == others


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
    assert sample.judged("A", END) == 0
    assert not read
    store.record_review(a_review(part.id, decided_at=END, purpose=Purpose.AUDIT))
    assert [sample.judged("A", END) for _ in range(3)] == [1, 1, 1]
    assert len(read) == 1


def test_it_counts_at_most_every_few_seconds(store, add, sample, monkeypatch):
    add(30, FIRST.since)
    drawn = sample.waiting("A", 5, END)
    for name in ("find", "decisions", "hourly", "count"):
        monkeypatch.setattr(store, name, None)
    assert sample.waiting("A", 5, END) == drawn
    assert sample.judged("A", END) == 0
