"""A filled plant, the server as a user starts it, and people in a real browser."""

import collections
import functools
import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest

from cdm_inspect.images.demo_line import draw_plate
from cdm_inspect.project import open_project
from cdm_inspect.records import Decision, InspectionQuery, Purpose, Review, Verdict
from cdm_inspect.roles import Actor, Role
from cdm_inspect.testing.recorded_line import record_line
from cdm_inspect.workflows.diagnose import diagnose
from cdm_inspect.workflows.evaluate import evaluate
from cdm_inspect.workflows.inspect import inspect
from cdm_inspect_review.launcher import PROJECT_VARIABLE
from cdm_inspect_review.users import USERS_FILE, Accounts

PROJECT = """\
[lines.A]
normal = "good"

[lines.A.review]
second_share = 0.5

[lines.B]
normal = "good"
"""
REPOSITORY = Path(__file__).parents[2]
PASSWORD = "korrekt-pferd-batterie"
PATIENCE_MS = 60_000
"""For a fresh server on a busy machine."""
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
def plant_folder(made_once, tmp_path):
    """A project whose store holds parts of two lines, among them two hundred flagged ones."""

    def make(root):
        root.mkdir()
        (root / "cdm-inspect.toml").write_text(PROJECT)
        with open_project(root).open_store() as store:
            record_line(store, 400, side=256, photographs=8)
            record_line(store, 20, line="B", side=256, photographs=4, seed=1)

    root = tmp_path / "plant"
    shutil.copytree(made_once("plant", make)[0], root)
    return root


@pytest.fixture
def decisions():
    """The standing decisions of a project's store, by number of the part."""

    def read(root):
        with open_project(root).open_store() as store:
            found = store.find(InspectionQuery(is_decided=True, limit=10_000))
            return {part.id: part for part in found}

    return read


@pytest.fixture(scope="session")
def reviewed(made_once, walked):
    """A line of which people have judged 150 parts, 50 of them defective; do not write to it."""

    def make(line):
        shutil.copytree(walked[0], line)
        random = np.random.default_rng(5)
        folder = line / "arrived"
        folder.mkdir()
        for number in range(150):
            defect = ("stain", "missing-hole")[number % 2] if number % 3 == 0 else None
            picture, _ = draw_plate(random, defect)
            name = f"{number:03}-{'bad' if defect else 'good'}.png"
            cv2.imwrite(str(folder / name), picture)
        project = open_project(line, line="A")
        parts = list(inspect(project, "A", [folder]))
        with project.open_store() as store:
            for part in parts:
                is_bad = "bad" in part.image
                store.record_review(
                    Review(
                        client_id=uuid.uuid4().hex,
                        inspection_id=part.id,
                        decision=Decision.REJECT if is_bad else Decision.ACCEPT,
                        reviewer="tanaka",
                        purpose=Purpose.AUDIT if part.verdict is Verdict.PASS else Purpose.QUEUE,
                    )
                )

    return made_once("reviewed", make)[0]


@pytest.fixture
def reviewed_line(reviewed, tmp_path):
    """A copy of it that a test may change."""
    root = tmp_path / "line"
    shutil.copytree(reviewed, root)
    return root


@pytest.fixture(scope="session")
def measured(made_once, walked):
    """The walked line, evaluated twice and diagnosed; do not write to it."""

    def make(line):
        shutil.copytree(walked[0], line)
        project = open_project(line, line="A")
        data, again = line / "data" / "A", line / "reports" / "again.png"
        evaluate(project, "A", data, device="cpu")
        evaluate(project, "A", data, device="cpu", report=again)
        diagnose(project, "A", parts=2)

    return made_once("measured", make)[0]


class Server:
    """`cdm-inspect dashboard`, out of the template, or as a process of its own."""

    def __init__(self, template, root, *options, **environment):
        self.template, self.root = template, root
        self.options, self.environment = options, environment
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.kill()

    @property
    def log(self):
        """What it says."""
        return self.root.parent / "server.log"

    def launch(self):
        """Start it, as a user does."""
        arguments = ["--project", str(self.root), "dashboard", "--port", str(self.port)]
        arguments += self.options
        environment = {**os.environ, **self.environment}
        # Another Python, or modules that a test adds to the path, are not those of the template.
        path = environment.get("PYTHONPATH")
        if path != self.template.python_path or sys.executable != self.template.args[0]:
            command = [sys.executable, "-m", "cdm_inspect", *arguments]
            with self.log.open("ab") as log:
                return psutil.Popen(command, stdout=log, stderr=log, env=environment)
        asked = {
            "command": arguments,
            "environment": environment,
            "folder": os.getcwd(),
            "log": str(self.log),
        }
        self.template.stdin.write(json.dumps(asked) + "\n")
        self.template.stdin.flush()
        return psutil.Process(int(self.template.stdout.readline()))

    def start(self):
        """Return once it can record decisions."""
        self.process = self.launch()
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            assert self.is_alive(), self.log.read_text()
            try:
                urllib.request.urlopen(f"{self.url}/healthz", timeout=5).close()
                return
            except urllib.error.HTTPError:
                return  # it answers: what is wrong is on its pages
            except OSError:
                time.sleep(0.1)
        raise AssertionError(self.log.read_text())

    def is_alive(self):
        """Whether it runs."""
        try:
            return self.process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def kill(self):
        """As a power cut would."""
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="session")
def template():
    """A process that becomes servers without loading what they need each time."""
    command = [sys.executable, "-m", "tests.app.server_template"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=REPOSITORY) as process:
        process.python_path = os.environ.get("PYTHONPATH")
        yield process
        process.stdin.close()


@pytest.fixture(scope="session")
def dashboard(template):
    """The server, for modules that start one for many tests."""
    return functools.partial(Server, template)


@pytest.fixture(scope="module")
def server(plant, dashboard):
    """One for all tests of a module, on the `plant` that it has of its own."""
    with dashboard(plant) as started:
        yield started


@pytest.fixture(scope="session")
def ask():
    """Ask a server over HTTP, exactly as said: status, headers and body of its answer."""

    def call(server, path, method="GET", body=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body=body, headers=named)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    return call


@pytest.fixture(scope="session")
def enter(ask):
    """The session of a user; None and the answer if they are not let in."""

    def call(server, name, password="", following="/", **headers):
        form = urllib.parse.urlencode({"name": name, "password": password, "next": following})
        kind = "application/x-www-form-urlencoded"
        status, answered, body = ask(
            server, "/cdm/login", "POST", form, content_type=kind, **headers
        )
        found = re.search(r"cdm_session=([^;]+)", answered.get("set-cookie", ""))
        return (found[1] if found else None), status, answered, body.decode()

    return call


@pytest.fixture(scope="session")
def hire():
    """Let people log in to a plant, by name and role."""

    def call(root, **people):
        accounts = Accounts(root / USERS_FILE)
        for name, role in people.items():
            accounts.add(
                name, Role(role), PASSWORD, by=Actor("root", Role.ENGINEER), record=lambda _: None
            )
        return accounts

    return call


@pytest.fixture
def serve(dashboard):
    """Start a server; it ends with the test."""
    started = []

    def start(root, *options, **environment):
        server = dashboard(root, *options, **environment)
        server.start()
        started.append(server)
        return server

    yield start
    for server in started:
        server.kill()


@pytest.fixture(scope="module")
def browser(chromium):
    """A real browser; while it is open, this thread has a loop of its own."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as play:
        opened = play.chromium.launch(executable_path=str(chromium), args=FLAGS)
        yield opened
        opened.close()


class Profiles:
    """Profiles of a browser, which start empty and keep the code that pages have loaded."""

    def __init__(self, browser):
        self.browser, self.free = browser, collections.defaultdict(list)

    def take(self, options):
        """One that nobody uses."""
        free = self.free[json.dumps(options, sort_keys=True)]
        return free.pop() if free else self.browser.new_context(**options)

    def give_back(self, options, context):
        """Forget who was logged in, and all that pages have kept."""
        visited = {urllib.parse.urlsplit(page.url) for page in context.pages}
        page = context.new_page()
        for other in context.pages:
            if other is not page:
                other.close()
        devices = context.new_cdp_session(page)
        for scheme, host in {url[:2] for url in visited if url.netloc}:
            what = {"origin": f"{scheme}://{host}", "storageTypes": "all"}
            devices.send("Storage.clearDataForOrigin", what)
        context.clear_cookies()
        page.close()
        self.free[json.dumps(options, sort_keys=True)].append(context)


@pytest.fixture(scope="module")
def profiles(browser):
    """Of the module's browser."""
    return Profiles(browser)


@pytest.fixture
def open_page(profiles):
    """Open pages; whatever one asks of the internet, or complains of, fails the test."""
    opened, outside, complaints = [], [], []
    # A server that a test kills; a person who is turned away.
    expected = re.compile(
        "ERR_CONNECTION_RE(FUSED|SET)|ERR_EMPTY_RESPONSE|WebSocket|status of 40[13]"
        "|No response received|server is not responding|dynamically imported module"
    )

    def note(request):
        if "127.0.0.1" not in request.url and not request.url.startswith(("data:", "blob:")):
            outside.append(request.url)

    def listen(message):
        # Of a lost picture the desk tells; on a page with a name Streamlit looks for its root.
        is_sought = re.search("/cdm/pictures/|/_stcore/", message.location.get("url", ""))
        if message.type == "error" and not is_sought and not expected.search(message.text):
            complaints.append(message.text)

    def start(*, width=1280, height=800, **options):
        options["viewport"] = {"width": width, "height": height}
        context = profiles.take(options)
        context.set_default_timeout(PATIENCE_MS)
        context.on("request", note)
        opened.append((options, context))
        page = context.new_page()
        page.on("console", listen)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        return page

    yield start
    for options, context in opened:
        context.remove_listener("request", note)
        profiles.give_back(options, context)
    assert not outside
    assert not complaints


class View:
    """A page of the app without a browser: the harness of Streamlit, and what tests ask of it."""

    def __init__(self, app):
        self.app = app

    def __getattr__(self, name):
        return getattr(self.app, name)

    def texts(self):
        """All plain text on the page."""
        return "\n".join(text.value for text in self.app.text)

    def table(self, column):
        """The first table with such a column."""
        return next(frame.value for frame in self.app.dataframe if column in frame.value)

    def press(self, label):
        """Press the first button whose label begins so."""
        next(button for button in self.app.button if button.label.startswith(label)).click().run()
        assert not self.app.exception


def _view(name, line, actor):
    # What Streamlit runs: it is taken from this file as text, so it imports what it needs.
    import importlib

    from cdm_inspect_review.page_state import show_notice
    from cdm_inspect_review.plant import current_plant

    show_notice()
    view = importlib.import_module(f"cdm_inspect_review.views.{name}")
    if name == "first_run":
        view.show(actor)
    else:
        view.show(current_plant().desk, line, actor)


@pytest.fixture
def open_view(monkeypatch):
    """Open a page of a project, by the name of its view, as somebody (None: nobody) sees it."""
    from streamlit.testing.v1 import AppTest

    # Streamlit puts the page there and leaves it; processes that later tests start would run it.
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])

    def start(root, name, actor=None, *, line="A", query=None, state=None):
        import streamlit as st

        monkeypatch.setenv(PROJECT_VARIABLE, str(root))
        st.cache_resource.clear()
        app = AppTest.from_function(_view, args=(name, line, actor), default_timeout=60)
        for key, value in (query or {}).items():
            app.query_params[key] = value
        for key, value in (state or {}).items():
            app.session_state[key] = value
        app.run()
        assert not app.exception
        return View(app)

    return start


SHOWN = ".board[data-shown]"
"""What the desk has once a part is on the screen."""


@pytest.fixture
def sit_down(open_page):
    """Open the desk, or another page, as somebody; returns once a part is on the screen."""

    def sit(server, name="tanaka", *, path="/", password=None, awaited=SHOWN, **options):
        page = open_page(**options)
        log_in(page, server, name, password)
        page.goto(f"{server.url}{path}")
        page.wait_for_selector(awaited)
        return page

    return sit


def log_in(page, server, name, password=None):
    """Say who is at the desk; `test_login` does it by hand."""
    form = {"name": name, "password": password or "", "next": "/"}
    answer = page.request.post(f"{server.url}/cdm/login", form=form, max_redirects=0)
    assert answer.status == 303, answer.text()


@pytest.fixture
def pictures(tmp_path):
    """Where screenshots go."""
    folder = Path(os.environ.get("CDM_INSPECT_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    return folder
