"""The review app: each page through AppTest, and the whole in a real browser."""

import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cdm_inspect import workflows
from cdm_inspect.cli.launching import PROJECT_VARIABLE, review_app
from cdm_inspect.project import open_project
from cdm_inspect.records import Decision, Inspection, InspectionQuery, Verdict
from cdm_inspect.review import ReviewDesk

APP = review_app()


@pytest.fixture
def inspected(line):
    """A project with inspected parts, among them one that could not be judged."""
    test = line / "data" / "A" / "test"
    bad = line / "cut.png"
    bad.write_bytes((test / "good" / "000.png").read_bytes()[:900])
    project = open_project(line, line="A")
    # Stains stand out even to a model of a few seconds of training; scratches do by luck.
    parts = sorted((test / "stain").glob("*.png")) + sorted((test / "missing-hole").glob("*.png"))
    kept = list(workflows.inspect(project, "A", [bad, *parts]))
    assert sum(part.verdict.value != "pass" for part in kept) >= 2
    return line


@pytest.fixture
def app(inspected, monkeypatch):
    from streamlit.testing.v1 import AppTest

    monkeypatch.setenv(PROJECT_VARIABLE, str(inspected))
    return AppTest.from_file(str(APP), default_timeout=60)


def decisions(root):
    with open_project(root).open_store() as store:
        found = store.find(InspectionQuery(is_decided=True))
        return {part.id: (part.decision, part.reviewer) for part in found}


def test_a_decision_is_stored_and_the_next_part_comes(app, inspected):
    app.run()
    assert not app.exception
    waiting = int(app.metric[0].value)
    first = app.radio[0].value
    # Without a name nobody can decide.
    assert app.button(key=f"accept-{first}").disabled
    app.text_input(key="reviewer").set_value("sato").run()
    app.text_input(key=f"comment-{first}").set_value("looks fine").run()
    app.button(key=f"accept-{first}").click().run()
    assert not app.exception
    assert decisions(inspected) == {first: (Decision.ACCEPT, "sato")}
    assert int(app.metric[0].value) == waiting - 1
    assert app.radio[0].value != first
    assert "recorded" in app.success[0].value


def test_a_part_that_could_not_be_judged_is_shown_with_its_reason(app):
    app.run()
    assert any("Could not be judged: truncated" in text.value for text in app.text)


def test_a_part_whose_heat_map_is_lost_can_be_decided(app, inspected):
    with open_project(inspected).open_store() as store:
        lost = {part.heatmap_sha256 for part in store.find(InspectionQuery())} - {""}
        waiting = ReviewDesk(store).waiting("A")
    for name in lost:
        (inspected / "images" / name[:2] / name).unlink()
    app.run()
    for number in [part.id for part in waiting]:
        app.radio[0].set_value(number).run()
        assert not app.exception, number
    app.text_input(key="reviewer").set_value("sato").run()
    number = app.radio[0].value
    app.button(key=f"accept-{number}").click().run()
    assert decisions(inspected)[number] == (Decision.ACCEPT, "sato")


def test_both_languages(app):
    app.run()
    app.selectbox(key="language").set_value("日本語").run()
    assert not app.exception
    assert app.title[0].value == "待ち行列"
    assert any("不合格" in button.label for button in app.button)


def test_every_word_is_there_in_both_languages():
    sys.path.insert(0, str(APP.parent))
    try:
        from words import WORDS
    finally:
        sys.path.remove(str(APP.parent))
    assert all(len(pair) == 2 and all(pair) for pair in WORDS.values())
    used = set()
    for file in APP.parent.rglob("*.py"):
        used |= set(re.findall(r"\bword\(\"([a-z_]+)\"\)", file.read_text()))
    assert used <= set(WORDS)


def test_a_project_without_a_store_says_so(line, monkeypatch):
    from streamlit.testing.v1 import AppTest

    (line / "cdm-inspect.db").unlink(missing_ok=True)
    (line / "cdm-inspect.db").write_bytes(b"no database " * 99)
    monkeypatch.setenv(PROJECT_VARIABLE, str(line))
    app = AppTest.from_file(str(APP), default_timeout=60).run()
    assert not app.exception
    assert "cannot be read" in app.error[0].value


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """`cdm-inspect dashboard`, as a user starts it."""

    def __init__(self, root):
        self.root, self.port = root, free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self):
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "cdm_inspect",
                "--project",
                str(self.root),
                "dashboard",
                "--port",
                str(self.port),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(240):
            try:
                with urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=2):
                    return self
            except OSError:
                assert self.process.poll() is None, "the server ended"
                time.sleep(0.25)
        raise AssertionError("the server did not start within a minute")

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
]


@pytest.fixture
def page(chromium):
    """A page of a real browser; whatever it asks of the internet fails the test."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=60_000)  # a fresh server on a busy machine
    outside = []

    def note(request):
        if "127.0.0.1" not in request.url and not request.url.startswith(("data:", "blob:")):
            outside.append(request.url)

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=str(chromium), args=FLAGS)
        opened = browser.new_page(viewport={"width": 1400, "height": 1000})
        opened.on("request", note)
        yield opened
        browser.close()
    assert not outside


@pytest.fixture
def pictures(tmp_path):
    """Where screenshots go."""
    folder = Path(os.environ.get("CDM_INSPECT_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.mark.browser
def test_a_person_rejects_a_part_and_it_is_still_rejected_after_a_restart(
    inspected, page, pictures
):
    from playwright.sync_api import expect

    with Server(inspected) as server:
        page.goto(server.url)
        page.get_by_label("Your name").fill("tanaka")
        page.get_by_label("Your name").press("Enter")
        # The first in the queue could not be judged; the second has a picture.
        page.locator("label").filter(has_text=re.compile(r"/\d+\.png")).first.click()
        expect(page.get_by_role("img")).not_to_have_count(0)
        reject = page.get_by_role("button", name="Reject")
        expect(reject).to_be_enabled()
        assert reject.bounding_box()["height"] >= 72
        page.wait_for_timeout(1500)
        page.screenshot(path=pictures / "review-queue.png")
        reject.click()
        expect(page.get_by_text("recorded")).to_be_visible()
    ((number, (decision, reviewer)),) = decisions(inspected).items()
    assert (decision, reviewer) == (Decision.REJECT, "tanaka")
    with Server(inspected) as server:
        page.goto(f"{server.url}/history")
        expect(page.get_by_text(f"Part {number}:")).to_be_visible()
        expect(page.get_by_text("tanaka").first).to_be_visible()
        page.wait_for_timeout(1500)
        page.screenshot(path=pictures / "review-history.png")


PAGES = """
from cdm_inspect.contracts import PageOffer
from cdm_inspect.hooks import hookimpl
from cdm_inspect.records import InspectionQuery

def show(view):
    import streamlit as st
    st.text(f"{view.store.count(InspectionQuery(line=view.line))} parts, {view.language}")

def fail(view): raise RuntimeError("no <b>shift</b>")

@hookimpl
def cdm_inspect_pages():
    yield PageOffer(contract=1, name="shift", summary="Shift", show=show, titles={"ja": "シフト"})
    yield PageOffer(contract=1, name="failing", summary="Failing", show=fail)
"""


@pytest.mark.browser
def test_pages_of_plugins_stand_beside_ours(install, inspected, page, pictures):
    from playwright.sync_api import expect

    install("shift-pages", PAGES)
    with Server(inspected) as server:
        page.goto(f"{server.url}/plugin-shift")
        expect(page.get_by_text(re.compile(r"^\d+ parts, en$"))).to_be_visible()
        page.get_by_role("link", name="Failing").click()
        expect(page.get_by_text("This page comes from a plugin")).to_be_visible()
        expect(page.get_by_text("failing: RuntimeError: no <b>shift</b>")).to_be_visible()
        page.wait_for_timeout(1000)
        page.screenshot(path=pictures / "review-plugin.png")
        page.get_by_role("link", name="Queue").click()
        expect(page.get_by_text("waiting for a decision").first).to_be_visible()
        page.get_by_label("Language / 言語").click()
        page.get_by_role("option", name="日本語").click()
        page.get_by_role("link", name="シフト").click()
        expect(page.get_by_text(re.compile(r"^\d+ parts, ja$"))).to_be_visible()


@pytest.fixture
def drifted(inspected):
    """A line whose lamp faded after a hundred parts, all of which passed."""
    project = open_project(inspected, line="A")
    random = np.random.default_rng(3)
    scores = tuple(np.sort(random.normal(size=100)).tolist())
    calibration = replace(
        project.calibration("A"), scores=scores, threshold=9.0, reject_threshold=None
    ).save(project.calibration_folder("A"))
    usual = calibration.envelope["usual"]
    image = next((inspected / "data/A/train/good").glob("*.png"))
    with project.open_store() as store:
        for number in range(160):
            taken = {name: float(random.choice(values)) for name, values in usual.items()}
            if number >= 100:
                taken["exposure"] -= 2 * float(np.std(usual["exposure"]))
            score = float(random.normal())
            store.append(
                Inspection(
                    image=image,
                    sha256=f"{number:064}",
                    line="A",
                    verdict=Verdict.PASS,
                    model=calibration.model,
                    calibration=calibration.id,
                    scorer=calibration.scorer,
                    threshold=9.0,
                    score=score,
                    p_value=calibration.p_value(score),
                    acquisition=taken,
                ),
                evidence=image.read_bytes(),
            )
    return inspected


@pytest.mark.browser
def test_drift_is_seen_in_both_languages(drifted, page, pictures):
    from playwright.sync_api import expect

    with Server(drifted) as server:
        page.goto(f"{server.url}/drift")
        expect(page.get_by_text("Brightness: darker since about inspection")).to_be_visible()
        expect(page.locator(".vega-embed")).to_have_count(4)
        page.wait_for_timeout(1500)
        page.screenshot(path=pictures / "review-drift.png", full_page=True)
        page.get_by_label("Language / 言語").click()
        page.get_by_role("option", name="日本語").click()
        expect(page.get_by_text("付近から暗くなった")).to_be_visible()
        page.wait_for_timeout(1500)
        page.screenshot(path=pictures / "review-drift-ja.png", full_page=True)


@pytest.mark.browser
def test_passed_parts_are_judged_from_a_random_sample(drifted, page, pictures):
    from playwright.sync_api import expect

    with Server(drifted) as server:
        page.goto(server.url)
        page.get_by_label("Your name").fill("tanaka")
        page.get_by_label("Your name").press("Enter")
        page.get_by_role("radio", name="random sample of passed parts").click()
        expect(page.get_by_text("The machine passed these parts.")).to_be_visible()
        expect(page.get_by_role("img")).not_to_have_count(0)
        page.wait_for_timeout(1500)
        page.screenshot(path=pictures / "review-sample.png")
        page.get_by_role("button", name="Accept").click()
        expect(page.get_by_text("recorded")).to_be_visible()
    ((number, (decision, _)),) = decisions(drifted).items()
    assert decision is Decision.ACCEPT
    with open_project(drifted).open_store() as store:
        assert store.get(number).verdict is Verdict.PASS
        numbers = [part.id for part in ReviewDesk(store).sample("A")]
    assert number not in numbers
    assert numbers != sorted(numbers)
