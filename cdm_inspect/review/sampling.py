"""The random sample of passed parts: how much of it is judged, and which parts are next."""

from __future__ import annotations

import datetime as dt
import math
import random
import threading
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace

from cdm_inspect.config import ReviewConfig
from cdm_inspect.contracts import VerdictStore
from cdm_inspect.records import (
    Decision,
    HourlyCount,
    InspectionQuery,
    Order,
    Purpose,
    Review,
    StoredInspection,
    Verdict,
)
from cdm_inspect.shifts import Shift, shift_at, shifts_between

_BACK = dt.timedelta(days=1)
_HOUR = dt.timedelta(hours=1)
_COUNTED_FOR_S = 15.0
# The store sorts so many for a draw; of more, it looks at stretches of time only.
_SORTED = 50_000
_PER_STRETCH = 500


@dataclass
class _Line:
    """What is known of a line for a while.

    Attributes:
        counted: when, by the monotonic clock.
        shifts: those of the last day, oldest first.
        judged: parts of each, by its beginning.
        decided: passed parts with a decision, by the hour: while they stay, so does what is judged.
        passed: parts of each that nobody has decided, by the hour.
        drawn: parts that wait, by number, those of the newest shift first.
        is_drawn: whether as many were drawn as are wanted now.
    """

    counted: float
    shifts: Sequence[Shift]
    judged: Counter[dt.datetime]
    decided: Sequence[HourlyCount]
    passed: Sequence[HourlyCount]
    drawn: dict[int, StoredInspection] = field(default_factory=dict)
    is_drawn: bool = False


class AuditSample:
    """Passed parts drawn at random, so many of each shift in which they were inspected.

    The current shift comes first, then those of the last day that lack some, the newest first. A
    part that is drawn stays so until it is judged: screens that ask again find theirs, and no more
    parts are out than a shift lacks. Of the current shift as many are drawn as goes with its share
    that is over: all at once, they would be parts of its first minutes, and stand for no others.

    May be used by several threads.

    Args:
        store: of the parts.
        config: with the shifts of the plant.
    """

    def __init__(self, store: VerdictStore, config: ReviewConfig) -> None:
        self._store, self._config = store, config
        self._lines: dict[str, _Line] = {}
        self._random = random.Random()  # noqa: S311 - statistics
        self._lock = threading.Lock()

    def judged(self, line: str, now: dt.datetime) -> int:
        """Of the parts inspected in the current shift, how many have been judged as a sample."""
        with self._lock:
            return self._count(line, now).judged[shift_at(now, self._config).since]

    def waiting(self, line: str, wanted: int, now: dt.datetime) -> Sequence[StoredInspection]:
        """Parts that are drawn and that nobody has judged; none once each shift has its number.

        Args:
            line: of the parts.
            wanted: of each shift.
            now: aware.
        """
        with self._lock:
            known = self._count(line, now)
            if not known.is_drawn:
                known.drawn = {part.id: part for part in self._draw(line, known, wanted, now)}
                known.is_drawn = True
            return list(known.drawn.values())

    def hear(self, part: StoredInspection, review: Review) -> None:
        """Of a decision that was just stored.

        Args:
            part: as it was before.
            review: of it.
        """
        if part.verdict is not Verdict.PASS:
            return
        with self._lock:
            known = self._lines.get(part.line)
            if known is None:
                return
            is_judged = part.decision is None and review.decision is not Decision.UNDO
            is_drawn = known.drawn.pop(part.id, None) is not None
            if is_drawn and is_judged and review.purpose is Purpose.AUDIT:
                # One that was drawn less, and one that is judged more: nothing has to be counted.
                known.judged[_shift_of(part.inspected_at, known.shifts).since] += 1
            else:
                known.counted, known.decided = -math.inf, ()

    def _count(self, line: str, now: dt.datetime) -> _Line:
        known = self._lines.get(line)
        if known is not None and time.monotonic() - known.counted < _COUNTED_FOR_S:
            return known
        counted = time.monotonic()
        shifts = shifts_between(now - _BACK, now + dt.timedelta.resolution, self._config)
        since = shifts[0].since
        passed = [
            cell
            for cell in self._store.hourly(line, since=_hour_of(since))
            if cell.verdict is Verdict.PASS
        ]
        decided = [cell for cell in passed if cell.decision is not None]
        if known is not None and (known.shifts, known.decided) == (shifts, decided):
            judged = known.judged
        else:
            judged = self._judged(line, shifts) if decided else Counter()
        found = self._lines[line] = _Line(
            counted=counted,
            shifts=shifts,
            judged=judged,
            decided=decided,
            passed=[cell for cell in passed if cell.decision is None],
            drawn=known.drawn if known is not None else {},
        )
        return found

    def _judged(self, line: str, shifts: Sequence[Shift]) -> Counter[dt.datetime]:
        """Parts that were drawn at random and have a decision, by the shift of their inspection."""
        since = shifts[0].since
        parts = {
            part.id: part.inspected_at
            for part, review in self._store.decisions(line, since=since)
            if review.purpose is Purpose.AUDIT
            and part.verdict is Verdict.PASS
            and part.decision is not None
            and part.inspected_at >= since
        }
        return Counter(_shift_of(at, shifts).since for at in parts.values())

    def _draw(
        self, line: str, known: _Line, wanted: int, now: dt.datetime
    ) -> Iterable[StoredInspection]:
        """What was drawn and still waits, and what each shift lacks beside it."""
        kept: Sequence[StoredInspection] = []
        if known.drawn:
            numbers = tuple(known.drawn)
            query = InspectionQuery(ids=numbers, is_decided=False, limit=len(numbers))
            place = {number: index for index, number in enumerate(numbers)}
            kept = sorted(self._store.find(query), key=lambda part: place[part.id])
        for shift in reversed(known.shifts):
            own = [part for part in kept if shift.since <= part.inspected_at < shift.until]
            lacking = _due(shift, wanted, now) - known.judged[shift.since]
            yield from own[: max(0, lacking)]
            hours = _hours(known.passed, shift)
            if lacking > len(own) and hours.total() > len(own):
                yield from self._draw_from(line, shift, hours, lacking - len(own), own)

    def _draw_from(
        self,
        line: str,
        shift: Shift,
        hours: Counter[dt.datetime],
        count: int,
        without: Collection[StoredInspection],
    ) -> Sequence[StoredInspection]:
        """So many parts of a shift that were not drawn yet; fewer where there are no more."""
        query = InspectionQuery(
            line=line,
            verdicts=(Verdict.PASS,),
            is_decided=False,
            since=shift.since,
            until=shift.until,
            order=Order.RANDOM,
            limit=count + len(without),
        )
        taken = {part.id for part in without}
        if hours.total() <= _SORTED:
            found = [part for part in self._store.find(query) if part.id not in taken]
            return found[:count]
        # Each from a stretch of its own, so that no draw has to look at all parts of the shift.
        drawn: list[StoredInspection] = []
        for hour in self._random.choices(list(hours), list(hours.values()), k=count):
            length = min(1.0, _PER_STRETCH / hours[hour]) * _HOUR
            begin = max(shift.since, hour + self._random.random() * (_HOUR - length))
            end = min(shift.until, begin + length)
            found = [
                part
                for part in self._store.find(replace(query, since=begin, until=end))
                if part.id not in taken
            ]
            drawn += found[:1]
            taken |= {part.id for part in found[:1]}
        return drawn


def _due(shift: Shift, wanted: int, now: dt.datetime) -> int:
    """How many parts of a shift should be judged by now."""
    over = min(1.0, (now - shift.since) / (shift.until - shift.since))
    return math.ceil(wanted * over)


def _hours(cells: Iterable[HourlyCount], shift: Shift) -> Counter[dt.datetime]:
    """Parts by hour; an hour in which shifts change belongs to both."""
    parts: Counter[dt.datetime] = Counter()
    for cell in cells:
        if _hour_of(shift.since) <= cell.hour < shift.until:
            parts[cell.hour] += cell.parts
    return parts


def _hour_of(moment: dt.datetime) -> dt.datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def _shift_of(moment: dt.datetime, shifts: Sequence[Shift]) -> Shift:
    return shifts[bisect_right(shifts, moment, key=lambda shift: shift.since) - 1]
