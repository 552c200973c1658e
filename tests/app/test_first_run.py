"""The first start: what to do, and a demo line that is really made, opened and left again."""

import importlib.util
import time

import pytest

from cdm_inspect.accounts import USERS_FILE, Accounts
from cdm_inspect.cli.launching import PROJECT_VARIABLE, review_app
from cdm_inspect.demo_process import DemoProcess, DemoState
from cdm_inspect.errors import InvalidOption, NotAllowed
from cdm_inspect.hooks.conformance.specimens import a_part, evidence_of
from cdm_inspect.people import Actor, Role
from cdm_inspect.project import open_project

ENGINEER, OPERATOR = Actor("佐藤", Role.ENGINEER), Actor("suzuki", Role.OPERATOR)
PASSWORD = "correct horse battery"


@pytest.fixture
def plant(tmp_path, monkeypatch):
    """A project without a line."""
    root = tmp_path / "plant"
    root.mkdir()
    (root / "cdm-inspect.toml").write_text("")
    monkeypatch.syspath_prepend(str(review_app().parent))
    monkeypatch.setenv(PROJECT_VARIABLE, str(root))
    return root


@pytest.fixture
def users(plant):
    accounts = Accounts(plant / USERS_FILE)
    with open_project(plant).open_store() as store:
        for actor in (ENGINEER, OPERATOR):
            accounts.add(actor.name, actor.role, PASSWORD, by=ENGINEER, record=store.record_event)
    return accounts


def _page(actor):
    from views import first_run

    first_run.show(actor)


def open_page(actor=None, **state):
    from streamlit.testing.v1 import AppTest

    app = AppTest.from_function(_page, args=(actor,), default_timeout=60)
    for name, value in state.items():
        app.session_state[name] = value
    app.run()
    assert not app.exception
    return app


def texts(app):
    return "\n".join(text.value for text in app.text)


def commands(app):
    return "\n".join(code.value for code in app.code)


def labels(app):
    return {button.label for button in app.button}


def made_in_a_terminal(plant):
    """What stands for a demo line that somebody has made: a project with one part in its store."""
    folder = plant / "demo-line"
    folder.mkdir()
    (folder / "cdm-inspect.toml").write_text('[lines.A]\nnormal = "good"\n')
    with open_project(folder).open_store() as store:
        store.append(a_part(0), evidence=evidence_of(0))
    return folder


@pytest.mark.parametrize("language", ["en", "ja"])
def test_three_steps_with_their_commands(plant, language):
    app = open_page(language=language)
    told = commands(app)
    for verb in ("init", "train", "calibrate", "inspect"):
        assert f"cdm-inspect --project {plant} {verb} --line A" in told
    assert len(app.subheader) == 4
    assert "✔" not in "".join(header.value for header in app.subheader)


def test_what_is_done_has_a_tick(plant, line):
    (plant / "cdm-inspect.toml").write_text('[lines.B]\nnormal = "photographs"\n')
    app = open_page()
    assert "✔" in app.subheader[0].value
    assert "✔" not in app.subheader[1].value
    assert "into photographs." in texts(app)
    assert "train --line B" in commands(app)


def test_a_trained_line_has_two_ticks(line, plant, monkeypatch):
    monkeypatch.setenv(PROJECT_VARIABLE, str(line))
    app = open_page()
    assert ["✔" in header.value for header in app.subheader[:3]] == [True, True, False]


def test_only_who_may_administer_is_offered_the_demo(plant, users):
    assert "Make the demo line" in labels(open_page(ENGINEER))
    for actor in (OPERATOR, None):
        app = open_page(actor)
        assert "Make the demo line" not in labels(app)
        assert "engineer who has logged in" in texts(app)


def test_a_machine_that_cannot_train_says_what_to_install(plant, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "cdm_inspect.health.find_spec", lambda name: None if name == "torch" else found(name)
    )
    app = open_page()
    assert "pip install 'cdm-inspect[train]'" in commands(app)
    assert "Make the demo line" not in labels(app)
    # One that was made elsewhere opens all the same.
    made_in_a_terminal(plant)
    assert "Open the demo line" in labels(open_page())


def test_the_way_to_the_demo_and_back(plant, users):
    import access
    import desk

    folder = made_in_a_terminal(plant)
    home = desk.plant()
    with pytest.raises(NotAllowed):
        desk.open_demo(OPERATOR)
    assert desk.plant() is home
    token = home.signer.session(ENGINEER, users.users()[-1].epoch)
    assert access.actor_of(token) == ENGINEER
    app = open_page(ENGINEER)
    app.button(key="first-open").click().run()
    demo = desk.plant()
    assert demo.root == folder
    assert demo.is_demo
    assert demo.desk.lines() == ["A"]
    # The users are those of the plant, and yet no session of the one is any in the other.
    assert access.mode() is access.Mode.LOCAL
    assert access.actor_of(token) is None
    assert demo.accounts.check("suzuki", PASSWORD).actor == OPERATOR
    assert "This is the demo line." in texts(open_page(OPERATOR))
    assert "first-back" not in [button.key for button in open_page(OPERATOR).button]
    with pytest.raises(NotAllowed):
        desk.close_demo(OPERATOR)
    app = open_page(ENGINEER)
    app.button(key="first-back").click().run()
    assert desk.plant() is home
    assert access.actor_of(token) == ENGINEER


def test_a_plant_at_work_is_not_turned_away(plant):
    import desk

    folder = made_in_a_terminal(plant)
    with open_project(plant).open_store() as store:
        store.append(a_part(0), evidence=evidence_of(0))
    app = open_page()
    assert "Open the demo line" not in labels(app)
    assert f"cdm-inspect --project {folder} dashboard --port 8502" in commands(app)
    with pytest.raises(InvalidOption, match="beside it"):
        desk.open_demo(None)


def test_what_went_wrong_is_shown_and_it_can_be_tried_again(plant):
    import desk

    desk.plant().demo = DemoProcess(plant, budget="soon")
    app = open_page()
    app.button(key="first-make").click().run()
    deadline = time.monotonic() + 120
    while desk.plant().demo.progress().state is DemoState.RUNNING:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    app = open_page()
    assert "was not made" in texts(app)
    assert "budget" in commands(app)
    assert "Make the demo line" in labels(app)


@pytest.mark.slow
def test_the_demo_line_is_made_followed_across_tabs_and_opened(plant):
    import desk

    desk.plant().demo = DemoProcess(plant, budget="3s")
    app = open_page()
    app.button(key="first-make").click().run()
    assert not app.exception
    # Another tab, and the same one loaded anew, follow it and offer no second one.
    other = open_page()
    assert "Make the demo line" not in labels(other)
    seen = set()
    deadline = time.monotonic() + 400
    while desk.plant().demo.progress().state is DemoState.RUNNING:
        assert time.monotonic() < deadline
        other = open_page()
        seen |= {text.value[:6] for text in other.text if " of 6: " in text.value}
        time.sleep(1)
    assert "3 of 6" in seen
    app = open_page()
    assert "The demo line is made" in texts(app), commands(app)
    app.button(key="first-open").click().run()
    assert not app.exception
    assert desk.plant().desk.work("A").waiting > 0
    desk.close_demo(None)
