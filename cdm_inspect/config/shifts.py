"""Shifts of a plant: which one a moment belongs to, also where clocks are set forward and back."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from cdm_inspect.config.review import ReviewConfig
from cdm_inspect.errors import InvalidOption

_DAY = dt.timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Shift:
    """One shift of a plant; all lines keep the same.

    Attributes:
        number: within its day, from 1.
        day: on which it begins, by the clocks of the plant.
        since: its beginning, UTC.
        until: its end, UTC; that moment belongs to the next one.
    """

    number: int
    day: dt.date
    since: dt.datetime
    until: dt.datetime

    @property
    def name(self) -> str:
        """Such as "2026-11-26 / 2"."""
        return f"{self.day.isoformat()} / {self.number}"


def shift_at(moment: dt.datetime, config: ReviewConfig) -> Shift:
    """The shift that a moment belongs to.

    Args:
        moment: aware.
        config: with the plant's time zone and the times at which shifts begin.
    """
    day = moment.astimezone(config.zone).date()
    # Before the first shift of a day, the last one of the day before goes on.
    near = [shift for days in (-1, 0, 1) for shift in _shifts_of(day + days * _DAY, config)]
    return next(shift for shift in near if shift.since <= moment < shift.until)


def shifts_between(since: dt.datetime, until: dt.datetime, config: ReviewConfig) -> Sequence[Shift]:
    """Every shift that has a part in a time, oldest first; each begins where the last one ends.

    Args:
        since: aware; the first shift is that of this moment.
        until: aware; the end, that moment is no longer part of it.
        config: with the plant's time zone and the times at which shifts begin.
    """
    day, last = (at.astimezone(config.zone).date() for at in (since, until))
    found, day = [], day - _DAY
    while day <= last:
        found += [shift for shift in _shifts_of(day, config) if since < shift.until]
        day += _DAY
    return [shift for shift in found if shift.since < min(until, shift.until)]


def shift_of(day: dt.date, number: int, config: ReviewConfig) -> Shift:
    """A shift by its day and number.

    It may be empty: where clocks skip an hour, nothing is left of a shift within that hour.

    Args:
        day: on which it begins, by the clocks of the plant.
        number: from 1.
        config: with the plant's time zone and the times at which shifts begin.

    Raises:
        InvalidOption: if a day has no shift of that number.
    """
    if not 1 <= number <= len(config.shifts):
        raise InvalidOption(
            f"expected a shift from 1 to {len(config.shifts)}, found {number}. The times at which "
            "shifts begin are `shifts` in the section [review]."
        )
    return _shifts_of(day, config)[number - 1]


def _shifts_of(day: dt.date, config: ReviewConfig) -> Sequence[Shift]:
    # A time that clocks skip counts from the offset before, and may so come after a later one.
    ends = [min(_beginnings(day + _DAY, config))]
    for beginning in reversed(_beginnings(day, config)):
        ends.append(min(ends[-1], beginning))
    ends.reverse()
    return [
        Shift(number=number, day=day, since=ends[number - 1], until=ends[number])
        for number in range(1, len(ends))
    ]


def _beginnings(day: dt.date, config: ReviewConfig) -> list[dt.datetime]:
    # Of a time that comes twice the first counts.
    return [
        dt.datetime.combine(day, time, tzinfo=config.zone).astimezone(dt.UTC)
        for time in config.shifts
    ]
