"""The calibration that judges a line now, and how many parts it has judged."""

from __future__ import annotations

import datetime as dt

from cdm_inspect.calibration.record import Calibration, load_calibration
from cdm_inspect.model.manifest import model_id
from cdm_inspect.plugins import VerdictStore
from cdm_inspect.project import Project
from cdm_inspect.records import InspectionQuery, hour_of


def calibration_in_force(project: Project, line: str, scorer: str | None = None) -> Calibration:
    """The calibration in force of a line's scorer, without the model's weights being read.

    Raises:
        NotCalibrated: if there is none for the model that the line has.
        CheckpointMismatch: if the line has not been trained.
    """
    name = scorer or project.config.line(line).scorer
    model = model_id(project.model_folder(line))
    return load_calibration(project.calibration_folder(line), name, model)


def count_judged(store: VerdictStore, line: str, calibration: Calibration) -> int:
    """Parts of a line that a calibration has judged since it was made.

    Whole hours are taken from the hourly counts, which stay when records are deleted. In the hour
    that it was made in, the same calibration may have been in force before: there the inspections
    are counted.
    """
    made = calibration.made_at
    next_hour = hour_of(made) + dt.timedelta(hours=1)
    first = store.count(
        InspectionQuery(line=line, calibration=calibration.id, since=made, until=next_hour)
    )
    later = store.hourly(line, since=next_hour)
    return first + sum(count.parts for count in later if count.calibration == calibration.id)
