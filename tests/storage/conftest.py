"""Every store test runs on SQLite, and on PostgreSQL where a server can be reached."""

import os
import uuid

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from cdm_inspect.storage import SqlStore, SqlUpkeep

SERVER = os.environ.get("CDM_INSPECT_TEST_POSTGRES", "postgresql+psycopg://postgres@127.0.0.1/")


@pytest.fixture(scope="session")
def postgres():
    """A database of its own on a running PostgreSQL server."""
    name = f"cdm_inspect_{uuid.uuid4().hex[:8]}"
    admin = create_engine(f"{SERVER}postgres", isolation_level="AUTOCOMMIT")
    try:
        with admin.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
    except SQLAlchemyError as error:
        pytest.skip(
            f"no PostgreSQL at {SERVER}: the store was tested on SQLite only. Start a server "
            f"or set CDM_INSPECT_TEST_POSTGRES. ({type(error).__name__})"
        )
    yield f"{SERVER}{name}"
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request):
    """Of an empty database."""
    if request.param == "sqlite":
        return "sqlite:///cdm.db"
    server = request.getfixturevalue("postgres")
    empty_server(server)
    return server


@pytest.fixture
def store(url, tmp_path):
    with SqlStore(url, "images/", root=tmp_path) as opened:
        yield opened


@pytest.fixture
def upkeep(url, tmp_path):
    return SqlUpkeep(url, "images/", root=tmp_path)


@pytest.fixture
def lose(store, url, tmp_path):
    """Take the database away, as a disk that died does; images and anchors stay."""

    def take():
        store.database.close()
        if store.database.is_server:
            empty_server(url)
        else:
            for file in tmp_path.glob("cdm.db*"):
                file.unlink()

    return take


@pytest.fixture
def as_owner(store):
    """Do what the guards forbid, as one who owns the database can."""

    def run(*statements):
        with store.engine.execution_options(is_writing=True).begin() as connection:
            if store.database.is_server:
                connection.execute(text("SET LOCAL session_replication_role = replica"))
            else:
                triggers = connection.execute(
                    text("SELECT name FROM sqlite_master WHERE type = 'trigger'")
                ).scalars()
                for trigger in triggers.all():
                    connection.execute(text(f"DROP TRIGGER {trigger}"))
            for statement in statements:
                connection.execute(text(statement))

    return run


def empty_server(url):
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE; CREATE SCHEMA public"))
    engine.dispose()
