"""Who looks at which part of a sample."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Sequence

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
