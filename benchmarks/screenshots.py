"""Pictures of the review app for the documentation, from a plant that is drawn for them.

    python benchmarks/screenshots.py docs/images

Trains a small line for a few seconds, lets it judge drawn plates, lets people decide, and takes
pictures of the pages in a real Chromium, light and dark. What is drawn is always the same; times
and dates on the pages are those of the moment.
"""

from __future__ import annotations

import sys
import tempfile
import uuid
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from review_desk import FLAGS, Server, chromium  # type: ignore[import-not-found]

from cdm_inspect.images.demo_line import DemoCounts, draw_plate, write_demo_line
from cdm_inspect.project import open_project
from cdm_inspect.records import Decision, Purpose, Review, Verdict
from cdm_inspect.workflows.calibrate import calibrate
from cdm_inspect.workflows.inspect import inspect
from cdm_inspect.workflows.train import train

PROJECT = """\
[lines.A]
normal = "data/A/train/good"
image_size = 128
preset = "tiny"
max_false_reject = 0.1

[lines.A.identity]
serial = "(P[0-9]+)"
lot = "(L[0-9])-"
station = "press 3"

[lines.A.training]
budget = "2m"
"""
PARTS = 260
PAGES = {"desk": "/", "lines": "/lines", "thresholds": "/thresholds", "history": "/history"}


def write_plant(root: Path) -> None:
    """A line that is trained, has judged plates, and whose people have judged most of them."""
    write_demo_line(root, counts=DemoCounts(train=120, test_good=4, test_defect=2))
    (root / "cdm-inspect.toml").write_text(PROJECT)
    project = open_project(root, line="A")
    train(project, "A")
    calibrate(project, "A")
    random = np.random.default_rng(3)
    folder = root / "arrived"
    folder.mkdir()
    kinds = ("stain", "missing-hole", "scratch", "dent")
    odd = {number: kinds[number % 4] for number in range(0, PARTS, 4)}
    for number in range(PARTS):
        picture, _ = draw_plate(random, odd.get(number))
        cv2.imwrite(str(folder / f"L{number // 100}-P{4000 + number}.png"), picture)
    parts = list(inspect(project, "A", [folder]))
    with project.open_store() as store:
        for number, part in enumerate(parts[: PARTS - 40]):
            store.record_review(review(part, odd.get(number), random))


def review(part: Any, defect: str | None, random: np.random.Generator) -> Review:
    """What a person says who is nearly always right."""
    reason = {"missing-hole": "missing", None: ""}.get(defect, defect) or ""
    return Review(
        client_id=uuid.uuid4().hex,
        inspection_id=part.id,
        decision=Decision.REJECT if defect else Decision.ACCEPT,
        reviewer=str(random.choice(["tanaka", "suzuki"])),
        role="operator",
        reason=reason,
        seen_ms=int(random.lognormal(7.5, 0.4)),
        purpose=Purpose.AUDIT if part.verdict is Verdict.PASS else Purpose.QUEUE,
    )


def main(target: Path) -> None:
    """See the docstring of the module."""
    from playwright.sync_api import sync_playwright

    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as play:
        root = Path(folder)
        write_plant(root)
        server = Server(root)
        server.start()
        browser = play.chromium.launch(executable_path=chromium(), args=FLAGS)
        try:
            for theme in ("light", "dark"):
                context = browser.new_context(
                    viewport={"width": 1280, "height": 800}, color_scheme=theme
                )
                page = context.new_page()
                page.goto(f"{server.url}/cdm/login")
                page.locator("#name").fill("tanaka")
                page.locator("button").click()
                for name, path in PAGES.items():
                    page.goto(f"{server.url}{path}")
                    page.wait_for_timeout(6000)
                    page.screenshot(path=target / f"{name}-{theme}.png")
        finally:
            server.kill()
            browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
