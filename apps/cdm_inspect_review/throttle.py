"""Making those wait who guess passwords, and nobody else for long."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from cdm_inspect.errors import AccessError

_OF_A_NAME = 5
_OF_AN_ADDRESS = 20
_LONGEST_WAIT_S = 60.0
_FORGET_S = 60.0
"""For each full such time without another, one failure is forgotten."""
_MOST_COUNTED = 10_000


@dataclass
class _Failures:
    """How many, and when the last was (seconds of the clock)."""

    count: int
    at: float


class LoginThrottle:
    """Counts failed logins by name and by address, in memory, and may be used by several threads.

    After 5 in a row for a name, or 20 from one address, the next has to wait 1 s, then 2 s, 4 s and
    so on up to a minute; a failure is forgotten for each quiet minute. So nobody is ever locked out
    for good. Names are counted whether or not there is such a user. Whoever has once logged in from
    an address is counted by themselves there: others who guess from elsewhere do not make them
    wait.

    Args:
        clock: seconds, from whenever, that never go back.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failures: OrderedDict[tuple[str, ...], _Failures] = OrderedDict()
        self._at_home: OrderedDict[tuple[str, str], None] = OrderedDict()

    def admit(self, name: str, address: str) -> None:
        """Let one try, which counts as failed until `forgive` says otherwise.

        Counted beforehand, for otherwise many tries at the same time would all be the first.

        Args:
            name: of whoever logs in, as it is compared.
            address: where they are; "" if that is unknown.

        Raises:
            AccessError: if they have to wait.
        """
        with self._lock:
            now = self._clock()
            limits = self._limits(name, address)
            wait = max(self._wait_s(key, most, now) for key, most in limits.items())
            if wait > 0:
                raise AccessError(
                    f"too many logins have failed. Wait {math.ceil(wait)} s and try again; "
                    "whoever looks after users can give you a new password."
                )
            for key in limits:
                self._failures[key] = _Failures(self._count(key, now) + 1, now)
                self._failures.move_to_end(key)
            while len(self._failures) > _MOST_COUNTED:
                self._failures.popitem(last=False)

    def forgive(self, name: str, address: str) -> None:
        """The try succeeded: the name begins anew, and the address has one failure less."""
        with self._lock:
            for key in self._limits(name, address):
                failures = self._failures.get(key)
                if key[0] == "address" and failures is not None:
                    # All of them would let who has a password guess those of others for ever.
                    failures.count = max(0, failures.count - 1)
                else:
                    self._failures.pop(key, None)
            if address:
                self._at_home[name, address] = None
                self._at_home.move_to_end((name, address))
                while len(self._at_home) > _MOST_COUNTED:
                    self._at_home.popitem(last=False)

    def _limits(self, name: str, address: str) -> dict[tuple[str, ...], int]:
        """What a try is counted under, and how many failures each allows."""
        if not address:
            return {("name", name): _OF_A_NAME}
        is_at_home = (name, address) in self._at_home
        own = ("home", name, address) if is_at_home else ("name", name)
        return {own: _OF_A_NAME, ("address", address): _OF_AN_ADDRESS}

    def _count(self, key: tuple[str, ...], now: float) -> int:
        failures = self._failures.get(key)
        if failures is None:
            return 0
        return max(0, failures.count - int((now - failures.at) // _FORGET_S))

    def _wait_s(self, key: tuple[str, ...], most: int, now: float) -> float:
        failures = self._failures.get(key)
        if failures is None or failures.count < most:
            return 0.0
        # 2**6 is beyond the longest wait.
        wait = min(2.0 ** min(failures.count - most, 6), _LONGEST_WAIT_S)
        return max(0.0, failures.at + wait - now)
