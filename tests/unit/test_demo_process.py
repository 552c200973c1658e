"""The demo line as a child process: a real one, brief, and what people may do with it."""

import os
import signal
import time

import pytest

from cdm_inspect.errors import InvalidOption, NotAllowed, StorageError
from cdm_inspect.project import open_project
from cdm_inspect.records import InspectionQuery
from cdm_inspect.review.demo_process import STEPS, DemoProcess, DemoState
from cdm_inspect.roles import Actor, Role

ENGINEER, OPERATOR = Actor("佐藤", Role.ENGINEER), Actor("suzuki", Role.OPERATOR)


def wait(demo, is_so, seconds=400):
    deadline = time.monotonic() + seconds
    while not is_so(found := demo.progress()):
        assert time.monotonic() < deadline, found
        time.sleep(0.2)
    return found


def kill(demo):
    """All of it, as a power cut would."""
    with_children = os.getpgid(demo._child.pid)
    os.killpg(with_children, signal.SIGKILL)
    demo._child.wait()


def test_before_it_is_begun_there_is_nothing(tmp_path):
    demo = DemoProcess(tmp_path)
    found = demo.progress()
    assert (found.state, found.step, found.lines) == (DemoState.NONE, 0, ())
    assert found.command == f"cdm-inspect demo --directory {tmp_path / 'demo-line'}"
    assert not demo.folder.exists()
    with pytest.raises(InvalidOption, match="Make it first"):
        demo.open_line(None, is_at_work=False)


def test_only_who_may_administer_begins_it(tmp_path):
    demo = DemoProcess(tmp_path)
    with pytest.raises(NotAllowed):
        demo.start(OPERATOR)
    with pytest.raises(NotAllowed):
        demo.open_line(OPERATOR, is_at_work=False)
    assert not demo.folder.exists()


def test_a_strangers_project_is_left_alone(tmp_path):
    folder = tmp_path / "demo-line"
    folder.mkdir()
    (folder / "cdm-inspect.toml").write_text("[lines.A]\n")
    with pytest.raises(InvalidOption, match="not made here"):
        DemoProcess(tmp_path).start(None)
    assert [path.name for path in folder.iterdir()] == ["cdm-inspect.toml"]


def test_a_line_that_was_made_in_a_terminal_is_done(tmp_path):
    folder = tmp_path / "demo-line"
    folder.mkdir()
    (folder / "cdm-inspect.toml").write_text('[lines.A]\nnormal = "good"\n')
    open_project(folder).open_store().__exit__(None, None, None)
    assert DemoProcess(tmp_path).progress().state is DemoState.DONE


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "demo-line").write_text("a file")
    with pytest.raises(StorageError, match="cannot be started"):
        DemoProcess(tmp_path).start(None)


@pytest.mark.skipif(os.name != "posix", reason="kills a group of processes")
def test_it_is_made_once_also_for_two_apps_and_what_was_killed_begins_anew(tmp_path):
    demo, other = DemoProcess(tmp_path, budget="3s"), DemoProcess(tmp_path, budget="3s")
    demo.start(ENGINEER)
    child = demo._child
    wait(demo, lambda found: found.step >= 1)
    demo.start(ENGINEER)
    other.start(None)
    assert demo._child is child
    assert other._child is None  # it has seen that another one makes it
    assert other.progress().state is DemoState.RUNNING
    kill(demo)
    found = wait(other, lambda found: found.state is not DemoState.RUNNING, 30)
    assert found.state is DemoState.FAILED
    assert found.lines


@pytest.mark.slow
def test_a_brief_one_runs_to_its_end(tmp_path):
    demo = DemoProcess(tmp_path, budget="3s")
    demo.start(None)
    steps = set()

    def is_over(found):
        steps.add(found.step)
        return found.state is not DemoState.RUNNING

    found = wait(demo, is_over)
    assert found.state is DemoState.DONE, found.lines
    assert found.step == STEPS
    assert {2, 3, 6} <= steps | {found.step}
    # Another app, started since, finds it done; and done is done.
    again = DemoProcess(tmp_path, budget="3s")
    again.start(None)
    assert again._child is None
    with pytest.raises(InvalidOption, match="--port 8502"):
        again.open_line(ENGINEER, is_at_work=True)
    folder = again.open_line(ENGINEER, is_at_work=False)
    with open_project(folder).open_store() as store:
        assert store.count(InspectionQuery(line="A")) == 88


def test_what_goes_wrong_is_in_its_output(tmp_path):
    demo = DemoProcess(tmp_path, budget="soon")
    demo.start(None)
    found = wait(demo, lambda found: found.state is not DemoState.RUNNING, 120)
    assert found.state is DemoState.FAILED
    assert any("budget" in line for line in found.lines)
