"""Connections to SQLite and PostgreSQL, and what their errors mean."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, IntegrityError, SQLAlchemyError

from cdm_inspect.errors import StorageError


def resolve_url(url: str, root: Path) -> URL:
    """A database URL; a relative SQLite path counts from the project directory.

    Raises:
        StorageError: if it is none.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise StorageError(
            f"store.url: expected a database URL such as sqlite:///cdm-inspect.db or "
            f"postgresql+psycopg://user@host/name, found {url!r}."
        ) from error
    if parsed.get_backend_name() == "sqlite" and parsed.database not in (None, "", ":memory:"):
        return parsed.set(database=str(root / str(parsed.database)))
    return parsed


def make_engine(url: URL) -> Engine:
    """Connections that lose nothing in a power cut, and wait for each other.

    Raises:
        StorageError: if the driver is not installed.
    """
    try:
        engine = create_engine(url, pool_pre_ping=url.get_backend_name() != "sqlite")
    except ModuleNotFoundError as error:
        raise StorageError(
            f"the driver of {url.render_as_string(hide_password=True)} is not installed "
            f"({error.name}). For PostgreSQL: pip install 'cdm-inspect[postgres]'."
        ) from error
    if url.get_backend_name() == "sqlite":

        @event.listens_for(engine, "connect")
        def prepare(connection: Any, _: Any) -> None:
            connection.isolation_level = None  # we say BEGIN ourselves, see below
            cursor = connection.cursor()
            cursor.execute("PRAGMA busy_timeout=5000")
            cursor.execute("PRAGMA journal_mode=WAL")
            # A decision must survive a power cut; NORMAL may lose the last ones.
            cursor.execute("PRAGMA synchronous=FULL")
            cursor.execute("PRAGMA foreign_keys=ON")
            cursor.close()

        @event.listens_for(engine, "begin")
        def begin(connection: Any) -> None:
            # A read that turns into a write cannot wait for another writer; take the lock first.
            is_writing = connection.get_execution_options().get("is_writing", False)
            connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writing else "BEGIN")

    elif url.get_backend_name() == "postgresql":

        @event.listens_for(engine, "connect")
        def limit(connection: Any, _: Any) -> None:
            # A station that freezes in the midst of a write must not hold its locks for ever.
            connection.execute("SET idle_in_transaction_session_timeout = '60s'")
            connection.commit()

    return engine


@contextmanager
def errors_explained(where: str) -> Iterator[None]:
    """Errors of the database as sentences; those of a violated constraint as they are."""
    try:
        yield
    except IntegrityError:
        raise  # callers know what a violated constraint means
    except SQLAlchemyError as error:
        cause = getattr(error, "orig", None) or error
        raise StorageError(
            f"the database {where} cannot be used: {str(cause).strip().splitlines()[0]}. Check "
            "that it is reachable, that its disk has space and that its file may be written. "
            "Nothing was recorded."
        ) from error
