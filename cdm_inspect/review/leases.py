"""Who looks at which part of a sample."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from cdm_inspect.records import StoredInspection


class Loans:
    """Parts of samples that are on somebody's screen; flagged ones are lent by the store itself.

    Kept in memory: they only spare people double work. That no part is decided twice unnoticed is
    up to its version.
    """

    def __init__(self) -> None:
        self._holders: dict[int, tuple[str, float]] = {}
        self._lock = threading.Lock()

    def lend(
        self, parts: Collection[StoredInspection], holder: str, count: int, seconds: float
    ) -> Sequence[StoredInspection]:
        """At most `count` of the parts, none that another screen has; asking again keeps them."""
        now = time.monotonic()
        with self._lock:
            self._holders = {k: loan for k, loan in self._holders.items() if loan[1] > now}
            mine = [p for p in parts if self._holders.get(p.id, (holder, now))[0] == holder]
            self._holders |= {part.id: (holder, now + seconds) for part in mine[:count]}
        return mine[:count]

    def end(self, number: int) -> None:
        """A part has been decided."""
        with self._lock:
            self._holders.pop(number, None)

    def release(self, holder: str) -> None:
        """A screen shows its parts no longer."""
        with self._lock:
            self._holders = {k: loan for k, loan in self._holders.items() if loan[0] != holder}


@dataclass(frozen=True)
class _Screen:
    line: str
    parts: int
    is_short: bool
    until: float


class Shares:
    """How few flagged parts are divided between the screens of a line.

    A screen is lent a stock of parts, so that the next one is shown at once. Where one of them has
    too few, each keeps its share and gives back the others. Kept in memory, as loans are.
    """

    def __init__(self) -> None:
        self._screens: dict[str, _Screen] = {}
        self._lock = threading.Lock()

    def of(self, line: str, holder: str, parts: int, *, wanted: int, seconds: float) -> int:
        """How many of its parts a screen may keep.

        Args:
            parts: that it has.
            wanted: how many it would have.
            seconds: for which it counts, if it does not ask again.
        """
        now = time.monotonic()
        with self._lock:
            screens = {k: screen for k, screen in self._screens.items() if screen.until > now}
            screens[holder] = _Screen(line, parts, parts < wanted, now + seconds)
            here = [screen for screen in screens.values() if screen.line == line]
            if any(screen.is_short for screen in here):
                share = math.ceil(sum(screen.parts for screen in here) / len(here))
                parts = min(parts, max(share, 1))
                screens[holder] = replace(screens[holder], parts=parts)
            self._screens = screens
        return parts

    def release(self, holder: str) -> None:
        """A screen is gone."""
        with self._lock:
            self._screens.pop(holder, None)
