"""Keeping the SQL store in order."""

from __future__ import annotations

import datetime as dt
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

from sqlalchemy import func, select

from cdm_inspect.errors import StorageError
from cdm_inspect.plugins import (
    AuditEntry,
    ChainState,
    Copied,
    Pruned,
    StoreAnchors,
    StoreSchema,
)
from cdm_inspect.records import InspectionQuery, StepTick
from cdm_inspect.storage import audit, copies, retention
from cdm_inspect.storage.audit import AnchorFile
from cdm_inspect.storage.engine import Database, errors_explained
from cdm_inspect.storage.files import open_files
from cdm_inspect.storage.ownership import claim_files, own_files, rename_store
from cdm_inspect.storage.schema import FILE_NAMES, InspectionRow
from cdm_inspect.storage.sql import SqlStore
from cdm_inspect.storage.versions import create_schema, find_revision, find_schema, upgrade_database

_MOST_NAMED = 100
_ROWS = 500


class SqlUpkeep:
    """See `contracts.StoreUpkeep`; the arguments are those of `SqlStore`."""

    def __init__(
        self, url: str, images: str, *, root: Path, anchor: str = "audit-anchors.jsonl"
    ) -> None:
        self._url, self._images, self._root, self._anchor = url, images, root, anchor

    def create(self) -> None:
        """Set up an empty store; see `contracts.StoreUpkeep`."""
        with self._database() as database:
            self._see_that_it_is_new(database)
            create_schema(database)
            self._set_anchors_aside()
            own_files(database, open_files(self._images, self._root))

    def schema(self) -> StoreSchema:
        """Version of the tables; see `contracts.StoreUpkeep`."""
        return find_schema(self._url, self._root)

    def upgrade(self, *, has_backup: bool) -> tuple[str, str]:
        """Bring the tables to the form of this version; see `contracts.StoreUpkeep`."""
        with self._database() as database:
            files = open_files(self._images, self._root)
            files.is_empty()  # out of reach, they say so before anything is changed
            done = upgrade_database(
                database, lambda revision: self._copy(database, revision, has_backup)
            )
            if done[0]:
                own_files(database, files, are_sure=True)
        return done

    def verify(self, *, anchor: Path | None, has_files: bool, progress: StepTick) -> ChainState:
        """Check chain and files; see `contracts.StoreUpkeep`."""
        with self._store() as store:
            file = store.anchors if anchor is None else AnchorFile(anchor)
            anchors = file.read()
            if anchor is not None and not anchors:
                raise StorageError(f"expected anchors of the audit chain, found none in {anchor}.")
            read, compared = (partial(progress, what) for what in ("audit chain", "decisions"))
            with store.database.reading(is_frozen=True) as session:
                entries, first_bad = audit.first_bad_entry(session, anchors, read)
                _, head = audit.head(session)
                unlike = [] if first_bad else audit.unlike_parts(session, compared)
            files, bad_files = self._check_files(store, progress) if has_files else (None, ())
        return ChainState(
            entries=entries,
            first_bad=first_bad,
            anchors=len(anchors),
            head=head,
            anchored_at=anchors[-1].at if anchors else None,
            is_signed=file.is_signed,
            unlike=tuple(unlike[:_MOST_NAMED]),
            files=files,
            bad_files=bad_files,
        )

    def entries(self, *, before: int | None = None, limit: int = 100) -> Sequence[AuditEntry]:
        """Links of the chain, newest first; see `contracts.StoreUpkeep`."""
        with self._store() as store, store.database.reading() as session:
            return audit.entries(session, before=before, limit=limit)

    def anchor(self) -> ChainState:
        """Write down where the chain stands; see `contracts.StoreUpkeep`."""
        with self._store() as store:
            anchor = store.anchor()
            anchors = store.anchors.read()
        return ChainState(
            entries=anchor.number,
            first_bad=None,
            anchors=len(anchors),
            head=anchor.hash,
            anchored_at=anchors[-1].at if anchors else None,
            is_signed=store.anchors.is_signed,
        )

    def anchors(self) -> StoreAnchors:
        """What the file of anchors holds; see `contracts.StoreUpkeep`."""
        file = AnchorFile(self._root / self._anchor)
        made_at = [anchor.at for anchor in file.read()]
        return StoreAnchors(where=str(file.path), is_signed=file.is_signed, made_at=made_at)

    def backup(self, folder: Path, *, progress: StepTick) -> Copied:
        """Copy the store; see `contracts.StoreUpkeep`."""
        with self._store() as store:
            return copies.back_up(store.database, store.files, folder, progress)[0]

    def restore(self, folder: Path, *, is_trial: bool, progress: StepTick) -> Copied:
        """Make a store from a backup; see `contracts.StoreUpkeep`."""
        if is_trial:
            with tempfile.TemporaryDirectory(prefix="cdm-inspect-") as place:
                trial = Database("sqlite:///trial.db", Path(place))
                with closing(trial):
                    return copies.restore(folder, trial, None, progress)
        with self._database() as database:
            self._see_that_it_is_new(database)
            files = open_files(self._images, self._root)
            # Where files of the store that was backed up are still, it may be alive.
            is_alone = files.is_empty()
            restored = copies.restore(folder, database, files, progress)
            self._set_anchors_aside()
            rename_store(database)
            if is_alone:
                claim_files(database, files)
        return restored

    def prune(
        self, limits: Mapping[str, dt.timedelta], *, is_dry: bool, progress: StepTick
    ) -> Pruned:
        """Delete what is past its time; see `contracts.StoreUpkeep`."""
        with self._store() as store:
            return retention.prune(
                store.database, store.files, limits, is_dry=is_dry, progress=progress
            )

    def hold(self, query: InspectionQuery, reason: str, *, ends: bool, who: str) -> int:
        """Hold what matches, or let it go; see `contracts.StoreUpkeep`."""
        with self._store() as store:
            return retention.hold(store.database, query, reason, ends=ends, who=who)

    def _store(self) -> SqlStore:
        return SqlStore(
            self._url, self._images, root=self._root, anchor=self._anchor, may_create=False
        )

    @contextmanager
    def _database(self) -> Iterator[Database]:
        with closing(Database(self._url, self._root)) as database:
            yield database

    def _see_that_it_is_new(self, database: Database) -> None:
        file = database.file
        if file is not None and not file.exists():
            return
        with errors_explained(database.where), database.engine.connect() as connection:
            is_new = find_revision(connection, database.where) is None
        if not is_new:
            raise StorageError(
                f"there is a store in {database.where}, and nothing is ever written over one. Move "
                "it away, or name another database in store.url."
            )

    def _copy(self, database: Database, revision: str, has_backup: bool) -> str:
        """A copy of the database before it is changed; where it is."""
        if database.file is not None:
            return str(_copy_sqlite(database.file, revision))
        if has_backup:
            return ""
        folder = self._root / "backups" / "before-upgrade"
        _, made = copies.back_up(database, None, folder, lambda what, done, total: None)
        return str(made)

    def _set_anchors_aside(self) -> None:
        """Those of a former chain would say of a new one that it was changed."""
        path = self._root / self._anchor
        if path.is_file():
            now = dt.datetime.now(dt.UTC)
            path.rename(path.with_name(f"{path.name}.before-{now:%Y%m%dT%H%M%SZ}"))

    def _check_files(self, store: SqlStore, progress: StepTick) -> tuple[int, tuple[str, ...]]:
        """Read the files of every part, without a transaction open meanwhile."""
        count, last, bad = 0, 0, []
        row = InspectionRow
        columns = [getattr(row, name) for name in FILE_NAMES]
        statement = select(row.id, *columns).order_by(row.id)
        with store.database.reading() as session:
            expected = session.scalar(select(func.count()).select_from(InspectionRow)) or 0
        for done in range(0, expected + _ROWS, _ROWS):
            progress("files", min(done, expected), expected)
            page = statement.where(row.id > last).limit(_ROWS)
            with store.database.reading() as session:
                rows = session.execute(page).all()
            for number, *names in rows:
                last = number
                for name in filter(None, names):
                    count += 1
                    try:
                        store.files.get(name)
                    except StorageError:
                        bad.append(name)
        return count, tuple(bad[:_MOST_NAMED])


def _copy_sqlite(database: Path, revision: str) -> Path:
    """A whole copy beside the database, also while others write to it.

    Raises:
        StorageError: if it cannot be written.
    """
    copy = database.with_name(f"{database.name}.schema-{revision}.backup")
    number = 1
    while copy.exists():
        number += 1
        copy = database.with_name(f"{database.name}.schema-{revision}.backup-{number}")
    try:
        with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
    except (sqlite3.Error, OSError) as error:
        copy.unlink(missing_ok=True)
        raise StorageError(
            f"the backup {copy} cannot be written: {error}. Free space there; nothing was changed."
        ) from error
    return copy
