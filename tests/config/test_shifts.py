"""Shifts: over midnight, by the clocks of the plant, and when those are changed."""

import datetime as dt
import random

import pytest

from cdm_inspect.config.review import ReviewConfig
from cdm_inspect.config.shifts import shift_at, shift_of, shifts_between
from cdm_inspect.errors import InvalidOption

BERLIN = ReviewConfig(timezone="Europe/Berlin")
FORWARD, BACK = dt.date(2026, 3, 29), dt.date(2026, 10, 25)


def utc(text):
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


def test_a_shift_in_japan():
    config = ReviewConfig(timezone="Asia/Tokyo")
    shift = shift_at(utc("2026-11-26 05:00"), config)
    assert shift.name == "2026-11-26 / 2"
    assert (shift.since, shift.until) == (utc("2026-11-26 05:00"), utc("2026-11-26 13:00"))
    before = shift_at(utc("2026-11-26 04:59:59"), config)
    assert (before.number, before.until) == (1, shift.since)
    assert shift_of(dt.date(2026, 11, 26), 2, config) == shift


def test_the_night_belongs_to_the_day_on_which_it_began():
    config = ReviewConfig(timezone="Asia/Tokyo")
    after_midnight = utc("2026-11-26 18:00")  # 03:00 of the 27th
    shift = shift_at(after_midnight, config)
    assert shift.name == "2026-11-26 / 3"
    assert shift.until - shift.since == dt.timedelta(hours=8)


@pytest.mark.parametrize(("day", "night"), [(FORWARD, 7), (BACK, 9)])
def test_the_night_in_which_clocks_change_is_an_hour_shorter_or_longer(day, night):
    before, after = shift_of(day - dt.timedelta(days=1), 3, BERLIN), shift_of(day, 1, BERLIN)
    assert before.until - before.since == dt.timedelta(hours=night)
    assert after.since == before.until
    assert after.until - after.since == dt.timedelta(hours=8)


@pytest.mark.parametrize("day", [FORWARD, BACK])
@pytest.mark.parametrize(
    "times",
    [
        ("06:00", "14:00", "22:00"),
        ("00:00", "12:00"),
        ("02:30", "10:30", "18:30"),
        ("02:00", "02:30", "03:00", "14:00"),
        ("22:00",),
    ],
)
@pytest.mark.parametrize("zone", ["Europe/Berlin", "Asia/Kolkata", "Pacific/Apia"])
def test_shifts_meet_without_gap_or_overlap(day, times, zone):
    config = ReviewConfig(timezone=zone, shifts=times)
    middle = dt.datetime.combine(day, dt.time(12), tzinfo=dt.UTC)
    since, until = middle - dt.timedelta(days=3), middle + dt.timedelta(days=3)
    shifts = shifts_between(since, until, config)
    assert shifts[0].since <= since < shifts[0].until
    assert shifts[-1].since < until <= shifts[-1].until
    assert [shift.until for shift in shifts[:-1]] == [shift.since for shift in shifts[1:]]
    assert all(shift.since < shift.until for shift in shifts)
    assert len({shift.name for shift in shifts}) == len(shifts)
    draw = random.Random(0)
    for _ in range(200):
        moment = since + draw.random() * (until - since)
        (found,) = [shift for shift in shifts if shift.since <= moment < shift.until]
        assert shift_at(moment, config) == found
        assert shift_of(found.day, found.number, config) == found


def test_an_hour_that_comes_twice_belongs_to_one_shift():
    config = ReviewConfig(timezone="Europe/Berlin", shifts=("02:30", "14:00"))
    first, again = utc("2026-10-25 00:30"), utc("2026-10-25 01:30")  # both are 02:30
    assert shift_at(first, config) == shift_at(again, config)
    assert shift_at(first, config).since == first


def test_the_clock_of_the_machine_where_no_zone_is_named():
    shift = shift_at(utc("2026-11-26 12:00"), ReviewConfig())
    assert shift.since.astimezone().time() in ReviewConfig().shifts


def test_a_shift_that_no_day_has():
    with pytest.raises(InvalidOption, match="expected a shift from 1 to 3, found 4"):
        shift_of(FORWARD, 4, BERLIN)
