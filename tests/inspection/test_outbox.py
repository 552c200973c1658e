"""Verdicts said to sinks: in order, none lost, whatever happens to sink and program."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cdm_inspect.errors import ConfigError, PluginUnavailable
from cdm_inspect.inspection import outbox
from cdm_inspect.inspection.outbox import deliver, delivering
from cdm_inspect.project import open_project
from cdm_inspect.records import Inspection, Verdict

SINK = """
import json, os, time
from pathlib import Path
from cdm_inspect.plugins import Options, SinkOffer
from cdm_inspect.plugins import hookimpl
from cdm_inspect.records import inspection_json

class LogOptions(Options):
    file: str
    pause: float = 0.0

class Log:
    # While a file `down` is there the other side is away; `stuck` makes it hang.
    def __init__(self, path, pause):
        self.path, self.pause = path, pause
    def send(self, inspections):
        if (self.path.parent / "down").exists():
            raise ConnectionError("nobody answers")
        while (self.path.parent / "stuck").exists():
            time.sleep(0.05)
        if (self.path.parent / "exits").exists():
            raise SystemExit(0)
        with self.path.open("a") as file:
            for inspection in inspections:
                file.write(json.dumps(inspection_json(inspection)) + "\\n")
        time.sleep(self.pause)
    def __enter__(self): return self
    def __exit__(self, *error): return True

@hookimpl
def cdm_inspect_sinks():
    yield SinkOffer(
        contract=1,
        name="log",
        summary="A file.",
        open=lambda options, root: Log(root / options.file, options.pause),
        options=LogOptions,
    )
"""
PROJECT = """
[lines.A]
normal = "good"
[lines.B]
normal = "good"
[sinks.log.options]
file = "said.jsonl"
"""


@pytest.fixture
def root(install, tmp_path):
    install("log-sink", SINK)
    (tmp_path / "plant").mkdir()
    (tmp_path / "plant" / "cdm-inspect.toml").write_text(PROJECT)
    return tmp_path / "plant"


def part(number, line="A"):
    return Inspection(
        image=Path(f"{number}.png"),
        sha256=f"{number}",
        line=line,
        verdict=Verdict.PASS,
        model="m",
        calibration="c",
        scorer="residual",
        score=1.0,
        p_value=0.5,
    )


def inspect_parts(root, numbers, line="A"):
    project = open_project(root)
    with project.open_store() as store, delivering(project, store) as deliveries:
        for number in numbers:
            store.append(part(number, line), evidence=None)
            deliveries.wake()


def said(root):
    file = root / "said.jsonl"
    return (
        [json.loads(row)["image"] for row in file.read_text().splitlines()] if file.exists() else []
    )


def names(numbers):
    return [f"{number}.png" for number in numbers]


def test_a_sink_hears_every_verdict_once_and_in_order(root):
    inspect_parts(root, range(250))
    assert said(root) == names(range(250))
    inspect_parts(root, range(240, 260))  # those that the store knows are not said again
    assert said(root) == names(range(260))


def test_a_sink_that_is_new_hears_of_what_comes_from_now_on(root):
    (root / "cdm-inspect.toml").write_text(PROJECT.partition("[sinks")[0])
    inspect_parts(root, range(5))
    (root / "cdm-inspect.toml").write_text(PROJECT)
    assert deliver(open_project(root))["sinks"] == [
        {"name": "log", "sent": 0, "waiting": 0, "error": None}
    ]
    inspect_parts(root, range(5, 8))
    assert said(root) == names(range(5, 8))


def test_only_its_lines(root):
    (root / "cdm-inspect.toml").write_text(
        PROJECT.replace("[sinks.log.options]", '[sinks.log]\nlines = ["B"]\n[sinks.log.options]')
    )
    inspect_parts(root, range(3))
    inspect_parts(root, range(3, 6), line="B")
    assert said(root) == names(range(3, 6))


def test_what_was_not_told_is_told_later(root, caplog):
    (root / "down").touch()
    inspect_parts(root, range(4))
    assert said(root) == []
    assert "4 verdicts wait for sink 'log' (ConnectionError: nobody answers)" in caplog.text
    found = deliver(open_project(root))["sinks"][0]
    assert (found["waiting"], found["error"]) == (4, "ConnectionError: nobody answers")
    (root / "down").unlink()
    assert deliver(open_project(root))["sinks"][0]["waiting"] == 0
    assert said(root) == names(range(4))


def test_a_sink_that_comes_back_is_told_while_the_line_goes_on(root, monkeypatch):
    monkeypatch.setattr(outbox, "_FIRST_PAUSE", 0.05)
    (root / "down").touch()
    project = open_project(root)
    with project.open_store() as store, delivering(project, store) as deliveries:
        store.append(part(0), evidence=None)
        deliveries.wake()
        time.sleep(0.5)
        assert said(root) == []
        (root / "down").unlink()
        deadline = time.monotonic() + 20
        while said(root) != names([0]):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_sink_that_hangs_holds_up_nobody(root, monkeypatch, caplog):
    monkeypatch.setattr(outbox, "_LAST_SECONDS", 0.5)
    (root / "stuck").touch()
    began = time.monotonic()
    inspect_parts(root, range(20))
    assert time.monotonic() - began < 10
    assert "20 verdicts wait for sink 'log' (it has not answered in time)" in caplog.text
    (root / "stuck").unlink()


def test_a_program_that_is_killed_loses_nothing(root):
    (root / "cdm-inspect.toml").write_text(PROJECT + "pause = 0.02\n")
    code = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[2])\n"
        "import test_outbox as t\n"
        "t.inspect_parts(Path(sys.argv[1]), range(100000))\n"
    )
    for _ in range(3):
        before = len(said(root))
        child = subprocess.Popen(
            [sys.executable, "-c", code, str(root), str(Path(__file__).parent)]
        )
        deadline = time.monotonic() + 60
        while len(said(root)) < before + 5:
            assert time.monotonic() < deadline
            assert child.poll() is None
            time.sleep(0.05)
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert deliver(open_project(root))["sinks"][0]["error"] is None
    project, heard = open_project(root), said(root)
    with project.open_store() as store:
        stored = store.count(outbox.InspectionQuery())
    # What was sent last before a kill may come again; nothing is missing, and nothing is new.
    assert list(dict.fromkeys(heard)) == names(range(stored))
    assert len(heard) < stored + 3 * outbox._PAGE + 1


def test_a_sink_that_is_named_and_not_there_stops_the_line(root):
    (root / "cdm-inspect.toml").write_text("[sinks.mqtt-of-nobody]\n")
    with pytest.raises(PluginUnavailable, match=r"sink 'mqtt-of-nobody'; there are: log"):
        inspect_parts(root, [0])
    (root / "cdm-inspect.toml").write_text("[sinks.log.options]\nfiel = 'x'\n")
    with pytest.raises(ConfigError, match=r"sinks\.log\.options\.fiel"):
        inspect_parts(root, [0])


def test_of_two_processes_of_a_project_one_tells_a_sink(root):
    code = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[2])\n"
        "import test_outbox as t\n"
        "first = int(sys.argv[3])\n"
        "t.inspect_parts(Path(sys.argv[1]), range(first, first + 120), line=sys.argv[4])\n"
    )
    folder = str(Path(__file__).parent)
    stations = [
        subprocess.Popen([sys.executable, "-c", code, str(root), folder, str(first), line])
        for first, line in ((0, "A"), (1000, "B"))
    ]
    assert [station.wait(120) for station in stations] == [0, 0]
    assert deliver(open_project(root))["sinks"][0]["waiting"] == 0
    rows = [json.loads(row) for row in (root / "said.jsonl").read_text().splitlines()]
    numbers = [row["id"] for row in rows]
    assert numbers == sorted(set(numbers))  # none twice, none out of order
    assert len(numbers) == 240


def test_a_sink_that_ends_the_program_does_not(root, caplog):
    (root / "exits").touch()
    inspect_parts(root, range(2))
    assert "2 verdicts wait for sink 'log' (SystemExit: 0)" in caplog.text
    found = deliver(open_project(root))["sinks"][0]
    assert (found["sent"], found["waiting"], found["error"]) == (0, 2, "SystemExit: 0")


def test_what_waits_is_counted_of_its_lines(root, monkeypatch):
    (root / "cdm-inspect.toml").write_text(
        PROJECT.replace("[sinks.log.options]", '[sinks.log]\nlines = ["B"]\n[sinks.log.options]')
    )
    monkeypatch.setattr(outbox, "_MOST_COUNTED", 30)
    (root / "down").touch()
    inspect_parts(root, range(40))
    inspect_parts(root, range(40, 45), line="B")
    assert deliver(open_project(root))["sinks"][0]["waiting"] == 5
    (root / "down").unlink()
    found = deliver(open_project(root))["sinks"][0]
    assert (found["sent"], found["waiting"]) == (5, 0)


def test_a_line_that_is_not_there_is_no_line(root):
    (root / "cdm-inspect.toml").write_text(
        PROJECT.replace("[sinks.log.options]", '[sinks.log]\nlines = ["a"]\n[sinks.log.options]')
    )
    with pytest.raises(ConfigError, match=r"sinks\.log\.lines names a, which no table"):
        open_project(root)
