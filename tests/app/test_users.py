"""Users, logins, sessions and signed addresses."""

import contextlib
import datetime as dt
import hashlib
import json
import os
import re
import statistics
import subprocess
import sys
import threading
import time
import unicodedata
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit

import itsdangerous
import pytest
from hypothesis import given, strategies as st

from cdm_inspect.config import load_project
from cdm_inspect.config.review import OidcConfig
from cdm_inspect.errors import AccessError, ConfigError, NotAllowed, StorageError
from cdm_inspect.files import write_durably
from cdm_inspect.roles import Actor, Right, Role
from cdm_inspect_review.oidc import is_expired, role_of_claims
from cdm_inspect_review.sessions import Signer, plant_secret, read_private
from cdm_inspect_review.throttle import LoginThrottle
from cdm_inspect_review.users import USERS_FILE, Accounts, checked_name

ADMIN = Actor("root", Role.ENGINEER)
PASSWORD = "correct horse battery"
posix = pytest.mark.skipif(os.name != "posix", reason="other systems have no such modes")

write_privately = partial(write_durably, is_private=True)


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def events():
    return []


@pytest.fixture
def accounts(tmp_path, clock):
    return Accounts(tmp_path / USERS_FILE, clock=clock)


@pytest.fixture
def add(accounts, events):
    def call(name, role=Role.OPERATOR, password=PASSWORD, by=ADMIN):
        return accounts.add(name, role, password, by=by, record=events.append)

    return call


@pytest.fixture
def change(accounts, events):
    def call(name, by=ADMIN, **what):
        return accounts.change(name, by=by, record=events.append, **what)

    return call


def test_who_was_added_logs_in_and_nobody_else(accounts, add, tmp_path):
    assert not accounts.exist
    assert accounts.check("tanaka", PASSWORD) is None
    user = add("tanaka", Role.QA)
    assert accounts.exist
    assert accounts.check("tanaka", PASSWORD) == user
    assert user.actor == Actor("tanaka", Role.QA)
    for name, password in [
        ("tanaka", PASSWORD + " "),
        ("tanaka", ""),
        ("suzuki", PASSWORD),
        ("", ""),
        ("tanaka\0", PASSWORD),
        ("\ud800", "\ud800" * 9),
        ("x" * 100_000, "y" * 100_000),
    ]:
        assert accounts.check(name, password) is None, name[:20]
    # Another process sees the same.
    assert Accounts(tmp_path / USERS_FILE).check("tanaka", PASSWORD) == user
    kept = (tmp_path / USERS_FILE).read_text()
    assert PASSWORD not in kept
    assert "scrypt" in kept


def test_the_same_password_is_never_kept_alike(accounts, add, tmp_path):
    add("a", Role.ENGINEER)
    add("b")
    hashes = [user["password"] for user in json.loads((tmp_path / USERS_FILE).read_text())["users"]]
    assert hashes[0]["salt"] != hashes[1]["salt"]
    assert hashes[0]["hash"] != hashes[1]["hash"]
    assert (hashes[0]["n"], hashes[0]["r"], hashes[0]["p"]) == (2**15, 8, 1)
    assert "password" not in repr(accounts.users()) + str(accounts.users()[0].model_dump())


def test_a_hash_made_with_other_effort_still_counts(accounts, add, tmp_path):
    add("tanaka")
    path = tmp_path / USERS_FILE
    document = json.loads(path.read_text())
    salt = bytes(range(16))
    made = hashlib.scrypt(b"of long ago", salt=salt, n=2**14, r=8, p=2, maxmem=2**26, dklen=32)
    document["users"][0]["password"] |= {
        "n": 2**14,
        "p": 2,
        "salt": salt.hex(),
        "hash": made.hex(),
    }
    write_privately(path, json.dumps(document).encode())
    assert accounts.check("tanaka", PASSWORD) is None
    assert accounts.check("tanaka", "of long ago").name == "tanaka"


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("../x", "../x"),
        ("'; DROP TABLE user; --", "'; DROP TABLE user; --"),
        ("[red]x[/red]", "[red]x[/red]"),
        ("  田中\u3000 一郎 ", "田中 一郎"),
        ("葛\U000e0100城", "葛\U000e0100城"),  # which glyph of 葛 is meant is part of the name
        ("Zoe\u0308", "Zoë"),
        ("\u1100\u1161" * 128, "가" * 128),
    ],
)
def test_names_are_text_and_nothing_else(accounts, add, tmp_path, name, kept):
    assert add(name).name == kept
    assert accounts.check(name, PASSWORD).name == kept
    assert {file.name for file in tmp_path.iterdir()} <= {USERS_FILE, f".{USERS_FILE}.lock"}


@pytest.mark.parametrize(
    "name",
    [
        "",
        "   ",
        "x" * 129,
        "x" * 1_000_000,
        "tana\u202eka",  # right-to-left override
        "tana\u200bka",  # no width
        "tana\u2066ka",
        "tana\0ka",
        "tana\x1b[31mka",
        "tana\x7fka",
        "tana\ud800ka",
        "tana\ue000ka",
    ],
)
def test_names_that_cannot_be_seen_are_refused(accounts, add, name):
    with pytest.raises(AccessError, match="name"):
        add(name)
    assert not accounts.exist


@pytest.mark.parametrize(
    ("name", "twin"),
    [
        ("tanaka", "Tanaka"),
        ("Zo\u00eb", "Zoe\u0308"),
        ("tanaka", "ｔａｎａｋａ"),
        ("Straße", "STRASSE"),
        ("葛城", "葛\U000e0100城"),
        ("田中 一郎", "田中\u3000一郎"),
    ],
)
def test_twins_are_one_person(accounts, add, name, twin):
    add(name)
    with pytest.raises(AccessError, match="already"):
        add(twin)
    assert accounts.check(twin, PASSWORD).name == checked_name(name)


@given(st.text(max_size=150))
def test_a_name_that_is_kept_stays_as_it_is(text):
    try:
        name = checked_name(text)
    except AccessError:
        return
    assert checked_name(name) == name == unicodedata.normalize("NFC", name)
    assert name.isprintable()


@pytest.mark.parametrize(
    "password", ["", "seven77", "tanaka-san", "TANAKA-SAN", "ｔａｎａｋａ-san", "x" * 1025]
)
def test_passwords_that_anybody_would_guess_are_refused(accounts, add, change, password):
    with pytest.raises(AccessError, match=r"password"):
        add("tanaka-san", Role.ENGINEER, password)
    add("tanaka-san", Role.ENGINEER)
    with pytest.raises(AccessError, match=r"password"):
        change("tanaka-san", password=password)
    assert accounts.check("tanaka-san", PASSWORD)


def test_a_password_is_the_same_on_every_keyboard(accounts, add):
    add("tanaka", password="Zoë-ガギグゲゴ")
    decomposed = unicodedata.normalize("NFD", "Zoë-ガギグゲゴ")
    assert accounts.check("tanaka", decomposed)
    add("suzuki", password="y" * 1024)
    assert accounts.check("suzuki", "y" * 1024)
    assert accounts.check("suzuki", "y" * 1025) is None


def test_every_change_ends_sessions(accounts, add, change):
    add("boss", Role.ENGINEER)
    epochs = [add("tanaka").epoch]
    assert epochs[0] == pytest.approx(time.time(), abs=5)
    for what in (
        {"role": Role.QA},
        {"password": "another password"},
        {"is_active": False},
        {"is_active": True},
    ):
        was_active = what != {"is_active": True}
        assert (accounts.actor("tanaka", epochs[-1]) is not None) == was_active
        epochs.append(change("tanaka", **what).epoch)
        assert accounts.actor("tanaka", epochs[-2]) is None
    assert epochs == sorted(set(epochs))
    assert accounts.actor("TANAKA", epochs[-1]) == Actor("tanaka", Role.QA)
    assert accounts.actor("nobody", epochs[-1]) is None
    assert accounts.check("tanaka", PASSWORD) is None
    assert accounts.check("tanaka", "another password")


def test_who_is_barred_can_neither_log_in_nor_go_on(accounts, add, change):
    add("tanaka")
    epoch = change("tanaka", is_active=False).epoch
    assert accounts.check("tanaka", PASSWORD) is None
    assert accounts.actor("tanaka", epoch) is None
    with pytest.raises(AccessError, match="may not log in"):
        add("tanaka")


def test_what_changes_nothing_is_no_change(accounts, add, change, events):
    user = add("tanaka", Role.QA)
    assert change("tanaka", role=Role.QA, is_active=True) == user
    assert change("tanaka") == user
    assert len(events) == 1


def test_the_last_active_engineer_stays(accounts, add, change):
    add("boss", Role.ENGINEER)
    add("tanaka", Role.QA)
    for what in ({"role": Role.QA}, {"is_active": False}):
        with pytest.raises(AccessError, match="last active engineer"):
            change("boss", **what)
    change("boss", password="another password")
    add("second", Role.ENGINEER)
    change("boss", is_active=False)
    with pytest.raises(AccessError, match="last active engineer"):
        change("second", role=Role.AUDITOR)
    # Where there was none, nobody is kept from changing others.
    assert change("tanaka", role=Role.OPERATOR).role is Role.OPERATOR


@pytest.mark.parametrize("role", sorted(set(Role) - {Role.ENGINEER}))
def test_only_an_engineer_looks_after_users(accounts, add, change, role, events):
    add("boss", Role.ENGINEER)
    for by in (Actor("tanaka", role), Actor("", Role.ENGINEER)):
        with pytest.raises(NotAllowed):
            add("friend", by=by)
        with pytest.raises(NotAllowed):
            change("boss", by=by, password="another password")
    assert [user.name for user in accounts.users()] == ["boss"]
    assert len(events) == 1


def test_what_was_done_is_recorded_without_passwords(add, change, events, tmp_path):
    add("tanaka", Role.QA)
    change("Tanaka", password="another password", role=Role.ENGINEER)
    assert [(e.action, e.who, e.role) for e in events] == [
        ("add-user", "root", "engineer"),
        ("change-user", "root", "engineer"),
    ]
    assert events[0].facts == {"user": "tanaka", "role": "qa", "is_active": True}
    assert events[1].facts == {
        "user": "tanaka",
        "role": "engineer",
        "is_active": True,
        "changed": ["password", "role"],
        "before": {"role": "qa", "is_active": True},
    }
    kept = json.loads((tmp_path / USERS_FILE).read_text())["users"][0]["password"]
    for secret in (PASSWORD, "another password", kept["hash"], kept["salt"]):
        assert secret not in repr(events)


def test_what_cannot_be_recorded_is_not_done(accounts, add):
    def refuse(event):
        raise StorageError("the store is away.")

    add("boss", Role.ENGINEER)
    before = accounts.path.read_bytes()
    with pytest.raises(StorageError, match="away"):
        accounts.add("tanaka", Role.QA, PASSWORD, by=ADMIN, record=refuse)
    with pytest.raises(StorageError, match="away"):
        accounts.change("boss", password="another password", by=ADMIN, record=refuse)
    assert accounts.path.read_bytes() == before


def test_what_was_recorded_and_could_not_be_done_is_recorded_as_well(
    accounts, add, events, tmp_path
):
    add("boss", Role.ENGINEER)
    before = accounts.path.read_bytes()
    accounts.path.rename(tmp_path / "kept")
    accounts.path.mkdir()  # nothing can be renamed over it
    (accounts.path / "x").touch()
    with pytest.raises(AccessError, match="cannot be read"):
        add("tanaka")
    assert len(events) == 1

    def block(event):
        """Between the record and the deed, what is written over becomes a folder."""
        events.append(event)
        if not accounts.path.is_dir():
            accounts.path.mkdir()

    accounts.path.joinpath("x").unlink()
    accounts.path.rmdir()
    with pytest.raises(StorageError, match="cannot be written"):
        accounts.add("tanaka", Role.QA, PASSWORD, by=ADMIN, record=block)
    assert [e.facts.get("is_done", True) for e in events] == [True, True, False]
    assert "not done" in events[-1].reason
    assert (tmp_path / "kept").read_bytes() == before
    assert not list(accounts.path.iterdir())


DAMAGE = {
    "empty": lambda text: "",
    "cut": lambda text: text[: len(text) // 2],
    "no users": lambda text: '{"format": 1, "users": []}',
    "later": lambda text: text.replace('"format": 1', '"format": 2'),
    "role": lambda text: text.replace('"qa"', '"king"'),
    "twins": lambda text: json.dumps(
        {"format": 1, "users": [u := json.loads(text)["users"][0], u | {"name": "TANAKA"}]}
    ),
    "name": lambda text: text.replace('"tanaka"', '"ta\\u202enaka"'),
    "huge effort": lambda text: text.replace("32768", str(2**40)),
    "odd effort": lambda text: text.replace("32768", "32769"),
    "no salt": lambda text: re.sub(r'"salt": *"\w+"', '"salt": ""', text),
    "deep": lambda text: "[" * 100_000,
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_file_lets_nobody_in(accounts, add, kind):
    add("tanaka", Role.QA)
    text = accounts.path.read_text()
    kept = json.loads(text)["users"][0]["password"]
    assert DAMAGE[kind](text) != text
    write_privately(accounts.path, DAMAGE[kind](text).encode())
    for use in (
        lambda: accounts.exist,
        accounts.users,
        lambda: accounts.check("tanaka", PASSWORD),
        lambda: accounts.actor("tanaka", 1),
        lambda: add("suzuki"),
    ):
        with pytest.raises(AccessError, match=r"damaged.*Restore") as caught:
            use()
        assert kept["hash"] not in str(caught.value)
        assert "\n" not in str(caught.value)


@posix
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o620, 0o604])
def test_a_file_that_others_can_read_or_change_is_refused(accounts, add, mode):
    add("tanaka")
    assert accounts.path.stat().st_mode & 0o777 == 0o600
    accounts.path.chmod(mode)
    with pytest.raises(AccessError, match="chmod 600"):
        accounts.check("tanaka", PASSWORD)
    accounts.path.chmod(0o600)
    assert accounts.check("tanaka", PASSWORD)


def test_a_link_that_leads_nowhere_opens_nothing(accounts, tmp_path):
    accounts.path.symlink_to(tmp_path / "gone")
    with pytest.raises(AccessError, match="not there"):
        _ = accounts.exist


@posix
def test_nobody_else_can_read_it_at_any_moment(accounts, add, change):
    add("tanaka")
    seen, done = set(), threading.Event()

    def watch():
        while not done.is_set():
            seen.add(accounts.path.stat().st_mode & 0o777)
            for folder in accounts.path.parent.glob(f".{USERS_FILE}.*"):
                with contextlib.suppress(OSError):  # gone already
                    if folder.is_dir():
                        seen.add(folder.stat().st_mode & 0o077)

    data = accounts.path.read_bytes()
    watcher = threading.Thread(target=watch)
    watcher.start()
    for _ in range(30):
        write_privately(accounts.path, data)
    done.set()
    watcher.join()
    assert seen <= {0o600, 0}


KILLED = """
import os, sys
from pathlib import Path
from cdm_inspect_review.users import Accounts
from cdm_inspect.roles import Actor, Role

def die(event, arguments):
    global calls
    if event == EVENT:
        calls += 1
        if calls == int(sys.argv[2]):
            os._exit(137)  # as a power cut: nothing is tidied up

EVENT, calls = sys.argv[3], 0
accounts = Accounts(Path(sys.argv[1]))
admin = Actor("root", Role.ENGINEER)
sys.addaudithook(die)
accounts.add("suzuki", Role.QA, "another password", by=admin, record=lambda event: None)
"""


@pytest.mark.parametrize("event", ["open", "os.rename"])
def test_a_power_cut_leaves_the_old_users_or_the_new(accounts, add, event):
    """Killed before each file that is opened and each rename, until it comes through."""
    tanaka = add("tanaka", Role.ENGINEER)
    before = accounts.path.read_bytes()
    for call in range(1, 40):
        done = subprocess.run(
            [sys.executable, "-c", KILLED, str(accounts.path), str(call), event],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            break
        assert done.returncode == 137, done.stderr
        users = Accounts(accounts.path).users()
        assert users[-1] == tanaka
        assert len(users) == 1 or [user.name for user in users] == ["suzuki", "tanaka"]
        accounts.path.chmod(0o600)
        write_privately(accounts.path, before)
    assert call > 1, "it was never killed"
    assert [user.name for user in accounts.users()] == ["suzuki", "tanaka"]


ADDING = """
import sys
from pathlib import Path
from cdm_inspect_review.users import Accounts
from cdm_inspect.roles import Actor, Role

accounts = Accounts(Path(sys.argv[1]))
admin = Actor("root", Role.ENGINEER)
sys.stdin.readline()
for number in range(4):
    name = f"{sys.argv[2]}{number}"
    accounts.add(name, Role.QA, "a password", by=admin, record=lambda event: None)
    accounts.change(name, role=Role.OPERATOR, by=admin, record=lambda event: None)
"""


def _together(script, *arguments_of_each):
    started = [
        subprocess.Popen(
            [sys.executable, "-c", script, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for arguments in arguments_of_each
    ]
    for process in started:
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate(timeout=120)[0] for process in started]
    assert [process.returncode for process in started] == [0] * len(started)
    return said


def test_processes_that_change_at_once_lose_nothing(accounts):
    path = str(accounts.path)
    _together(ADDING, *((path, name) for name in "abc"))
    users = accounts.users()
    assert [user.name for user in users] == [f"{x}{n}" for x in "abc" for n in range(4)]
    assert {user.role for user in users} == {Role.OPERATOR}


def test_a_stranger_takes_as_long_as_a_user(tmp_path, add, change):
    add("boss", Role.ENGINEER)
    add("barred")
    change("barred", is_active=False)

    def seconds(name):
        accounts = Accounts(tmp_path / USERS_FILE)
        took = []
        for _ in range(4):
            start = time.perf_counter()
            assert accounts.check(name, "not the password") is None
            took.append(time.perf_counter() - start)
        return statistics.median(took)

    user = seconds("boss")
    for name in ("other", "barred", "x" * 100_000):
        assert 0.4 < seconds(name) / user < 2.5


@pytest.mark.parametrize("name", ["tanaka", "other"])
def test_guessing_takes_ever_longer_and_never_for_good(accounts, add, clock, name):
    add("tanaka")
    for _ in range(5):
        assert accounts.check(name, "not the password") is None
    waits = []
    for _ in range(9):
        with pytest.raises(AccessError, match=r"Wait \d+ s") as caught:
            accounts.check(name, PASSWORD)
        waits.append(int(re.search(r"Wait (\d+) s", str(caught.value))[1]))
        clock.now += waits[-1] - 0.01
        with pytest.raises(AccessError, match="Wait 1 s"):
            accounts.check(name, PASSWORD)
        clock.now += 0.01
        assert accounts.check(name, "not the password") is None
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    clock.now += 60
    found = accounts.check(name, PASSWORD)
    assert (found is not None) == (name == "tanaka")
    if found:  # it begins anew
        assert accounts.check(name, "not the password") is None
        assert accounts.check(name, PASSWORD)


def test_guessing_many_names_from_one_address(clock):
    throttle = LoginThrottle(clock)
    for number in range(20):
        throttle.admit(f"user {number}", "10.0.0.9")
    with pytest.raises(AccessError):
        throttle.admit("tanaka", "10.0.0.9")
    throttle.admit("tanaka", "10.0.0.7")
    clock.now += 60
    throttle.admit("tanaka", "10.0.0.9")
    # Who has a password of their own does not get to guess those of others with it.
    throttle.forgive("tanaka", "10.0.0.9")
    throttle.admit("user 1", "10.0.0.9")
    with pytest.raises(AccessError):
        throttle.admit("user 2", "10.0.0.9")


def test_whoever_guesses_elsewhere_keeps_nobody_from_their_own_station(clock):
    throttle = LoginThrottle(clock)
    throttle.admit("tanaka", "station 3")
    throttle.forgive("tanaka", "station 3")
    for _ in range(5):
        throttle.admit("tanaka", "elsewhere")
    with pytest.raises(AccessError):
        throttle.admit("tanaka", "a third place")
    throttle.admit("tanaka", "station 3")
    for _ in range(4):
        throttle.admit("tanaka", "station 3")
    with pytest.raises(AccessError):
        throttle.admit("tanaka", "station 3")


def test_quiet_minutes_are_forgotten_failures(clock):
    throttle = LoginThrottle(clock)
    for _ in range(50):
        throttle.admit("tanaka", "")
        clock.now += 60
    for _ in range(4):
        throttle.admit("tanaka", "")


def test_many_tries_at_the_same_time_are_not_all_the_first(accounts, add):
    add("tanaka")
    refused = []

    def attempt():
        try:
            accounts.check("tanaka", "not the password")
        except AccessError as error:
            refused.append(error)

    threads = [threading.Thread(target=attempt) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 7


def test_what_is_counted_is_bounded(clock):
    throttle = LoginThrottle(clock)
    for number in range(25_000):
        clock.now += 60
        throttle.admit(f"user {number}", f"address {number}")
        throttle.forgive(f"user {number}", f"address {number}")
        throttle.admit(f"user {number}", "")
    assert len(throttle._failures) <= 10_000
    assert len(throttle._at_home) <= 10_000


def test_a_plant_has_one_secret_that_others_cannot_read(tmp_path):
    key = plant_secret(tmp_path)
    assert len(key) == 32
    assert len(set(key)) > 8
    assert plant_secret(tmp_path) == key
    path = tmp_path / "dashboard.key"
    other = tmp_path / "other"
    other.mkdir()
    assert plant_secret(other) != key
    if os.name == "posix":
        assert path.stat().st_mode & 0o777 == 0o600
        path.chmod(0o644)
        with pytest.raises(AccessError, match="chmod 600"):
            plant_secret(tmp_path)
    write_privately(path, b"short")
    with pytest.raises(AccessError, match="damaged: expected 32 bytes, found 5"):
        plant_secret(tmp_path)


def test_processes_that_start_at_once_have_the_same_secret(tmp_path):
    script = (
        "import sys; from pathlib import Path\n"
        "from cdm_inspect_review.sessions import plant_secret\n"
        "sys.stdin.readline(); print(plant_secret(Path(sys.argv[1])).hex())"
    )
    said = _together(script, *[(str(tmp_path),)] * 4)
    assert {line.strip() for line in said} == {plant_secret(tmp_path).hex()}


def test_what_cannot_be_read_or_written_ends_with_a_sentence(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot be written"):
        write_privately(tmp_path / "file" / "x", b"")
    with pytest.raises(AccessError, match="cannot be read"):
        read_private(tmp_path / "file" / "x")
    (tmp_path / ".dashboard.key.lock").mkdir()
    with pytest.raises(StorageError, match="cannot be written"):
        plant_secret(tmp_path)


@pytest.fixture
def signer():
    return Signer(b"k" * 32)


def test_a_session_is_read_by_the_plant_that_made_it(signer):
    actor = Actor("田中 <script>", Role.QA)
    text = signer.session(actor, 7, now=1000)
    assert re.fullmatch(r"[\w.-]+", text, re.ASCII)  # fit for a cookie
    assert signer.read_session(text, 60, now=1060) == ("田中 <script>", Role.QA, 7)
    assert signer.read_session(text, 60, now=1061) is None
    assert signer.read_session(text, 60, now=999) is not None  # a clock that was set a little
    assert signer.read_session(text, 60, now=900) is None
    assert Signer(b"K" * 32).read_session(text, 60, now=1000) is None
    longest = signer.session(Actor("\U0001f600" * 128, Role.QA), 2**40, now=1000)
    assert len(longest) < 4000
    assert signer.read_session(longest, 60, now=1000)
    assert signer.read_session(signer.session(actor, 7), 60) == ("田中 <script>", Role.QA, 7)


@pytest.mark.parametrize(
    "text", [None, "", ".", "..", "a.b.c", "x" * 10_000, "\0", "é", "\ud800", "W10.x.y"]
)
def test_what_is_no_session_is_none(signer, text):
    assert signer.read_session(text, 60) is None


@given(st.data())
def test_a_changed_session_is_none(data):
    signer = Signer(b"k" * 32)
    text = signer.session(Actor("tanaka", Role.OPERATOR), 7, now=1000)
    end = text.rindex(".")
    place = data.draw(st.integers(0, end - 1))
    other = data.draw(st.characters(max_codepoint=0x2FF).filter(lambda c: c != text[place]))
    assert signer.read_session(text[:place] + other + text[place + 1 :], 60, now=1000) is None


def _asked(address):
    parts = urlsplit(address)
    query = parse_qs(parts.query)
    return unquote(parts.path), query["e"][0], query["s"][0]


def test_a_signed_address_opens_its_path_for_a_while(signer):
    now = 3600 * 1000 + 1
    path, expiry, signature = _asked(signer.sign_path("/image/キズ 1.png", 600, now=now))
    assert path == "/image/キズ 1.png"
    assert int(expiry) == 3600 * 1001
    assert signer.is_signed(path, expiry, signature, now=now)
    assert signer.is_signed(path, expiry, signature, now=3600 * 1001 - 1)
    assert not signer.is_signed(path, expiry, signature, now=3600 * 1001)
    later = str(int(expiry) + 3600)
    for forged in (
        (path + "x", expiry, signature),
        (path, later, signature),
        (path, f"0{expiry}", signature),
        (path, f" {expiry}", signature),
        (path, "١٢٣", signature),
        (path, "9" * 13, signature),
        (path, "", signature),
        (path, None, signature),
        (path, expiry, None),
        (path, expiry, ""),
        (path, expiry, signature[:-1]),
        (path, expiry, signature + "="),
        (path, expiry, signature.swapcase()),
        (path, expiry, "é" * len(signature)),
        ("\ud800", expiry, signature),
    ):
        assert not signer.is_signed(*forged, now=now), forged
    assert not Signer(b"K" * 32).is_signed(path, expiry, signature, now=now)
    path, expiry, signature = _asked(signer.sign_path("/a", 60))
    assert signer.is_signed(path, expiry, signature)


def test_the_same_picture_keeps_its_address_for_a_while(signer):
    start = 3600 * 1000
    addresses = [signer.sign_path("/a", 3600, now=start + minute * 60) for minute in range(180)]
    assert len(set(addresses)) <= 4
    for minute, address in enumerate(addresses):
        end = int(_asked(address)[1])
        assert 3600 <= end - (start + minute * 60) <= 7200


def test_each_purpose_has_a_signature_of_its_own(signer):
    expiry = "3600"

    def sealed(salt):
        seal = itsdangerous.Signer(
            b"k" * 32, salt=salt, key_derivation="hmac", digest_method=hashlib.sha256
        )
        return seal.get_signature(f"{expiry}:/x".encode()).decode()

    assert signer.is_signed("/x", expiry, sealed("cdm-inspect.path"), now=1000)
    assert not signer.is_signed("/x", expiry, sealed("cdm-inspect.session"), now=1000)
    # A part of the path cannot become a part of the expiry.
    shifted = signer.sign_path(f"{expiry}:/x", 60, now=1000)
    assert not signer.is_signed("/x", expiry, _asked(shifted)[2], now=1000)


def test_only_paths_are_signed(signer):
    for path in ("/a?b=1", "/a#b"):
        with pytest.raises(AccessError, match="without a query"):
            signer.sign_path(path, 60)
    assert quote("/a%3Fb") in signer.sign_path("/a%3Fb", 60)
    with pytest.raises(AccessError, match="32 bytes"):
        Signer(b"short")


OIDC = OidcConfig(roles={"plant-qa": Role.QA, "plant-eng": Role.ENGINEER})


@pytest.mark.parametrize(
    ("claims", "config", "actor"),
    [
        ({"roles": ["x", "plant-qa"], "email": "a@b"}, OIDC, Actor("a@b", Role.QA)),
        ({"roles": "plant-qa", "email": "a@b"}, OIDC, Actor("a@b", Role.QA)),
        ({"roles": ["plant-eng", "plant-qa"], "email": "a@b"}, OIDC, Actor("a@b", Role.QA)),
        (
            {"realm_access": {"roles": ["plant-eng"]}, "sub": "Zoe\u0308"},
            OIDC.model_copy(update={"claim": "realm_access.roles", "name_claim": "sub"}),
            Actor("Zoë", Role.ENGINEER),
        ),
        (
            {"https://plant.example/roles": ["plant-qa"], "email": "a@b"},
            OIDC.model_copy(update={"claim": "https://plant.example/roles"}),
            Actor("a@b", Role.QA),
        ),
        ({"roles": ["plant-qa"], "email": "a@b", "email_verified": True}, OIDC, Actor("a@b", "qa")),
        ({"roles": ["plant-qa"], "email": "a@b", "email_verified": False}, OIDC, None),
        ({"roles": ["plant-qa"], "email": "a@b", "email_verified": "false"}, OIDC, None),
        ({"roles": ["PLANT-QA"], "email": "a@b"}, OIDC, None),
        ({"roles": "plant-qa plant-eng", "email": "a@b"}, OIDC, None),
        ({"roles": {"plant-qa": 1}, "email": "a@b"}, OIDC, None),
        ({"roles": [["plant-qa"], None, 3], "email": "a@b"}, OIDC, None),
        ({"roles": None, "email": "a@b"}, OIDC, None),
        ({"roles": ["plant-qa"]}, OIDC, None),
        ({"roles": ["plant-qa"], "email": ["a@b"]}, OIDC, None),
        ({"roles": ["plant-qa"], "email": "a\u202eb"}, OIDC, None),
        ({"roles": ["plant-qa"], "email": ""}, OIDC, None),
        ({}, OIDC, None),
        ({"roles": ["plant-qa"], "email": "a@b"}, OidcConfig(), None),
        ({"roles": "x", "email": "a@b"}, OIDC.model_copy(update={"claim": "roles.x"}), None),
    ],
)
def test_people_of_the_plants_own_login(claims, config, actor):
    assert role_of_claims(claims, config) == actor


@pytest.mark.parametrize(
    ("exp", "expired"),
    [
        (1001, False),
        (1000.5, False),
        (1000, True),
        (999, True),
        (None, True),
        ("2000", True),
        (True, True),
        (float("nan"), True),
        (float("inf"), True),
        (10**400, True),
        ([2000], True),
    ],
)
def test_a_token_that_does_not_say_until_when_is_expired(exp, expired):
    assert is_expired({"exp": exp}, 1000.0) is expired


def test_a_token_without_an_end_is_expired():
    assert is_expired({}, 1000.0)


def test_the_project_file_says_who_is_what(tmp_path):
    file = tmp_path / "cdm-inspect.toml"
    file.write_text('[review.oidc]\nclaim = "groups"\nroles = {"plant-qa" = "qa"}\n')
    oidc = load_project(tmp_path).review.oidc
    assert (oidc.claim, oidc.name_claim, oidc.roles) == ("groups", "email", {"plant-qa": Role.QA})
    file.write_text('[review.oidc]\nroles = {"plant-qa" = "king"}\nclaim = ""\nother = 1\n')
    with pytest.raises(ConfigError) as caught:
        load_project(tmp_path)
    assert len(caught.value.problems) == 3
    file.write_text("")
    assert load_project(tmp_path).review.oidc == OidcConfig()


def test_the_core_loads_without_what_only_the_app_needs():
    script = (
        "import sys, cdm_inspect_review.users, cdm_inspect_review.sessions\n"
        "print({'torch', 'itsdangerous', 'streamlit', 'sqlalchemy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr


def test_the_manual_says_what_each_role_may(accounts):
    manual = (Path(__file__).parents[2] / "docs" / "users.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \|[^|]*\| ([^|]*) \|$", manual, re.MULTILINE))
    assert set(rows) == {role.value for role in Role}
    for role in Role:
        may = {right.value for right in Right if Actor("x", role).may(right)}
        assert set(re.findall(r"`([\w-]+)`", rows[role.value])) == may, role


def test_users_keep_when_they_were_changed(accounts, add, change):
    first = add("tanaka")
    assert abs(dt.datetime.now(dt.UTC) - first.changed_at) < dt.timedelta(minutes=1)
    second = change("tanaka", role=Role.QA)
    assert second.changed_at > first.changed_at
    assert accounts.users() == (second,)


def test_users_change_their_own_password_and_it_is_recorded(accounts, add, events):
    add("boss", Role.ENGINEER)
    user = add("suzuki")
    events.clear()
    changed = accounts.change_own_password("Suzuki", PASSWORD, "another password", events.append)
    assert accounts.check("suzuki", PASSWORD) is None
    assert accounts.check("suzuki", "another password") == changed
    assert accounts.actor("suzuki", user.epoch) is None  # former sessions are over
    assert accounts.actor("suzuki", changed.epoch) == changed.actor
    (event,) = events
    assert (event.action, event.who, event.role) == ("change-user", "suzuki", "operator")
    assert event.facts["changed"] == ["password"]


def test_nobody_changes_the_password_of_somebody_else(accounts, add, change, events, clock):
    add("boss", Role.ENGINEER)
    user = add("suzuki")
    events.clear()
    for name, old, new, error in [
        ("suzuki", "not the password", "another password", NotAllowed),
        ("nobody", PASSWORD, "another password", NotAllowed),
        ("suzuki", PASSWORD, "short", AccessError),
        ("suzuki", PASSWORD, "suzuki", AccessError),
    ]:
        with pytest.raises(error):
            accounts.change_own_password(name, old, new, events.append)
    assert accounts.check("suzuki", PASSWORD) == user
    change("suzuki", is_active=False)
    with pytest.raises(NotAllowed):
        accounts.change_own_password("suzuki", PASSWORD, "another password", events.append)
    # Guessing the old password is guessing a login.
    change("suzuki", is_active=True)

    def guess():
        for _ in range(10):
            with contextlib.suppress(NotAllowed):
                accounts.change_own_password("suzuki", "wrong guess", "another one", events.append)

    with pytest.raises(AccessError, match="Wait"):
        guess()
    clock.now += 3600
    assert accounts.check("suzuki", PASSWORD).name == "suzuki"


def test_an_own_password_that_cannot_be_recorded_stays(accounts, add):
    add("suzuki")

    def refuse(event):
        raise StorageError("the store is away")

    with pytest.raises(StorageError):
        accounts.change_own_password("suzuki", PASSWORD, "another password", refuse)
    assert accounts.check("suzuki", PASSWORD) is not None
