"""What the desk in the browser may ask for, and what a changed one is refused."""

import json
import time
from dataclasses import replace
from functools import partial

import pytest

from cdm_inspect.project import open_project
from cdm_inspect.records import Decision, InspectionQuery, JudgingSetup, Verdict
from cdm_inspect.roles import Actor, Role
from cdm_inspect.testing.recorded_line import record_line
from cdm_inspect.testing.specimens import a_part, a_review
from cdm_inspect_review.plant import Plant
from cdm_inspect_review.sessions import Signer, plant_secret

PROJECT = """\
[lines.A]
normal = "good"

[lines.B]
normal = "good"

[lines.B.review]
reasons = [{ code = "warped", en = "Warped", ja = "反り" }]
"""


@pytest.fixture(scope="module")
def plant(tmp_path_factory, hire):
    root = tmp_path_factory.mktemp("api") / "plant"
    root.mkdir()
    (root / "cdm-inspect.toml").write_text(PROJECT)
    hire(root, tanaka="operator", sato="qa", mori="engineer", abe="auditor")
    with open_project(root).open_store() as store:
        record_line(store, 60, side=64, photographs=2)
        record_line(store, 10, line="B", side=64, photographs=2, seed=1)
    return root


@pytest.fixture(scope="module")
def sessions(server, plant, hire):
    """Of each user, by name."""
    signer = Signer(plant_secret(plant))
    return {user.name: signer.session(user.actor, user.epoch) for user in hire(plant).users()}


@pytest.fixture
def post(server, ask, sessions):
    """Send a body as somebody: status and answer."""

    def call(name, path, body, *, token=None):
        text = body if isinstance(body, (str, bytes)) else json.dumps(body)
        headers = {"cookie": f"cdm_session={sessions[name]}", "content_type": "application/json"}
        token = sessions[name] if token is None else token
        status, _, answer = ask(
            server, f"/cdm/desk/{path}", "POST", text, x_desk_token=token, **headers
        )
        return status, json.loads(answer)

    return call


@pytest.fixture
def store(plant):
    with open_project(plant).open_store() as opened:
        yield opened


@pytest.fixture
def untouched(store):
    """Parts that nobody has decided: one more each time."""
    taken = []

    def give(line="A", verdict=None):
        query = InspectionQuery(line=line, is_decided=False, limit=100)
        found = next(
            part
            for part in store.find(query)
            if part.id not in taken
            and (part.verdict is verdict if verdict else part.verdict is not Verdict.PASS)
        )
        taken.append(found.id)
        return found

    return give


@pytest.fixture
def events(store):
    """What was recorded of refusals since the test began."""
    before = len(store.events(action="refused"))
    return lambda: store.events(action="refused")[: len(store.events(action="refused")) - before]


def taking(**changes):
    asked = {"line": "A", "queue": "flagged", "order": "oldest", "holder": "screen-0001"}
    return {**asked, "count": 2, **changes}


def deciding(part, **changes):
    said = {"client_id": f"client-{time.time_ns()}", "inspection_id": part.id}
    said["sha256"] = part.sha256
    return {**said, "version": part.version, "decision": "accept", "queue": "flagged", **changes}


def test_only_with_a_token_of_the_plant(server, ask, sessions, post):
    session = sessions["tanaka"]
    cookie = f"cdm_session={session}"
    own = Signer(b"k" * 32).session(Actor("tanaka", Role.ENGINEER), 1)
    for token in ("", "x", own, session[:-5] + "AAAAA", session.swapcase(), session * 40):
        assert post("tanaka", "take", taking(), token=token)[0] == 401
    # The cookie alone does nothing: other sites could make a browser send it.
    assert ask(server, "/cdm/desk/take", "POST", json.dumps(taking()), cookie=cookie)[0] == 401
    for path in ("alike/1", "limit-samples?line=A"):
        assert ask(server, f"/cdm/desk/{path}", cookie=cookie)[0] == 401
        assert ask(server, f"/cdm/desk/{path}", cookie=cookie, x_desk_token=session)[0] == 200
    assert post("tanaka", "take", taking())[0] == 200


def test_whoever_leaves_gives_back_what_was_lent(server, plant, ask, post, hire):
    """A browser says so as the page goes away: by then the session is over."""
    (ueda,) = (user for user in hire(plant, ueda="operator").users() if user.name == "ueda")
    session = Signer(plant_secret(plant)).session(ueda.actor, ueda.epoch)
    cookie = f"cdm_session={session}"

    def send(path, holder, **more):
        body = json.dumps({"holder": holder, **more})
        return ask(server, path, "POST", body, cookie=cookie, x_desk_token=session)[0]

    asked = {**taking(), "count": 1}
    del asked["holder"]
    assert send("/cdm/desk/take", "screen-ueda", **asked) == 200
    ask(server, "/cdm/logout", cookie=cookie)
    assert send("/cdm/desk/take", "screen-ueda", **asked) == 401
    with open_project(plant).open_store() as store:
        lent = partial(store.claim, "A", "screen-of-the-test", count=100)
        before = len(lent())
        assert send("/cdm/desk/release", "screen-else") == 200
        assert len(lent()) == before
        assert send("/cdm/desk/release", "screen-ueda") == 200
        assert len(lent()) == before + 1
        store.release("screen-of-the-test")
    for token in ("", "x", Signer(b"k" * 32).session(ueda.actor, ueda.epoch)):
        assert post("tanaka", "release", {"holder": "screen-else"}, token=token)[0] == 401


def test_a_part_that_a_screen_cannot_show_is_lent_to_others(post, store):
    def take(**changes):
        _, answer = post("tanaka", "take", taking(holder="screen-lost", **changes))
        return [part["id"] for part in answer["parts"]]

    first, second, third = take(count=3)
    assert take(count=3, lost=[second]) == [first, third]
    lent = [part.id for part in store.claim("A", "screen-of-the-test", count=1000)]
    store.release("screen-of-the-test")
    assert second in lent
    assert not {first, third} & set(lent)
    assert take(count=3, lost=[second]) == [first, third]
    assert take(count=3) == [first, second, third]
    assert post("tanaka", "release", {"holder": "screen-lost"})[0] == 200


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "[]",
        "null",
        "3",
        "[" * 100_000,
        '{"a":' * 50_000,
        b"\xff\xfe",
        json.dumps(taking(count=0)),
        json.dumps(taking(count=1000)),
        json.dumps(taking(count=1e400)),
        json.dumps(taking(count="many")),
        json.dumps(taking(queue="everything")),
        json.dumps(taking(holder="short")),
        json.dumps(taking(holder="x" * 65)),
        json.dumps(taking(line="")),
        json.dumps(taking(line="x" * 65)),
        json.dumps(taking(role="engineer")),
        json.dumps(taking(busy=[0])),
        json.dumps(taking(lost=[0])),
    ],
)
def test_what_the_desk_does_not_send(post, body):
    for path in ("take", "decisions", "release"):
        status, answer = post("sato", path, body)
        assert (status, answer) == (422, {"error": "expected what the desk sends."}), path


def test_far_more_than_the_desk_sends(post, server, ask, sessions):
    assert post("sato", "take", b" " * 300_000)[0] == 413
    endless = (b" " * 50_000 for _ in range(10))
    headers = {"cookie": f"cdm_session={sessions['sato']}", "x_desk_token": sessions["sato"]}
    assert ask(server, "/cdm/desk/decisions", "POST", endless, **headers)[0] == 413


@pytest.mark.parametrize("number", ["0", "999999", "9" * 18, "9" * 19, "9" * 400])
def test_parts_that_are_none(server, ask, sessions, number):
    headers = {"cookie": f"cdm_session={sessions['sato']}", "x_desk_token": sessions["sato"]}
    status, _, answer = ask(server, f"/cdm/desk/alike/{number}", **headers)
    assert (status, json.loads(answer)) == (200, {"parts": []})
    for path in ("-1", "1.5", "x", "%00", "1%2f2", "../1"):
        assert ask(server, f"/cdm/desk/alike/{path}", **headers)[0] in (400, 404)


def test_other_methods_and_paths(server, ask, sessions):
    headers = {"cookie": f"cdm_session={sessions['sato']}", "x_desk_token": sessions["sato"]}
    for method in ("GET", "PUT", "DELETE", "PATCH"):
        assert ask(server, "/cdm/desk/take", method, **headers)[0] in (404, 405)
    for path in ("/cdm/desk", "/cdm/desk/", "/cdm/desk/take/", "/cdm//desk/take", "/cdm/DESK/take"):
        assert ask(server, path, "POST", "{}", **headers)[0] in (308, 400, 404, 405)


def test_open_parts_are_not_an_operators(post):
    assert post("tanaka", "take", taking(queue="open"))[0] == 403
    assert post("sato", "take", taking(queue="open"))[0] == 200


def test_an_auditor_decides_nothing(post, untouched, store, events):
    assert post("abe", "take", taking())[0] == 403
    part = untouched()
    for queue in ("flagged", "audit", "open"):
        status, answer = post("abe", "decisions", deciding(part, queue=queue))
        assert (status, answer["status"]) == (200, "refused")
    assert [(event.who, event.role, event.inspection_id) for event in events()] == [
        ("abe", "auditor", part.id)
    ] * 3
    assert not store.reviews(part.id)
    assert store.get(part.id).decision is None


def test_an_operator_settles_nothing(post, untouched, store, events):
    part = untouched()
    decided = store.record_review(a_review(part.id, Decision.REJECT, version=0))
    sent = deciding(decided, queue="open")
    status, answer = post("tanaka", "decisions", sent)
    assert (status, answer["status"]) == (200, "refused")
    assert answer["kind"] == "NotAllowed"
    assert "settle" in answer["message"]
    [event] = events()
    assert (event.who, event.inspection_id) == ("tanaka", part.id)
    assert event.facts["purpose"] == "correction"
    assert store.get(part.id).decision is Decision.REJECT

    # What somebody else decided is not an operator's to take back either.
    answer = post("tanaka", "decisions", deciding(decided, decision="undo"))[1]
    assert answer["status"] == "refused"
    assert len(events()) == 2
    assert post("sato", "decisions", sent)[1]["status"] == "stored"
    assert store.get(part.id).decision is Decision.ACCEPT


def test_another_part_than_the_one_of_the_queue(post, untouched, store, events):
    passed = untouched(verdict=Verdict.PASS)
    answer = post("tanaka", "decisions", deciding(passed))[1]
    assert answer["status"] == "refused"
    assert len(events()) == 1
    assert store.get(passed.id).decision is None


def test_a_reason_of_another_line(post, untouched, store, events):
    part = untouched("B")
    answer = post("tanaka", "decisions", deciding(part, decision="reject", reason="scratch"))[1]
    assert answer["status"] == "refused"
    assert "warped" in answer["message"]
    assert events()[0].facts["kind"] == "InvalidOption"
    assert not store.reviews(part.id)
    answer = post("tanaka", "decisions", deciding(part, decision="reject", reason="warped"))[1]
    assert answer["status"] == "stored"


@pytest.mark.parametrize("version", [1, 2, 2**31 - 1])
def test_a_version_that_nobody_was_shown(post, untouched, store, version):
    part = untouched()
    status, answer = post("tanaka", "decisions", deciding(part, version=version))
    assert (status, answer["status"], answer["kind"]) == (200, "conflict", "DecisionConflict")
    assert not store.reviews(part.id)


def test_another_part_under_the_number(post, untouched, store):
    part, other = untouched(), untouched()
    for changes, said in (
        ({"sha256": other.sha256}, "conflict"),
        ({"inspection_id": 999_999}, "refused"),
    ):
        status, answer = post("tanaka", "decisions", {**deciding(part), **changes})
        assert (status, answer["status"]) == (200, said)
    assert post("tanaka", "decisions", {**deciding(part), "inspection_id": 0})[0] == 422
    assert not store.reviews(part.id)


def test_who_decided_is_never_up_to_the_browser(post, untouched, store):
    part = untouched()
    for more in ({"reviewer": "mori"}, {"role": "engineer"}, {"purpose": "correction"}):
        assert post("tanaka", "decisions", {**deciding(part), **more})[0] == 422
    assert post("tanaka", "decisions", deciding(part))[1]["status"] == "stored"
    [review] = store.reviews(part.id)
    assert (review.reviewer, review.role) == ("tanaka", "operator")


def test_the_same_decision_twice_is_one(post, untouched, store):
    part = untouched()
    sent = deciding(part)
    answers = [post("tanaka", "decisions", sent)[1] for _ in range(3)]
    assert answers == [{"status": "stored", "version": 1}] * 3
    assert len(store.reviews(part.id)) == 1


def test_a_part_keeps_the_reject_threshold_that_judged_it(tmp_path, monkeypatch):
    """Also where another calibration is in force by now, or no model is here at all."""
    (tmp_path / "cdm-inspect.toml").write_text(PROJECT)
    setup = JudgingSetup(
        line="A",
        configuration={},
        model="model",
        model_record={},
        calibration="first",
        calibration_record={"reject_threshold": 2.75},
    )
    with open_project(tmp_path).open_store() as store:
        store.record_setup(setup)
        never = {"reject_threshold": None}
        store.record_setup(replace(setup, calibration="second", calibration_record=never))
        names = ("first", "second", "third", "first")
        parts = [
            store.append(a_part(number, calibration=name), evidence=None)
            for number, name in enumerate(names)
        ]
    plant = Plant(tmp_path)
    assert [plant.reject_threshold(part) for part in parts] == [2.75, None, None, 2.75]
    # It is asked for with every part on the screen.
    monkeypatch.setattr(plant.desk.store, "judged_with", None)
    assert [plant.reject_threshold(part) for part in parts] == [2.75, None, None, 2.75]
    plant.desk.store.__exit__(None, None, None)


def test_the_chain_is_whole(plant, run):
    done = run("--project", plant, "--json", "store", "verify")
    assert json.loads(done.stdout)["first_bad"] is None
