"""Text of people and files is text on every page, and nothing asks for anything outside the plant.

Every page that the menu offers is opened, with texts that would run or fetch something wherever
they were taken for HTML or Markdown.
"""

import datetime as dt
import re
from pathlib import Path
from urllib.parse import quote, urlencode

import cv2
import numpy as np
import pytest

from cdm_inspect.project import open_project
from cdm_inspect.records import Decision, Event, InspectionQuery, Purpose, Verdict
from cdm_inspect.roles import Actor, Role
from cdm_inspect.testing.recorded_line import judge_line, record_line
from cdm_inspect.testing.specimens import a_part, a_review
from cdm_inspect_review.users import USERS_FILE, Accounts
from tests.app.rest import at_rest

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PASSWORD = "korrekt-pferd-batterie"
PROJECT = """\
[lines.A]
normal = "good"

[lines.A.review]
second_share = 0.5
reasons = [
  { code = "dent", en = "![x](http://example.com/r.png)", ja = "<img src=x onerror=alert(8)>" },
]
"""
IMAGE = "![x](http://example.com/{}.png)"
HOSTILE = {
    "script": "<script>window.ran = 1; alert(1)</script>",
    "handler": "<img src=http://example.com/h.png onerror='window.ran = 2; alert(2)'>",
    "link": "[click](javascript:window.ran=3)",
    "image": IMAGE.format("s"),
    "style": "<style>@import url(http://example.com/s.css); body{display:none}</style>",
    "frame": "<iframe src=http://example.com/f></iframe><svg onload=alert(4)>",
    "icon": ":material/home: :smile: $x^2$ :red[a] `b` **c**",
}
LINE = IMAGE.format("l") + " :material/home: $x$ <b>"
PERSON = IMAGE.format("p")
# The desk has no title; these pages are of the plant.
WITH_LINE = {"": [], "admin": [False], "audit": [False]}
# Told by the server itself: whom it calls, beside this machine.
WITNESS = """
import os, sys

def witness(event, arguments):
    if event in ("socket.connect", "socket.sendto", "socket.getaddrinfo"):
        said = arguments[0] if event == "socket.getaddrinfo" else arguments[1]
        os.write(notes, f"{event} {said!r}\\n".encode())

notes = os.open(os.environ["WITNESS_NOTES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
sys.addaudithook(witness)
os.write(notes, b"watching\\n")
"""
SEEN = """
window.violations = [];
document.addEventListener('securitypolicyviolation', (event) =>
  window.violations.push(
    `${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}`));
"""


def odd_parts(line):
    """Parts of which every text is hostile."""
    _, png = cv2.imencode(".png", np.full((64, 64, 3), 120, np.uint8))
    now = dt.datetime.now(dt.UTC)
    for number, (name, text) in enumerate(HOSTILE.items()):
        part = a_part(
            1000 * len(line) + number,
            line=line,
            image=Path(f"shift/{text.replace('/', '_')}.png"),
            serial=text,
            lot=text,
            station=text,
            camera=text,
            model=text,
            scorer=text,
            calibration=text,
            inspected_at=now - dt.timedelta(minutes=number),
            acquisition={text: 0.25},
            **({"verdict": Verdict.UNDECIDED, "score": None, "p_value": None, "reason": text})
            if name == "image"
            else {},
        )
        yield part, png.tobytes()


@pytest.fixture
def hostile_plant(tmp_path):
    root = tmp_path / "plant"
    root.mkdir()
    (root / "cdm-inspect.toml").write_text(PROJECT)
    accounts = Accounts(root / USERS_FILE)
    boss = Actor(PERSON, Role.ENGINEER)
    with open_project(root).open_store() as store:
        record_line(store, 60, side=64, photographs=2)
        judge_line(store)
        for line in ("A", LINE):
            for part, evidence in odd_parts(line):
                stored = store.append(part, evidence=evidence)
                text = stored.serial
                if text == HOSTILE["link"]:
                    continue  # waits to be decided
                store.record_review(
                    a_review(
                        stored.id,
                        Decision.REJECT,
                        reviewer=text,
                        comment=text,
                        reason="dent",
                        purpose=Purpose.QUEUE,
                    )
                )
                for action in ("mark-limit-sample", "acknowledge-alarm", text[:60]):
                    event = Event(
                        action=action,
                        who=text,
                        role="qa",
                        line=line,
                        inspection_id=stored.id,
                        reason=text,
                        facts={"alarm": text, text: text},
                    )
                    store.record_event(event)
        for name, role in ((PERSON, Role.ENGINEER), (HOSTILE["script"], Role.AUDITOR)):
            accounts.add(name, role, PASSWORD, by=boss, record=store.record_event)
    return root


# Streamlit's reader of numbers tries WebAssembly, and does without where it may not.
_TRIED = re.compile(r"script-src wasm-eval http://127.0.0.1:\d+/static/js/protobuf\.\S+")


def is_unharmed(page):
    violations = page.evaluate("() => window.violations")
    assert not [said for said in violations if not _TRIED.fullmatch(said)], page.url
    assert page.evaluate("() => window.ran ?? null") is None
    assert page.locator("a[href^='javascript:'], iframe, img[src*='example.com']").count() == 0
    assert page.get_by_test_id("stException").count() == 0


def number_of(root, line, serial):
    with open_project(root).open_store() as store:
        [part] = store.find(InspectionQuery(line=line, serial=serial, limit=10))
        return part.id


@pytest.mark.parametrize(
    ("language", "lines"),
    [("en-US", [LINE]), pytest.param("ja-JP", ["A", LINE], marks=pytest.mark.long)],
)
def test_every_page(hostile_plant, serve, open_page, tmp_path, language, lines):
    from playwright.sync_api import expect

    (tmp_path / "sitecustomize.py").write_text(WITNESS)
    notes = tmp_path / "notes.txt"
    server = serve(hostile_plant, PYTHONPATH=str(tmp_path), WITNESS_NOTES=str(notes))
    page = open_page(locale=language)
    page.on("dialog", lambda dialog: pytest.fail(f"a text ran: {dialog.message}"))
    page.add_init_script(SEEN)
    page.goto(f"{server.url}/cdm/login?next=/")
    page.locator("#name").fill(PERSON)
    page.locator("#password").fill(PASSWORD)
    page.locator("button").click()
    page.wait_for_selector(".board[data-shown]")
    at_rest(page)
    menu = page.get_by_test_id("stTopNavLink").all()
    names = {(link.get_attribute("href") or "/").rstrip("/").rpartition("/")[2] for link in menu}
    names = {"" if ":" in name else name for name in names}
    assert len(names) >= 5
    for name in sorted(names):
        for line in lines:
            page.goto(f"{server.url}/{name}?line={quote(line)}")
            page.locator("h1" if name else ".board").first.wait_for()
            at_rest(page)
            is_unharmed(page)
            # The name of the line stands there, and it is text.
            wanted, titles = WITH_LINE.get(name, [True]), page.locator("h1")
            expect(titles).to_have_count(len(wanted))
            assert [said.endswith(f": {line}") for said in titles.all_inner_texts()] == wanted
    # One part with its whole story.
    for serial in HOSTILE.values():
        number = number_of(hostile_plant, "A", serial)
        page.goto(f"{server.url}/history?line=A&part={number}")
        at_rest(page)
        is_unharmed(page)
        # In the list as well, of which only a picture is seen.
        page.get_by_text(serial).first.wait_for(state="attached")
    outside = [
        line
        for line in notes.read_text().splitlines()
        if line != "watching" and "127.0.0.1" not in line
    ]
    assert "watching" in notes.read_text()
    assert outside == []


def test_what_is_typed_is_text(hostile_plant, serve, open_page):
    """A comment of the person at the desk, and texts in the address."""
    server = serve(hostile_plant)
    page = open_page()
    page.on("dialog", lambda dialog: pytest.fail(f"a text ran: {dialog.message}"))
    page.add_init_script(SEEN)
    page.goto(f"{server.url}/cdm/login")
    page.locator("#name").fill(PERSON)
    page.locator("#password").fill("wrong-password")
    page.locator("button").click()
    page.get_by_role("alert").wait_for()
    is_unharmed(page)
    page.locator("#password").fill(PASSWORD)
    page.locator("button").click()
    page.wait_for_selector(".board[data-shown]")
    for text in HOSTILE.values():
        queries = [{"line": text, "part": text, "kiosk": text, "lot": text}]
        if text in (HOSTILE["script"], HOSTILE["link"]):
            queries.append({"line": "A", "part": text, "kiosk": text, "lot": text})
        for query in queries:
            page.goto(f"{server.url}/history?{urlencode(query)}")
            at_rest(page)
            is_unharmed(page)
