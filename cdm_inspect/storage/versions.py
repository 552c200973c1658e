"""Which version of the schema a database has, and how it comes to the newest."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from importlib.resources import files as package_files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, column, inspect, select, table, text

from cdm_inspect.errors import StorageError
from cdm_inspect.plugins import StoreSchema
from cdm_inspect.storage.audit import AnchorFile
from cdm_inspect.storage.engine import Database, errors_explained
from cdm_inspect.storage.files import FileStore
from cdm_inspect.storage.ownership import are_claimed, own_files
from cdm_inspect.storage.schema import SCHEMA, VERSION_TABLE, Base

if TYPE_CHECKING:
    from alembic.config import Config

# Any number, the same in every process.
_SCHEMA_LOCK = 4_207_849_483
# The first schema counted its version here; see `engine.OUR_VERSIONS`.
_FIRST = "cdm_inspect_schema"
_FIRST_REVISION = "0001"


def open_schema(
    database: Database, files: FileStore, anchors: AnchorFile, *, may_create: bool
) -> None:
    """See that the tables are there and of this version; set them up where nothing has been.

    Raises:
        StorageError: if they are missing and may not be made, are not ours, are of another version,
            or an empty database stands where images or anchors tell of one that was lost.
    """
    file = database.file
    is_missing = file is not None and not (file.is_file() and file.stat().st_size)
    if is_missing and not may_create:
        raise StorageError(
            f"there is no database {file}. The first inspection makes it, or `cdm-inspect store "
            "restore` from a backup."
        )
    left = _left_of_a_former(files, anchors) if is_missing else []
    # Looked at after that: what another process makes meanwhile is no sign of a loss.
    if left and file is not None and not (file.is_file() and file.stat().st_size):
        raise _lost(database, left)
    if not _is_new(database):
        return
    if not may_create:
        raise StorageError(f"{database.where} is empty: there is no record in it.")
    left = [] if is_missing else _left_of_a_former(files, anchors)
    if left and _is_new(database):
        raise _lost(database, left)
    create_schema(database)
    # Where the files are out of reach, the first part that is kept will tell, and `prune` will ask.
    with contextlib.suppress(StorageError):
        own_files(database, files)


def find_schema(url: str, root: Path) -> StoreSchema:
    """Version of the schema that a database has, and that of this program.

    Args:
        url: of the database, `store.url`.

    Raises:
        StorageError: if it cannot be read, or holds tables of another program.
    """
    database = Database(url, root)
    try:
        if database.file is not None and not database.file.is_file():
            return StoreSchema(found=None, expected=SCHEMA, where=database.where)
        with errors_explained(database.where), database.engine.connect() as connection:
            found = find_revision(connection, database.where)
        return StoreSchema(found=found, expected=SCHEMA, where=database.where)
    finally:
        database.close()


def create_schema(database: Database, revision: str = "head") -> None:
    """Set up the tables in an empty database."""
    with database.writing() as session:
        migrate(session.connection(), revision)


def _is_new(database: Database) -> bool:
    with database.reading() as session:
        return is_empty(session.connection(), database.where)


def _left_of_a_former(files: FileStore, anchors: AnchorFile) -> list[str]:
    """What tells of a store that was lost; an empty one must not take its place."""
    left = []
    if anchors.read():
        left.append(f"{anchors.path} tells of its audit chain")
    if not files.is_empty():
        left.append(f"{files.where} holds its images")
    elif are_claimed(files):
        left.append(f"{files.where} is claimed by another store")
    return left


def _lost(database: Database, left: Sequence[str]) -> StorageError:
    return StorageError(
        f"the database {database.where} is missing or empty, but {' and '.join(left)}. Bring it "
        "back: correct store.url, mount its disk, or run `cdm-inspect store restore` with a "
        "backup. To begin anew beside what is left, run `cdm-inspect store create`; where another "
        "store is in use, name another store.images first."
    )


def upgrade_database(database: Database, back_up: Callable[[str], str]) -> tuple[str, str]:
    """Bring the schema of a database to the newest version; all of it, or nothing.

    Args:
        database: to upgrade.
        back_up: makes a copy of it first; receives the version, returns where the copy is.

    Returns:
        The version before, and where the backup is; both empty where nothing was to be done.

    Raises:
        StorageError: if there is no database, or it is newer than the program.
    """
    where = database.where
    if database.file is not None and not database.file.is_file():
        raise StorageError(f"there is no database {where}: nothing to upgrade.")
    with errors_explained(where), database.engine.connect() as connection:
        revision = find_revision(connection, where)
    if revision is None:
        raise StorageError(f"{where} is empty: nothing to upgrade.")
    if revision == SCHEMA:
        return "", ""
    if revision > SCHEMA:
        raise _too_new(where, revision)
    backup = back_up(revision)
    with database.writing() as session:
        migrate(session.connection())
    return revision, backup


def is_empty(connection: Connection, where: str) -> bool:
    """Whether the tables are still to be made.

    Raises:
        StorageError: if they are not ours, or of another version, with what to do.
    """
    found = find_revision(connection, where)
    if found is not None and found < SCHEMA:
        raise StorageError(
            f"{where} has schema {found}, this program needs {SCHEMA}. Stop what writes to it and "
            "run `cdm-inspect store upgrade`."
        )
    if found is not None and found > SCHEMA:
        raise _too_new(where, found)
    return found is None


def _too_new(where: str, found: str) -> StorageError:
    return StorageError(
        f"{where} has schema {found}, this program knows none newer than {SCHEMA}. Install the "
        "version of cdm-inspect that upgraded it."
    )


def find_revision(connection: Connection, where: str) -> str | None:
    """The version of the schema; None where the database is empty.

    Raises:
        StorageError: if the tables are those of another program.
    """
    # Looked up first: whoever makes the tables meanwhile has then written the version as well.
    tables = set(inspect(connection).get_table_names())
    if VERSION_TABLE in tables:
        # As Alembic would; loading it takes longer than all else that opening a store takes.
        versions = table(VERSION_TABLE, column("version_num"))
        revision = connection.execute(select(versions.c.version_num)).scalar_one_or_none()
        if revision is not None:
            return str(revision)
    if _FIRST in tables:
        return _FIRST_REVISION
    # A file belongs to one program; a server's database may be shared.
    is_taken = tables if connection.dialect.name == "sqlite" else tables & set(Base.metadata.tables)
    if is_taken:
        raise StorageError(
            f"{where} holds tables of another program. Name another database in store.url."
        )
    return None


def migrate(connection: Connection, revision: str = "head") -> None:
    """Bring the schema to a version, within the transaction that the connection is in."""
    if connection.dialect.name == "postgresql":
        # Of two that start at once, the second waits, and then finds nothing to do.
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_SCHEMA_LOCK})"))
    from alembic import command

    config = _alembic_config(connection)
    if _FIRST in inspect(connection).get_table_names():
        command.stamp(config, _FIRST_REVISION)
    command.upgrade(config, revision)


def _alembic_config(connection: Connection) -> Config:
    """What Alembic is given; its scripts lie inside the package."""
    from alembic.config import Config

    config = Config()
    folder = str(package_files("cdm_inspect.storage") / "migrations")
    # Alembic reads options through a parser to which a percent sign means something.
    config.set_main_option("script_location", folder.replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def compare_schema(connection: Connection) -> list[Any]:
    """In what the tables of a database differ from those that the program describes."""
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    context = MigrationContext.configure(
        connection, opts={"compare_type": True, "version_table": VERSION_TABLE}
    )
    return list(compare_metadata(context, Base.metadata))
