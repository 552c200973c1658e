"""Servers of the review app out of one process that has loaded what they need.

Loading takes five seconds, of which a server of its own for every test would make many minutes.
Each line on standard input is JSON: `command`, `environment`, `folder` and `log`. What it names is
run in a child process, as `cdm-inspect` would be; the child's process id is the answer.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import runpy
import signal
import sys
from typing import Any, NoReturn

from cdm_inspect_review import views

# What a running server has loaded once its pages have been seen.
PRELOADED = (
    *("streamlit.starlette", "streamlit.emojis", "streamlit.web.skills", "altair", "pandas"),
    "uvicorn.protocols.http.h11_impl",
    *("sqlalchemy.dialects.sqlite", "alembic.command"),
    *("cdm_inspect.builtin", "cdm_inspect.cli.context", "cdm_inspect.project"),
    *("cdm_inspect_review.cli.dashboard", "cdm_inspect_review.desk_api"),
    *("cdm_inspect_review.pictures", "cdm_inspect_review.assets"),
    *(f"cdm_inspect_review.views.{found.name}" for found in pkgutil.iter_modules(views.__path__)),
)


def _become(program: str, arguments: list[str], environment: dict[str, str]) -> NoReturn:
    """What `os.execve` does, without loading everything anew."""
    os.environ.clear()
    os.environ.update(environment)
    module = arguments[arguments.index("-m") + 1]
    sys.argv = [module]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
    sys.exit()


def _run(command: list[str], environment: dict[str, str], folder: str, log: str) -> NoReturn:
    with open(log, "ab", buffering=0) as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    os.execve = _become  # type: ignore[assignment]
    sys.argv = ["cdm-inspect", *command]
    from cdm_inspect.cli import main

    main()
    sys.exit()


def main() -> None:
    """Serve requests until standard input ends."""
    for name in PRELOADED:
        importlib.import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how a child has ended
    for line in sys.stdin:
        asked: dict[str, Any] = json.loads(line)
        child = os.fork()
        if child == 0:
            _run(**asked)
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
