"""How quickly the review desk answers, in a real browser, and whether a burst or a kill loses any.

    python benchmarks/review_desk.py --inspections 50000 --decisions 100 \
        --url sqlite:///cdm-inspect.db --url postgresql+psycopg://postgres@127.0.0.1/

Each store is filled with inspections of drawn plates (1024 px photographs), half of them flagged,
the server is started as a user starts it, and Chromium is driven by Playwright:

* one reviewer, by key and by click: from the press to the frame in which the next part is on the
  screen, and to the server's answer that the decision is durable, both by the browser's own clock;
* four reviewers at once, each in a window of their own;
* bursts of presses 15, 50 and 100 ms apart with the guard against double presses off, held against
  what was on the screen;
* `kill -9` of the server in the midst of a burst, and a new start.

Prints JSON. Wants a quiet machine: browser, server and database share it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import create_engine, text

from cdm_inspect.project import open_project
from cdm_inspect.records import InspectionQuery
from cdm_inspect.testing.recorded_line import record_line

LINES = ("A", "B", "C", "D")
GAPS = (0.015, 0.05, 0.1)
PRESSES = 40
PAUSE_MS = 250
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage"]

# Watches the desk: when which part came onto the screen, and when decisions were acknowledged.
WATCH = """(node) => {
  const desk = (window.desk = { last: Number(node.dataset.shown), pressed: null, painted: {} });
  // At every frame: which part the desk names, and which photograph is in its pane.
  const look = () => {
    const image = node.querySelector('.pane.photo img');
    if (node.dataset.part && image.complete && image.naturalWidth) {
      desk.painted[node.dataset.part] = image.getAttribute('src');
    }
    requestAnimationFrame(look);
  };
  look();
  const press = () => { desk.pressed = performance.now(); desk.shown = desk.answered = null; };
  addEventListener('keydown', press, { capture: true });
  addEventListener('pointerdown', press, { capture: true });
  let answers = node.dataset.answered;
  new MutationObserver(() => {
    const now = performance.now();
    if (node.dataset.shown && Number(node.dataset.shown) !== desk.last) {
      desk.last = Number(node.dataset.shown);
      if (desk.shown === null) desk.shown = now - desk.pressed;
    }
    if (node.dataset.answered !== answers) {
      answers = node.dataset.answered;
      if (desk.answered === null) desk.answered = now - desk.pressed;
    }
  }).observe(node, { attributes: true });
}"""


class Desk:
    """One reviewer in a window of their own."""

    def __init__(self, browser: Any, url: str, name: str, line: str) -> None:
        self.page = browser.new_context(viewport={"width": 1600, "height": 900}).new_page()
        self.page.goto(f"{url}/cdm/login")
        self.page.locator("#name").fill(name)
        self.page.locator("button").click()
        started = time.perf_counter()
        self.page.goto(f"{url}/?line={line}")
        self.page.wait_for_selector(".board[data-shown]", timeout=60_000)
        self.first_s = time.perf_counter() - started
        self.page.wait_for_timeout(1500)
        self.page.locator(".board").evaluate(WATCH)
        self.accept = self.page.locator(".act.accept")

    def press(self, how: str) -> None:
        """Decide the part on the screen."""
        if how == "key":
            self.page.keyboard.press("a")
        else:
            self.accept.click()

    def times(self) -> tuple[float, float] | None:
        """Milliseconds to the next part and to the answer; None while there is either to come."""
        found = self.page.evaluate("() => [window.desk.shown, window.desk.answered]")
        return None if None in found else (found[0], found[1])

    def await_times(self) -> tuple[float, float]:
        """The same, once both have come."""
        deadline = time.monotonic() + 30
        while (found := self.times()) is None:
            assert time.monotonic() < deadline
            self.page.wait_for_timeout(10)
        return found

    def settle(self) -> None:
        """Return once nothing is unsent."""
        board = self.page.locator(".board")
        deadline = time.monotonic() + 120
        while board.get_attribute("data-unsent") != "0":
            assert time.monotonic() < deadline
            self.page.wait_for_timeout(50)

    @property
    def painted(self) -> dict[int, str]:
        """By number of the part, the address of the photograph that was on the screen with it."""
        found = self.page.evaluate("() => window.desk.painted")
        return {int(number): address for number, address in found.items()}

    @property
    def accepted(self) -> int:
        """Decisions that the desk has taken."""
        return int(self.page.locator(".board").get_attribute("data-decided") or 0)


class Server:
    """`cdm-inspect dashboard`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Return once it answers."""
        arguments = ["--project", str(self.root), "dashboard", "--port", str(self.port)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cdm_inspect", *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while True:
            try:
                urllib.request.urlopen(f"{self.url}/healthz", timeout=5).close()
                return
            except OSError:
                time.sleep(0.1)

    def kill(self) -> None:
        """As a power cut would."""
        self.process.kill()
        self.process.wait()


@contextmanager
def database(url: str) -> Iterator[str]:
    """A database of this run's own on a server; a file is one by itself."""
    if url.startswith("sqlite"):
        yield url
        return
    name = f"review_desk_{uuid.uuid4().hex[:8]}"
    admin = create_engine(f"{url}postgres", isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    try:
        yield f"{url}{name}"
    finally:
        with admin.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        admin.dispose()


def write_plant(root: Path, url: str, inspections: int, *, min_look_ms: int) -> None:
    """A project with as many inspections on four lines."""
    write_config(root, url, min_look_ms)
    with open_project(root).open_store() as store:
        for seed, line in enumerate(LINES):
            record_line(store, inspections // len(LINES), line=line, seed=seed)


def write_config(root: Path, url: str, min_look_ms: int) -> None:
    """The project file; the guard against double presses is the only thing that changes."""
    tables = [f'[store]\nurl = "{url}"\n']
    for line in LINES:
        tables.append(f'[lines.{line}]\nnormal = "good"\n')
        tables.append(f"[lines.{line}.review]\nmin_look_ms = {min_look_ms}\n")
    (root / "cdm-inspect.toml").write_text("\n".join(tables))


def summary(values: list[tuple[float, float]]) -> dict[str, Any]:
    """Percentiles, milliseconds."""
    shown, answered = (np.array(column) for column in zip(*values, strict=True))
    return {
        "decisions": len(values),
        **{
            f"{name}_{label}_ms": round(float(np.percentile(column, share)), 1)
            for name, column in (("shown", shown), ("durable", answered))
            for label, share in (("p50", 50), ("p95", 95), ("max", 100))
        },
    }


def together(desks: list[Desk], how: str, decisions: int) -> dict[str, Any]:
    """All press at about the same moment, again and again."""
    found: list[tuple[float, float]] = []
    for _ in range(decisions):
        for desk in desks:
            desk.press(how)
        found += [desk.await_times() for desk in desks]
        desks[0].page.wait_for_timeout(PAUSE_MS)
    return summary(found)


def stored(root: Path, reviewer: str) -> list[int]:
    """Numbers of the parts that somebody has decided, one for each decision."""
    with open_project(root).open_store() as store:
        return [
            review.inspection_id
            for line in LINES
            for _, review in store.decisions(line)
            if review.reviewer == reviewer
        ]


def unseen(root: Path, desk: Desk, decided: list[int]) -> int:
    """Parts that were decided without their own photograph having been on the screen."""
    painted = desk.painted
    with open_project(root).open_store() as store:
        parts = store.find(InspectionQuery(ids=tuple(decided), limit=len(decided)))
    return sum(part.image_sha256 not in painted.get(part.id, "") for part in parts)


def burst(browser: Any, server: Server, gap: float) -> dict[str, Any]:
    """Presses as quick as no person is."""
    name = f"burst {gap}"
    desk = Desk(browser, server.url, name, "A")
    for _ in range(PRESSES):
        desk.page.keyboard.press("x")
        time.sleep(gap)
    desk.settle()
    decided = stored(server.root, name)
    return {
        "gap_ms": round(gap * 1000),
        "presses": PRESSES,
        "stored": len(decided),
        "doubled": len(decided) - len(set(decided)),
        "unseen": unseen(server.root, desk, decided),
    }


def killed(browser: Any, server: Server, turn: int) -> dict[str, Any]:
    """The server is killed while decisions are on their way, and started again."""
    name = f"kill {turn}"
    desk = Desk(browser, server.url, name, LINES[turn % len(LINES)])
    desk.page.wait_for_timeout(1000)
    for number in range(PRESSES):
        desk.page.keyboard.press("x")
        if number == 5 + turn:
            server.kill()
        desk.page.wait_for_timeout(50)
    accepted = desk.accepted
    unsent = int(desk.page.locator(".board").get_attribute("data-unsent") or 0)
    server.start()
    desk.settle()
    decided = stored(server.root, name)
    return {
        "accepted_in_browser": accepted,
        "unsent_at_restart": unsent,
        "stored": len(decided),
        "lost": accepted - len(set(decided)),
        "doubled": len(decided) - len(set(decided)),
        "unseen": unseen(server.root, desk, decided),
    }


def measure(play: Any, url: str, inspections: int, decisions: int) -> dict[str, Any]:
    """Everything on one store."""
    browser = play.chromium.launch(executable_path=chromium(), args=FLAGS)
    with tempfile.TemporaryDirectory() as folder, database(url) as own:
        root = Path(folder)
        started = time.perf_counter()
        write_plant(root, own, inspections, min_look_ms=200)
        with open_project(root).open_store() as store:
            waiting = store.count(InspectionQuery(is_waiting=True))
        found: dict[str, Any] = {
            "store": url.partition(":")[0],
            "inspections": inspections,
            "waiting": waiting,
            "fill_s": round(time.perf_counter() - started, 1),
        }
        server = Server(root)
        server.start()
        try:
            desk = Desk(browser, server.url, "one", "A")
            found["first_part_fresh_server_s"] = round(desk.first_s, 2)
            for how in ("key", "click"):
                found[f"one_{how}"] = together([desk], how, decisions)
            desk.page.context.close()
            desks = [Desk(browser, server.url, f"four {line}", line) for line in LINES]
            found["first_part_later_s"] = round(max(desk.first_s for desk in desks), 2)
            found["four_key"] = together(desks, "key", max(1, decisions // 2))
            for desk in desks:
                desk.page.context.close()
            server.kill()
            write_config(root, own, 0)
            server.start()
            found["bursts"] = [burst(browser, server, gap) for gap in GAPS]
            found["kills"] = [killed(browser, server, turn) for turn in range(3)]
        finally:
            server.kill()
            browser.close()
    return found


def chromium() -> str:
    """Path of a Chromium."""
    named = os.environ.get("CDM_INSPECT_CHROMIUM")
    found = named or shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        raise SystemExit("no Chromium found; set CDM_INSPECT_CHROMIUM to its path.")
    return found


def main() -> None:
    """See the docstring of the module."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inspections", type=int, default=50_000)
    parser.add_argument("--decisions", type=int, default=100)
    parser.add_argument("--url", action="append")
    arguments = parser.parse_args()
    urls = arguments.url or ["sqlite:///cdm-inspect.db"]
    with sync_playwright() as play:
        for url in urls:
            found = measure(play, url, arguments.inspections, arguments.decisions)
            print(json.dumps(found, indent=1), flush=True)


if __name__ == "__main__":
    main()
