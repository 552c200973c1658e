"""Fixtures shared by the suite: a small synthetic line, trained once."""

import os
import shutil
import subprocess
import sys
import textwrap
import uuid
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import SQLAlchemyError

os.environ.setdefault("HF_HUB_OFFLINE", "1")

from cdm_inspect.images.demo_line import DemoCounts, write_demo_line
from cdm_inspect.project import open_project
from cdm_inspect.workflows.calibrate import calibrate
from cdm_inspect.workflows.train import train

PROJECT = """\
[lines.A]
normal = "data/A/train/good"
image_size = 64
preset = "tiny"
max_false_reject = 0.1

[lines.A.training]
images = "640"
crop_size = 32
batch_size = 8
masked_share = 0.25

[lines.A.consistency]
budget = inf    # the pace does not look at the clock: the run repeats exactly
"""


def pytest_collection_modifyitems(items):
    """Long modules first: where several run beside each other, none is left over at the end."""
    long = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in long)


@pytest.fixture(scope="session")
def walked(tmp_path_factory):
    """A project that was trained and calibrated, briefly; do not write to it."""
    root = tmp_path_factory.mktemp("walked")
    write_demo_line(root, counts=DemoCounts(train=60, test_good=8, test_defect=3))
    (root / "cdm-inspect.toml").write_text(PROJECT)
    project = open_project(root, line="A")
    report = train(project, "A", device="cpu")
    calibrate(project, "A", device="cpu")
    return root, report


@pytest.fixture
def line(walked, tmp_path):
    """A copy of the walked project that a test may change."""
    root = tmp_path / "line"
    shutil.copytree(walked[0], root)
    return root


POSTGRES = os.environ.get("CDM_INSPECT_TEST_POSTGRES", "postgresql+psycopg://postgres@127.0.0.1/")


@pytest.fixture(scope="session")
def postgres():
    """A database of its own on a running PostgreSQL server."""
    name = f"cdm_inspect_{uuid.uuid4().hex[:8]}"
    admin = create_engine(f"{POSTGRES}postgres", isolation_level="AUTOCOMMIT")
    try:
        with admin.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
    except SQLAlchemyError as error:
        pytest.skip(
            f"no PostgreSQL at {POSTGRES}: stores were tested on SQLite only. Start a server "
            f"or set CDM_INSPECT_TEST_POSTGRES. ({type(error).__name__})"
        )
    yield f"{POSTGRES}{name}"
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@pytest.fixture(scope="session")
def empty_database():
    """Take away all that a PostgreSQL database holds."""

    def empty(url):
        engine = create_engine(url)
        with engine.begin() as connection:
            connection.execute(text("DROP SCHEMA public CASCADE; CREATE SCHEMA public"))
        engine.dispose()

    return empty


@pytest.fixture
def empty_postgres(postgres, empty_database):
    """The URL of the database, with nothing in it."""
    empty_database(postgres)
    return postgres


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Write plugins with their metadata onto the path, as pip would; also of child processes."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    made = []

    def make(distribution, source):
        module = "specimen_" + distribution.replace("-", "_")
        (folder / f"{module}.py").write_text(textwrap.dedent(source))
        info = folder / f"{distribution.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n"
        )
        (info / "entry_points.txt").write_text(f"[cdm_inspect]\n{distribution} = {module}\n")
        made.append(module)

    yield make
    for module in made:
        sys.modules.pop(module, None)


@pytest.fixture
def run():
    """Run the command line in a process of its own."""

    def call(*arguments, cwd=None, timeout=300, **environment):
        return subprocess.run(
            [sys.executable, "-m", "cdm_inspect", *map(str, arguments)],
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=timeout,
            env={**os.environ, "COLUMNS": "200", **environment},
        )

    return call


@pytest.fixture(scope="session")
def chromium():
    """Path of a Chromium for browser tests."""
    named = os.environ.get("CDM_INSPECT_CHROMIUM")
    names = ("chromium", "chromium-browser", "google-chrome")
    found = named or next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip(
            "no Chromium found: the review app was not tested in a browser. Install it "
            "(Debian, Ubuntu: apt-get install chromium) or set CDM_INSPECT_CHROMIUM to its path."
        )
    return Path(found)
