"""Deleting what is past its time, and holding what must stay."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.orm import Session

from cdm_inspect.encoding import readable, sha256_of
from cdm_inspect.errors import StorageError
from cdm_inspect.plugins import Pruned
from cdm_inspect.records import InspectionQuery, StepTick, Verdict
from cdm_inspect.storage import audit
from cdm_inspect.storage.engine import Database
from cdm_inspect.storage.files import FileStore
from cdm_inspect.storage.ownership import refuse_files_of_others
from cdm_inspect.storage.queue import matching
from cdm_inspect.storage.schema import FILE_NAMES, DecisionRow, InspectionRow, Status

# So few that others who write hardly wait.
_CHUNK = 200
_WINDOW = 20_000
_ORPHAN_SECONDS = 86400.0
# Between the reasons of several holds.
_BETWEEN = "; "
_ROWS = 10_000

# Which inspections a class holds, and from when their time runs.
_CLASSES = {
    "passed": (Status.FILED, InspectionRow.inspected_at),
    "decided": (Status.DECIDED, InspectionRow.decided_at),
}


def prune(
    database: Database,
    files: FileStore,
    limits: Mapping[str, dt.timedelta],
    *,
    is_dry: bool,
    progress: StepTick,
) -> Pruned:
    """Delete in small transactions, each with its audit entry; see `contracts.StoreUpkeep`.

    Raises:
        StorageError: if a class is unknown, or the database or the files cannot be written.
    """
    if unknown := set(limits) - set(_CLASSES):
        raise StorageError(
            f"expected retention of {', '.join(_CLASSES)}, found {', '.join(sorted(unknown))}."
        )
    now = dt.datetime.now(dt.UTC)
    parts: dict[str, int] = {}
    held: dict[str, int] = {}
    longest = 0.0
    for name, age in limits.items():
        status, since = _CLASSES[name]
        is_old = [
            InspectionRow.status == status,
            since < now - age,
            # The highest number stays, so that no other part is ever given it.
            InspectionRow.id < select(func.max(InspectionRow.id)).scalar_subquery(),
        ]
        if name == "passed":
            is_old.append(InspectionRow.verdict == Verdict.PASS.value)
        with database.reading() as session:
            held[name] = _count(session, [*is_old, InspectionRow.hold != ""])
            parts[name] = _count(session, [*is_old, InspectionRow.hold == ""])
        if not is_dry:
            expected, parts[name] = parts[name] or 1, 0
            for deleted, seconds in _delete_class(database, name, is_old):
                parts[name] += deleted
                longest = max(longest, seconds)
                progress(f"{name} parts", parts[name], expected)
    swept = _sweep(database, files, is_dry=is_dry, progress=progress)
    return replace(swept, parts=parts, held=held, longest_seconds=longest)


def hold(database: Database, query: InspectionQuery, reason: str, *, ends: bool, who: str) -> int:
    """Hold what matches, or let it go; see `contracts.StoreUpkeep`.

    Raises:
        StorageError: if there is no reason.
    """
    reason = readable(reason).replace(_BETWEEN.strip(), ",").strip()
    if not reason:
        raise StorageError("expected the reason of the hold, found none. Nothing was changed.")
    changed, last = 0, 0
    while True:
        with database.writing() as session:
            rows = session.execute(
                select(InspectionRow.id, InspectionRow.hold)
                .where(*matching(query), InspectionRow.id > last)
                .order_by(InspectionRow.id)
                .limit(_CHUNK)
                .with_for_update()
            ).all()
            if not rows:
                return changed
            last = rows[-1].id
            by_hold: dict[str, list[int]] = {}
            for row in rows:
                former = list(filter(None, row.hold.split(_BETWEEN)))
                if (reason in former) is ends:
                    others = [each for each in former if each != reason]
                    new = _BETWEEN.join(others if ends else [*former, reason])
                    by_hold.setdefault(new, []).append(row.id)
            for new, ids in by_hold.items():
                session.execute(
                    update(InspectionRow)
                    .where(InspectionRow.id.in_(ids))
                    .values(hold=new)
                    .execution_options(synchronize_session=False)
                )
            held = sorted(number for ids in by_hold.values() for number in ids)
            if held:
                action = "end hold" if ends else "hold"
                entry = {"action": action, "reason": reason, "who": who, "at": _now()}
                audit.add_entry(database, session, {**entry, **_of(held)})
            changed += len(held)


def _count(session: Session, conditions: Sequence[ColumnElement[bool]]) -> int:
    return session.scalar(select(func.count()).select_from(InspectionRow).where(*conditions)) or 0


def _delete_class(
    database: Database, name: str, is_old: Sequence[ColumnElement[bool]]
) -> Iterator[tuple[int, float]]:
    """Delete all of a class; yields how many each transaction deleted, and how long it took."""
    for ids in _chunks(database, [*is_old, InspectionRow.hold == ""]):
        with database.writing() as session:
            began = time.monotonic()  # from here on others wait
            # Looked at again: a decision, or a hold, may have come meanwhile.
            gone = session.scalars(
                update(InspectionRow)
                .where(InspectionRow.id.in_(ids), *is_old, InspectionRow.hold == "")
                .values(status=Status.EXPIRED.value)
                .returning(InspectionRow.id)
                .execution_options(synchronize_session=False)
            ).all()
            for statement in (
                delete(DecisionRow).where(DecisionRow.inspection_id.in_(gone)),
                delete(InspectionRow).where(InspectionRow.id.in_(gone)),
            ):
                session.execute(statement.execution_options(synchronize_session=False))
            if gone:
                entry = {"action": "prune", "class": name, "at": _now()}
                audit.add_entry(database, session, {**entry, **_of(sorted(gone))})
        yield len(gone), time.monotonic() - began


def _chunks(
    database: Database, conditions: Sequence[ColumnElement[bool]]
) -> Iterator[Sequence[int]]:
    """Numbers that match, a few at a time; looked for window by window, never in all of the table.

    So the database needs no statistics to find a short way, which it lacks after a bulk load.
    """
    with database.reading() as session:
        first, last = session.execute(
            select(func.min(InspectionRow.id), func.max(InspectionRow.id))
        ).one()
    for start in range(first or 0, (last or 0) + 1, _WINDOW):
        with database.reading() as session:
            ids = session.scalars(
                select(InspectionRow.id)
                .where(*conditions)
                .where(InspectionRow.id >= start, InspectionRow.id < start + _WINDOW)
                .order_by(InspectionRow.id)
            ).all()
        yield from (ids[at : at + _CHUNK] for at in range(0, len(ids), _CHUNK))


def _of(ids: Sequence[int]) -> dict[str, object]:
    """Which inspections an audit entry speaks of."""
    digest = sha256_of("\n".join(map(str, ids)).encode())
    return {"parts": len(ids), "first": ids[0], "last": ids[-1], "ids_sha256": digest}


def _sweep(database: Database, files: FileStore, *, is_dry: bool, progress: StepTick) -> Pruned:
    """Remove files that no inspection names, once they are a day old.

    Raises:
        StorageError: if they belong to another store, which may have inspections that name them.
    """
    progress("files", 0, 1)
    refuse_files_of_others(database, files)
    used = _used_files(database)

    def in_use(names: Sequence[str]) -> set[str]:
        if not names:
            return set()
        prefixes = np.array([int(name[:16], 16) for name in names], np.uint64)
        return {
            name for name, is_used in zip(names, np.isin(prefixes, used), strict=True) if is_used
        }

    swept = files.sweep(in_use, age=_ORPHAN_SECONDS, is_dry=is_dry)
    progress("files", 1, 1)
    return Pruned(
        parts={},
        held={},
        files=swept.files,
        bytes=swept.bytes,
        temporaries=swept.temporaries,
        longest_seconds=0.0,
    )


def _used_files(database: Database) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    """The first 64 bits of every name in use: of a million parts 16 MB, and on the safe side."""
    found = [np.empty(0, np.uint64)]
    with database.reading() as session:
        rows = session.execute(
            select(*(getattr(InspectionRow, name) for name in FILE_NAMES)),
            execution_options={"yield_per": _ROWS},
        )
        for page in rows.partitions(_ROWS):
            names = {int(name[:16], 16) for row in page for name in row if name}
            found.append(np.fromiter(names, np.uint64, len(names)))
    return np.unique(np.concatenate(found))


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat()
