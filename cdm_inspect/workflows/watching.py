"""Has a line changed since it was calibrated? Asked of the parts that are in the store."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, replace

from cdm_inspect.assembly import line_calibration
from cdm_inspect.calibration import Calibration
from cdm_inspect.contracts import VerdictStore
from cdm_inspect.drift import Chart, ChartState, normal_score
from cdm_inspect.errors import CalibrationError
from cdm_inspect.project import Project
from cdm_inspect.records import InspectionQuery, JsonObject, StoredInspection, Verdict

_PAGE = 1000
_SHOWN = 500


def drift(
    project: Project,
    line: str,
    *,
    scorer: str | None = None,
    shift: float = 1.0,
    between_false_alarms: float = 20_000.0,
) -> JsonObject:
    """Follow the p-values of the parts below the threshold since the line was calibrated.

    Args:
        project: opened.
        line: calibrated.
        scorer: another than the line's.
        shift: change to find, in standard deviations of the normal scores.
        between_false_alarms: parts, on average, while nothing changes.

    Returns:
        `chart` with what it promises, `parts`, `level`, `alarms` with the number of the inspection,
        when it was, in which direction, and about where the change began; `values`, the last 500,
        for a picture: inspection, normal score, and both sums.

    Raises:
        CalibrationError: if the calibration flags all held-out parts, so that none says anything.
        InvalidOption: if they are too few to tell such a change.
    """
    calibration = line_calibration(project, line, scorer)
    count, above = len(calibration.scores), calibration.flagged_held_out
    if above == count:
        raise CalibrationError(
            f"calibration {calibration.id} flags all {count} held-out good parts; what passes "
            "cannot be compared with any. Correct the costs, and calibrate again."
        )
    chart = Chart.for_shift(shift, between_false_alarms, parts=count - above)
    state, alarms = ChartState(), []
    values: deque[JsonObject] = deque(maxlen=_SHOWN)
    # Inspection before which each sum was last zero.
    began = {"less odd": 0, "odder": 0}
    with project.open_store() as store:
        for part in _unflagged(store, calibration):
            assert part.p_value is not None
            value = normal_score(part.p_value, count, above)
            before, state = state, state.after(value, chart)
            values.append(
                {"id": part.id, "value": value, "upper": state.upper, "lower": state.lower}
            )
            if len(state.alarms) > len(before.alarms):
                direction = "less odd" if value > 0 else "odder"
                alarms.append(
                    {
                        "inspection": part.id,
                        "at": part.inspected_at.isoformat(),
                        "direction": direction,
                        "since_inspection": began[direction] or part.id,
                    }
                )
            if state.upper == 0:
                began["less odd"] = part.id
            if state.lower == 0:
                began["odder"] = part.id
    return {
        "line": line,
        "scorer": calibration.scorer,
        "calibration": calibration.id,
        "chart": {**asdict(chart), "delay": chart.delay},
        "parts": state.parts,
        "level": state.level,
        "alarms": alarms,
        "values": list(values),
    }


def _unflagged(store: VerdictStore, calibration: Calibration) -> Iterator[StoredInspection]:
    """Parts below the threshold; past the expiry their verdict is `review`."""
    last = 0
    query = InspectionQuery(
        line=calibration.line,
        calibration=calibration.id,
        verdicts=(Verdict.PASS, Verdict.REVIEW),
        since=calibration.made_at,
        limit=_PAGE,
    )
    while page := store.find(replace(query, after_id=last)):
        for part in page:
            if part.score is not None and part.score < calibration.threshold:
                yield part
        last = page[-1].id
