"""Has a line changed since it was calibrated? Asked of its store; loads without torch."""

from __future__ import annotations

import datetime as dt
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace

from cdm_inspect.calibration.in_force import calibration_in_force
from cdm_inspect.calibration.record import Calibration
from cdm_inspect.errors import InvalidOption
from cdm_inspect.images import Envelope
from cdm_inspect.monitoring.cusum import Chart, ChartState, normal_score, parts_needed, rank_score
from cdm_inspect.plugins import VerdictStore
from cdm_inspect.project import Project
from cdm_inspect.records import InspectionQuery, JsonObject, StoredInspection

SHIFT = 1.0
BETWEEN_FALSE_ALARMS = 20_000.0
_ODDNESS = "p-value"
_PAGE = 1000
_SHOWN = 500
# What a rise and a fall of each measure mean; a high p-value is that of an ordinary part.
_DIRECTIONS = {
    _ODDNESS: ("less odd", "odder"),
    "exposure": ("lighter", "darker"),
    "contrast": ("richer in contrast", "poorer in contrast"),
    "focus": ("sharper", "softer"),
}


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """Why nothing is charted of a measure.

    Attributes:
        reason: "no-part-passes" or "few-parts".
        parts: good parts behind it.
        needed: how many it takes; None where no number is enough.
        message: the same for people.
    """

    reason: str
    parts: int
    needed: int | None
    message: str


def drift(
    project: Project,
    line: str,
    *,
    scorer: str | None = None,
    shift: float = SHIFT,
    between_false_alarms: float = BETWEEN_FALSE_ALARMS,
) -> JsonObject:
    """Follow the parts that were inspected since the line was calibrated.

    Thresholds that were saved by hand since then change nothing of that.

    Args:
        shift: change to find, in standard deviations of the normal scores.
        between_false_alarms: parts, on average, while nothing changes, by all charts together.

    Returns:
        `charts` by name, each with what it promises, its `parts`, its `level`, how often it `calls`
        and the last 500 `values` for a picture: inspection, normal score, and both sums; `alarms`,
        the first and the latest of each chart, with the number of the inspection, when it was, in
        which direction, and about where the change began; `since`, the calibration that the charts
        began with; `left_out`, charts that there are too few good parts for, with the reason, and
        `left_out_why`, the same in figures.

    Raises:
        InvalidOption: if that is all of them.
    """
    calibration = calibration_in_force(project, line, scorer)
    charts, left_out = charts_of(calibration, shift, between_false_alarms)
    with project.open_store() as store:
        watch = LineWatch(store, calibration, charts)
        watch.catch_up()
        watch.save()
    return {
        **watch.to_json(),
        "left_out": {name: why.message for name, why in left_out.items()},
        "left_out_why": {
            name: {"reason": why.reason, "parts": why.parts, "needed": why.needed}
            for name, why in left_out.items()
        },
    }


def charts_of(
    calibration: Calibration,
    shift: float = SHIFT,
    between_false_alarms: float = BETWEEN_FALSE_ALARMS,
) -> tuple[dict[str, Chart], dict[str, LeftOut]]:
    """The charts of a line by name, each called so rarely that all together keep the stated rate.

    Returns:
        The charts, and why others are left out: there are too few good parts behind them.

    Raises:
        InvalidOption: if none is left.
    """
    charts: dict[str, Chart] = {}
    left_out: dict[str, LeftOut] = {}
    parts = {_ODDNESS: _passing(calibration)}
    if calibration.envelope:
        envelope = Envelope.from_json(calibration.envelope)
        parts |= dict.fromkeys(envelope.usual, envelope.parts)
    # Also of charts that are left out: thresholds leave the other charts as they are.
    rate = between_false_alarms * len(parts)
    for name, known in parts.items():
        needed = parts_needed(shift)
        if not known:
            left_out[name] = LeftOut(
                reason="no-part-passes",
                parts=known,
                needed=needed,
                message="by this calibration no part passes, so that there is none to follow.",
            )
            continue
        try:
            charts[name] = Chart.for_shift(shift, rate, parts=known)
        except InvalidOption as error:
            left_out[name] = LeftOut(
                reason="few-parts", parts=known, needed=needed, message=str(error)
            )
    if not charts:
        raise InvalidOption(left_out[_ODDNESS].message)
    return charts, left_out


def _passing(calibration: Calibration) -> int:
    """Held-out good parts below the threshold."""
    return len(calibration.scores) - calibration.flagged_held_out


def alarms_by_chart(alarms: Sequence[JsonObject]) -> dict[str, list[JsonObject]]:
    """Of each chart the first alarm, and the latest where it is another."""
    found: dict[str, list[JsonObject]] = {}
    for alarm in alarms:
        found.setdefault(alarm["chart"], []).append(alarm)
    return found


def directions(chart: str) -> tuple[str, str]:
    """What a rise and a fall in a chart are called."""
    return _DIRECTIONS[chart]


def normal_scores(
    calibration: Calibration,
    usual: Mapping[str, Sequence[float]],
    *,
    score: float | None,
    p_value: float | None,
    acquisition: Mapping[str, float],
) -> dict[str, float]:
    """What each chart takes of a part, by its name; nothing where the part has nothing to say.

    Args:
        calibration: that has judged the part.
        usual: of `Envelope`.
        acquisition: how its photograph was taken.
    """
    found = {
        name: rank_score(acquisition[name], values)
        for name, values in usual.items()
        if name in acquisition
    }
    # Flagged parts are what the verdicts are for; past the expiry others are `review` as well.
    if score is not None and p_value is not None and score < calibration.threshold:
        parts, above = len(calibration.scores), calibration.flagged_held_out
        if above < parts:
            found[_ODDNESS] = normal_score(p_value, parts, above)
    return found


def describe_alarm(alarm: JsonObject) -> str:
    """An alarm in words."""
    what = "parts look" if alarm["chart"] == _ODDNESS else "photographs are"
    at = dt.datetime.fromisoformat(alarm["at"]).astimezone(dt.UTC)
    return (
        f"{what} {alarm['direction']} since about part {alarm['since_inspection']} (found "
        f"at part {alarm['inspection']}, {at:%Y-%m-%d %H:%M:%S} UTC)"
    )


class LineWatch:
    """Where the charts of a line stand; kept in its store.

    What is kept depends on the parts alone: each counts as the thresholds say that it was judged
    by. So stations that have not taken up new thresholds yet, and those that have, agree.

    Args:
        calibration: in force; parts that were judged by others than its `lineage` are left out, but
            for those saved by hand after it.
        charts: the first of what `charts_of` returns.

    Attributes:
        alarms: the first and the latest of each chart, as in the JSON of `drift`.
    """

    def __init__(
        self, store: VerdictStore, calibration: Calibration, charts: dict[str, Chart]
    ) -> None:
        self._store, self._calibration, self._charts = store, calibration, charts
        self._usual = Envelope.from_json(seen).usual if (seen := calibration.envelope) else {}
        one = next(iter(charts.values()))
        self._origin = calibration.lineage[0]
        self._since = dt.datetime.fromisoformat(self._origin["made_at"])
        self._followed = {former["calibration"]: True for former in calibration.lineage}
        self._known = {calibration.threshold: (calibration, charts)}
        # A calibration that was renewed starts anew, also where it found the same.
        self._name = (
            f"{calibration.line}/{self._origin['calibration']}/{self._since:%Y%m%dT%H%M%S.%f}/"
            f"{one.shift:g}/{one.between_false_alarms:g}"
        )
        self._last, kept = store.position(self._name) or (0, {})
        self._saved = self._last
        # Of all: what these thresholds leave out may be charted by others.
        names = (_ODDNESS, *self._usual)
        self._states = {
            name: ChartState.from_json(kept["states"][name]) if kept else ChartState()
            for name in names
        }
        self._values: dict[str, deque[JsonObject]] = {
            name: deque(kept["values"][name] if kept else (), maxlen=_SHOWN) for name in names
        }
        self.alarms: list[JsonObject] = list(kept.get("alarms", ()))

    def catch_up(self) -> None:
        """Take in the parts that have come since."""
        for part in self._fresh():
            self._last = part.id
            if not self._is_followed(part):
                continue
            calibration, charts = self._as_judged(part)
            found = normal_scores(
                calibration,
                self._usual,
                score=part.score,
                p_value=part.p_value,
                acquisition=part.acquisition,
            )
            for name in charts:
                if name in found:
                    self._follow(name, found[name], part)

    def save(self, *, after: int = 1) -> None:
        """Keep where the charts stand, if that many inspections have come since it was kept."""
        if self._last < self._saved + after:
            return
        state: JsonObject = {
            "states": {name: state.to_json() for name, state in self._states.items()},
            "values": {name: list(values) for name, values in self._values.items()},
            "alarms": self.alarms,
        }
        self._store.keep_position(self._name, self._last, state)
        self._saved = self._last

    @property
    def found(self) -> str:
        """The first alarm, for people; empty while there is none."""
        return describe_alarm(self.alarms[0]) if self.alarms else ""

    def to_json(self) -> JsonObject:
        """The JSON of `drift`."""
        return {
            "line": self._calibration.line,
            "scorer": self._calibration.scorer,
            "calibration": self._calibration.id,
            "since": dict(self._origin),
            "charts": {
                name: {
                    **asdict(chart),
                    "delay": chart.delay,
                    "parts": self._states[name].parts,
                    "level": self._states[name].level,
                    "calls": self._states[name].calls,
                    "values": list(self._values[name]),
                }
                for name, chart in self._charts.items()
            },
            "alarms": self.alarms,
        }

    def _follow(self, name: str, value: float, part: StoredInspection) -> None:
        before = self._states[name]
        state = before.after(value, self._as_judged(part)[1][name], part=part.id)
        self._states[name] = state
        self._values[name].append(
            {"id": part.id, "value": value, "upper": state.upper, "lower": state.lower}
        )
        if state.calls == before.calls:
            return
        alarm = state.alarms[-1]
        entry = {
            "chart": name,
            "inspection": alarm.part,
            "at": part.inspected_at.isoformat(),
            "direction": directions(name)[0 if alarm.is_rise else 1],
            "since_inspection": alarm.since,
        }
        # Of each chart the first and the latest: there is no end to them while a change lasts.
        if state.calls > 2:
            self.alarms.remove([a for a in self.alarms if a["chart"] == name][-1])
        self.alarms.append(entry)

    def _is_followed(self, part: StoredInspection) -> bool:
        known = self._followed.get(part.calibration)
        if known is None:
            # Somebody may have saved thresholds by hand since this one came into force.
            setup = self._store.judged_with(part.id)
            basis = (setup.calibration_record.get("basis") or {}) if setup else {}
            known = self._origin in basis.get("follows", ())
            self._followed[part.calibration] = known
        return known

    def _as_judged(self, part: StoredInspection) -> tuple[Calibration, dict[str, Chart]]:
        """The calibration with the threshold that a part was judged by, and its charts."""
        if part.threshold is None:
            return self._calibration, self._charts
        known = self._known.get(part.threshold)
        if known is None:
            calibration = replace(self._calibration, threshold=part.threshold)
            one, charts = next(iter(self._charts.values())), {}
            if passing := _passing(calibration):
                with suppress(InvalidOption):  # too few are left for a chart
                    charts[_ODDNESS] = Chart.for_shift(
                        one.shift, one.between_false_alarms, parts=passing
                    )
            photographs = {name: known for name, known in self._charts.items() if name != _ODDNESS}
            known = self._known[part.threshold] = calibration, charts | photographs
        return known

    def _fresh(self) -> Iterator[StoredInspection]:
        query = InspectionQuery(line=self._calibration.line, since=self._since, limit=_PAGE)
        while page := self._store.find(replace(query, after_id=self._last)):
            yield from page
