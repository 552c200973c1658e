"""A database, SQLite or PostgreSQL: its transactions, and what its errors mean."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import psutil
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    InterfaceError,
    OperationalError,
    SQLAlchemyError,
    TimeoutError as PoolTimeout,
)
from sqlalchemy.orm import Session
from tenacity import (
    Retrying,
    retry_if_exception,
    retry_if_exception_type,
    stop_after_delay,
    wait_exponential,
    wait_random,
)

from cdm_inspect.errors import StorageError, StoreUnreachable

T = TypeVar("T")

# SQLite's log of writes needs memory that all programs share, which no network gives.
_NETWORK = {"nfs", "nfs4", "cifs", "smb", "smb2", "smb3", "smbfs", "afs", "ceph", "glusterfs"}
_NETWORK |= {"fuse.sshfs", "fuse.rclone", "fuse.s3fs", "fuse.glusterfs", "davfs", "ncpfs"}
OUR_VERSIONS = frozenset({"cdm_inspect_revision", "cdm_inspect_schema"})
"""Tables that tell the version of ours; the second is that of the first schema."""

_LOCK_TIMEOUT = "55P03"
# What PostgreSQL says while it stops, starts or is full of connections.
_PASSING = {"57P01", "57P02", "57P03", "53300", "40001", "40P01", _LOCK_TIMEOUT}
_PATIENCE_SECONDS = 15.0
# A server whose cable was pulled says nothing; without these, a station would wait for hours.
_LIMITS = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}


class Database:
    """Connections that lose nothing in a power cut, and wait for each other.

    Args:
        url: of SQLAlchemy; a relative SQLite path counts from `root`.

    Raises:
        StorageError: if it is no URL, its driver is missing, or it is a SQLite file on a network
            share.
    """

    def __init__(self, url: str, root: Path) -> None:
        self.url = _resolve(url, root)
        self.where = self.url.render_as_string(hide_password=True)
        self.is_server = self.url.get_backend_name() == "postgresql"
        if self.file is not None:
            _refuse_network_share(self.file)
        self.engine = _make_engine(self.url)

    @property
    def file(self) -> Path | None:
        """Where the database lies; None if a server or the memory has it."""
        if self.url.get_backend_name() != "sqlite" or self.url.database in (None, "", ":memory:"):
            return None
        return Path(str(self.url.database))

    def close(self) -> None:
        """Give all connections back."""
        self.engine.dispose()

    @contextmanager
    def reading(self, *, is_frozen: bool = False) -> Iterator[Session]:
        """A transaction; frozen, all that is read in it is of one moment, however long it takes."""
        engine = self.engine
        if self.is_server and is_frozen:
            engine = engine.execution_options(isolation_level="REPEATABLE READ")
        with errors_explained(self.where), Session(engine) as session:
            if self.is_server and is_frozen:
                session.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A transaction that is durable once it has ended; all of it or nothing."""
        with (
            errors_explained(self.where),
            Session(self.engine.execution_options(is_writing=True)) as session,
            session.begin(),
        ):
            yield session

    def lock(self, session: Session, number: int, *, is_shared: bool = False) -> None:
        """Until the end of the transaction; in SQLite, writers wait for each other anyway."""
        if self.is_server:
            kind = "_shared" if is_shared else ""
            session.execute(text(f"SELECT pg_advisory_xact_lock{kind}({number})"))

    def persistently(self, work: Callable[[], T]) -> T:
        """Do what may be done twice, again for a while if the database does not answer.

        Raises:
            StoreUnreachable: if it has not answered until then.
        """
        again = Retrying(
            retry=retry_if_exception_type(StoreUnreachable),
            wait=wait_exponential(multiplier=0.1, max=2.0),
            stop=stop_after_delay(_PATIENCE_SECONDS),
            reraise=True,
        )
        return again(work)


def _resolve(url: str, root: Path) -> URL:
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


def _refuse_network_share(file: Path) -> None:
    """Raise where the file would lie on a disk of another machine."""
    folder = str(file.absolute().resolve().parent)
    if folder.startswith("\\\\"):
        kind = "a network share"
    else:
        around = [
            disk
            for disk in psutil.disk_partitions(all=True)
            if Path(folder).is_relative_to(disk.mountpoint)
        ]
        # Of two mounts at the same place, the later hides the earlier.
        around.sort(key=lambda disk: len(disk.mountpoint))
        if not around or (around[-1].fstype not in _NETWORK and "remote" not in around[-1].opts):
            return
        kind = f"a network share ({around[-1].fstype or 'remote'} at {around[-1].mountpoint})"
    raise StorageError(
        f"the database {file} lies on {kind}, where SQLite cannot keep records safe. Put it on a "
        "disk of this machine, or use PostgreSQL: store.url = 'postgresql+psycopg://user@host/name'."
    )


def _make_engine(url: URL) -> Engine:
    is_server = url.get_backend_name() == "postgresql"
    limits = {name: value for name, value in _LIMITS.items() if name not in url.query}
    try:
        engine = create_engine(
            url, pool_pre_ping=is_server, connect_args=limits if is_server else {}
        )
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
            mode = cursor.execute("PRAGMA journal_mode").fetchone()[0]
            if mode != "wal" and _is_ours(cursor):
                # Of several that open a new file at once, SQLite lets the others not wait for this.
                _patiently(lambda: cursor.execute("PRAGMA journal_mode=WAL"))
            # A decision must survive a power cut; NORMAL may lose the last ones.
            cursor.execute("PRAGMA synchronous=FULL")
            cursor.execute("PRAGMA foreign_keys=ON")
            # What REPLACE would delete, the guards are asked for.
            cursor.execute("PRAGMA recursive_triggers=ON")
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


def _is_ours(cursor: Any) -> bool:
    """Whether nobody else's tables are in a file, which must stay as it is until it is refused."""
    tables = {row[0] for row in cursor.execute("SELECT name FROM sqlite_master")}
    return not tables or not OUR_VERSIONS.isdisjoint(tables)


def _patiently(work: Callable[[], object]) -> None:
    """Again for a while where SQLite says at once that somebody else is at it."""
    again = Retrying(
        retry=retry_if_exception(lambda error: "locked" in str(error)),
        wait=wait_random(0.01, 0.1),
        stop=stop_after_delay(_PATIENCE_SECONDS),
        reraise=True,
    )
    again(work)


@contextmanager
def errors_explained(where: str) -> Iterator[None]:
    """Errors of the database as sentences."""
    try:
        yield
    except SQLAlchemyError as error:
        cause = getattr(error, "orig", None) or error
        said = str(cause).strip().splitlines()[0]
        kind = StoreUnreachable if _is_passing(error) else StorageError
        raise kind(
            f"the database {where} cannot be used: {said}. {_way_out(said)} Nothing was recorded."
        ) from error


def is_lock_timeout(error: StoreUnreachable) -> bool:
    """Whether a server answered, but somebody else had a lock for too long."""
    cause = getattr(error.__cause__, "orig", None)
    return getattr(cause, "sqlstate", None) == _LOCK_TIMEOUT


def _is_passing(error: SQLAlchemyError) -> bool:
    """Whether the same may work a little later."""
    if isinstance(error, PoolTimeout):
        return True
    if not isinstance(error, DBAPIError):
        return False
    said = str(error.orig).lower()
    if "database is locked" in said or "database table is locked" in said:
        return True
    state = getattr(error.orig, "sqlstate", None)
    is_server = type(error.orig).__module__.startswith("psycopg")
    # What the server does not say itself, it could not say.
    is_lost = is_server and state is None and isinstance(error, (OperationalError, InterfaceError))
    return error.connection_invalidated or state in _PASSING or is_lost


def _way_out(said: str) -> str:
    lower = said.lower()
    if "locked" in lower:
        return "Another program holds it: wait for it, or stop it."
    if "full" in lower or "no space" in lower:
        return "Free space on its disk."
    if "readonly" in lower or "read-only" in lower or "unable to open" in lower:
        return "Its folder must be there, and both folder and file be writable."
    if "cannot be changed" in lower or "cannot be deleted" in lower:
        return "What is recorded stays as it is."
    if "too long" in lower or "nul" in lower.split() or "0x00" in lower:
        return "Shorten the text that it was given, or take out what is no character."
    if "malformed" in lower or "not a database" in lower:
        return "Leave it as it is and restore a backup: `cdm-inspect store restore`."
    return "Check that it is reachable, that its disk has space and that its file may be written."
