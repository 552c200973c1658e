"""What protects the review app, against the server as a user starts it and a real browser."""

import asyncio
import contextlib
import json
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import psutil
import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import connect

from cdm_inspect.project import open_project
from cdm_inspect.records import InspectionQuery
from cdm_inspect.testing.recorded_line import record_line
from cdm_inspect.testing.specimens import a_part
from cdm_inspect_review.launcher import ADDRESS_VARIABLE, PROJECT_VARIABLE
from cdm_inspect_review.sessions import Signer, plant_secret

PROJECT = """\
[lines.A]
normal = "good"

[review]
hosts = ["review.plant.example", "*.qa.example"]
"""
# Told by the server itself, from inside: what it opens, and whom it calls.
WITNESS = """
import os, sys

def witness(event, arguments):
    if event in ("socket.connect", "socket.sendto", "socket.getaddrinfo", "open"):
        said = arguments[0] if event in ("open", "socket.getaddrinfo") else arguments[1]
        try:
            os.write(notes, f"{event} {said!r}\\n".encode())
        except Exception:
            pass

notes = os.open(os.environ["WITNESS_NOTES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
sys.addaudithook(witness)
"""
HTML = b"<html><script>alert(1)</script></html>"


@pytest.fixture(scope="module")
def plant(tmp_path_factory, hire):
    root = tmp_path_factory.mktemp("security") / "plant"
    root.mkdir()
    (root / "cdm-inspect.toml").write_text(PROJECT)
    hire(root, tanaka="operator", mori="engineer")
    _, png = cv2.imencode(".png", np.full((8, 8, 3), 90, np.uint8))
    with open_project(root).open_store() as store:
        record_line(store, 30, side=64, photographs=2)
        for number, evidence in ((1, png.tobytes() + HTML), (2, HTML), (3, b"GIF89a" + HTML)):
            store.append(a_part(number, serial=f"HTML-{number}"), evidence=evidence)
    return root


@pytest.fixture(scope="module")
def notes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("witness")
    (folder / "sitecustomize.py").write_text(WITNESS)
    return folder / "notes.txt"


@pytest.fixture(scope="module")
def server(plant, notes, dashboard):
    with dashboard(plant, PYTHONPATH=str(notes.parent), WITNESS_NOTES=str(notes)) as started:
        yield started


@pytest.fixture(scope="module")
def session(server, plant, hire):
    """Of the engineer."""
    mori = next(user for user in hire(plant).users() if user.name == "mori")
    return Signer(plant_secret(plant)).session(mori.actor, mori.epoch)


@pytest.fixture
def get(server, ask, session):
    """Ask as the engineer."""

    def call(path, method="GET", body=None, **headers):
        given = {"cookie": f"cdm_session={session}", "x_desk_token": session, **headers}
        return ask(server, path, method, body, **given)

    return call


def parts_of(plant, **query):
    with open_project(plant).open_store() as store:
        return store.find(InspectionQuery(line="A", limit=100, **query))


def signed(plant, path, seconds=3600, **at):
    return Signer(plant_secret(plant)).sign_path(path, seconds, **at)


def is_protected(headers):
    policy = dict(rule.split(" ", 1) for rule in headers["content-security-policy"].split("; "))
    scripts = policy["script-src"].split()
    assert policy["default-src"] == "'self'"
    assert set(scripts) - {"'self'", "blob:"} == {s for s in scripts if s.startswith("'sha256-")}
    for rule in ("object-src", "frame-ancestors"):
        assert policy[rule] == "'none'"
    for rule in ("base-uri", "form-action", "connect-src"):
        assert policy[rule] == "'self'"
    assert "http" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["cache-control"]
    assert "server-timing" not in headers
    assert "access-control-allow-origin" not in headers
    return True


def test_every_kind_of_answer_has_the_headers(server, ask, get, plant):
    picture = signed(plant, f"/cdm/pictures/full/{parts_of(plant)[0].image_sha256}")
    page = get("/")[2].decode()
    script = re.search(r'src="\./(static/js/[^"]+)"', page)[1]
    answers = [
        (200, get("/")),
        (200, get("/drift")),
        (200, get(f"/{script}")),
        (200, get("/healthz")),
        (200, get("/_stcore/health")),
        (200, get("/_stcore/host-config")),
        (200, get(picture)),
        (200, get("/cdm/login")),
        (200, get("/", "HEAD")),
        (303, ask(server, "/", accept="text/html")),
        (303, get("/cdm/logout", cookie="", accept="text/html")),
        (304, get(picture, if_none_match=get(picture)[1]["etag"])),
        (400, get("/cdm/assets/../../x")),
        (400, get("/", host="evil.example")),
        (401, ask(server, "/")),
        (401, ask(server, "/cdm/login", "POST", b"name=x&password=y")),
        (403, get("/cdm/login", "POST", b"", origin="https://evil.example")),
        (403, get(f"/cdm/pictures/full/{'0' * 64}")),
        (404, get("/cdm/nothing")),
        (404, get("/media/nothing")),
        (404, get("/component/nothing/index.html")),
        (405, get("/cdm/login", "DELETE")),
        (413, get("/cdm/desk/take", "POST", b" " * 300_000)),
        (422, get("/cdm/desk/take", "POST", b"{}")),
    ]
    for number, (status, (found, headers, _)) in enumerate(answers):
        assert found == status, number
        assert is_protected(headers), number


def in_the_app(monkeypatch, plant):
    """Make modules of the app importable."""
    monkeypatch.setenv(PROJECT_VARIABLE, str(plant))
    monkeypatch.delenv(ADDRESS_VARIABLE, raising=False)


def run_apart(coroutine):
    """In a thread of its own: a browser that is open keeps a loop in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


def test_what_goes_wrong_inside_is_not_told(plant, monkeypatch, caplog):
    in_the_app(monkeypatch, plant)
    from cdm_inspect_review.security import SecurityHeaders

    async def broken(scope, receive, send):
        raise RuntimeError("the password of the database is 1234")

    sent = []

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/x", "scheme": "http", "headers": []}
    run_apart(SecurityHeaders(broken)(scope, None, send))
    assert sent[0]["status"] == 500
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    assert is_protected(headers)
    assert b"1234" not in sent[1]["body"]
    assert "1234" in caplog.text


def test_cookies_over_tls_stay_there(plant, monkeypatch):
    in_the_app(monkeypatch, plant)
    from cdm_inspect_review.security import SecurityHeaders

    async def give(scope, receive, send):
        cookies = [b"a=1; Path=/", b"b=2; Path=/; Secure"]
        headers = [(b"set-cookie", cookie) for cookie in cookies]
        await send({"type": "http.response.start", "status": 200, "headers": headers})

    for scheme, expected in (("http", 1), ("https", 2)):
        sent = []

        async def send(message, sent=sent):
            sent.append(message)

        scope = {"type": "http", "method": "GET", "path": "/", "scheme": scheme, "headers": []}
        run_apart(SecurityHeaders(give)(scope, None, send))
        given = [value for name, value in sent[0]["headers"] if name == b"set-cookie"]
        assert sum(value.count(b"Secure") for value in given) == expected


@pytest.mark.parametrize(
    ("host", "is_known"),
    [
        ("127.0.0.1", True),
        ("localhost:8501", True),
        ("LOCALHOST", True),
        ("review.plant.example", True),
        ("review.plant.example:443", True),
        ("a.qa.example", True),
        ("evil.example", False),
        ("qa.example.evil.example", False),
        ("review.plant.example.evil.example", False),
        ("evil-qa.example", False),
        ("127.0.0.1.evil.example", False),
        ("evil.example@127.0.0.1", False),
        ("127.0.0.1@evil.example", False),
        ("127.0.0.1#.evil.example", False),
        ("127.0.0.1/evil", False),
        ("0.0.0.0", False),
        ("127.1", False),
        ("2130706433", False),
        ("", False),
    ],
)
def test_only_hosts_of_the_plant(server, ask, get, session, host, is_known):
    """A page of somebody whose name leads here (DNS rebinding) is said nothing."""
    assert (get("/", host=host)[0] == 200) is is_known
    assert (get("/healthz", host=host)[0] == 200) is is_known
    assert (get("/cdm/desk/limit-samples?line=A", host=host)[0] == 200) is is_known
    assert is_connected(server, session, host=host, origin=f"http://{host}") is is_known


def is_connected(server, session, *, host, origin=None, **headers):
    """Whether a live connection can be opened; by hand, for clients correct what they send."""
    named = {
        "Host": host,
        "Cookie": f"cdm_session={session}",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Protocol": "streamlit",
        **({"Origin": origin} if origin is not None else {}),
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    asked = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as link:
        link.sendall(f"GET /_stcore/stream HTTP/1.1\r\n{asked}\r\n".encode())
        return b" 101 " in link.recv(1000).split(b"\r\n")[0]


OWN = "127.0.0.1:{port}"


@pytest.mark.parametrize(
    ("origin", "headers", "is_own"),
    [
        ("http://{own}", {}, True),
        ("https://{own}", {}, True),  # a proxy that does not say how it is spoken to
        ("https://{own}", {"X-Forwarded-Proto": "https"}, True),
        ("http://{own}", {"X-Forwarded-Proto": "https"}, False),
        (None, {}, True),  # no browser
        ("null", {}, False),  # a page in a sandbox, or a file
        ("https://evil.example", {}, False),
        ("http://127.0.0.1", {}, False),
        ("http://127.0.0.1:1", {}, False),
        ("http://localhost:{port}", {}, False),
        ("http://evil.example@{own}", {}, False),
        ("http://{own}.evil.example", {}, False),
        ("ftp://{own}", {}, False),
        ("file://", {}, False),
        ("", {}, False),
    ],
)
def test_only_pages_of_its_own(server, get, session, origin, headers, is_own):
    own = OWN.format(port=server.port)
    if origin is not None:
        origin = origin.format(own=own, port=server.port)
    assert is_connected(server, session, host=own, origin=origin, **headers) is is_own
    given = {**headers, **({"origin": origin} if origin is not None else {})}
    for path, status in (
        ("/cdm/login", 401),
        ("/cdm/desk/take", 422),
        ("/cdm/desk/decisions", 422),
        ("/cdm/desk/release", 422),
    ):
        assert get(path, "POST", b"{}", host=own, **given)[0] == (status if is_own else 403), path


def test_a_proxy_that_keeps_the_name(server, get, session):
    """As nginx with `proxy_set_header Host $host` and `X-Forwarded-Proto $scheme`."""
    behind = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.9"}
    named = {"host": "review.plant.example", "origin": "https://review.plant.example"}
    assert is_connected(server, session, **named, **behind)
    assert get("/cdm/desk/release", "POST", b'{"holder": "x"}', **named, **behind)[0] in (200, 422)
    assert get("/cdm/login", "POST", b"", **named, **behind)[0] == 401


def test_a_live_connection_takes_a_session(server, session):
    own = OWN.format(port=server.port)
    assert is_connected(server, session, host=own)
    for other in ("", "x", session[:-3] + "AAA"):
        assert not is_connected(server, other, host=own)


def test_pictures_take_a_signature(plant, get, ask, server):
    photo, other = (part.image_sha256 for part in parts_of(plant)[:2])
    number = next(part.id for part in parts_of(plant) if part.heatmap_sha256)
    path = f"/cdm/pictures/full/{photo}"
    good = signed(plant, path)
    assert get(good)[0] == 200
    assert get(signed(plant, f"/cdm/pictures/photo/{photo}"))[0] == 200
    assert get(signed(plant, f"/cdm/pictures/map/{number}"))[1]["content-type"] == "image/png"
    assert ask(server, good)[0] == 401  # nor without a session
    query = good.partition("?")[2]
    expiry, seal = re.fullmatch(r"e=(\d+)&s=(.+)", query).groups()
    for address in (
        path,
        f"{path}?e={expiry}",
        f"{path}?s={seal}",
        f"{path}?e=&s=",
        f"{path}?e={int(expiry) + 3600}&s={seal}",
        f"{path}?e={expiry}.0&s={seal}",
        f"{path}?e=-1&s={seal}",
        f"{path}?e=1e99&s={seal}",
        f"{path}?e={expiry}&s={seal[:-4]}AAAA",
        f"{path}?e={expiry}&s={seal}%00",
        f"{path}?e={expiry}&s=%E3%81%82",
        f"/cdm/pictures/full/{other}?{query}",
        f"/cdm/pictures/photo/{photo}?{query}",
        f"/cdm/pictures/map/{number}?{query}",
        signed(plant, path, now=time.time() - 3 * 3600),
        Signer(b"s" * 32).sign_path(path, 3600),
    ):
        assert get(address)[0] == 403, address


def test_names_that_are_no_pictures_reach_no_file(plant, get, notes):
    name = parts_of(plant)[0].image_sha256
    odd = [
        name.upper(),
        name[:-1],
        f"{name}0",
        "%2e%2e",
        "..%2fusers.json",
        f"{name}%2f..",
        "",
        ".",
    ]
    odd += ["%00", f"{name}%0a", "%EF%BC%90" * 64, "..%5c..", "C:%5cx", "%252e%252e", "a" * 5000]
    names = [(kind, text) for kind in ("photo", "full") for text in odd]
    names += [("map", text) for text in ("-1", "1.0", "x", "9" * 19, "%D9%A1", "1e3", name)]
    names += [("other", name), ("restoration", name), ("", name)]

    def opened():
        return notes.read_text().count(str(plant / "images"))

    before = opened()
    for kind, text in names:
        # Even signed: of what is asked for, not of what it might be taken for.
        for query in ("", "?" + signed(plant, f"/cdm/pictures/{kind}/{text}").partition("?")[2]):
            status, headers, body = get(f"/cdm/pictures/{kind}/{text}{query}")
            assert status in (308, 400, 404), (kind, text)
            assert "image" not in headers.get("content-type", "")
            assert str(plant) not in body.decode("latin-1")
    assert opened() == before
    assert get(signed(plant, f"/cdm/pictures/full/{name}"))[0] == 200
    assert opened() > before  # the witness would have seen it


def test_a_photograph_is_nothing_else(plant, get):
    by_serial = {part.serial: part for part in parts_of(plant)}
    for kind in ("photo", "full"):
        address = signed(plant, f"/cdm/pictures/{kind}/{by_serial['HTML-1'].image_sha256}")
        status, headers, body = get(address, accept="text/html")
        assert (status, headers["content-type"]) == (200, "image/png")
        assert headers["x-content-type-options"] == "nosniff"
        assert body.endswith(HTML)  # byte by byte
        for serial in ("HTML-2", "HTML-3"):
            address = signed(plant, f"/cdm/pictures/{kind}/{by_serial[serial].image_sha256}")
            status, headers, body = get(address)
            assert (status, headers["content-type"]) == (404, "application/json")
            assert b"<script>" not in body


def test_the_server_tells_nobody_of_itself(get):
    for path in ("/", "/healthz", "/cdm/nothing"):
        headers = get(path)[1]
        assert "streamlit" not in headers.get("server", "").lower()
    assert json.loads(get("/healthz")[2]) == {"status": "ready"}


@contextlib.contextmanager
def at_the_desk(server, session):
    """The desk is open, as in a browser, and drawn."""
    with connect(
        f"ws://127.0.0.1:{server.port}/_stcore/stream",
        origin=server.url,
        additional_headers={"Cookie": f"cdm_session={session}"},
        subprotocols=["streamlit"],
        open_timeout=60,
        max_size=None,
        proxy=None,
    ) as link:
        asked, said = BackMsg(), ForwardMsg()
        asked.rerun_script.query_string = ""
        link.send(asked.SerializeToString())
        while said.WhichOneof("type") != "script_finished":
            said.ParseFromString(link.recv(timeout=60))
        yield


@pytest.mark.long
@pytest.mark.slow
def test_sixty_people_who_leave_cost_little(plant, dashboard, session):
    with dashboard(plant) as server:
        process = psutil.Process(server.process.pid)
        used = []
        for _ in range(3):
            with contextlib.ExitStack() as people:
                for _ in range(60):
                    people.enter_context(at_the_desk(server, session))
                used.append(round(process.memory_info().rss / 2**20))
        time.sleep(2)
        used.append(round(process.memory_info().rss / 2**20))
    assert max(used) < 400, used
    # What the first sixty took, the others take over: Streamlit keeps who has gone for two minutes.
    assert used[3] < used[0] + 60, used
