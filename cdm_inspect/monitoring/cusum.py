"""Has the line changed? Control charts on p-values of passed parts and on how parts were taken.

While nothing changes, the p-values of good parts are uniform, whatever the scorer, and so is the
rank of a photograph's brightness among those of good parts; as normal scores they have mean 0 and
standard deviation 1. A two-sided CUSUM (Page 1954) sums what goes beyond half of the shift that it
is to find, and raises an alarm at a limit that is chosen for the stated mean number of parts
between false alarms (Siegmund 1985, corrected diffusion approximation). Both figures are for parts
that are independent of each other. Parts of one lot are not: the more a part resembles the one
before it, the more often the chart calls.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any, Self

from cdm_inspect.errors import InvalidOption
from cdm_inspect.records import JsonObject

# Siegmund's correction for sums that are looked at part by part: 2 * 0.583.
_OVERSHOOT = 1.166
_NINE_IN_TEN = 1.645
_LEAST_DRIFT = 0.05


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A two-sided CUSUM with what it promises.

    Attributes:
        shift: change of the mean, in standard deviations, that it is to find.
        between_false_alarms: parts, on average, while nothing changes.
        limit: at which an alarm is raised.
    """

    shift: float
    between_false_alarms: float
    limit: float

    @classmethod
    def for_shift(
        cls,
        shift: float = 1.0,
        between_false_alarms: float = 20_000.0,
        *,
        parts: int | None = None,
    ) -> Chart:
        """The chart that finds a shift fastest at so many parts between false alarms.

        The p-values of an unchanged line are uniform over lines; those of one line are off by what
        its own few held-out parts happen to be, by 1 / sqrt(n) standard deviations. The limit is
        set for a mean that is off by 1.64 times that: nine lines in ten keep what is stated.

        Args:
            shift: positive.
            between_false_alarms: more than 20.
            parts: held-out good parts behind the p-values; None means very many.

        Raises:
            InvalidOption: if so few parts cannot tell such a shift from their own scatter.
        """
        off = 0.0 if parts is None else _NINE_IN_TEN / math.sqrt(parts)
        drift = -shift / 2 + off
        if shift / 2 <= _LEAST_DRIFT:
            raise InvalidOption(
                f"expected a change of more than {2 * _LEAST_DRIFT:g} standard deviations, found "
                f"{shift:g}: no number of parts tells a smaller one."
            )
        if drift > -_LEAST_DRIFT:
            raise InvalidOption(
                f"a change of {shift:g} standard deviations cannot be distinguished from the "
                f"scatter of {parts} held-out good parts; that takes {parts_needed(shift)}. "
                "Calibrate on more, or look for a larger change."
            )
        # Each side alone gives a false alarm half as often as both.
        highest = 300 / abs(drift)  # e^600 parts are enough
        lowest = 0.01
        if run_length(lowest, drift) >= 2 * between_false_alarms:
            return cls(shift=shift, between_false_alarms=between_false_alarms, limit=lowest)
        from scipy.optimize import brentq  # a second that an inspection need not wait

        limit = brentq(lambda h: run_length(h, drift) - 2 * between_false_alarms, lowest, highest)
        return cls(shift=shift, between_false_alarms=between_false_alarms, limit=float(limit))

    @property
    def delay(self) -> float:
        """Parts, on average, from a change by `shift` to the alarm."""
        return run_length(self.limit, self.shift / 2)


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """A change that a chart has found.

    Attributes:
        part: number of the part at which it was raised.
        since: number of the last part before the sum began to rise, about where the change began.
        is_rise: whether the values have become higher.
    """

    part: int
    since: int
    is_rise: bool


@dataclass(frozen=True, kw_only=True)
class ChartState:
    """Where a chart stands.

    Attributes:
        parts: seen so far.
        upper: sum for a rise.
        lower: sum for a fall.
        upper_since: number of the part at which that sum was last zero, or of the first part.
        lower_since: the same of the other.
        calls: alarms so far; at each the sums start anew.
        alarms: the first and the latest.
    """

    parts: int = 0
    upper: float = 0.0
    lower: float = 0.0
    upper_since: int = 0
    lower_since: int = 0
    calls: int = 0
    alarms: tuple[Alarm, ...] = ()

    @property
    def level(self) -> float:
        """The higher of both sums."""
        return max(self.upper, self.lower)

    def after(self, value: float, chart: Chart, *, part: int | None = None) -> ChartState:
        """The state one part later.

        Args:
            value: normal score, mean 0 and standard deviation 1 while nothing changes.
            chart: that is kept.
            part: its number, ascending; None counts from 1.
        """
        allowance, parts = chart.shift / 2, self.parts + 1
        number = parts if part is None else part
        upper = max(0.0, self.upper + value - allowance)
        lower = max(0.0, self.lower - value - allowance)
        if max(upper, lower) < chart.limit:
            return ChartState(
                parts=parts,
                upper=upper,
                lower=lower,
                upper_since=number if upper == 0 or parts == 1 else self.upper_since,
                lower_since=number if lower == 0 or parts == 1 else self.lower_since,
                calls=self.calls,
                alarms=self.alarms,
            )
        is_rise = upper >= lower
        since = self.upper_since if is_rise else self.lower_since
        alarm = Alarm(part=number, since=since if parts > 1 else number, is_rise=is_rise)
        return ChartState(
            parts=parts,
            upper_since=number,
            lower_since=number,
            calls=self.calls + 1,
            # While a change lasts, a chart calls again and again.
            alarms=(*self.alarms[:1], alarm),
        )

    def to_json(self) -> JsonObject:
        """A JSON object that `from_json` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        return cls(**{**data, "alarms": tuple(Alarm(**alarm) for alarm in data["alarms"])})


def parts_needed(shift: float) -> int | None:
    """Held-out good parts that it takes to tell a shift from their scatter; None: none suffice."""
    margin = shift / 2 - _LEAST_DRIFT
    return None if margin <= 0 else math.ceil((_NINE_IN_TEN / margin) ** 2)


def normal_score(p_value: float, parts: int, above: int) -> float:
    """A passed part's p-value as a number, standard normal while nothing changes.

    A part that passes is no odder than some of the n - above held-out parts below the threshold;
    its p-value lies on one of n - above cells of a grid, whose middle is taken. That makes the
    standard deviation a little less than 1: 0.96 with 60 parts.

    Args:
        p_value: conformal, by n held-out good parts.
        parts: n.
        above: how many of them lie above the threshold; fewer than all.
    """
    cell = min(parts + 1, max(above + 2, round(p_value * (parts + 1))))
    return float(NormalDist().inv_cdf((cell - above - 1.5) / (parts - above)))


def rank_score(value: float, usual: Sequence[float]) -> float:
    """A measure of a photograph as a number, standard normal while nothing changes.

    Args:
        usual: of good parts, ascending: each of them, or evenly spaced quantiles.
    """
    # Among equal ones in the middle: what is always the same says nothing while it stays so.
    rank = (bisect_left(usual, value) + bisect_right(usual, value)) / 2
    return float(NormalDist().inv_cdf((rank + 0.5) / (len(usual) + 1)))


def run_length(limit: float, drift: float) -> float:
    """Parts, on average, until a one-sided CUSUM crosses its limit.

    Args:
        drift: mean of the summands, the allowance already taken off.

    Source: Siegmund 1985, equation 2.52 with the overshoot correction.
    """
    reach = limit + _OVERSHOOT
    if abs(drift) < 1e-9:
        return reach**2
    return (math.exp(-2 * drift * reach) + 2 * drift * reach - 1) / (2 * drift**2)
