"""The audit chain, and what tells outside the database where it stands.

Each entry is canonical JSON; its hash covers its number, its text and the hash before it, so that
an edit, a deletion in the midst or a change of the order breaks the chain where it was made. A tail
that was cut off leaves a sound chain: only an anchor, kept elsewhere, tells of it.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from cdm_inspect.durable import sha256_of
from cdm_inspect.errors import StorageError
from cdm_inspect.storage.engine import Database
from cdm_inspect.storage.schema import AuditRow

GENESIS = "0" * 64
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


def first_bad_entry(session: Session, anchors: Sequence[Anchor] = ()) -> tuple[int, int | None]:
    """Read the whole chain.

    Returns:
        Entries read, and the number of the first that is not what it was: edited, moved, missing,
        or, where an anchor knows of it, cut off.
    """
    anchored = {anchor.number: anchor.hash for anchor in anchors}
    previous, count = GENESIS, 0
    statement = select(AuditRow.number, AuditRow.entry, AuditRow.previous, AuditRow.hash)
    # Closed before the session, also where a bad entry ends the reading early.
    with closing(
        session.execute(statement.order_by(AuditRow.number), execution_options={"yield_per": 5000})
    ) as rows:
        for number, entry, before, link in rows:
            count += 1
            is_sound = (
                number == count
                and before == previous
                and link == _link(number, entry, previous)
                and anchored.get(number, link) == link
            )
            if not is_sound:
                return count, min(number, count)
            previous = link
    if any(number > count for number in anchored):
        return count, count + 1
    return count, None


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
        path: of the file.
        key: with which lines are signed (HMAC-SHA256), and which all must then be; empty for none.
    """

    def __init__(self, path: Path, key: bytes | None = None) -> None:
        self.path = path
        self._key = os.environ.get(KEY_VARIABLE, "").encode() if key is None else key

    def read(self) -> list[Anchor]:
        """All anchors; none where there is no file.

        Raises:
            StorageError: if a line is no anchor, or its signature is not ours.
        """
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        except (OSError, UnicodeDecodeError) as error:
            raise StorageError(f"the anchors {self.path} cannot be read: {error}.") from error
        return [self._parse(number, line) for number, line in enumerate(lines, 1) if line.strip()]

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
            with self.path.open("ab", buffering=0) as file:
                file.write(json.dumps(document).encode() + b"\n")
                os.fsync(file.fileno())
        except OSError as error:
            raise StorageError(
                f"the anchors {self.path} cannot be written: {error.strerror or error}. Free space "
                "there or correct the rights."
            ) from error

    def _parse(self, number: int, line: str) -> Anchor:
        try:
            document = json.loads(line)
            anchor = Anchor(
                number=int(document["number"]),
                hash=str(document["hash"]),
                at=dt.datetime.fromisoformat(document["at"]),
            )
            signature = document.pop("hmac", "")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StorageError(
                f"{self.path}, line {number}: expected an anchor of the audit chain, found "
                f"{line[:80]!r}."
            ) from error
        if self._key and not hmac.compare_digest(signature, self._sign(document)):
            raise StorageError(
                f"{self.path}, line {number}: the signature is not that of {KEY_VARIABLE}. Either "
                "the line was changed, or the key is another one."
            )
        return anchor

    def _sign(self, document: Mapping[str, Any]) -> str:
        message = json.dumps(document, sort_keys=True).encode()
        return hmac.new(self._key, message, hashlib.sha256).hexdigest()
