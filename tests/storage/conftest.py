"""Every store test runs on SQLite, and on PostgreSQL where a server can be reached."""

import pytest
from sqlalchemy import text

from cdm_inspect.storage import SqlStore, SqlUpkeep


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request):
    """Of an empty database."""
    if request.param == "sqlite":
        return "sqlite:///cdm.db"
    return request.getfixturevalue("empty_postgres")


@pytest.fixture
def store(url, tmp_path):
    with SqlStore(url, "images/", root=tmp_path) as opened:
        yield opened


@pytest.fixture
def upkeep(url, tmp_path):
    return SqlUpkeep(url, "images/", root=tmp_path)


@pytest.fixture
def lose(store, url, tmp_path, empty_database):
    """Take the database away, as a disk that died does; images and anchors stay."""

    def take():
        store.database.close()
        if store.database.is_server:
            empty_database(url)
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
