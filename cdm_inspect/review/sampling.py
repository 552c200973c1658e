"""The random sample of passed parts: which of them people judge, so that escapes can be counted."""

from __future__ import annotations

import datetime as dt
import threading
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cdm_inspect.config import ReviewConfig
from cdm_inspect.config.shifts import Shift, shifts_between
from cdm_inspect.plugins import VerdictStore
from cdm_inspect.records import (
    InspectionQuery,
    Order,
    Purpose,
    Review,
    StoredInspection,
    Verdict,
    hour_of,
)

_BACK = dt.timedelta(days=1)
_HISTORY = dt.timedelta(days=7)
_COUNTED_FOR_S = 15.0
_MOST = 2_000
"""Parts of a shift that are held ready."""


@dataclass(frozen=True)
class _Found:
    """What was found of a line at a time of the monotonic clock, until the shift ends."""

    at: float
    until: dt.datetime
    judged: int
    waiting: Sequence[StoredInspection]


class AuditSample:
    """Passed parts of each shift, drawn by a hash.

    A part is in the sample if its hash lies below the number wanted of a shift over the number of
    parts expected in it. Expected is what the busiest shift of the last week had. Every part of a
    shift has the same chance by construction, whenever people judge, on however many servers. A
    shift with more parts than expected gives more, one with fewer is filled up once it is over. In
    the first shift of a line the parts so far are taken to go on at the same pace.

    May be used by several threads.

    Args:
        config: with the shifts of the plant.
    """

    def __init__(self, store: VerdictStore, config: ReviewConfig) -> None:
        self._store, self._config = store, config
        self._found: dict[tuple[str, int], _Found] = {}
        self._lock = threading.Lock()

    def judged(self, line: str, wanted: int, now: dt.datetime) -> int:
        """Of the parts inspected in the current shift, how many have been judged as a sample."""
        return self._look(line, wanted, now).judged

    def waiting(self, line: str, wanted: int, now: dt.datetime) -> Sequence[StoredInspection]:
        """Parts of the sample that nobody has judged: of the current shift, then of the last day.

        Args:
            wanted: parts of each shift.
            now: aware.
        """
        return self._look(line, wanted, now).waiting

    def on_decision(self, part: StoredInspection, review: Review) -> None:
        """Count anew after a decision on a passed part."""
        if part.verdict is Verdict.PASS:
            with self._lock:
                self._found = {key: at for key, at in self._found.items() if key[0] != part.line}

    def _look(self, line: str, wanted: int, now: dt.datetime) -> _Found:
        with self._lock:
            found = self._found.get((line, wanted))
            is_old = found is None or time.monotonic() - found.at >= _COUNTED_FOR_S
            if found is None or is_old or now >= found.until:
                found = self._count(line, wanted, now)
                self._found[line, wanted] = found
            return found

    def _count(self, line: str, wanted: int, now: dt.datetime) -> _Found:
        began = time.monotonic()
        known = shifts_between(now - _BACK - _HISTORY, now + dt.timedelta.resolution, self._config)
        since, current = [shift.since for shift in known], known[-1]
        passed: Counter[Shift] = Counter()
        has_decisions = False
        for cell in self._store.hourly(line, since=hour_of(since[0])):
            if cell.verdict is Verdict.PASS:
                # An hour in which shifts change counts to the former one.
                passed[known[max(0, bisect_right(since, cell.hour) - 1)]] += cell.parts
                has_decisions |= cell.decision is not None
        waiting: list[StoredInspection] = []
        for shift in reversed(known):
            if shift.until > now - _BACK and (share := _share(shift, wanted, passed, now)):
                query = InspectionQuery(
                    line=line,
                    verdicts=(Verdict.PASS,),
                    is_decided=False,
                    since=shift.since,
                    until=shift.until,
                    share=share,
                    order=Order.RANDOM,
                    limit=_MOST,
                )
                waiting += self._store.find(query)
        decisions = (
            self._store.decisions(line, since=current.since, purpose=Purpose.AUDIT)
            if has_decisions
            else ()
        )
        judged = {
            part.id
            for part, _ in decisions
            if part.verdict is Verdict.PASS
            and part.decision is not None
            and part.inspected_at >= current.since
        }
        return _Found(began, current.until, len(judged), waiting)


def _share(shift: Shift, wanted: int, passed: Mapping[Shift, int], now: dt.datetime) -> float:
    """Below which hash a part of a shift is in the sample, 0 to 1."""
    own = passed.get(shift, 0)
    former = [
        parts
        for other, parts in passed.items()
        if shift.since - _HISTORY <= other.since < shift.since
    ]
    is_over = now >= shift.until
    gone = 1.0 if is_over else (now - shift.since) / (shift.until - shift.since)
    expected = max(former) if former else own / max(gone, 1e-3)
    if is_over:
        expected = min(expected, own)
    return min(1.0, wanted / expected) if expected else 0.0
