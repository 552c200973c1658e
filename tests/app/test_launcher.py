"""`cdm-inspect dashboard`: what it refuses to start, and what it says."""

import http.client
import os
import socket
import subprocess
import sys
import time

import pytest

from cdm_inspect.errors import CdmInspectError
from cdm_inspect.project import open_project
from cdm_inspect_review.launcher import run_dashboard

SECRET = "a-secret-of-the-plant-that-is-long-enough"
AUTH = f"""\
[auth]
redirect_uri = "http://localhost:8501/oauth2callback"
cookie_secret = "{SECRET}"
client_id = "cdm-inspect"
client_secret = "s3cr3t-of-the-client"
server_metadata_url = "https://login.plant.example/.well-known/openid-configuration"
"""
PROJECT = '[lines.A]\nnormal = "good"\n'
ROLES = '[review.oidc.roles]\n"plant-qa" = "qa"\n'


@pytest.fixture
def plant(tmp_path):
    root = tmp_path / "plant"
    root.mkdir()
    (root / "cdm-inspect.toml").write_text(PROJECT)
    return root


@pytest.fixture
def tell(monkeypatch):
    """What is said of a start that is refused, and the exit code."""

    def start(*_):
        pytest.fail("the server was started")  # in place of these tests

    monkeypatch.setattr(os, "execve", start)

    def call(root, *, port=8501, address="127.0.0.1"):
        with pytest.raises(CdmInspectError) as caught:
            run_dashboard(open_project(root), port=port, address=address, is_kiosk=False, say=print)
        return caught.value.exit_code, str(caught.value)

    return call


@pytest.fixture
def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def serve_elsewhere(free_port):
    """Start a server on an address that is not this machine's first; returns its port."""
    started = []

    def start(root, address):
        command = [sys.executable, "-m", "cdm_inspect", "--project", str(root), "dashboard"]
        started.append(subprocess.Popen([*command, "--port", str(free_port), "--address", address]))
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                socket.create_connection((address, free_port)).close()
                return free_port
            except OSError:
                time.sleep(0.1)
        raise AssertionError("it did not start")

    yield start
    for process in started:
        process.kill()
        process.wait()


def keep_secrets(root, text, mode=0o600):
    path = root / ".streamlit" / "secrets.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def test_others_only_where_somebody_asks_who_they_are(plant, tell):
    for address in ("0.0.0.0", "::", "192.0.2.1", "127.0.0.2"):
        code, said = tell(plant, address=address)
        assert code == 2
        assert "cdm-inspect users add" in said
        assert "secrets.toml" in said


def test_a_proxy_brings_others(plant, tell):
    (plant / "cdm-inspect.toml").write_text(f'{PROJECT}[review]\nhosts = ["qa.example"]\n')
    code, said = tell(plant)
    assert code == 2
    assert "cdm-inspect users add" in said


def test_users_that_others_can_read_are_none(plant, tell, hire):
    hire(plant, mori="engineer")
    (plant / "users.json").chmod(0o640)
    code, said = tell(plant, address="0.0.0.0")
    assert code == 10
    assert "chmod 600" in said


@pytest.mark.parametrize(
    ("secrets", "mode", "project", "code", "expected"),
    [
        (AUTH, 0o644, ROLES, 10, "chmod 600"),
        ("[auth", 0o600, ROLES, 2, "is no TOML"),
        (b"\xff\xfe".decode("latin-1"), 0o600, ROLES, 2, "is no TOML"),
        ("auth = 3", 0o600, ROLES, 2, "expected a table"),
        ("[auth]", 0o600, ROLES, 2, "auth.client_secret: expected a text"),
        (AUTH.replace(SECRET, "short"), 0o600, ROLES, 2, "auth.cookie_secret: expected 32"),
        (AUTH.replace("oauth2callback", "back"), 0o600, ROLES, 2, "with /oauth2callback"),
        (AUTH.replace("localhost", "qa.example"), 0o600, ROLES, 2, "is not among the hosts"),
        (AUTH.replace("https://login", "http://login"), 0o600, ROLES, 2, "expected https"),
        (AUTH, 0o600, "", 2, "gives no group a role"),
    ],
)
def test_a_login_that_lets_nobody_in(plant, tell, secrets, mode, project, code, expected):
    (plant / "cdm-inspect.toml").write_text(PROJECT + project)
    keep_secrets(plant, secrets, mode)
    found, said = tell(plant)
    assert found == code
    assert expected in said
    assert SECRET not in said
    assert "s3cr3t" not in said


def test_a_port_that_is_taken(plant, tell):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        code, said = tell(plant, port=other.getsockname()[1])
    assert code == 2
    assert "another program listens there" in said


@pytest.mark.parametrize("address", ["192.0.2.1", "no-such-machine.invalid", "2001:db8::1"])
def test_an_address_of_somebody_else(plant, tell, hire, address):
    hire(plant, mori="engineer")
    code, said = tell(plant, address=address)
    assert code == 2
    assert "expected an address of this machine" in said


@pytest.mark.parametrize("host", ["https://qa.example", "qa.example:8501", "*", "*x", "a b", ""])
def test_hosts_that_no_browser_would_name(plant, tell, host):
    (plant / "cdm-inspect.toml").write_text(f'{PROJECT}[review]\nhosts = ["{host}"]\n')
    code, said = tell(plant)
    assert code == 2
    assert "hosts of [review]" in said


def test_the_command_line_says_it_in_a_sentence(plant, run, tmp_path):
    for project, option, value, expected in (
        (tmp_path, "--port", "8501", "cdm-inspect.toml"),
        (plant, "--address", "0.0.0.0", "cdm-inspect users add"),
        (plant, "--port", "0", "Invalid value for '--port'"),
        (plant, "--port", "65536", "Invalid value for '--port'"),
    ):
        done = run("--project", project, "dashboard", option, value, timeout=60)
        assert done.returncode == 2
        assert expected in " ".join(done.stderr.split())
        assert "Traceback" not in done.stderr


def said_at_start(root, port, *options):
    """What a server says before it is ready; it is stopped then."""
    command = [sys.executable, "-m", "cdm_inspect", "--project", str(root), "dashboard"]
    with subprocess.Popen(
        [*command, "--port", str(port), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "COLUMNS": "400"},
    ) as started:
        try:
            lines = []
            for line in started.stdout:
                if "You can now view" in line:
                    break
                lines.append(line)
            return " ".join(" ".join(lines).split())
        finally:
            started.kill()


def test_a_kiosk_is_told_its_address(plant, free_port):
    said = said_at_start(plant, free_port, "--kiosk")
    assert f"http://127.0.0.1:{free_port}/?kiosk=1" in said


def test_names_that_lead_here_are_told(plant, hire, free_port):
    hire(plant, mori="engineer")
    hosts = '[review]\nhosts = ["*.plant.example", "qa.example"]\n'
    (plant / "cdm-inspect.toml").write_text(PROJECT + hosts)
    said = said_at_start(plant, free_port, "--address", "0.0.0.0")
    assert f"http://qa.example:{free_port}/" in said
    assert "localhost, *.plant.example, qa.example" in said
    assert repr(socket.gethostname()) in said


def test_the_address_itself_leads_here_and_other_names_do_not(plant, hire, serve, ask):
    hire(plant, mori="engineer")
    server = serve(plant, "--address", "0.0.0.0")
    port = server.port
    for host, status in (
        (f"127.0.0.1:{port}", 200),
        (f"localhost:{port}", 200),
        (f"0.0.0.0:{port}", 400),
        (f"{socket.gethostname()}:{port}", 400),
    ):
        assert ask(server, "/cdm/login", host=host)[0] == status, host
    # Nobody has logged in.
    assert ask(server, "/")[0] == 401


def test_both_families_of_addresses(plant, hire, serve, ask):
    hire(plant, mori="engineer")
    server = serve(plant, "--address", "::")
    for host in (f"[::1]:{server.port}", f"127.0.0.1:{server.port}"):
        assert ask(server, "/cdm/login", host=host)[0] == 200, host
    with socket.create_connection(("::1", server.port)) as link:
        link.sendall(b"GET /cdm/login HTTP/1.0\r\nHost: [::1]\r\n\r\n")
        assert b"200 OK" in link.recv(100)


def test_the_address_that_was_named_leads_here(plant, hire, serve_elsewhere):
    hire(plant, mori="engineer")
    port = serve_elsewhere(plant, "127.0.0.2")
    for host, status in (("127.0.0.2", 200), ("127.0.0.3", 400)):
        connection = http.client.HTTPConnection("127.0.0.2", port, timeout=60)
        connection.request("GET", "/cdm/login", headers={"Host": f"{host}:{port}"})
        assert connection.getresponse().status == status
        connection.close()


def test_surroundings_change_nothing_that_protects(plant, serve, ask, tmp_path):
    """Settings of Streamlit in the folder, the home and the environment."""
    for folder in (tmp_path / "home", plant):
        settings = folder / ".streamlit" / "config.toml"
        settings.parent.mkdir(parents=True)
        settings.write_text(
            "[server]\nenableXsrfProtection = false\nenableAgentApi = true\n"
            'baseUrlPath = "elsewhere"\nenableStaticServing = true\n'
            "[browser]\ngatherUsageStats = true\n"
        )
    server = serve(
        plant,
        HOME=str(tmp_path / "home"),
        STREAMLIT_SERVER_TRUSTED_USER_HEADERS='{"x-user": "email"}',
        STREAMLIT_SERVER_ADDRESS="0.0.0.0",
        STREAMLIT_CLIENT_SHOW_ERROR_DETAILS="full",
    )
    assert ask(server, "/healthz")[0] == 200
    assert b"Streamlit" in ask(server, "/")[2]
    assert b"session" not in ask(server, "/_stcore/agent/sessions", "POST", b"{}")[2]
    with socket.socket() as probe:
        probe.settimeout(5)
        others = [
            found[4][0]
            for found in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)
            if not found[4][0].startswith("127.")
        ]
        assert all(probe.connect_ex((other, server.port)) for other in others)
