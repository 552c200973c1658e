"""The plant's own login (OpenID Connect), with a provider of our own and a real browser."""

import contextlib
import json
import secrets
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
from itsdangerous import TimestampSigner

from cdm_inspect.project import open_project
from cdm_inspect.roles import Actor, Role
from cdm_inspect.testing.recorded_line import record_line
from cdm_inspect_review.sessions import Signer, plant_secret

pytestmark = pytest.mark.browser

OF_THE_DESK = "min_look_ms"
"""The desk is said this with its first message, in clear."""
PROJECT = """\
[lines.A]
normal = "good"

[review]
session_hours = {hours}

[review.oidc]
claim = "realm_access.roles"

[review.oidc.roles]
"plant-qa" = "qa"
"plant-floor" = "operator"
"""
SECRETS = """\
[auth]
redirect_uri = "{url}/oauth2callback"
cookie_secret = "{secret}"
client_id = "cdm-inspect"
client_secret = "s3cr3t-of-the-client"
server_metadata_url = "{issuer}/.well-known/openid-configuration"
"""


class Provider:
    """The provider, and the person it knows."""

    def __init__(self, folder):
        self.person = folder / "person.json"
        self.ended = folder / "person.ended"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.issuer = f"http://127.0.0.1:{self.port}"

    def __enter__(self):
        script = Path(__file__).with_name("oidc_provider.py")
        self.process = subprocess.Popen(
            [sys.executable, str(script), str(self.port), str(self.person)]
        )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                urllib.request.urlopen(f"{self.issuer}/jwks", timeout=5).close()
                return self
            except OSError:
                time.sleep(0.1)
        raise AssertionError("the provider did not start")

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def knows(self, name, *groups, seconds=3600, key="own", **claims):
        """Of whoever comes next."""
        said = {"sub": name, "email": name, "realm_access": {"roles": groups}, **claims}
        person = {"claims": said, "seconds": seconds, "key": key}
        self.person.write_text(json.dumps(person))


@pytest.fixture(scope="module")
def provider(tmp_path_factory):
    with Provider(tmp_path_factory.mktemp("provider")) as started:
        yield started


def make_plant(root, *, hours=12):
    root.mkdir()
    (root / "cdm-inspect.toml").write_text(PROJECT.format(hours=hours))
    with open_project(root).open_store() as store:
        # A screen takes a dozen ahead; one that is closed in a hurry has them for two minutes.
        record_line(store, 400, side=64, photographs=2)


def starting(dashboard, root, provider):
    """A server that will ask the provider; not yet started."""
    server = dashboard(root)
    file = root / ".streamlit" / "secrets.toml"
    file.parent.mkdir()
    text = SECRETS.format(url=server.url, issuer=provider.issuer, secret=secrets.token_urlsafe(32))
    file.write_text(text)
    file.chmod(0o600)
    return server


@pytest.fixture(scope="module")
def server(tmp_path_factory, dashboard, provider):
    root = tmp_path_factory.mktemp("oidc") / "plant"
    make_plant(root)
    with starting(dashboard, root, provider) as started:
        yield started


class Visit:
    """A page, the tokens it was given for the desk, and what came over its live connection."""

    def __init__(self, page, server):
        self.page, self.server, self.tokens, self.frames = page, server, [], []
        page.on("request", self._note)
        page.on("websocket", lambda socket: socket.on("framereceived", self._hear))

    def _note(self, request):
        token = request.headers.get("x-desk-token")
        if token and token not in self.tokens:
            self.tokens.append(token)

    def _hear(self, frame):
        self.frames.append(frame)

    def heard(self, text):
        """Whether the server said a text."""
        return any(text.encode() in bytes(frame) for frame in self.frames)

    def come_in(self):
        self.page.goto(self.server.url)
        self.page.get_by_role("button", name="Go on").click()
        return self

    def sit_down(self):
        self.come_in()
        self.page.wait_for_selector(".board[data-shown]")
        return self


@pytest.fixture
def visit(open_page, server):
    return lambda at=server: Visit(open_page(), at)


@pytest.mark.parametrize(
    ("group", "role", "settles"),
    [("plant-qa", "quality", True), ("plant-floor", "operator", False)],
)
def test_a_group_gives_a_role(provider, visit, ask, server, group, role, settles):
    provider.knows(f"{group}@plant.example", "others", group)
    came = visit().sit_down()
    came.page.get_by_text(f"{group}@plant.example · {role}").wait_for()
    assert came.heard(OF_THE_DESK)
    asked = {"line": "A", "queue": "open", "order": "oldest", "holder": "x" * 12, "count": 1}
    body = json.dumps(asked)
    status, _, _ = ask(server, "/cdm/desk/take", "POST", body, x_desk_token=came.tokens[0])
    assert status == (200 if settles else 403)


@pytest.mark.parametrize(
    "claims",
    [
        {"realm_access": {"roles": ["visitors"]}},
        pytest.param({"realm_access": {}}, marks=pytest.mark.long),
        pytest.param({"realm_access": "plant-qa"}, marks=pytest.mark.long),
        {"email_verified": False},
        pytest.param({"email": "a\u202eb@plant.example"}, marks=pytest.mark.long),
    ],
)
def test_whoever_has_no_role_sees_nothing(provider, visit, claims):
    provider.knows("guest@plant.example", "plant-qa", **claims)
    came = visit().come_in()
    came.page.get_by_text("has no role here").wait_for()
    assert came.page.locator(".board").count() == 0
    assert came.tokens == []
    assert not came.heard(OF_THE_DESK)
    came.page.get_by_role("button", name="Leave").click()
    came.page.get_by_role("button", name="Go on").wait_for()


def free_parts(server):
    """How many flagged parts no screen has."""
    with open_project(server.root).open_store() as store:
        found = len(store.claim("A", "screen-of-the-test", count=400))
        store.release("screen-of-the-test")
    return found


def test_a_kiosk_stays_one_through_the_login_and_out_of_it(provider, visit, server):
    provider.knows("sato@plant.example", "plant-qa")
    before = free_parts(server)
    page = visit().page
    kiosk = f"{server.url}/?kiosk=1&line=A"
    page.goto(kiosk)
    page.get_by_text("日本語").click()
    page.get_by_text("会社のアカウントでログイン").wait_for()
    page.get_by_role("button", name="次へ").click()
    page.wait_for_selector(".board[data-shown]")
    assert page.url == kiosk
    assert free_parts(server) < before
    page.get_by_role("button", name="ログアウト").click()
    page.get_by_role("button", name="次へ").wait_for()
    deadline = time.monotonic() + 20  # nobody waits for the answer as a page goes away
    while free_parts(server) < before:
        assert time.monotonic() < deadline
    assert page.url == kiosk
    left = {cookie["name"]: cookie["value"] for cookie in page.context.cookies()}
    assert "cdm_way" not in left
    assert left["cdm_language"] == "ja"


@pytest.mark.parametrize(
    "way",
    ["//evil.example", "/\\evil.example", "https://evil.example", "/auth/logout", "/a\r\nb:c"],
)
def test_the_way_back_leads_nowhere_else(ask, server, way):
    kept = f"cdm_way={urllib.parse.quote(way, safe='')}"
    _, answered, _ = ask(server, "/oauth2callback?state=x", cookie=kept)
    assert answered["location"] == "/"
    referer = urllib.parse.quote(way, safe=":/\\")
    for led in (referer, f"http://evil.example{referer}", "http://evil.example/?kiosk=1"):
        _, answered, _ = ask(server, "/auth/logout", referer=led)
        assert answered["location"] == "/", led
    _, answered, _ = ask(server, "/auth/logout", referer=f"{server.url}/drift?line=A")
    assert answered["location"] == "/drift?line=A"
    _, answered, _ = ask(server, "/cdm/login?next=/drift%3Fline%3DA")
    assert (answered["location"]) == "/drift?line=A"


def test_nobody_is_told_anything(server, visit, ask, enter, provider):
    came = visit()
    came.page.goto(f"{server.url}/drift?line=A")
    came.page.get_by_role("button", name="Go on").wait_for()
    assert not came.heard(OF_THE_DESK)
    assert came.tokens == []
    for path, status in (
        ("/", 200),
        ("/cdm/desk/limit-samples?line=A", 401),
        ("/cdm/desk/alike/1", 401),
        (f"/cdm/pictures/photo/{'0' * 64}", 403),
        ("/cdm/pictures/map/1", 403),
        ("/_stcore/metrics", 401),
        ("/media/none.pdf", 404),
    ):
        found, _, body = ask(server, path)
        assert found == status, path
        assert b"A1000" not in body
    session, status, answered, _ = enter(server, "engineer")
    assert (session, status, answered["location"]) == (None, 303, "/")


def test_sessions_of_other_modes_are_none(server, ask, hire):
    accounts = hire(server.root, mori="engineer")
    mori = accounts.users()[0]
    signer = Signer(plant_secret(server.root))
    for session in (
        signer.session(Actor("mori", Role.ENGINEER), 0),
        signer.session(mori.actor, mori.epoch),
        Signer(b"z" * 32).session(Actor("mori", Role.ENGINEER), -1),
        "",
        "x",
    ):
        cookie = f"cdm_session={session}"
        path = "/cdm/desk/limit-samples?line=A"
        assert ask(server, path, x_desk_token=session, cookie=cookie)[0] == 401


@pytest.mark.slow
def test_a_login_that_is_over_is_turned_away(provider, dashboard, visit, ask, tmp_path):
    """By the token of the provider, and by the hours of the plant; both are waited for at once."""
    path = "/cdm/desk/limit-samples?line=A"
    limits = {"token": (16, 12), "session": (3_000_000, 16 / 3600)}
    with contextlib.ExitStack() as servers:
        sessions = []
        for name, (seconds, hours) in limits.items():
            (tmp_path / name).mkdir()
            make_plant(tmp_path / name / "plant", hours=hours)
            starts = starting(dashboard, tmp_path / name / "plant", provider)
            server = servers.enter_context(starts)
            provider.knows("sato@plant.example", "plant-qa", seconds=seconds)
            came = visit(server).sit_down()
            [token] = came.tokens
            assert ask(server, path, x_desk_token=token)[0] == 200
            sessions.append((server, came, token))
        came.page.wait_for_timeout(17_000)
        for server, came, token in sessions:
            is_turned_away(server, came, ask(server, path, x_desk_token=token)[0])


def is_turned_away(server, came, status):
    """What was open closes, and nothing opens again."""
    assert status == 401
    came.page.get_by_text("日本語").click()
    came.page.get_by_text("ログインの期限が切れたか").wait_for()
    came.page.locator(".board").wait_for(state="detached")
    # Streamlit's cookie is kept for longer; it opens nothing. The language stays.
    came.page.goto(f"{server.url}/drift")
    came.page.get_by_text("ログインの期限が切れたか").wait_for()


def test_leaving_ends_it_everywhere(provider, visit, ask, server):
    provider.knows("sato@plant.example", "plant-qa")
    came = visit().sit_down()
    other = came.page.context.new_page()
    other.goto(server.url)
    other.wait_for_selector(".board[data-shown]")
    [token] = came.tokens
    came.page.get_by_role("button", name="Leave").click()
    came.page.get_by_role("button", name="Go on").wait_for()
    assert "post_logout_redirect_uri" in provider.ended.read_text()
    left = {cookie["name"] for cookie in came.page.context.cookies()}
    assert not {"_streamlit_user", "_streamlit_user_tokens"} & left
    assert ask(server, "/cdm/desk/limit-samples?line=A", x_desk_token=token)[0] == 401
    other.get_by_text("日本語").click()
    other.get_by_text("ログインの期限が切れたか").wait_for()


@pytest.mark.parametrize(
    "said",
    [{"key": "other"}, {"aud": "another-app"}, {"iss": "http://127.0.0.1:1"}, {"nonce": "x"}],
    ids=["key", "aud", "iss", "nonce"],
)
def test_tokens_of_others_are_not_believed(provider, visit, server, said):
    provider.knows("sato@plant.example", "plant-qa", **said)
    came = visit()
    with came.page.expect_response("**/oauth2callback*") as answer:
        came.come_in()
    assert answer.value.status == 302
    came.page.wait_for_load_state()
    came.page.get_by_role("button", name="Go on").wait_for()
    assert not [c for c in came.page.context.cookies() if c["name"] == "_streamlit_user"]
    assert came.tokens == []
    assert not came.heard(OF_THE_DESK)


def test_cookies_that_somebody_else_signed(visit, server):
    came = visit()
    person = {
        "origin": server.url,
        "is_logged_in": True,
        "email": "sato@plant.example",
        "realm_access": {"roles": ["plant-qa"]},
        "iat": int(time.time()),
        "exp": int(time.time()) + 3600,
    }
    text = json.dumps(person)
    forged = [TimestampSigner("another-secret").sign(text).decode(), text]
    for value in forged:
        came.page.context.add_cookies(
            [{"name": "_streamlit_user", "value": value, "url": server.url}]
        )
        came.page.goto(server.url)
        came.page.get_by_role("button", name="Go on").wait_for()
    assert came.tokens == []


def test_an_answer_that_nobody_asked_for(server, ask):
    for query in ("code=x&state=y", "state=y", "", "error=%0d%0aSet-Cookie:%20a=b"):
        status, answered, _ = ask(server, f"/oauth2callback?{query}")
        assert (status, answered["location"]) == (302, "/"), query
        assert "_streamlit_user=" not in answered.get("set-cookie", "")
        assert "content-security-policy" in answered


def test_a_provider_that_is_away(provider, dashboard, browser, ask, tmp_path):
    root = tmp_path / "plant"
    make_plant(root)
    server = starting(dashboard, root, provider)
    file = root / ".streamlit" / "secrets.toml"
    file.write_text(file.read_text().replace(provider.issuer, "http://127.0.0.1:9"))
    with server, browser.new_context() as context:
        page = context.new_page()
        with page.expect_response("**/auth/login*") as answer:
            Visit(page, server).come_in()
        assert answer.value.status in (400, 500)
        assert "Traceback" not in answer.value.text()
        assert "content-security-policy" in answer.value.headers
        assert ask(server, "/cdm/desk/alike/1")[0] == 401
