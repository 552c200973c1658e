"""The first start: what to do, and the way to a demo line."""

import importlib.util

import pytest

from cdm_inspect.roles import Actor, Role
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
def page(open_view, plant):
    """The page alone, as somebody sees it."""

    def show(actor=None, root=plant, **state):
        return open_view(root, "first_run", actor, state=state)

    return show


def commands(app):
    return "\n".join(code.value for code in app.code)


@pytest.mark.parametrize("language", ["en", "ja"])
def test_three_steps_with_their_commands(page, plant, language):
    app = page(language=language)
    said = commands(app)
    for verb in ("init", "train", "calibrate", "inspect"):
        assert f"cdm-inspect --project {plant} {verb} --line A" in said
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


def test_the_demo_is_a_command_away(page, plant):
    said = commands(page())
    assert f"cdm-inspect demo --directory {plant / 'demo-line'}" in said
    assert f"cdm-inspect --project {plant / 'demo-line'} dashboard --port 8502" in said
    assert "pip install" not in said


def test_a_machine_that_cannot_train_says_what_to_install(page, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "cdm_inspect.monitoring.health.find_spec",
        lambda name: None if name == "torch" else found(name),
    )
    assert "pip install 'cdm-inspect[train]'" in commands(page())
