"""Work that may hang, done where it can be left behind."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

from cdm_inspect.errors import PluginFailed

T = TypeVar("T")


class TimeLimit:
    """Does work in a thread of its own, and goes on without it when it takes too long.

    Python cannot stop a thread. While one hangs, other work is refused: what does it may keep
    something between two calls, and two at a time could mix up what belongs to whom.

    Args:
        seconds: that one piece of work may take.
        advice: what to do when it took longer.
    """

    def __init__(self, seconds: float, *, advice: str) -> None:
        self.seconds, self._advice = seconds, advice
        self._tasks: SimpleQueue[tuple[Callable[[], Any], Future[Any]]] | None = None
        self._hanging: Future[Any] | None = None

    def __call__(self, work: Callable[[], T]) -> T:
        """What the work returns or raises.

        Raises:
            PluginFailed: if it takes too long, an earlier one still does, or it tries to end the
                program.
        """
        if self._hanging is not None and not self._hanging.done():
            raise PluginFailed(
                f"it has not answered on an earlier part, and is not asked again before it does. "
                f"{self._advice}"
            )
        self._hanging = None
        if self._tasks is None:
            self._tasks = SimpleQueue()
            # A daemon: what hangs must not keep the program from ending.
            threading.Thread(target=_work_off, args=(self._tasks,), daemon=True).start()
        answer: Future[T] = Future()
        self._tasks.put((work, answer))
        try:
            return answer.result(self.seconds)
        except TimeoutError as error:
            if answer.done():
                raise  # the work's own
            self._hanging = answer
            raise PluginFailed(f"no answer within {self.seconds:g} s. {self._advice}") from error


def _work_off(tasks: SimpleQueue[tuple[Callable[[], Any], Future[Any]]]) -> None:
    while True:
        work, answer = tasks.get()
        try:
            answer.set_result(work())
        except Exception as error:  # noqa: BLE001 - it belongs to who asked
            answer.set_exception(error)
        except BaseException as error:  # noqa: BLE001 - no Ctrl-C comes to this thread
            answer.set_exception(PluginFailed(f"{type(error).__name__}: {error}"))
