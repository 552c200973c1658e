"""Backups that either database can be made from again.

A backup is a folder that may be used many times:

    images/aa/<sha256>                  files, shared by all backups in the folder
    <time>/tables/<name>.jsonl.gz       the rows of a table, a JSON object each
    <time>/backup.json                  what belongs to it, with hashes; written last

All tables are of one moment, whoever writes meanwhile.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import gzip
import hashlib
import json
import os
import zlib
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from sqlalchemy import JSON, Connection, MetaData, Table, func, select, text

from cdm_inspect.encoding import to_json
from cdm_inspect.errors import DamagedFile, StorageError
from cdm_inspect.files import write_durably
from cdm_inspect.plugins import Copied
from cdm_inspect.records import StepTick
from cdm_inspect.storage import audit
from cdm_inspect.storage.engine import Database
from cdm_inspect.storage.files import FileStore, LocalFiles
from cdm_inspect.storage.schema import FILE_NAMES, SCHEMA, Base
from cdm_inspect.storage.versions import find_revision, migrate

_FORMAT = 1
_MANIFEST = "backup.json"
_ROWS = 2000


class _Table(BaseModel):
    rows: int
    sha256: str


class _Manifest(BaseModel):
    format: int
    schema_: str
    made_at: dt.datetime
    tables: dict[str, _Table]
    audit_number: int
    audit_hash: str
    has_files: bool
    files: int
    missing_files: int


def back_up(
    database: Database, files: FileStore | None, folder: Path, progress: StepTick
) -> tuple[Copied, Path]:
    """Copy a database and its files.

    Args:
        database: of any version that this program knows.
        files: None leaves them out.
        folder: of backups; what is in it stays.

    Returns:
        What was copied, and the folder of this backup.

    Raises:
        StorageError: if something cannot be read or written; there is then no backup of this time.
    """
    made_at = dt.datetime.now(dt.UTC)
    target = folder / made_at.strftime("%Y%m%dT%H%M%S.%fZ")
    # Synced all at once where that can be done.
    copies = LocalFiles(folder / "images", is_synced=not hasattr(os, "sync"))
    try:
        (target / "tables").mkdir(parents=True)
        with database.reading(is_frozen=True) as session:
            connection = session.connection()
            revision = find_revision(connection, database.where)
            if revision is None:
                raise StorageError(f"{database.where} is empty: there is nothing to back up.")
            number, link = audit.head(session)
            tables = {
                table.name: _dump(connection, table, target / "tables", progress)
                for table in _tables(connection)
            }
        # No longer within the transaction: of hours, the database could not tidy up meanwhile.
        copied = missing = 0
        if files is not None:
            rows = tables["inspection"].rows
            copied, missing = _copy_files(target / "tables", rows, files, copies, progress)
        if hasattr(os, "sync"):
            os.sync()
    except OSError as error:
        raise StorageError(
            f"the backup below {folder} cannot be written: {error.strerror or error}. Free space "
            "there or name another folder."
        ) from error
    manifest = _Manifest(
        format=_FORMAT,
        schema_=revision,
        made_at=made_at,
        tables=tables,
        audit_number=number,
        audit_hash=link,
        has_files=files is not None,
        files=copied,
        missing_files=missing,
    )
    write_durably(target / _MANIFEST, to_json(manifest.model_dump(mode="json"), indent=2))
    return _summary(manifest), target


def restore(
    folder: Path, database: Database, files: FileStore | None, progress: StepTick
) -> Copied:
    """Make a database and its files from a backup, in one transaction, and check all of it.

    Args:
        folder: of backups, of which the newest is taken, or of one.
        database: empty.
        files: where to; None only checks those of the backup.

    Raises:
        StorageError: if its records are damaged, newer than the program, or cannot be written; the
            database is then still empty. Files that are damaged are named, and keep nothing back.
    """
    source = _find(folder)
    manifest = _read_manifest(source)
    images = LocalFiles(source.parent / "images")
    bad: list[str] = []
    with database.writing() as session:
        connection = session.connection()
        migrate(connection, manifest.schema_)
        tables = {table.name: table for table in _tables(connection)}
        if set(tables) != set(manifest.tables):
            raise StorageError(
                f"{source} lacks tables: {sorted(set(tables) ^ set(manifest.tables))}."
            )
        if "note" in tables:
            connection.execute(tables["note"].delete())  # what a new store would know of itself
        for done, (name, table) in enumerate(tables.items()):
            progress(f"table {name}", done, len(tables))
            rows = _load(source, table, manifest.tables[name])
            if name == "inspection" and manifest.has_files:
                count = manifest.tables[name].rows
                rows = _with_files(rows, images, files, count, bad, progress)
            _insert(database, connection, table, rows)
        migrate(connection)
        if database.is_server:
            _renumber(connection)
        session.flush()
        progress("audit chain", 0, 1)
        entries, bad_entry = audit.first_bad_entry(session)
        found = audit.head(session)
        if bad_entry is not None or found != (manifest.audit_number, manifest.audit_hash):
            raise StorageError(
                f"the audit chain in {source} is broken at entry {bad_entry or entries}. Take "
                "another backup."
            )
        if files is not None:
            now = dt.datetime.now(dt.UTC).isoformat()
            entry = {"action": "restore", "at": now, "backup": manifest.made_at.isoformat()}
            audit.add_entry(database, session, entry)
    return dataclasses.replace(_summary(manifest), bad_files=tuple(bad))


def _summary(manifest: _Manifest) -> Copied:
    return Copied(
        rows={name: table.rows for name, table in manifest.tables.items()},
        files=manifest.files,
        missing_files=manifest.missing_files,
        schema=manifest.schema_,
        audit_number=manifest.audit_number,
    )


def _tables(connection: Connection) -> Sequence[Table]:
    """Our tables as the database has them, those first that others refer to."""
    found = MetaData()
    found.reflect(connection, only=lambda name, _: name in Base.metadata.tables)
    return found.sorted_tables


def _dump(connection: Connection, table: Table, folder: Path, progress: StepTick) -> _Table:
    expected = connection.scalar(select(func.count()).select_from(table)) or 1
    statement = select(table).order_by(*table.primary_key.columns)
    rows = connection.execution_options(yield_per=_ROWS).execute(statement).mappings()
    path, written = folder / f"{table.name}.jsonl.gz", 0
    with gzip.open(path, "wb", compresslevel=1) as file:
        for page in rows.partitions(_ROWS):
            for row in page:
                document = {name: _plain(value) for name, value in row.items()}
                text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
                file.write(text.encode() + b"\n")
            written += len(page)
            progress(f"table {table.name}", written, expected)
    return _Table(rows=written, sha256=_hash_of(path))


def _plain(value: Any) -> Any:
    """Times as both databases read them."""
    return value.isoformat(" ", "microseconds") if isinstance(value, dt.datetime) else value


def _copy_files(
    tables: Path, rows: int, files: FileStore, copies: LocalFiles, progress: StepTick
) -> tuple[int, int]:
    """Copy what the rows name and what is not there already; how many there are, how many lack."""
    copied = missing = 0
    for done, row in enumerate(_rows_in(tables / "inspection.jsonl.gz")):
        for name in filter(None, (row.get(column) for column in FILE_NAMES)):
            size = files.size(name)
            if size is None:
                missing += 1
                continue
            if copies.size(name) != size:
                try:
                    data = files.get(name)
                except DamagedFile:
                    missing += 1
                    continue
                copies.put(data)
            copied += 1
        if done % 100 == 0:
            progress("files", done, rows)
    return copied, missing


def _rows_in(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rb") as file:
        for line in file:
            yield json.loads(line)


def _find(folder: Path) -> Path:
    if (folder / _MANIFEST).is_file():
        return folder
    found = sorted(path.parent for path in folder.glob(f"*/{_MANIFEST}") if _is_whole(path))
    if not found:
        raise StorageError(
            f"expected a backup made by `cdm-inspect store backup`, found none in {folder}."
        )
    return found[-1]


def _is_whole(manifest: Path) -> bool:
    """Whether a backup holds the files as well; a copy before an upgrade does not."""
    try:
        return bool(json.loads(manifest.read_bytes()).get("has_files", True))
    except (OSError, ValueError, AttributeError):
        return True  # and is refused by name


def _read_manifest(source: Path) -> _Manifest:
    try:
        manifest = _Manifest.model_validate_json((source / _MANIFEST).read_bytes())
    except (OSError, ValidationError) as error:
        raise StorageError(f"the backup {source} cannot be read: {error}.") from error
    if manifest.format != _FORMAT or manifest.schema_ > SCHEMA:
        raise StorageError(
            f"the backup {source} has schema {manifest.schema_}, this program knows none newer "
            f"than {SCHEMA}. Install the version of cdm-inspect that made it."
        )
    return manifest


def _load(source: Path, table: Table, expected: _Table) -> Iterator[dict[str, Any]]:
    """The rows of a table.

    Raises:
        StorageError: if they are not those that were written.
    """
    path = source / "tables" / f"{table.name}.jsonl.gz"
    damaged = StorageError(f"{path} is not what was written. Take another backup.")
    count = 0
    try:
        if _hash_of(path) != expected.sha256:
            raise damaged
        for row in _rows_in(path):
            count += 1
            yield row
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise damaged from error
    if count != expected.rows:
        raise damaged


def _with_files(
    rows: Iterator[dict[str, Any]],
    images: LocalFiles,
    files: FileStore | None,
    expected: int,
    bad: list[str],
    progress: StepTick,
) -> Iterator[dict[str, Any]]:
    """The same rows, each once its files are where they belong; `bad` gets those that lack."""
    for done, row in enumerate(rows):
        for name in filter(None, (row.get(column) for column in FILE_NAMES)):
            try:
                data = images.get(name)
            except StorageError:
                bad.append(name)
                continue
            if files is not None:
                files.put(data)
        yield row
        if done % 100 == 0:
            progress("parts and their files", done, expected)


def _insert(
    database: Database, connection: Connection, table: Table, rows: Iterator[dict[str, Any]]
) -> None:
    names = [column.name for column in table.columns]
    is_json = {column.name for column in table.columns if isinstance(column.type, JSON)}
    lengths = {column.name: getattr(column.type, "length", None) for column in table.columns}

    def fitting(name: str, value: Any) -> Any:
        is_long = isinstance(value, str) and len(value) > (lengths[name] or len(value))
        # SQLite takes what PostgreSQL does not.
        if database.is_server and (is_long or (isinstance(value, str) and "\0" in value)):
            raise StorageError(
                f"{table.name}.{name}: expected at most {lengths[name]} characters and no NUL, "
                f"found {value[:80]!r}."
            )
        return json.dumps(value) if name in is_json and value is not None else value

    values = (tuple(fitting(name, row[name]) for name in names) for row in rows)
    columns = ", ".join(f'"{name}"' for name in names)
    if database.is_server:
        import psycopg

        driver = connection.connection.driver_connection
        assert driver is not None
        try:
            with (
                driver.cursor() as cursor,
                cursor.copy(f'COPY "{table.name}" ({columns}) FROM STDIN') as copy,
            ):
                for row in values:
                    copy.write_row(row)
        except psycopg.Error as error:
            raise StorageError(
                f"{database.where} cannot be written: {error}. Nothing was restored."
            ) from error
        return
    marks = ", ".join("?" for _ in names)
    statement = f'INSERT INTO "{table.name}" ({columns}) VALUES ({marks})'  # noqa: S608
    while page := list(islice(values, _ROWS)):
        connection.exec_driver_sql(statement, page)


def _renumber(connection: Connection) -> None:
    """Let PostgreSQL number new rows behind those that were copied in."""
    for table in ("inspection", "decision"):
        connection.execute(
            text(
                # Behind what readers have seen, too: `chart` says how far they are.
                f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), "  # noqa: S608
                f"greatest((SELECT coalesce(max(id), 0) FROM {table}), "
                "(SELECT coalesce(max(last), 0) FROM chart)) + 1, false)"
            )
        )


def _hash_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
