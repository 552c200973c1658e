"""`cdm-inspect users`, as whoever looks after them calls it."""

import json
import os
import subprocess
import sys
import time

import pytest

from cdm_inspect.roles import Role
from cdm_inspect.storage import SqlStore
from cdm_inspect_review.users import USERS_FILE, Accounts

PASSWORD = "correct horse battery"


@pytest.fixture
def project(tmp_path):
    root = tmp_path / "project"
    root.mkdir()
    (root / "cdm-inspect.toml").write_text("")
    return root


@pytest.fixture
def password_file(tmp_path):
    file = tmp_path / "password"
    file.write_text(PASSWORD + "\n")
    return file


@pytest.fixture
def users(run, project):
    def call(*arguments, code=0):
        done = run("--json", "--project", project, "users", *arguments)
        assert done.returncode == code, done.stdout + done.stderr
        assert PASSWORD not in done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return json.loads(done.stdout) if done.stdout else done.stderr

    return call


def test_a_year_of_users(users, project, password_file, tmp_path, run):
    assert users("list") == {"users": []}
    added = users("add", "tanaka", "--role", "engineer", "--password-file", password_file)["user"]
    assert (added["name"], added["role"], added["is_active"]) == ("tanaka", "engineer", True)
    users("add", "[red]鈴木[/red]", "--role", "operator", "--password-file", password_file)
    other = tmp_path / "other"
    other.write_bytes("\ufeffanother password\r\n".encode())
    changed = users("change", "TANAKA", "--password-file", other)["user"]
    assert changed["changed_at"] > added["changed_at"]
    assert users("change", "[red]鈴木[/red]", "--role", "qa")["user"]["role"] == "qa"
    assert users("change", "[red]鈴木[/red]", "--inactive")["user"]["is_active"] is False
    said = run("--project", project, "users", "list").stdout
    rows = [line for line in said.splitlines() if "engineer" in line or "qa" in line]
    assert ["[red]鈴木[/red]" in row for row in rows] == [True, False]
    assert [("no" in row, "yes" in row) for row in rows] == [(True, False), (False, True)]
    listed = users("list")["users"]
    assert [user["name"] for user in listed] == ["[red]鈴木[/red]", "tanaka"]
    assert set(listed[0]) == {"name", "role", "is_active", "changed_at"}

    accounts = Accounts(project / USERS_FILE)
    assert accounts.check("tanaka", PASSWORD) is None
    assert accounts.check("tanaka", "another password").role is Role.ENGINEER
    with SqlStore("sqlite:///cdm-inspect.db", "images/", root=project) as store:
        events = store.events()
    assert [event.action for event in events] == ["change-user"] * 3 + ["add-user"] * 2
    assert {event.role for event in events} == {"engineer"}
    assert all(event.who for event in events)
    assert events[2].facts["changed"] == ["password"]
    assert run("--project", project, "store", "verify").returncode == 0
    kept = json.loads((project / USERS_FILE).read_text())["users"][0]["password"]
    database = b"".join(file.read_bytes() for file in project.glob("cdm-inspect.db*"))
    for secret in (PASSWORD, "another password", kept["hash"], kept["salt"]):
        assert secret.encode() not in database


@pytest.mark.slow
def test_what_is_wrong_ends_with_a_sentence_and_its_code(users, project, password_file, tmp_path):
    given = ("--password-file", password_file)
    assert "no user 'nobody'" in users("change", "nobody", "--inactive", code=10)
    users("add", "tanaka", "--role", "engineer", *given)
    assert "already" in users("add", "Tanaka", "--role", "qa", *given, code=10)
    assert "last active engineer" in users("change", "tanaka", "--inactive", code=10)
    assert "found nothing" in users("change", "tanaka", code=2)
    assert "cannot be seen" in users("add", "ta\u202enaka", "--role", "qa", *given, code=10)
    assert "no terminal" in users("add", "suzuki", "--role", "qa", code=2)
    assert "king" in users("add", "suzuki", "--role", "king", *given, code=2)
    for content in (b"", b"two\nlines", b"\xff\xfe\xff", b"x" * 100_000):
        file = tmp_path / "odd"
        file.write_bytes(content)
        said = users("add", "suzuki", "--role", "qa", "--password-file", file, code=2)
        assert "expected one line" in said
    file.write_text("short")
    assert "8 to" in users("add", "suzuki", "--role", "qa", "--password-file", file, code=10)
    gone = tmp_path / "gone"
    assert "cannot be read" in users(
        "add", "suzuki", "--role", "qa", "--password-file", gone, code=2
    )
    if os.name == "posix":
        (project / USERS_FILE).chmod(0o644)
        assert "chmod 600" in users("list", code=10)
        (project / USERS_FILE).chmod(0o600)
    assert [user["name"] for user in users("list")["users"]] == ["tanaka"]


def test_who_could_not_be_recorded_is_not_added(users, project, password_file):
    users("add", "tanaka", "--role", "engineer", "--password-file", password_file)
    for file in project.glob("cdm-inspect.db*"):
        file.unlink()
    (project / "cdm-inspect.db").write_bytes(b"this is no database " * 100)
    before = (project / USERS_FILE).read_bytes()
    given = ("--password-file", password_file)
    assert "not a database" in users("add", "suzuki", "--role", "qa", *given, code=9)
    assert "not a database" in users("change", "tanaka", *given, code=9)
    assert (project / USERS_FILE).read_bytes() == before


def test_a_password_from_standard_input(project):
    command = [sys.executable, "-m", "cdm_inspect", "--project", str(project), "users"]
    done = subprocess.run(
        [*command, "add", "tanaka", "--role", "qa", "--password-file", "-"],
        input=(PASSWORD + "\n").encode(),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert b"tanaka may log in as qa." in done.stdout
    assert Accounts(project / USERS_FILE).check("tanaka", PASSWORD)


@pytest.mark.skipif(os.name != "posix", reason="no pseudo-terminals")
@pytest.mark.parametrize(
    ("typed", "code"), [((PASSWORD, PASSWORD), 0), ((PASSWORD, "another password"), 2)]
)
def test_a_password_is_asked_for_twice_and_never_shown(project, typed, code):
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "cdm_inspect", "--project", str(project)),
            *("users", "add", "tanaka", "--role", "qa"),
        ],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    said = b""
    try:
        for question, answer in zip((b"Password: ", b"Again: "), typed, strict=True):
            end = time.monotonic() + 60
            while question not in said and time.monotonic() < end:
                said += os.read(ours, 1024)
            os.write(ours, answer.encode() + b"\n")
        while chunk := _read(ours):
            said += chunk
    finally:
        process.wait(timeout=60)
        os.close(ours)
    assert process.returncode == code, said
    assert PASSWORD.encode() not in said
    found = Accounts(project / USERS_FILE).check("tanaka", PASSWORD)
    assert (found is not None) == (code == 0)
    assert (b"differ" in said) == (code == 2)


def _read(terminal):
    try:
        return os.read(terminal, 1024)
    except OSError:  # the other side has ended
        return b""
