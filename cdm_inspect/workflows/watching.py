"""Has a line changed since it was calibrated? Asked of the parts that are in the store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace

from cdm_inspect.assembly import line_calibration
from cdm_inspect.calibration import Calibration
from cdm_inspect.contracts import VerdictStore
from cdm_inspect.drift import Chart, ChartState, normal_score
from cdm_inspect.project import Project
from cdm_inspect.records import InspectionQuery, JsonObject, StoredInspection, Verdict

_PAGE = 1000


def drift(
    project: Project,
    line: str,
    *,
    scorer: str | None = None,
    shift: float = 1.0,
    between_false_alarms: float = 20_000.0,
) -> JsonObject:
    """Follow the p-values of the parts that passed since the line was calibrated.

    Args:
        project: opened.
        line: calibrated.
        scorer: another than the line's.
        shift: change to find, in standard deviations of the normal scores.
        between_false_alarms: parts, on average, while nothing changes.

    Returns:
        `chart` with what it promises, `parts`, `state`, `alarms` with the number of the inspection,
        when it was, in which direction, and where the change began; `values`, at most 500, for a
        picture: inspection, normal score, and both sums.
    """
    calibration = line_calibration(project, line, scorer)
    count = len(calibration.scores)
    chart = Chart.for_shift(shift, between_false_alarms, parts=count)
    state, alarms, values = ChartState(), [], []
    seen: list[int] = []
    with project.open_store() as store:
        for part in _passed(store, calibration):
            assert part.p_value is not None
            value = normal_score(part.p_value, count, calibration.flagged_held_out)
            before, state = state, state.after(value, chart)
            seen.append(part.id)
            values.append(
                {"id": part.id, "value": value, "upper": state.upper, "lower": state.lower}
            )
            if len(state.alarms) > len(before.alarms):
                rises = before.upper + value > before.lower - value
                began = before.upper_since if rises else before.lower_since
                alarms.append(
                    {
                        "inspection": part.id,
                        "at": part.inspected_at.isoformat(),
                        "direction": "less odd" if rises else "odder",
                        "since_inspection": seen[min(began, len(seen) - 1)],
                    }
                )
    return {
        "line": line,
        "scorer": calibration.scorer,
        "calibration": calibration.id,
        "chart": {**asdict(chart), "delay": chart.delay},
        "parts": state.parts,
        "level": state.level,
        "alarms": alarms,
        "values": values[-500:],
    }


def _passed(store: VerdictStore, calibration: Calibration) -> Iterator[StoredInspection]:
    last = 0
    passed = InspectionQuery(
        line=calibration.line,
        calibration=calibration.id,
        verdicts=(Verdict.PASS,),
        limit=_PAGE,
    )
    while page := store.find(replace(passed, after_id=last)):
        yield from page
        last = page[-1].id
