"""The audit chain, and what tells outside the database where it stands.

Each entry is canonical JSON; its hash covers its number, its text and the hash before it, so that
an edit, a deletion in the midst or a change of the order breaks the chain where it was made. A tail
that was cut off leaves a sound chain: only an anchor, kept elsewhere, tells of it.
"""

from __future__ import annotations

import datetime as dt
import errno
import hashlib
import hmac
import json
import os
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Row, Select, case, func, or_, select
from sqlalchemy.orm import Session, aliased

from cdm_inspect.encoding import sha256_of
from cdm_inspect.errors import StorageError
from cdm_inspect.plugins import AuditEntry
from cdm_inspect.records import Decision, Purpose, Tick, no_progress
from cdm_inspect.storage.engine import Database
from cdm_inspect.storage.schema import AuditRow, Base, DecisionRow, InspectionRow, Status

GENESIS = "0" * 64
# What an entry calls it, and the column of the decision.
_TOLD = {
    "inspection": "inspection_id",
    "decision": "decision",
    "who": "reviewer",
    "comment": "comment",
    "reason": "reason",
    "role": "role",
    "region": "region",
    "seen_ms": "seen_ms",
    "purpose": "purpose",
}
# What goes without saying, and is left out of an entry.
_UNTOLD = {"region": None, "seen_ms": None, "purpose": Purpose.QUEUE.value}
# Likewise of the inspection.
_JUDGED = {
    "verdict": "verdict",
    "image": "sha256",
    "model": "model",
    "calibration": "calibration",
}
_PAGE = 2000
_ROWS = 5000
_IS_DECIDED = InspectionRow.status == Status.DECIDED.value
KEY_VARIABLE = "CDM_INSPECT_ANCHOR_KEY"
"""Environment variable with a secret that the database does not hold; anchors are then signed."""

# Any number, the same in every process.
_AUDIT_LOCK = 4_207_849_484


def add_entry(database: Database, session: Session, entry: Mapping[str, Any]) -> None:
    """One more link, within the transaction that it tells of."""
    database.lock(session, _AUDIT_LOCK)
    number, previous = head(session)
    canonical = json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    link = _link(number + 1, canonical, previous)
    session.add(AuditRow(number=number + 1, entry=canonical, previous=previous, hash=link))
    session.flush()


def head(session: Session) -> tuple[int, str]:
    """Number and hash of the last entry."""
    last = session.execute(
        select(AuditRow.number, AuditRow.hash).order_by(AuditRow.number.desc()).limit(1)
    ).first()
    return (last.number, last.hash) if last else (0, GENESIS)


def entries(session: Session, *, before: int | None, limit: int) -> list[AuditEntry]:
    """Links, newest first; see `contracts.StoreUpkeep`."""
    statement = select(AuditRow).order_by(AuditRow.number.desc()).limit(limit)
    if before is not None:
        statement = statement.where(AuditRow.number < before)
    return [
        AuditEntry(number=row.number, entry=json.loads(row.entry), hash=row.hash)
        for row in session.scalars(statement)
    ]


def has_entry(session: Session, anchor: Anchor) -> bool:
    """Whether the chain still is what an anchor says."""
    statement = select(AuditRow.hash).where(AuditRow.number == anchor.number)
    return session.scalar(statement) == anchor.hash


def first_bad_entry(
    session: Session, anchors: Sequence[Anchor] = (), tick: Tick = no_progress
) -> tuple[int, int | None]:
    """Read the whole chain.

    Args:
        session: in which it is read.
        anchors: that it is held against.

    Returns:
        Entries read, and the number of the first that is not what it was: edited, moved, missing,
        or, where an anchor knows of it, cut off.
    """
    anchored: dict[int, set[str]] = {}
    for anchor in anchors:
        anchored.setdefault(anchor.number, set()).add(anchor.hash)
    previous, count = GENESIS, 0
    expected, _ = head(session)
    tick(0, expected)
    statement = select(AuditRow.number, AuditRow.entry, AuditRow.previous, AuditRow.hash)
    # Closed before the session, also where a bad entry ends the reading early.
    with closing(
        session.execute(statement.order_by(AuditRow.number), execution_options={"yield_per": _ROWS})
    ) as rows:
        for number, entry, before, link in rows:
            count += 1
            if count % _ROWS == 0:
                tick(count, expected)
            is_sound = (
                number == count
                and before == previous
                and link == _link(number, entry, previous)
                and anchored.get(number, {link}) == {link}
            )
            if not is_sound:
                return count, min(number, count)
            previous = link
    if any(number > count for number in anchored):
        return count, count + 1
    return count, None


def unlike_parts(session: Session, tick: Tick = no_progress) -> list[int]:
    """Numbers of inspections that are not, or whose decisions are not, what the chain tells.

    Those that have been deleted since are left out, and so are entries of the first versions, which
    do not name the decision.
    """
    unlike: set[int] = set()
    count, last = 0, 0
    expected, _ = head(session)
    unnamed: set[int] = set()
    page = select(AuditRow.number, AuditRow.entry).order_by(AuditRow.number).limit(_PAGE)
    while rows := session.execute(page.where(AuditRow.number > last)).all():
        last = rows[-1].number
        tick(last, expected)
        entries = [json.loads(row.entry) for row in rows]
        decided = [entry for entry in entries if entry.get("action") == "decide"]
        unnamed.update(entry["inspection"] for entry in decided if "client" not in entry)
        by_client = {entry["client"]: entry for entry in decided if "client" in entry}
        numbers = {entry["inspection"] for entry in by_client.values()}
        parts = _by_key(session, InspectionRow.id, numbers, (*_JUDGED.values(), "version"))
        columns = (*_TOLD.values(), "decided_at")
        decisions = _by_key(session, DecisionRow.client_id, by_client, columns)
        for client, entry in by_client.items():
            part, found = parts.get(entry["inspection"]), decisions.get(client)
            if part is None:
                continue
            count += found is not None
            if found is None or not _is_told(entry, found) or not _is_judged(entry, part):
                unlike.add(entry["inspection"])
    unlike.update(session.scalars(_standing_otherwise()))
    if session.scalar(select(func.count()).select_from(DecisionRow)) != count:
        texts = session.scalars(select(AuditRow.entry).where(AuditRow.entry.contains("client")))
        clients = {json.loads(text).get("client") for text in texts}
        kept = session.execute(select(DecisionRow.client_id, DecisionRow.inspection_id))
        # Of parts that an early entry speaks of, nobody can tell which decision it means.
        strange = {row.inspection_id for row in kept if row.client_id not in clients}
        unlike.update(strange - unnamed)
    return sorted(unlike)


def _is_told(entry: Mapping[str, Any], found: Row[Any]) -> bool:
    """Whether a decision is what its entry tells."""
    at = dt.datetime.fromisoformat(entry["at"])
    # Without a zone it was a time by a clock that nobody knows.
    return (at.tzinfo is None or at == found.decided_at) and all(
        entry.get(name, _UNTOLD.get(name, "")) == getattr(found, column)
        for name, column in _TOLD.items()
    )


def _is_judged(entry: Mapping[str, Any], part: Row[Any]) -> bool:
    """Whether an inspection that was decided is what the entry of the decision tells."""
    return part.version > 0 and all(
        entry[name] == getattr(part, column) for name, column in _JUDGED.items()
    )


def _standing_otherwise() -> Select[Any]:
    """Inspections on which another decision stands than the last one."""
    decision = aliased(DecisionRow)
    made = select(func.count(decision.id)).where(decision.inspection_id == InspectionRow.id)
    newest = (
        select(func.max(decision.id))
        .where(decision.inspection_id == InspectionRow.id)
        .where(decision.purpose != Purpose.SECOND.value)
    )
    undone = Decision.UNDO.value
    stands = func.coalesce(InspectionRow.decision, undone)
    last_one = func.coalesce(DecisionRow.decision, undone)
    at = case((last_one != undone, DecisionRow.decided_at))
    return (
        select(InspectionRow.id)
        .outerjoin(DecisionRow, DecisionRow.id == newest.scalar_subquery())
        # Of most parts nobody has decided anything, and they say so.
        .where(or_(_IS_DECIDED, InspectionRow.version > 0, InspectionRow.decision.is_not(None)))
        .where(
            or_(
                stands != last_one,
                (stands != undone) & (InspectionRow.reviewer != DecisionRow.reviewer),
                (stands != undone) != _IS_DECIDED,
                InspectionRow.decided_at.is_distinct_from(at),
                InspectionRow.version != made.scalar_subquery(),
            )
        )
    )


def _by_key(
    session: Session, key: Any, values: Collection[Any], columns: Sequence[str]
) -> dict[Any, Row[Any]]:
    """Some columns of the rows with these keys."""
    table = Base.metadata.tables[key.class_.__tablename__]
    # Not through the mapper, of a year there are many.
    statement = select(table.c[key.key], *(table.c[name] for name in columns if name != key.key))
    rows = session.execute(statement.where(table.c[key.key].in_(values))) if values else ()
    return {row[0]: row for row in rows}


def _link(number: int, entry: str, previous: str) -> str:
    return sha256_of(f"{number}\n{entry}\n{previous}".encode())


@dataclass(frozen=True, kw_only=True)
class Anchor:
    """Where the chain stood at a time."""

    number: int
    hash: str
    at: dt.datetime


class AnchorFile:
    """Anchors, one JSON object a line; lines are only ever added.

    Args:
        key: with which lines are signed (HMAC-SHA256), and which all must then be; empty for none.
    """

    def __init__(self, path: Path, key: bytes | None = None) -> None:
        self.path = path
        self._key = os.environ.get(KEY_VARIABLE, "").encode() if key is None else key

    @property
    def is_signed(self) -> bool:
        """Whether there is a key, so that nobody without it can write an anchor."""
        return bool(self._key)

    def read(self) -> list[Anchor]:
        """All anchors; none where there is no file.

        Lines that are no JSON, as a full disk leaves one, and, where there is a key, lines without
        a signature tell nothing, as if they had been deleted.

        Raises:
            StorageError: if a line is no anchor, or its signature is not ours.
        """
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        except (OSError, UnicodeDecodeError) as error:
            raise StorageError(f"the anchors {self.path} cannot be read: {error}.") from error
        found = (self._parse(number, line) for number, line in enumerate(lines, 1))
        return [anchor for anchor in found if anchor is not None]

    def add(self, anchor: Anchor) -> None:
        """Add one durably.

        Raises:
            StorageError: if the file cannot be written.
        """
        document = {
            "number": anchor.number,
            "hash": anchor.hash,
            "at": anchor.at.astimezone(dt.UTC).isoformat(timespec="seconds"),
        }
        if self._key:
            document["hmac"] = self._sign(document)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # One write to a file opened for appending: two processes do not mix their lines.
            line = json.dumps(document).encode() + b"\n"
            with self.path.open("a+b", buffering=0) as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - 1))
                if file.read(1) not in (b"", b"\n"):
                    line = b"\n" + line  # of a full disk, half a line was left
                if file.write(line) != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(file.fileno())
        except OSError as error:
            raise StorageError(
                f"the anchors {self.path} cannot be written: {error.strerror or error}. Free space "
                "there or correct the rights."
            ) from error

    def _parse(self, number: int, line: str) -> Anchor | None:
        try:
            document = json.loads(line)
        except ValueError:
            return None
        try:
            signature = str(document.pop("hmac", ""))
            if self._key and not signature:
                return None
            anchor = Anchor(
                number=int(document["number"]),
                hash=str(document["hash"]),
                at=dt.datetime.fromisoformat(document["at"]).astimezone(dt.UTC),
            )
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            raise StorageError(
                f"{self.path}, line {number}: expected an anchor of the audit chain, found "
                f"{line[:80]!r}."
            ) from error
        if self._key and not hmac.compare_digest(signature.encode(), self._sign(document).encode()):
            raise StorageError(
                f"{self.path}, line {number}: the signature is not that of {KEY_VARIABLE}. Either "
                "the line was changed, or the key is another one."
            )
        return anchor

    def _sign(self, document: Mapping[str, Any]) -> str:
        message = json.dumps(document, sort_keys=True).encode()
        return hmac.new(self._key, message, hashlib.sha256).hexdigest()
