"""The random sample of passed parts: how much of it is judged, and which parts are next."""

from __future__ import annotations

import datetime as dt
import math
import random
import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

from cdm_inspect.config import ReviewConfig
from cdm_inspect.config.shifts import Shift, shift_at, shifts_between
from cdm_inspect.plugins.contracts import VerdictStore
from cdm_inspect.records import (
    Decision,
    HourlyCount,
    InspectionQuery,
    Order,
    Purpose,
    Review,
    StoredInspection,
    Verdict,
    hour_of,
)

_BACK = dt.timedelta(days=1)
_HOUR = dt.timedelta(hours=1)
_COUNTED_FOR_S = 15.0
# A shift is drawn from in so many stretches at most, each with a query of its own.
_STRETCHES = 48
# About so many the store sorts for a draw; of a stretch with more it looks at a piece only.
_SORTED = 2_500


@dataclass
class _Line:
    """What is known of a line for a while.

    Attributes:
        counted: when, by the monotonic clock.
        shifts: those of the last day, oldest first.
        judged: when the parts that were drawn and judged were inspected.
        passed: parts, by the hour; while those with a decision stay, so does what is judged.
        drawn: parts that wait, by number, those of the newest shift first.
        is_drawn: whether as many were drawn as are wanted now.
    """

    counted: float
    shifts: Sequence[Shift]
    judged: list[dt.datetime]
    passed: Sequence[HourlyCount]
    drawn: dict[int, StoredInspection] = field(default_factory=dict)
    is_drawn: bool = False

    @property
    def decided(self) -> Sequence[HourlyCount]:
        """Passed parts with a decision."""
        return [cell for cell in self.passed if cell.decision is not None]


@dataclass
class _Stretch:
    """A part of a shift that is over.

    Attributes:
        since: its beginning.
        until: its end.
        passed: about so many parts passed in it; 0 once no more of them are found.
        taken: of them drawn or judged.
        due: how many should be.
    """

    since: dt.datetime
    until: dt.datetime
    passed: float = 0.0
    taken: int = 0
    due: float = 0.0


class AuditSample:
    """Passed parts drawn at random, so many of each shift in which they were inspected.

    The current shift comes first, then those of the last day that lack some, the newest first. A
    part that is drawn stays so until it is judged: screens that ask again find theirs, and no more
    parts are out than a shift lacks.

    Each part of a shift has about the same chance, whenever people judge. Drawn from all until now,
    again and again, an early part would have many chances and a late one few: so a shift is cut
    into equal stretches, and drawn from each once it is over. Which lack some follows from what is
    judged. While the shift goes on, nobody knows how many parts there will be: rather too few are
    drawn, and the others once it is over.

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
            return len(_within(self._count(line, now).judged, shift_at(now, self._config)))

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
                known.judged.append(part.inspected_at)
            else:
                known.counted, known.shifts = -math.inf, ()

    def _count(self, line: str, now: dt.datetime) -> _Line:
        known = self._lines.get(line)
        if known is not None and time.monotonic() - known.counted < _COUNTED_FOR_S:
            return known
        counted = time.monotonic()
        shifts = shifts_between(now - _BACK, now + dt.timedelta.resolution, self._config)
        since = shifts[0].since
        passed = [
            cell
            for cell in self._store.hourly(line, since=hour_of(since))
            if cell.verdict is Verdict.PASS
        ]
        found = _Line(counted=counted, shifts=shifts, judged=[], passed=passed)
        if known is not None:
            found.drawn = known.drawn
        if known is not None and (known.shifts, known.decided) == (shifts, found.decided):
            found.judged = known.judged
        elif found.decided:
            found.judged = self._judged(line, since)
        self._lines[line] = found
        return found

    def _judged(self, line: str, since: dt.datetime) -> list[dt.datetime]:
        """When the parts that were drawn at random and have a decision were inspected."""
        parts = {
            part.id: part.inspected_at
            for part, _ in self._store.decisions(line, since=since, purpose=Purpose.AUDIT)
            if part.verdict is Verdict.PASS
            and part.decision is not None
            and part.inspected_at >= since
        }
        return list(parts.values())

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
            judged = _within(known.judged, shift)
            stretches = _stretches(shift, wanted, known.passed, now)
            is_over = now >= shift.until
            due = wanted if is_over else round(sum(stretch.due for stretch in stretches))
            own = own[: max(0, wanted - len(judged))]
            times = sorted((*judged, *(part.inspected_at for part in own)))
            # What was drawn last comes first: who judges fewer than are wanted has some of all.
            if len(times) < due and _undecided(known.passed, shift) > len(own):
                for stretch in stretches:
                    until = bisect_left(times, stretch.until)
                    stretch.taken = until - bisect_left(times, stretch.since)
                yield from self._draw_from(line, stretches, due - len(times), own, is_over)
            yield from own

    def _draw_from(
        self,
        line: str,
        stretches: Sequence[_Stretch],
        count: int,
        without: Sequence[StoredInspection],
        is_over: bool,
    ) -> Sequence[StoredInspection]:
        """So many parts of a shift that were not drawn yet, in any order; fewer if it goes on."""
        drawn: list[StoredInspection] = []
        while len(drawn) < count and any(stretch.passed for stretch in stretches):
            if is_over:
                _spread(stretches, count - len(drawn))
            for stretch, share in self._share_out(stretches, count - len(drawn)):
                found = self._find(line, stretch, share, (*without, *drawn))
                if len(found) < share:
                    stretch.passed = 0.0
                stretch.taken += len(found)
                drawn += found
            if not is_over:
                break
        self._random.shuffle(drawn)
        return drawn

    def _share_out(
        self, stretches: Sequence[_Stretch], count: int
    ) -> Iterator[tuple[_Stretch, int]]:
        """How many of so many draws each stretch gets."""
        able = [stretch for stretch in stretches if stretch.passed]
        lacks = list(accumulate(stretch.due - stretch.taken for stretch in able))
        # Where too many were drawn, the stretches around get fewer: midway between the lines that
        # never fall and lie above and below.
        above = accumulate(lacks, max)
        below = reversed(list(accumulate(reversed(lacks), min)))
        ways = [(high + low) / 2 for high, low in zip(above, below, strict=True)]
        # Systematic: each gets its share rounded up or down, and on average all of it.
        scale, begin = count / lacks[-1], self._random.random()
        ends = [math.floor(min(max(0.0, way * scale), count) + begin) for way in ways]
        for stretch, (former, end) in zip(able, pairwise((0, *ends[:-1], count)), strict=True):
            if end > former:
                yield stretch, end - former

    def _find(
        self, line: str, stretch: _Stretch, count: int, without: Sequence[StoredInspection]
    ) -> Sequence[StoredInspection]:
        """So many parts of a stretch, or of pieces of it; fewer where there are no more."""
        cuts = _cut(stretch.since, stretch.until, math.ceil(stretch.passed / _SORTED))
        found: list[StoredInspection] = []
        pieces = Counter(self._random.choices(list(pairwise(cuts)), k=count))
        for (since, until), share in pieces.items():
            taken = {part.id for part in without if since <= part.inspected_at < until}
            query = InspectionQuery(
                line=line,
                verdicts=(Verdict.PASS,),
                is_decided=False,
                since=since,
                until=until,
                order=Order.RANDOM,
                limit=share + len(taken),
            )
            new = [part for part in self._store.find(query) if part.id not in taken]
            found += new[:share]
        return found


def _stretches(
    shift: Shift, wanted: int, passed: Iterable[HourlyCount], now: dt.datetime
) -> Sequence[_Stretch]:
    """Those of a shift that are over; an hour's parts count as if they were spread evenly.

    Due are as many of each as if all of the shift were like the busiest hour of the last day. A
    line that stands still for a while gives fewer, and no other stretch has to stand for that one.
    """
    cuts = _cut(shift.since, shift.until, min(wanted, _STRETCHES))
    found = [_Stretch(since, until) for since, until in pairwise(cuts) if until <= now]
    hours: Counter[dt.datetime] = Counter()
    for cell in passed:
        hours[cell.hour] += cell.parts
    for hour, parts in hours.items():
        end = min(hour + _HOUR, now)
        for stretch in found:
            length = min(stretch.until, end) - max(stretch.since, hour)
            if length > dt.timedelta(0):
                stretch.passed += parts * (length / (end - hour))
    most = max(hours.values(), default=0) * ((cuts[1] - cuts[0]) / _HOUR)
    for stretch in found:
        if stretch.passed:
            stretch.due = wanted / (len(cuts) - 1) * min(1.0, stretch.passed / most)
    return found


def _spread(stretches: Iterable[_Stretch], count: int) -> None:
    """Once a shift is over, so many more are due, in all by what has passed in each stretch."""
    able = [stretch for stretch in stretches if stretch.passed]
    due = count + sum(stretch.taken for stretch in able)
    passed = sum(stretch.passed for stretch in able)
    for stretch in able:
        stretch.due = due * stretch.passed / passed


def _undecided(passed: Iterable[HourlyCount], shift: Shift) -> int:
    """Parts without a decision; an hour in which shifts change belongs to both."""
    return sum(
        cell.parts
        for cell in passed
        if cell.decision is None and hour_of(shift.since) <= cell.hour < shift.until
    )


def _cut(since: dt.datetime, until: dt.datetime, count: int) -> Sequence[dt.datetime]:
    """Where so many equal stretches of a time begin, and where the last one ends."""
    return [since + (until - since) * index / count for index in range(count + 1)]


def _within(moments: Iterable[dt.datetime], shift: Shift) -> Sequence[dt.datetime]:
    return [at for at in moments if shift.since <= at < shift.until]
