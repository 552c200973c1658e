"""With what lines judge: versions of their configuration, models, calibrations."""

from __future__ import annotations

import datetime as dt
import json

from sqlalchemy import select

from cdm_inspect.durable import as_json, sha256_of
from cdm_inspect.records import JudgingSetup
from cdm_inspect.storage import audit
from cdm_inspect.storage.engine import Database
from cdm_inspect.storage.schema import CalibrationRow, LineVersionRow, ModelRow

# Any number, the same in every process.
_SETUP_LOCK = 4_207_849_486


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
