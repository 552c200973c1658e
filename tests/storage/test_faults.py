"""What goes wrong around a store: full and read-only disks, lost and locked databases, kills."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
from sqlalchemy import create_engine, make_url, text

from cdm_inspect.errors import StorageError, StoreUnreachable
from cdm_inspect.records import InspectionQuery
from cdm_inspect.storage import SqlStore, engine
from cdm_inspect.storage.audit import first_bad_entry
from cdm_inspect.testing.specimens import a_part, a_review, evidence_of

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense", "expected a database URL"),
        ("sqlite:///no/such/folder/x.db", "cannot be used"),
        ("postgresql+psycopg://postgres@127.0.0.1:1/none", "cannot be used"),
    ],
)
def test_a_store_that_cannot_be_opened_says_so(tmp_path, url, message):
    with pytest.raises(StorageError, match=message):
        SqlStore(url, "images", root=tmp_path)


def test_garbage_and_foreign_databases_are_not_touched(tmp_path):
    garbage = tmp_path / "garbage.db"
    garbage.write_bytes(b"this is no database " * 100)
    with pytest.raises(StorageError, match=r"not a database.*store restore"):
        SqlStore("sqlite:///garbage.db", "images", root=tmp_path)
    assert garbage.read_bytes() == b"this is no database " * 100
    foreign = create_engine(f"sqlite:///{tmp_path}/foreign.db")
    with foreign.begin() as connection:
        connection.execute(text("CREATE TABLE decision (x int)"))
    foreign.dispose()
    with pytest.raises(StorageError, match="another program"):
        SqlStore("sqlite:///foreign.db", "images", root=tmp_path)


@pytest.mark.parametrize("left", ["images", "anchors", "both"])
def test_a_database_that_was_lost_is_never_made_anew(store, url, upkeep, lose, tmp_path, left):
    part = store.append(a_part(1), evidence=evidence_of(1))
    store.record_review(a_review(part.id))
    if left == "anchors":
        shutil.rmtree(tmp_path / "images")
    if left == "images":
        (tmp_path / "audit-anchors.jsonl").unlink()
    lose()
    with pytest.raises(StorageError, match=r"missing or empty.*store restore"):
        SqlStore(url, "images/", root=tmp_path)
    assert not (tmp_path / "cdm.db").exists()
    for task in (
        lambda: upkeep.verify(anchor=None, has_files=False, progress=print),
        lambda: upkeep.backup(tmp_path / "backup", progress=print),
        lambda: upkeep.prune({}, is_dry=False, progress=print),
    ):
        with pytest.raises(StorageError, match=r"there is no database|is empty"):
            task()
    # Who wants to begin anew can say so.
    upkeep.create()
    with SqlStore(url, "images/", root=tmp_path) as opened:
        assert opened.count(InspectionQuery()) == 0
    with pytest.raises(StorageError, match="nothing is ever written over one"):
        upkeep.create()


def test_an_empty_file_in_place_of_the_database_is_a_lost_one(tmp_path):
    with SqlStore("sqlite:///cdm.db", "images/", root=tmp_path) as store:
        store.append(a_part(1), evidence=evidence_of(1))
    for file in tmp_path.glob("cdm.db*"):
        file.unlink()
    (tmp_path / "cdm.db").touch()
    with pytest.raises(StorageError, match="missing or empty"):
        SqlStore("sqlite:///cdm.db", "images/", root=tmp_path)
    assert (tmp_path / "cdm.db").read_bytes() == b""


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs"])
def test_sqlite_on_a_network_share_is_refused(tmp_path, monkeypatch, kind):
    disk = psutil.disk_partitions(all=True)[0]
    share = disk._replace(mountpoint=str(tmp_path.resolve()), fstype=kind)
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: [disk, share])
    with pytest.raises(StorageError, match=rf"network share \({kind} at .*PostgreSQL"):
        SqlStore("sqlite:///cdm.db", "images/", root=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_locked_database_is_waited_for(tmp_path):
    with SqlStore("sqlite:///cdm.db", "images/", root=tmp_path) as store:
        with store.database.writing() as session:
            session.execute(text("SELECT 1"))
            waiting = threading.Thread(
                target=lambda: store.append(a_part(1), evidence=evidence_of(1))
            )
            waiting.start()
            time.sleep(6)  # longer than SQLite waits by itself
        waiting.join()
        assert store.count(InspectionQuery()) == 1


def test_a_database_that_stays_locked_says_by_whom(tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "_PATIENCE_SECONDS", 0.1)
    with (
        SqlStore("sqlite:///cdm.db", "images/", root=tmp_path) as store,
        store.database.writing() as session,
    ):
        session.execute(text("SELECT 1"))
        with pytest.raises(StoreUnreachable, match=r"locked.*Another program holds it"):
            store.append(a_part(1), evidence=None)


SMALL_DISK = """
import json, os, subprocess, sys
from pathlib import Path
from cdm_inspect.errors import StorageError
from cdm_inspect.testing.specimens import a_part, a_review, evidence_of
from cdm_inspect.records import InspectionQuery
from cdm_inspect.storage import SqlStore
from cdm_inspect.storage.audit import first_bad_entry

root = Path(sys.argv[1])
said = {}

def attempt(name, work):
    try:
        work()
    except StorageError as error:
        said[name] = str(error)

def fill(left):
    free = os.statvfs(root).f_bavail * os.statvfs(root).f_frsize
    (root / "filler").write_bytes(bytes(max(0, free - left)))

with SqlStore("sqlite:///cdm.db", "images/", root=root) as store:
    first = store.append(a_part(1), evidence=evidence_of(1))
    fill(left=64 * 1024)
    attempt("blob", lambda: store.append(a_part(2), evidence=bytes(300_000)))
    os.unlink(root / "filler"); fill(left=0)
    attempt("row", lambda: store.append(a_part(3, heatmap=None), evidence=None))
    attempt("decision", lambda: store.record_review(a_review(first.id)))
    os.unlink(root / "filler"); fill(left=200 * 1024)
    many = [(a_part(n, heatmap=None), None) for n in range(100, 1100)]
    attempt("log of writes", lambda: store.append_many(many))
    os.unlink(root / "filler")
    said["half"] = sum(path.name.startswith(".") for path in (root / "images").rglob("*"))
    said["kept"] = store.count(InspectionQuery())
    store.database.close()  # no disk becomes read-only under a file that is open for writing
    subprocess.run(["mount", "-o", "remount,ro", str(root)], check=True)
    attempt("read-only, open", lambda: store.append(a_part(4), evidence=evidence_of(4)))
    attempt("read-only, row", lambda: store.append(a_part(4, heatmap=None), evidence=None))
    store.database.close()
    subprocess.run(["mount", "-o", "remount,rw", str(root)], check=True)
    store.append(a_part(5), evidence=evidence_of(5))
    store.record_review(a_review(first.id))
    said["after"] = store.count(InspectionQuery())
    with store.database.reading() as session:
        said["chain"] = first_bad_entry(session)
print(json.dumps(said))
"""


def test_a_full_or_read_only_disk_loses_nothing_and_says_what_to_do(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f"mount -t tmpfs -o size=2m tmpfs {disk}"
    if subprocess.run(["unshare", "-rm", "sh", "-c", mount], capture_output=True).returncode:
        pytest.skip("no small disk can be mounted here: full and read-only disks were not tried")
    command = f'{mount} && exec "$@"'
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", command, "-", sys.executable, "-c", SMALL_DISK, str(disk)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert "an image cannot be kept" in said["blob"]
    assert "No space left" in said["blob"]
    for name in ("row", "decision", "log of writes"):
        assert "full" in said[name], name
        assert "Free space on its disk. Nothing was recorded." in said[name], name
    assert (said["half"], said["kept"], said["after"]) == (0, 1, 2)
    for name in ("read-only, open", "read-only, row"):
        assert "folder and file be writable. Nothing was recorded." in said[name], name
    assert said["chain"] == [1, None]


class Cable:
    """A connection to the server that can be pulled out."""

    def __init__(self, connect):
        self._connect = connect
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._open, self._closing, self._is_out = [], [self._listener], False
        self._threads = []
        self._start(self._accept)

    def _start(self, work, *arguments):
        self._threads.append(threading.Thread(target=work, args=arguments, daemon=True))
        self._threads[-1].start()

    def _accept(self):
        while True:
            try:
                here, _ = self._listener.accept()
            except OSError:
                return
            if self._is_out:
                here.close()
                continue
            there = self._connect()
            self._open += [here, there]
            self._closing += [here, there]
            self._start(self._pass, here, there)
            self._start(self._pass, there, here)

    @staticmethod
    def _pass(one, other):
        try:
            while data := one.recv(65536):
                other.sendall(data)
        except OSError:
            pass
        finally:
            # Not closed: another thread may be waiting for the same end
            for end in (one, other):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def pull(self):
        self._is_out = True
        for end in self._open:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def plug(self):
        self._is_out = False

    def close(self):
        self.pull()
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for end in self._closing:
            end.close()


@pytest.fixture
def cable(postgres, tmp_path):
    where = make_url(postgres)
    port = where.port or int(where.query.get("port", 5432))
    folder = where.query.get("host")

    def connect():
        if folder is None:
            return socket.create_connection((where.host, port))
        there = socket.socket(socket.AF_UNIX)
        there.connect(f"{folder}/.s.PGSQL.{port}")
        return there

    made = Cable(connect)
    there = where.set(host="127.0.0.1", port=made.port, query={})
    yield made, there.render_as_string(hide_password=False)
    made.close()


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_a_server_that_goes_away_in_the_midst_loses_and_doubles_nothing(url, cable, tmp_path):
    link, address = cable
    stated, errors, ready = [], [], threading.Event()

    def work():
        with SqlStore(address, "images/", root=tmp_path) as opened:
            ready.set()
            for number in range(60):
                try:
                    stored = opened.append(a_part(number), evidence=evidence_of(number))
                    opened.record_review(a_review(stored.id, client_id=f"review {number}"))
                    stated.append(number)
                except StorageError as error:
                    errors.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    assert ready.wait(60)
    admin = create_engine(url, isolation_level="AUTOCOMMIT")
    for _ in range(3):
        time.sleep(0.3)
        link.pull()
        time.sleep(0.7)
        link.plug()
        time.sleep(0.2)
        with admin.connect() as connection:  # as a server that is stopped says goodbye
            connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid != pg_backend_pid()"
                )
            )
    admin.dispose()
    worker.join()
    assert errors == []
    with SqlStore(url, "images/", root=tmp_path) as opened:
        parts = opened.find(InspectionQuery(limit=1000))
        assert sorted(int(part.sha256, 16) for part in parts) == stated == list(range(60))
        assert all(len(opened.reviews(part.id)) == 1 for part in parts)
        with opened.database.reading() as session:
            assert first_bad_entry(session) == (60, None)


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_a_server_that_stays_away_is_said_to(url, cable, tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "_PATIENCE_SECONDS", 0.5)
    link, address = cable
    with SqlStore(address, "images/", root=tmp_path) as opened:
        opened.append(a_part(1), evidence=None)
        link.pull()
        with pytest.raises(StoreUnreachable, match="Nothing was recorded"):
            opened.append(a_part(2), evidence=None)
        with pytest.raises(StoreUnreachable):  # and not "there are no more"
            opened.find(InspectionQuery(after_id=0))
        link.plug()
        opened.append(a_part(2), evidence=None)
        assert opened.count(InspectionQuery()) == 2


def test_killed_at_any_boundary_nothing_is_lost_or_doubled(url):
    done = subprocess.run(
        [
            sys.executable,
            str(BENCHMARKS / "kill_store.py"),
            *("--url", url, "--kills", "12", "--parts", "60"),
        ],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["kills"] == 12
    assert found["parts"] >= 60
