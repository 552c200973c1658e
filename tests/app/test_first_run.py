"""The first start: what to do, and a demo line that is really made, opened and left again."""

import importlib.util
import time

import pytest

from cdm_inspect.errors import InvalidOption, NotAllowed
from cdm_inspect.project import open_project
from cdm_inspect.records import InspectionQuery
from cdm_inspect.review.demo_process import DemoProcess, DemoState
from cdm_inspect.roles import Actor, Role
from cdm_inspect.testing.specimens import a_part, evidence_of
from cdm_inspect_review.launcher import PROJECT_VARIABLE

ENGINEER, OPERATOR = Actor("佐藤", Role.ENGINEER), Actor("suzuki", Role.OPERATOR)
PASSWORD = "korrekt-pferd-batterie"


@pytest.fixture
def plant(tmp_path, monkeypatch):
    """A project without a line."""
    root = tmp_path / "plant"
    root.mkdir()
    (root / "cdm-inspect.toml").write_text("")
    monkeypatch.setenv(PROJECT_VARIABLE, str(root))
    return root


@pytest.fixture
def users(plant, hire):
    return hire(plant, **{ENGINEER.name: "engineer", OPERATOR.name: "operator"})


@pytest.fixture
def page(open_view, plant):
    """The page alone, as somebody sees it."""

    def show(actor=None, root=plant, **state):
        return open_view(root, "first_run", actor, state=state)

    return show


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
def test_three_steps_with_their_commands(page, plant, language):
    app = page(language=language)
    told = commands(app)
    for verb in ("init", "train", "calibrate", "inspect"):
        assert f"cdm-inspect --project {plant} {verb} --line A" in told
    assert len(app.subheader) == 4
    assert "✔" not in "".join(header.value for header in app.subheader)


def test_what_is_done_has_a_tick(page, plant, line):
    (plant / "cdm-inspect.toml").write_text('[lines.B]\nnormal = "photographs"\n')
    app = page()
    assert "✔" in app.subheader[0].value
    assert "✔" not in app.subheader[1].value
    assert "into photographs." in app.texts()
    assert "train --line B" in commands(app)


def test_a_trained_line_has_two_ticks(page, line):
    app = page(root=line)
    assert ["✔" in header.value for header in app.subheader[:3]] == [True, True, False]


def test_only_who_may_administer_is_offered_the_demo(page, plant, users):
    assert "Make the demo line" in labels(page(ENGINEER))
    for actor in (OPERATOR, None):
        app = page(actor)
        assert "Make the demo line" not in labels(app)
        assert "engineer who has logged in" in app.texts()


def test_a_machine_that_cannot_train_says_what_to_install(page, plant, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "cdm_inspect.monitoring.health.find_spec",
        lambda name: None if name == "torch" else found(name),
    )
    app = page()
    assert "pip install 'cdm-inspect[train]'" in commands(app)
    assert "Make the demo line" not in labels(app)
    # One that was made elsewhere opens all the same.
    made_in_a_terminal(plant)
    assert "Open the demo line" in labels(page())


def test_the_way_to_the_demo_and_back(page, plant, users):
    from cdm_inspect_review import access
    from cdm_inspect_review.plant import close_demo, current_plant, open_demo

    folder = made_in_a_terminal(plant)
    home = current_plant()
    with pytest.raises(NotAllowed):
        open_demo(OPERATOR)
    assert current_plant() is home
    token = home.signer.session(ENGINEER, users.users()[-1].epoch)
    assert access.actor_of(token) == ENGINEER
    app = page(ENGINEER)
    app.button(key="first-open").click().run()
    demo = current_plant()
    assert demo.root == folder
    assert demo.is_demo
    assert demo.desk.lines() == ["A"]
    # The users are those of the plant, and yet no session of the one is any in the other.
    assert access.mode() is access.Mode.LOCAL
    assert access.actor_of(token) is None
    assert demo.accounts.check("suzuki", PASSWORD).actor == OPERATOR
    assert "This is the demo line." in page(OPERATOR).texts()
    assert "first-back" not in [button.key for button in page(OPERATOR).button]
    with pytest.raises(NotAllowed):
        close_demo(OPERATOR)
    app = page(ENGINEER)
    app.button(key="first-back").click().run()
    assert current_plant() is home
    assert access.actor_of(token) == ENGINEER


def test_a_plant_at_work_is_not_turned_away(page, plant):

    folder = made_in_a_terminal(plant)
    with open_project(plant).open_store() as store:
        store.append(a_part(0), evidence=evidence_of(0))
    app = page()
    assert "Open the demo line" not in labels(app)
    assert f"cdm-inspect --project {folder} dashboard --port 8502" in commands(app)
    with pytest.raises(InvalidOption, match="beside it"):
        plant_module.open_demo(None)


def test_what_went_wrong_is_shown_and_it_can_be_tried_again(page, plant):
    from cdm_inspect_review.plant import current_plant

    current_plant().demo = DemoProcess(plant, budget="soon")
    app = page()
    app.button(key="first-make").click().run()
    deadline = time.monotonic() + 120
    while current_plant().demo.progress().state is DemoState.RUNNING:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    app = page()
    assert "was not made" in app.texts()
    assert "budget" in commands(app)
    assert "Make the demo line" in labels(app)


@pytest.mark.slow
def test_the_demo_line_is_made_followed_across_tabs_and_opened(page, plant):
    from cdm_inspect_review.plant import close_demo, current_plant

    current_plant().demo = DemoProcess(plant, budget="3s")
    app = page()
    app.button(key="first-make").click().run()
    assert not app.exception
    # Another tab, and the same one loaded anew, follow it and offer no second one.
    other = page()
    assert "Make the demo line" not in labels(other)
    seen = set()
    deadline = time.monotonic() + 400
    while current_plant().demo.progress().state is DemoState.RUNNING:
        assert time.monotonic() < deadline
        other = page()
        seen |= {text.value[:6] for text in other.text if " of 6: " in text.value}
        time.sleep(1)
    assert "3 of 6" in seen
    app = page()
    assert "The demo line is made" in app.texts(), commands(app)
    app.button(key="first-open").click().run()
    assert not app.exception
    # How many of them are flagged is up to what three seconds of training have taught.
    assert current_plant().desk.store.count(InspectionQuery(line="A")) > 20
    close_demo(None)
