"""Control charts of shares (p-charts), with limits that vary with the number of parts.

Source: Shewhart 1931; Montgomery, Introduction to Statistical Quality Control, section 7.2: the
limits lie three standard deviations of a share around the mean share, p +- 3 sqrt(p (1 - p) / n).
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable
from dataclasses import dataclass

# Takes back the rounding where a share lies on its limit.
_ROUNDING = 1e-12


@dataclass(frozen=True, kw_only=True)
class ChartPoint:
    """One hour or shift.

    Attributes:
        since: its beginning, UTC.
        n: parts.
        k: of them, counted.
        rate: k / n.
        lower: limit of the rate, like `upper`; within [0, 1].
        is_out: whether the rate lies beyond a limit.
    """

    since: dt.datetime
    n: int
    k: int
    rate: float
    lower: float
    upper: float
    is_out: bool


@dataclass(frozen=True, kw_only=True)
class PChart:
    """A share over time.

    Attributes:
        unit: what a point stands for, `hour` or `shift`.
        centre: share over all points, to which the limits belong; None without points.
        points: oldest first.
    """

    unit: str
    centre: float | None
    points: tuple[ChartPoint, ...]


def p_chart(counts: Iterable[tuple[dt.datetime, int, int]], *, unit: str) -> PChart:
    """The chart of some counts.

    Args:
        counts: beginning, n and k of each point; points without parts are left out.
        unit: what a point stands for.
    """
    seen = sorted((since, n, k) for since, n, k in counts if n)
    if not seen:
        return PChart(unit=unit, centre=None, points=())
    centre = sum(k for _, _, k in seen) / sum(n for _, n, _ in seen)
    points = []
    for since, n, k in seen:
        reach = 3 * math.sqrt(centre * (1 - centre) / n)
        lower, upper = max(0.0, centre - reach), min(1.0, centre + reach)
        points.append(
            ChartPoint(
                since=since,
                n=n,
                k=k,
                rate=k / n,
                lower=lower,
                upper=upper,
                is_out=not lower - _ROUNDING <= k / n <= upper + _ROUNDING,
            )
        )
    return PChart(unit=unit, centre=centre, points=tuple(points))
