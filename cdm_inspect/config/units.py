"""Durations, counts and shares as people write and read them."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal

from cdm_inspect.errors import InvalidOption


def parse_duration(text: str) -> float:
    """Seconds in a duration such as `90s`, `15m`, `1.5h`, `30d` or a bare number of seconds.

    Raises:
        InvalidOption: if it is none of these, or not positive.
    """
    units = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
    return _parse_suffixed(text, units, "a duration like 90s, 15m, 2h, 30d")


def parse_count(text: str) -> int:
    """A number such as `20000`, `200k` or `2M`.

    Raises:
        InvalidOption: if it is none of these, or below 1.
    """
    return max(1, round(_parse_suffixed(text, {"k": 1e3, "K": 1e3, "M": 1e6}, "a count like 200k")))


def at_most(share: float) -> str:
    """An upper bound of a share, in hundredths of a percent, rounded up."""
    exact = Decimal(repr(float(share))) * 100
    return f"{exact.quantize(Decimal('0.01'), ROUND_CEILING)}%"


def _parse_suffixed(text: str, units: Mapping[str, float], expected: str) -> float:
    stripped = text.strip()
    unit = next((u for u in units if stripped.endswith(u)), "")
    try:
        value = float(stripped.removesuffix(unit)) * units.get(unit, 1.0)
    except ValueError:
        value = float("nan")
    if not 0.0 < value < float("inf"):
        raise InvalidOption(f"expected {expected}, found {text!r}.")
    return value
