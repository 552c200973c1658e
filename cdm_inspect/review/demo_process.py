"""`cdm-inspect demo` as a child process of the review app: one at a time, followed by its output.

Loads without torch; the child loads it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from filelock import FileLock, Timeout

from cdm_inspect.config import PROJECT_FILE
from cdm_inspect.errors import InvalidOption, StorageError
from cdm_inspect.roles import Actor, Right

FOLDER = "demo-line"
STEPS = 6

_DONE, _LOG, _LOCK = ".demo-is-complete", "demo.log", ".demo.lock"
_DATABASE = "cdm-inspect.db"
_START_SECONDS = 30.0
_TAIL = 12
"""Lines of the output that are shown."""
_STEP = re.compile(r"^(\d)/6 (.*)$")
_SHARE = re.compile(r"^train: (\d+)%")


class DemoState(StrEnum):
    """How far the demo line is."""

    NONE = "none"
    RUNNING = "running"
    FAILED = "failed"
    DONE = "done"


@dataclass(frozen=True, kw_only=True)
class DemoProgress:
    """Where the demo stands.

    Attributes:
        step: that it is at, from 1 to `STEPS`; 0 before the first.
        title: of the step, as the demo says it.
        share: of the training that is done, 0 to 1; None where it is not training.
        lines: the last of its output.
        command: what is run, to be typed in a terminal instead.
    """

    state: DemoState
    step: int
    title: str
    share: float | None
    lines: tuple[str, ...]
    command: str


def require_administrator(by: Actor | None) -> None:
    """Go on only if the person may administer; None is anybody, where nobody has to log in.

    Raises:
        NotAllowed: if not.
    """
    if by is not None:
        by.require(Right.ADMINISTER)


class DemoProcess:
    """The demo line of a project. May be used by several threads, and the folder by several apps.

    A child goes on when the app ends, and another app follows it by its output.

    Args:
        root: directory of the project; the line is made in `demo-line` below it.
        budget: training time; None means the demo's own.
    """

    def __init__(self, root: Path, *, budget: str | None = None) -> None:
        self.folder = root / FOLDER
        self._budget = budget
        self._log = self.folder / _LOG
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def command(self) -> list[str]:
        """What is run."""
        given = [] if self._budget is None else ["--budget", self._budget]
        return ["cdm-inspect", "demo", "--directory", str(self.folder), *given]

    def start(self, by: Actor | None) -> None:
        """Begin to make the line; nothing where it is being made, or is done.

        Args:
            by: who; None is anybody, where nobody has to say who they are.

        Raises:
            NotAllowed: if the person may not administer.
            InvalidOption: if a project that is not the demo's lies in the folder.
            StorageError: if the folder cannot be written.
        """
        require_administrator(by)
        with self._lock:
            if self._is_running() or self._is_done:
                return
            if (self.folder / PROJECT_FILE).exists() and not self._log.exists():
                # One that the demo has made in a terminal has an inspection, and is done.
                raise InvalidOption(
                    f"{self.folder} holds a project that was not made here. Move it away, or open "
                    f"it: cdm-inspect --project {self.folder} dashboard."
                )
            self._start()

    def progress(self) -> DemoProgress:
        """Where it stands; also of a run that another app has begun."""
        with self._lock:
            is_running, is_done = self._is_running(), self._is_done
            has_failed = self._child is not None and self._child.returncode not in (None, 0)
        text = self._output()
        lines = [line.rstrip() for line in text.splitlines() if line.strip()]
        steps = [match for line in lines if (match := _STEP.match(line))]
        shares = [match for line in lines if (match := _SHARE.match(line))]
        is_training = is_running and bool(steps) and steps[-1][1] == "3"
        states = ((is_running, DemoState.RUNNING), (is_done, DemoState.DONE))
        has_failed = has_failed or self._log.exists()
        other = DemoState.FAILED if has_failed else DemoState.NONE
        return DemoProgress(
            state=next((state for holds, state in states if holds), other),
            step=int(steps[-1][1]) if steps else 0,
            title=steps[-1][2] if steps else "",
            share=int(shares[-1][1]) / 100 if is_training and shares else None,
            lines=tuple(lines[-_TAIL:]),
            command=" ".join(self.command),
        )

    def open_line(self, by: Actor | None, *, is_at_work: bool) -> Path:
        """The project directory of the line, for an app that turns to it.

        Args:
            by: who turns the app to it, for everybody; see `start`.
            is_at_work: whether the app's own project has inspections.

        Raises:
            NotAllowed: if the person may not administer.
            InvalidOption: if the line is not made yet, or the app is needed where it is.
        """
        require_administrator(by)
        if not self._is_done:
            raise InvalidOption(f"the demo line in {self.folder} is not complete. Make it first.")
        if is_at_work:
            raise InvalidOption(
                "parts of this plant are reviewed here, and people would lose their desk. Open the "
                f"demo line beside it: cdm-inspect --project {self.folder} dashboard --port 8502."
            )
        return self.folder

    @property
    def _is_done(self) -> bool:
        is_from_terminal = not self._log.exists() and (self.folder / _DATABASE).is_file()
        return is_from_terminal or (self.folder / _DONE).is_file()

    def _is_running(self) -> bool:
        if self._child is not None and self._child.poll() is None:
            return True
        if not (self.folder / _LOCK).exists():
            return False
        # Whoever runs one holds this lock, also where its app is gone.
        try:
            with FileLock(self.folder / _LOCK, timeout=0):
                return False
        except Timeout:
            return True
        except OSError:
            return False

    def _start(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._child = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [sys.executable, "-m", __name__, *self.command[2:]],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C at the app does not end a training
            )
        except OSError as error:
            raise StorageError(
                f"the demo cannot be started in {self.folder}: {error.strerror or error}. Free "
                "space there or correct the rights."
            ) from error

    def _output(self) -> str:
        try:
            return self._log.read_text("utf-8", "replace")
        except OSError:
            return ""


def _run(arguments: list[str]) -> int:
    """The child: run the demo, alone in its folder, and note that it is complete."""
    folder = Path(arguments[arguments.index("--directory") + 1])
    # An app that looks whether somebody runs it holds the lock for a moment.
    with (
        FileLock(folder / _LOCK, timeout=_START_SECONDS),
        (folder / _LOG).open("wb") as log,
    ):
        done = subprocess.run(  # noqa: S603 - our own interpreter and program
            [sys.executable, "-m", "cdm_inspect", "demo", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            check=False,
        )
        if done.returncode == 0:
            (folder / _DONE).touch()
        return done.returncode


if __name__ == "__main__":
    sys.exit(_run(sys.argv[1:]))
