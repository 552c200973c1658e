"""Which version of the schema a database has, and how it comes to the newest."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, column, inspect, select, table, text

from cdm_inspect.errors import StorageError
from cdm_inspect.storage.engine import errors_explained, make_engine, resolve_url
from cdm_inspect.storage.schema import SCHEMA, VERSION_TABLE, Base

if TYPE_CHECKING:
    from alembic.config import Config

# Any number, the same in every process.
_SCHEMA_LOCK = 4_207_849_483
# The first schema counted its version here.
_FIRST = "cdm_inspect_schema"
_FIRST_REVISION = "0001"


def upgrade_database(url: str, *, root: Path, has_backup: bool = False) -> tuple[str, str]:
    """Bring the schema of a database to the newest version; all of it, or nothing.

    Args:
        url: as for `SqlStore`.
        root: the project directory.
        has_backup: whether the caller has made a backup. SQLite is always copied first.

    Returns:
        The version before, and where the backup is; both empty where nothing was to be done.

    Raises:
        StorageError: if there is no database, or no backup of it, or it is newer than the program.
    """
    resolved = resolve_url(url, root)
    where = resolved.render_as_string(hide_password=True)
    is_file = resolved.get_backend_name() == "sqlite"
    if is_file and not Path(str(resolved.database)).is_file():
        raise StorageError(f"there is no database {where}: nothing to upgrade.")
    engine = make_engine(resolved)
    try:
        with errors_explained(where), engine.connect() as connection:
            revision = find_revision(connection, where)
        if revision is None:
            raise StorageError(f"{where} is empty: nothing to upgrade.")
        if revision == SCHEMA:
            return "", ""
        if revision > SCHEMA:
            raise _too_new(where, revision)
        backup = ""
        if is_file:
            backup = str(_back_up_sqlite(Path(str(resolved.database)), revision))
        elif not has_backup:
            raise StorageError(
                f"make a backup of {where} first, with pg_dump, then run "
                "`cdm-inspect store upgrade --has-backup`."
            )
        writing = engine.execution_options(is_writing=True)
        with errors_explained(where), writing.begin() as connection:
            migrate(connection)
    finally:
        engine.dispose()
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


def migrate(connection: Connection) -> None:
    """Bring the schema to the newest version, within the transaction that the connection is in."""
    if connection.dialect.name == "postgresql":
        # Of two that start at once, the second waits, and then finds nothing to do.
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_SCHEMA_LOCK})"))
    from alembic import command

    config = _alembic_config(connection)
    if _FIRST in inspect(connection).get_table_names():
        command.stamp(config, _FIRST_REVISION)
    command.upgrade(config, "head")


def _alembic_config(connection: Connection) -> Config:
    """What Alembic is told; its scripts lie inside the package."""
    from alembic.config import Config

    config = Config()
    folder = str(files("cdm_inspect.storage") / "migrations")
    # Alembic reads options through a parser to which a percent sign means something.
    config.set_main_option("script_location", folder.replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _back_up_sqlite(database: Path, revision: str) -> Path:
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


def compare_schema(connection: Connection) -> list[Any]:
    """In what the tables of a database differ from those that the program describes."""
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    context = MigrationContext.configure(
        connection, opts={"compare_type": True, "version_table": VERSION_TABLE}
    )
    return list(compare_metadata(context, Base.metadata))
