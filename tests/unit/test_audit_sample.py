"""The random sample of passed parts: so many of each shift in which they were inspected."""

import datetime as dt
import math
import random
from collections import Counter
from itertools import zip_longest

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
    add(40, BEFORE.since, every=12)
    add(40, FIRST.since, every=12)
    add(40, FIRST.since, verdict=Verdict.REVIEW)
    add(40, FIRST.since - dt.timedelta(days=3))
    drawn = sample.waiting("A", 6, END)
    # The last sixth of the shift is not over yet.
    assert shifts_of(drawn) == [FIRST.name] * 5 + [BEFORE.name] * 6
    assert sample.waiting("A", 6, END) == drawn
    judge(drawn[:4])
    assert sample.judged("A", END) == 4
    assert sample.waiting("A", 6, END) == drawn[4:]
    judge(drawn[4:])
    assert sample.waiting("A", 6, END) == []
    assert sample.judged("A", END) == 5
    # What is decided in the next shift, of parts of this one, counts for this one.
    assert sample.judged("A", FIRST.until + MINUTE) == 0
    assert sample.waiting("none", 6, END) == []


def test_desk_and_line_page_count_the_same(store, sample, add, judge):
    add(30, BEFORE.since, every=16)
    parts = add(30, FIRST.since, every=16)
    before = sample.waiting("A", 3, END)[2:]
    judge(before)
    assert sample.judged("A", END) == 0
    judge(parts[:2], purpose=Purpose.CORRECTION)  # a complaint is no random sample
    assert sample.judged("A", END) == 0
    judge(sample.waiting("A", 3, END)[:2])
    window = {"since": FIRST.since, "until": FIRST.until, "config": CONFIG}
    assert summarise_line(store, "A", **window).escapes.audited == 2
    assert sample.judged("A", END) == 2


def test_what_was_taken_back_is_not_judged(store, sample, add, judge):
    add(5, FIRST.since, every=0.1)
    (part,) = sample.waiting("A", 5, FIRST.since + 100 * MINUTE)
    judge([part])
    assert sample.judged("A", END) == 1
    undo = a_review(part.id, Decision.UNDO, decided_at=END)
    sample.hear(store.record_review(undo), undo)
    assert sample.judged("A", END) == 0
    assert [again.id for again in sample.waiting("A", 5, END)] == [part.id]


@pytest.mark.parametrize("every", [0.5, 100, 200])
def test_a_shift_of_few_parts_is_complete_when_all_are_judged(sample, add, judge, every, at_once):
    parts = add(3, FIRST.since + 50 * MINUTE, every=every)
    drawn = sample.waiting("A", 20, FIRST.until)
    assert {part.id for part in drawn} == {part.id for part in parts}
    judge(drawn)
    assert sample.waiting("A", 20, FIRST.until) == []


def test_a_shift_gives_its_parts_as_it_goes_on(sample, add, at_once):
    wanted, drawn = 8, []
    assert sample.waiting("A", wanted, FIRST.since + MINUTE) == []
    for quarter in range(4):
        add(120, FIRST.since + quarter * 120 * MINUTE)
        found = sample.waiting("A", wanted, FIRST.since + (quarter + 1) * 120 * MINUTE)
        # Who has some on the screen keeps them, whatever has arrived since. The new ones come
        # first: who judges every second one has some of all of the shift.
        assert found[2:] == drawn
        assert {at_quarter(part) for part in found[:2]} == {quarter}
        drawn = found
    assert len(drawn) == wanted


def test_who_has_parts_keeps_them_when_the_line_runs_faster(sample, add, at_once):
    add(24, FIRST.since, every=10)
    drawn = sample.waiting("A", 8, FIRST.since + 240 * MINUTE)
    assert len(drawn) == 4
    add(600, FIRST.since + 240 * MINUTE, every=0.1)
    assert sample.waiting("A", 8, FIRST.since + 300 * MINUTE) == drawn


def at_quarter(part):
    return math.floor((part.inspected_at - FIRST.since) / (FIRST.until - FIRST.since) * 4)


def quarters(store, lines=("A",)):
    """How many parts of each quarter of the shift were judged as a sample."""
    told = [told for line in lines for told in store.decisions(line, purpose=Purpose.AUDIT)]
    found = Counter(at_quarter(part) for part, _ in told)
    return [found[quarter] for quarter in range(4)]


def seeded(store, seed):
    sample = AuditSample(store, CONFIG)
    sample._random = random.Random(seed)
    return sample


def work(store, samples, wanted, now, line="A"):
    """People who have a screen each, and judge in turn what they are given."""
    for given in zip_longest(*(sample.waiting(line, wanted, now) for sample in samples)):
        for sample, part in zip(samples, given, strict=True):
            if part is not None and store.get(part.id).decision is None:
                review = a_review(part.id, decided_at=now, purpose=Purpose.AUDIT, version=0)
                store.record_review(review)
                sample.hear(part, review)


# How many servers there are, which of 80 visits they have, and whether they start anew before.
PACES = {
    "steadily": (1, range(1, 81), False),
    "all at the end": (1, [80], False),
    "in the first half, the rest later": (1, [*range(1, 41, 2), 80], False),
    "two servers that know nothing of each other": (2, range(2, 81, 3), False),
    "a server that starts anew each time": (1, range(2, 81, 3), True),
    "twice": (1, [33, 80], False),
}


@pytest.mark.parametrize("pace", PACES)
def test_every_part_of_a_shift_has_the_same_chance_whenever_people_judge(store, add, at_once, pace):
    """Ten lines of 4,000 parts each, of which twenty are wanted."""
    servers, visits, is_restarted = PACES[pace]
    samples, (first,) = (
        [seeded(store, number) for number in range(servers)],
        add(1, END, line="none"),
    )
    for visit in range(1, 81):
        now = FIRST.since + visit * 6 * MINUTE
        multiply(store, first.id, 50, now, minutes=6, lines=LINES)
        if is_restarted:
            samples = [seeded(store, visit)]
        for line in LINES if visit in visits else ():
            work(store, samples, 20, now, line)
    judged = quarters(store, LINES)
    # Drawn evenly, each has 50, with a standard deviation of 6.1.
    assert max(abs(count - 50) for count in judged) < 3 * 6.1
    # Two servers may both have drawn the last one of a line.
    assert 200 <= sum(judged) < 200 + 10 * servers
    assert seeded(store, 9).waiting("B", 20, FIRST.until) == []


@pytest.mark.parametrize("visits", [range(1, 41), [40]])
def test_so_it_has_in_a_shift_of_more_than_the_store_sorts(store, add, at_once, visits):
    """Of 60,000 parts, of which each draw looks at few."""
    sample, (first,) = seeded(store, 1), add(1, END, line="none")
    for visit in range(1, 41):
        now = FIRST.since + visit * 12 * MINUTE
        multiply(store, first.id, 1500, now, minutes=12)
        if visit in visits:
            work(store, [sample], 100, now)
    judged = quarters(store)
    # Drawn evenly, each has 25, with a standard deviation of 4.3.
    assert max(abs(count - 25) for count in judged) < 3 * 4.3
    assert sum(judged) == 100


def multiply(store, number, count, now, *, minutes, lines=("A",)):
    """Keep a part again and again on each line, evenly through the last minutes."""
    since = now - minutes * MINUTE
    first = round((since - FIRST.since) / MINUTE) * 1000
    values = ", ".join(f"('{line}')" for line in lines)
    square = "(123456789 + i * 10 + unicode(name)) * (123456789 + i * 10 + unicode(name))"
    copied = {
        # Squares differ modulo a prime, and come in an order that looks like none.
        "key": f"printf('%064x', {square} % 2147483647 * 48271 % 2147483647)",
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


def test_a_line_that_stands_still_is_drawn_from_by_its_parts(store, add, at_once):
    """Every minute one, and none in the third quarter: each of the others has a third."""
    add(480, BEFORE.since)
    sample = seeded(store, 1)
    for visit in range(1, 41):
        now = FIRST.since + visit * 12 * MINUTE
        if not 20 < visit <= 30:
            add(12, now - 12 * MINUTE)
        work(store, [sample], 40, now)
        if visit == 39:
            # Nobody knew how many parts there would be: none stood for the time without any.
            assert sum(quarters(store)) <= 30
    judged = quarters(store)
    assert judged[2] == 0
    assert sum(judged) == 40
    # Drawn evenly, each has 13.3, with a standard deviation of 3.
    assert all(abs(judged[quarter] - 40 / 3) < 9 for quarter in (0, 1, 3))


def test_the_draw_has_nothing_to_do_with_the_time_within_the_shift(store, add):
    add(480, FIRST.since)
    minutes = [
        (part.inspected_at - FIRST.since) / MINUTE
        for part in AuditSample(store, CONFIG).waiting("A", 100, FIRST.until)
    ]
    assert len(minutes) == 100
    # Of 100 even draws the mean is within 4 standard deviations (139 / 10 minutes each).
    assert abs(sum(minutes) / 100 - 240) < 56
    # Who judges only some of them has some of all of the shift.
    assert abs(sum(minutes[:50]) / 50 - 240) < 80


def test_of_a_huge_shift_only_pieces_are_looked_at(store, add, sample, judge, monkeypatch):
    monkeypatch.setattr("cdm_inspect.review.sampling._SORTED", 10)
    add(480, FIRST.since)
    find, lengths = store.find, []

    def counted(query):
        lengths.append(query.until - query.since)
        return find(query)

    monkeypatch.setattr(store, "find", counted)
    drawn = sample.waiting("A", 12, FIRST.until)
    monkeypatch.undo()
    assert len({part.id for part in drawn}) == len(drawn) == 12
    assert len(lengths) == 12
    assert max(lengths) <= 10 * MINUTE
    judge(drawn)
    assert sample.waiting("A", 12, FIRST.until) == []


def test_of_a_large_sample_there_are_no_more_looks_than_stretches(store, add, sample, monkeypatch):
    add(480, FIRST.since)
    find, asked = store.find, []
    monkeypatch.setattr(store, "find", lambda query: asked.append(query) or find(query))
    assert len(sample.waiting("A", 300, FIRST.until)) == 300
    assert len(asked) == 48


def test_two_people_together_are_given_what_is_wanted_and_no_part_twice(store, add):
    now = dt.datetime.now(dt.UTC)
    # Of one shift a day, nearly all of the current one is over.
    plant = ReviewConfig(timezone="UTC", shifts=((now + 3 * MINUTE).time(),))
    asked = LineReviewConfig(audit_per_shift=7)
    lines = {"A": LineConfig(normal="good", review=asked)}
    desk = ReviewDesk(store, ProjectConfig(lines=lines, review=plant))
    add(140, now - 1400 * MINUTE, every=10)
    sato, ito = Actor("sato", Role.OPERATOR), Actor("ito", Role.OPERATOR)
    first = desk.take(sato, "A", Queue.AUDIT, holder="one", count=5)
    second = desk.take(ito, "A", Queue.AUDIT, holder="two", count=5)
    assert (len(first), len(second)) == (5, 1)
    assert len({part.id for part in (*first, *second)}) == 6
    for part in (*first, *second):
        review = a_review(part.id, version=0, reason="", purpose=Purpose.AUDIT)
        desk.decide(sato, review)
    assert (desk.work("A").audited, desk.work("A").audit_wanted) == (6, 7)
    assert desk.take(ito, "A", Queue.AUDIT, holder="two") == []


def test_decisions_of_another_process_are_counted_after_a_while(store, sample, add, at_once):
    add(30, FIRST.since, every=16)
    first, *others = sample.waiting("A", 3, END)
    assert len(others) == 1
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
    add(30, FIRST.since, every=16)
    drawn = sample.waiting("A", 5, END)
    assert len(drawn) == 4
    for name in ("find", "decisions", "hourly", "count"):
        monkeypatch.setattr(store, name, None)
    assert sample.waiting("A", 5, END) == drawn
    assert sample.judged("A", END) == 0
