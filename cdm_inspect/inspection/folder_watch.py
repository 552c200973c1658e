"""Photographs that come into a folder, each handed out once, when nobody writes to it any more.

The folder is looked at again and again, for shares of other machines send no notice. A file is
complete when two looks have found it the same. What was handled is kept in a journal, so that a
restart goes on where it ended; a lost journal costs time and no part, since stores know photographs
by their content.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from cdm_inspect.errors import StorageError
from cdm_inspect.files import write_durably
from cdm_inspect.images import SUFFIXES

# Names that programs give to what they are still writing.
_UNFINISHED = (".", "~")
# Times that a file which cannot be read is tried again; it then stays undecided.
_MOST_FAILURES = 60
# Seconds after which a request to stop is noticed at the latest.
_SLICE = 0.2


class _Look(NamedTuple):
    """What one look at a file has found."""

    size: int
    changed: int


class Stop:
    """A request to end; unlike a threading event it may be made by a signal handler."""

    def __init__(self) -> None:
        self._is_asked = False

    def set(self) -> None:
        """Ask."""
        self._is_asked = True

    def is_set(self) -> bool:
        """Whether somebody has."""
        return self._is_asked

    def wait(self, seconds: float) -> None:
        """Wait, but not after somebody has asked."""
        end = time.monotonic() + seconds
        while not self._is_asked and (left := end - time.monotonic()) > 0:
            time.sleep(min(_SLICE, left))


class Arrivals:
    """What arrives in one folder and those below it.

    Args:
        folder: that is watched.
        journal: file in which what was handled is kept.

    Attributes:
        problem: why the folder could not be looked at; empty while it can.
    """

    def __init__(self, folder: Path, journal: Path) -> None:
        self.folder, self.problem = folder.absolute(), ""
        self._journal = journal
        self._handled = self._read_journal()
        self._seen: dict[str, _Look] = {}
        self._failures: dict[str, int] = {}

    def follow(
        self,
        *,
        every: float,
        once: bool = False,
        on_problem: Callable[[str], None] = lambda text: None,
        stop: Stop | None = None,
    ) -> Iterator[Path]:
        """Files in the order of their arrival; one counts as handled when the next is asked for.

        Args:
            every: seconds between two looks.
            once: end when all that is there has been handled.
            on_problem: called when the folder cannot be looked at, and, with an empty text, when it
                can be again.
            stop: once set, the part in hand is the last.

        Raises:
            StorageError: if the journal cannot be written, or, once, the folder not be read.
        """
        stop = stop or Stop()
        while not stop.is_set():
            former = self.problem
            ready, waiting = self._look()
            if self.problem != former:
                on_problem(self.problem)
            if once and self.problem:
                raise StorageError(f"{self.problem}. Nothing more was judged; start again.")
            for name, look in ready:
                yield self.folder / name
                self._remember(name, look)
                if stop.is_set():
                    return
            if once and not waiting:
                return
            stop.wait(every)

    def _look(self) -> tuple[list[tuple[str, _Look]], bool]:
        """What is complete and new, the oldest first, and whether something is not complete yet."""
        self.problem = ""
        found = dict(self._scan())
        new = {name: look for name, look in found.items() if self._handled.get(name) != look}
        ready = [(name, look) for name, look in new.items() if self._seen.get(name) == look]
        self._seen = new
        return sorted(ready, key=lambda item: (item[1].changed, item[0])), len(ready) < len(new)

    def _scan(self) -> Iterator[tuple[str, _Look]]:
        folders = [self.folder]
        while folders:
            folder = folders.pop()
            try:
                entries = list(os.scandir(folder))
            except OSError as error:
                # A share that is gone comes back; what is in it is not lost.
                if folder == self.folder or not isinstance(error, FileNotFoundError):
                    self.problem = f"{folder} cannot be read: {error.strerror or error}"
                continue
            for entry in entries:
                if entry.name.startswith(_UNFINISHED):
                    continue
                with contextlib.suppress(OSError):  # gone between two calls
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(Path(entry.path))
                    elif Path(entry.name).suffix.lower() in SUFFIXES:
                        status = entry.stat()
                        name = os.path.relpath(entry.path, self.folder)
                        yield name, _Look(status.st_size, status.st_mtime_ns)

    def _remember(self, name: str, look: _Look) -> None:
        """Keep that a file was handled, unless it could not have been read just now."""
        if self._failures.get(name, 0) < _MOST_FAILURES and not _is_readable(self.folder / name):
            # The share went, or somebody holds the file: it is judged when it can be.
            self._failures[name] = self._failures.get(name, 0) + 1
            return
        self._failures.pop(name, None)
        self._handled[name] = look
        line = json.dumps([name, *look]) + "\n"
        try:
            with self._journal.open("a", encoding="utf-8", errors="surrogateescape") as file:
                file.write(line)
        except OSError as error:
            raise StorageError(
                f"{self._journal} cannot be written: {error.strerror or error}. Free space there, "
                "and start again; what was judged is in the store."
            ) from error

    def _read_journal(self) -> dict[str, _Look]:
        """What was handled and is still there; the journal is written anew without the rest."""
        handled: dict[str, _Look] = {}
        try:
            text = self._journal.read_text(encoding="utf-8", errors="surrogateescape")
        except OSError:
            text = ""
        for line in text.splitlines():
            with contextlib.suppress(ValueError, TypeError):  # the last one may be torn
                name, size, changed = json.loads(line)
                handled[str(name)] = _Look(int(size), int(changed))
        # Where nothing is left, the share is away, and what is on it is not forgotten.
        there = {name: look for name, look in handled.items() if (self.folder / name).exists()}
        kept = there or handled
        rows = "".join(json.dumps([name, *look]) + "\n" for name, look in kept.items())
        write_durably(self._journal, rows.encode("utf-8", "surrogateescape"))
        return kept


def _is_readable(file: Path) -> bool:
    try:
        with file.open("rb") as opened:
            opened.read(1)
    except OSError:
        return False
    return True
