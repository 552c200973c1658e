"""A watched folder: every photograph once, when it is whole, whatever happens in between."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cdm_inspect.errors import StorageError
from cdm_inspect.images import find_images
from cdm_inspect.inspection.folder_watch import Arrivals
from cdm_inspect.project import open_project
from cdm_inspect.records import InspectionQuery


class Ended(Exception):
    """The clock has no more to do."""


class Clock:
    """Does something between two looks instead of waiting; ends after the last."""

    def __init__(self, *steps):
        self.steps = list(steps)

    def is_set(self):
        return False

    def wait(self, seconds):
        if not self.steps:
            raise Ended
        self.steps.pop(0)()


def nothing():
    pass


def follow(folder, journal, *steps, problems=None):
    """Names in the order in which they were handed out."""
    arrivals = Arrivals(folder, journal)
    said = [] if problems is None else problems
    found = []
    with contextlib.suppress(Ended):
        for path in arrivals.follow(every=1, on_problem=said.append, stop=Clock(*steps)):
            found.append(path.relative_to(folder).as_posix())
    return found


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "arriving"
    made.mkdir()
    return made


@pytest.fixture
def journal(tmp_path):
    return tmp_path / "journal.jsonl"


def write(path, text="x", at=None):
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    if at is not None:
        os.utime(path, (at, at))


def test_a_file_is_handed_out_when_nobody_writes_to_it(folder, journal):
    write(folder / "b.png", at=100)
    write(folder / "a.PNG", at=200)
    write(folder / "notes.txt")
    write(folder / ".hidden.png")
    write(folder / "2026" / "c.jpg", at=50)
    grow = folder / "growing.tif"
    write(grow, "1", at=10)
    steps = [
        lambda: write(grow, "12", at=20),
        lambda: write(grow, "123", at=30),
        nothing,
        nothing,
    ]
    assert follow(folder, journal, *steps) == ["2026/c.jpg", "b.png", "a.PNG", "growing.tif"]


def test_a_restart_goes_on_and_what_is_written_anew_comes_again(folder, journal):
    write(folder / "a.png", at=1)
    write(folder / "b.png", at=2)
    assert follow(folder, journal, nothing) == ["a.png", "b.png"]
    assert follow(folder, journal, nothing, nothing) == []
    write(folder / "a.png", "anew", at=3)
    write(folder / "c.png", at=4)
    assert follow(folder, journal, nothing) == ["a.png", "c.png"]
    with journal.open("a") as file:
        file.write('["d.png", 1')  # the power failed
    write(folder / "d.png", at=5)
    (folder / "b.png").unlink()
    assert follow(folder, journal, nothing) == ["d.png"]
    assert "b.png" not in journal.read_text()


def test_one_that_was_not_judged_comes_again(folder, journal):
    write(folder / "a.png")
    paths = Arrivals(folder, journal).follow(every=1, stop=Clock(nothing, nothing))
    assert next(paths).name == "a.png"
    paths.close()  # the store failed
    assert follow(folder, journal, nothing) == ["a.png"]


def test_a_share_that_is_lost_comes_back(folder, journal):
    problems = []
    away = folder.with_name("away")
    write(folder / "a.png")
    steps = [
        nothing,
        lambda: folder.rename(away),
        nothing,
        lambda: away.rename(folder),
        lambda: write(folder / "b.png"),
        nothing,
    ]
    assert follow(folder, journal, *steps, problems=problems) == ["a.png", "b.png"]
    assert len(problems) == 2
    assert "cannot be read" in problems[0]
    assert problems[1] == ""


def test_a_file_that_could_not_be_read_comes_again(folder, journal):
    write(folder / "a.png")
    away = folder / "away.txt"
    arrivals, found = Arrivals(folder, journal), []
    steps = [nothing, lambda: away.rename(folder / "a.png"), nothing, nothing]
    with contextlib.suppress(Ended):
        for path in arrivals.follow(every=1, stop=Clock(*steps)):
            found.append(path.name)
            if len(found) == 1:
                path.rename(away)  # between the look and the reading
    assert found == ["a.png", "a.png"]


def test_a_journal_outlives_a_share_that_is_away(folder, journal):
    write(folder / "a.png", at=1)
    assert follow(folder, journal, nothing) == ["a.png"]
    away = folder.with_name("away")
    folder.rename(away)
    folder.mkdir()  # the empty place where it is mounted
    assert follow(folder, journal, nothing) == []
    folder.rmdir()
    away.rename(folder)
    assert follow(folder, journal, nothing, nothing) == []
    folder.rename(away)
    with pytest.raises(StorageError, match="cannot be read"):
        list(Arrivals(folder, journal).follow(every=1, once=True, stop=Clock()))


def judged(root):
    with open_project(root).open_store() as store:
        return store.find(InspectionQuery(line="A", limit=1000))


@pytest.mark.slow
def test_the_command_judges_each_once(line, tmp_path, run):
    arriving = tmp_path / "arriving"
    arriving.mkdir()
    photographs = sorted(find_images(line / "data" / "A" / "test" / "good"))[:4]
    for path in photographs:
        shutil.copy(path, arriving)
    (arriving / "broken.png").write_bytes(photographs[0].read_bytes()[:500])
    arguments = ["--project", line, "--json", "watch", "--line", "A", "--every", "0.05s", arriving]
    done = run(*arguments, "--once")
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["inspections"]) == 5
    done = run(*arguments, "--once")
    assert json.loads(done.stdout)["verdicts"] == {}
    assert len(judged(line)) == 5
    for wrong in (["--every", "soon"], ["--every", "0s"]):
        done = run(*arguments[:-3], *wrong, arriving)
        assert done.returncode == 2
        assert "--every" in done.stderr
    done = run(*arguments[:-1], tmp_path / "nowhere")
    assert done.returncode == 2
    assert "expected a folder" in done.stderr


@pytest.mark.slow
@pytest.mark.long
def test_killed_and_started_again_it_loses_and_doubles_nothing(line, tmp_path):
    arriving = tmp_path / "arriving"
    arriving.mkdir()
    command = [sys.executable, "-m", "cdm_inspect", "--project", str(line), "watch", "--line", "A"]
    command += ["--every", "0.05s", str(arriving)]
    photographs = sorted(find_images(line / "data" / "A" / "test"))[:12]
    names = set()
    for number, path in enumerate(photographs):
        if number % 6 == 0:
            watching = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        shutil.copy(path, arriving / f"{number}.png")
        names.add(f"{number}.png")
        if number % 6 == 5:
            wait_for(line, number - 2)
            watching.send_signal(signal.SIGKILL if number == 5 else signal.SIGINT)
            watching.wait(60)
    subprocess.run([*command, "--once"], check=True, stdout=subprocess.DEVNULL, timeout=120)
    found = judged(line)
    assert sorted(Path(row.image).name for row in found) == sorted(names)
    assert watching.returncode == 0  # Ctrl-C ends a shift, and is no fault


def wait_for(line, count, seconds=120):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        # The store is made by whoever watches.
        if (line / "cdm-inspect.db").exists() and len(judged(line)) >= count:
            return
        time.sleep(0.1)
    raise AssertionError(f"not {count} parts in {seconds} s")
