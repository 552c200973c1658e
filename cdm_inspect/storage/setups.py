"""With what lines judge: versions of their configuration, models, calibrations."""

from __future__ import annotations

import datetime as dt
import json

from sqlalchemy import select
from sqlalchemy.orm import Session

from cdm_inspect.encoding import as_json, sha256_of
from cdm_inspect.records import JudgingSetup, StoredInspection
from cdm_inspect.storage import audit
from cdm_inspect.storage.engine import Database
from cdm_inspect.storage.schema import CalibrationRow, LineVersionRow, ModelRow

# Any number, the same in every process.
_SETUP_LOCK = 4_207_849_486


def find_setup(session: Session, part: StoredInspection) -> JudgingSetup | None:
    """With what a part was judged, as far as it was kept."""
    model = session.get(ModelRow, part.model)
    calibration = session.get(CalibrationRow, part.calibration)
    versions = select(LineVersionRow).where(LineVersionRow.line == part.line)
    version = session.scalar(
        versions.where(LineVersionRow.since <= part.inspected_at)
        .order_by(LineVersionRow.number.desc())
        .limit(1)
    ) or session.scalar(versions.order_by(LineVersionRow.number).limit(1))
    if model is None or calibration is None or version is None:
        return None
    return JudgingSetup(
        line=part.line,
        configuration=version.configuration,
        model=model.id,
        model_record=model.record,
        calibration=calibration.id,
        calibration_record=calibration.record,
    )


def keep_setup(database: Database, setup: JudgingSetup) -> None:
    """Keep what is new of it, with one audit entry; nothing where nothing is."""
    now = dt.datetime.now(dt.UTC)
    configuration = as_json(dict(setup.configuration))
    digest = sha256_of(json.dumps(configuration, sort_keys=True).encode())
    newest = (
        select(LineVersionRow)
        .where(LineVersionRow.line == setup.line)
        .order_by(LineVersionRow.number.desc())
        .limit(1)
    )
    with database.writing() as session:
        database.lock(session, _SETUP_LOCK)
        last = session.scalar(newest)
        changed = {}
        if last is None or last.digest != digest:
            number = last.number + 1 if last else 1
            changed["configuration"] = digest
            session.add(
                LineVersionRow(
                    line=setup.line,
                    number=number,
                    digest=digest,
                    configuration=configuration,
                    since=now,
                )
            )
        common = {"line": setup.line, "since": now}
        if session.get(ModelRow, setup.model) is None:
            changed["model"] = setup.model
            record = as_json(dict(setup.model_record))
            session.add(ModelRow(id=setup.model, record=record, **common))
        if session.get(CalibrationRow, setup.calibration) is None:
            changed["calibration"] = setup.calibration
            record = as_json(dict(setup.calibration_record))
            session.add(
                CalibrationRow(id=setup.calibration, model=setup.model, record=record, **common)
            )
        if changed:
            entry = {"action": "judge with", "at": now.isoformat(), "line": setup.line}
            audit.add_entry(database, session, {**entry, **changed})
