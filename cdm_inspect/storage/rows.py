"""Between records and the rows of the database."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from types import SimpleNamespace
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.dialects import sqlite
from sqlalchemy.orm import Session

from cdm_inspect.encoding import as_json, readable, sha256_of
from cdm_inspect.errors import StorageError
from cdm_inspect.records import (
    Decision,
    Event,
    Inspection,
    Purpose,
    Region,
    Review,
    StoredInspection,
    Verdict,
)
from cdm_inspect.storage.files import FileStore
from cdm_inspect.storage.queue import urgency
from cdm_inspect.storage.schema import Base, DecisionRow, EventRow, InspectionRow, Status

_ROOM = {"client_id": 64, "reviewer": 128, "reason": 64, "role": 64}
_NAMED = ("serial", "lot", "station", "camera")


def inspection_key(inspection: Inspection) -> str:
    """What makes two inspections the same: line, image content, model and calibration.

    A part that could not be judged is another matter than the same part judged later, when, say,
    its scorer works again.
    """
    why = inspection.reason.partition(":")[0]
    facts = [inspection.line, inspection.sha256, inspection.model, inspection.calibration, why]
    return sha256_of("\n".join(facts).encode())


def new_row(
    files: FileStore, key: str, inspection: Inspection, evidence: bytes | None
) -> dict[str, Any]:
    """A row, whose files are kept."""
    # OpenCV takes a fifth of a second to load; whoever only reads does not need it.
    from cdm_inspect.images import encode_heatmap, encode_picture

    image_sha256 = files.put(evidence) if evidence is not None else ""
    heatmap_sha256, scale, offset = "", 1.0, 0.0
    if inspection.heatmap is not None:
        data, scale, offset = encode_heatmap(inspection.heatmap)
        heatmap_sha256 = files.put(data)
    restoration_sha256 = ""
    if inspection.restoration is not None:
        restoration_sha256 = files.put(encode_picture(inspection.restoration))
    priority, doubt = urgency(inspection)
    is_flagged = inspection.verdict is not Verdict.PASS
    return {
        "key": key,
        "image": readable(inspection.image),
        "sha256": inspection.sha256,
        "line": inspection.line,
        "verdict": inspection.verdict.value,
        "model": inspection.model,
        "calibration": inspection.calibration,
        "scorer": inspection.scorer,
        # Not every database, and no JSON, has a number that is none.
        "threshold": as_json(inspection.threshold),
        "score": as_json(inspection.score),
        "p_value": as_json(inspection.p_value),
        "regions": as_json([dict(vars(region)) for region in inspection.regions]),
        "reason": readable(inspection.reason),
        "acquisition": as_json(dict(inspection.acquisition)),
        "inspected_at": inspection.inspected_at.astimezone(dt.UTC),
        "image_sha256": image_sha256,
        "heatmap_sha256": heatmap_sha256,
        "heatmap_scale": scale,
        "heatmap_offset": offset,
        "restoration_sha256": restoration_sha256,
        **{name: readable(getattr(inspection, name))[:128] for name in _NAMED},
        "status": (Status.WAITING if is_flagged else Status.FILED).value,
        "priority": priority,
        "doubt": doubt,
    }


def insert_rows(session: Session, rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, int]]:
    """Add those whose key is new; key and number of each that was.

    PostgreSQL is given them as one JSON document: taking a statement with thousands of parameters
    apart costs its driver more than all the rest.
    """
    table = Base.metadata.tables[InspectionRow.__tablename__]
    if session.get_bind().dialect.name == "postgresql":
        columns = ", ".join([*rows[0], "reviewer"])
        statement = text(
            f"INSERT INTO inspection ({columns}) SELECT {columns} "  # noqa: S608 - our own names
            "FROM json_populate_recordset(NULL::inspection, CAST(:rows AS json)) "
            "ON CONFLICT (key) DO NOTHING RETURNING key, id"
        )
        document = json.dumps(
            [{**row, "reviewer": ""} for row in rows], default=dt.datetime.isoformat
        )
        found = session.execute(statement, {"rows": document})
    else:
        insert = sqlite.insert(table).on_conflict_do_nothing(index_elements=["key"])
        found = session.execute(insert.returning(table.c.key, table.c.id), list(rows))
    return [(key, number) for key, number in found]


def as_new(values: Mapping[str, Any], number: int) -> StoredInspection:
    """As a row that was just added would be read."""
    blank = {"decision": None, "reviewer": "", "decided_at": None, "version": 0, "hold": ""}
    return to_record(SimpleNamespace(**values, **blank, id=number))


def to_record(row: InspectionRow | Row[Any] | SimpleNamespace) -> StoredInspection:
    """An inspection as the program knows it."""
    return StoredInspection(
        id=row.id,
        image=row.image,
        sha256=row.sha256,
        line=row.line,
        verdict=Verdict(row.verdict),
        model=row.model,
        calibration=row.calibration,
        scorer=row.scorer,
        threshold=row.threshold,
        score=row.score,
        p_value=row.p_value,
        regions=tuple(Region(**region) for region in row.regions),
        reason=row.reason,
        acquisition=row.acquisition,
        inspected_at=row.inspected_at,
        image_sha256=row.image_sha256,
        heatmap_sha256=row.heatmap_sha256,
        heatmap_scale=row.heatmap_scale,
        heatmap_offset=row.heatmap_offset,
        serial=row.serial,
        lot=row.lot,
        station=row.station,
        camera=row.camera,
        decision=None if row.decision is None else Decision(row.decision),
        reviewer=row.reviewer,
        decided_at=row.decided_at,
        version=row.version,
        hold=row.hold,
        restoration_sha256=row.restoration_sha256,
    )


def to_review(row: DecisionRow | Row[Any]) -> Review:
    """A decision as it was sent."""
    return Review(
        client_id=row.client_id,
        inspection_id=row.inspection_id,
        decision=Decision(row.decision),
        reviewer=row.reviewer,
        comment=row.comment,
        reason=row.reason,
        region=None if row.region is None else Region(**row.region),
        role=row.role,
        seen_ms=row.seen_ms,
        version=row.version,
        purpose=Purpose(row.purpose),
        decided_at=row.decided_at,
    )


def to_event(row: EventRow) -> Event:
    """What somebody has done, as it was entered."""
    names = ("action", "who", "role", "line", "inspection_id", "reason", "facts", "at")
    return Event(**{name: getattr(row, name) for name in names})


def fitting(review: Review) -> Review:
    """A decision as a database can take it.

    Raises:
        StorageError: if a name in it is longer than there is room for.
    """
    for name, room in _ROOM.items():
        if len(getattr(review, name)) > room:
            raise StorageError(
                f"expected a {name} of at most {room} characters, found "
                f"{len(getattr(review, name))}. The decision was not recorded."
            )
    names = ("client_id", "reviewer", "comment", "reason", "role")
    plain: dict[str, Any] = {name: readable(getattr(review, name)) for name in names}
    return replace(review, **plain)


def audited(review: Review) -> Mapping[str, Any]:
    """What the chain says of a decision; empty parts are left out."""
    facts = {
        "at": review.decided_at.isoformat(),
        "who": review.reviewer,
        "role": review.role,
        "client": review.client_id,
        "inspection": review.inspection_id,
        "decision": review.decision.value,
        "comment": review.comment,
        "reason": review.reason,
        "region": asdict(review.region) if review.region else None,
        "seen_ms": review.seen_ms,
        # Nearly all are; what goes without saying is left out.
        "purpose": "" if review.purpose is Purpose.QUEUE else review.purpose.value,
    }
    return {name: value for name, value in facts.items() if value not in ("", None)}
