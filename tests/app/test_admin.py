"""The page Administration: users under the rights of the core, plugins, health; own passwords."""

import re
import shutil

import pytest

from cdm_inspect.monitoring.health import Check, Problem
from cdm_inspect.plugins import PluginRow
from cdm_inspect.plugins.offers import KINDS, PluginProblem
from cdm_inspect.project import open_project
from cdm_inspect.roles import Actor, Right, Role, rights_of
from cdm_inspect.testing.specimens import a_part, evidence_of
from cdm_inspect_review.launcher import OIDC_VARIABLE
from cdm_inspect_review.users import USERS_FILE, Accounts

ENGINEER, OPERATOR = Actor("佐藤", Role.ENGINEER), Actor("suzuki", Role.OPERATOR)
PASSWORD = "korrekt-pferd-batterie"


@pytest.fixture
def plant(tmp_path):
    root = tmp_path / "plant"
    root.mkdir()
    (root / "cdm-inspect.toml").write_text('[lines.A]\nnormal = "good"\n')
    with open_project(root).open_store() as store:
        store.append(a_part(0), evidence=evidence_of(0))
    return root


@pytest.fixture
def accounts(plant, hire):
    """Users of the plant: an engineer and an operator."""
    return hire(plant, **{ENGINEER.name: "engineer", OPERATOR.name: "operator"})


@pytest.fixture
def page(open_view, plant):
    """The page alone, as somebody sees it."""

    def show(actor=ENGINEER, **state):
        return open_view(plant, "admin", actor, state=state)

    return show


def recorded(plant):
    with open_project(plant).open_store() as store:
        return [(event.action, event.who, dict(event.facts)) for event in store.events()]


def test_anybody_sees_health_plugins_and_rights(page):
    app = page(None)
    found = app.table("Found")
    states = dict(zip(found["What"], found["State"], strict=True))
    assert states["Store"] == "✔ good"
    assert states["Schema"] == "✔ good"
    assert {"Pictures", "Free disk", "Audit anchors", "Clock", "Login", "Allowed hosts"} <= set(
        states
    )
    assert "127.0.0.1" in dict(zip(found["What"], found["Found"], strict=True))["Allowed hosts"]
    assert "builtin" in list(app.table("Offers")["Plugin"])
    rights = app.table("Right")
    assert list(rights["operator"]).count("✔") == len(rights_of(Role.OPERATOR))
    assert list(rights["engineer"]).count("✔") == len(Right)
    assert "cdm-inspect" in list(app.table("Program")["Program"])


def test_what_is_wrong_stands_above_the_table(page, plant):
    for path in (plant / "images").rglob("*"):
        if path.is_file():
            path.unlink()
    app = page(None)
    assert "✖ Pictures: " in app.texts()


def test_what_is_wrong_is_told_in_the_readers_language(page, plant, monkeypatch):
    nearly = shutil.disk_usage(plant)._replace(free=2**20)
    monkeypatch.setattr("cdm_inspect.monitoring.health.shutil.disk_usage", lambda path: nearly)
    shutil.rmtree(plant / "images")
    stated = page(None, language="ja").texts()
    assert f"✖ 空き容量: {plant} の空きは残り 0.0 GiB です。" in stated
    assert "✖ 画像: 最新の画像を読み出せません。詳細：" in stated
    assert "left. Free space" not in stated


@pytest.mark.parametrize("language", ["en", "ja"])
def test_every_problem_and_trouble_has_words(monkeypatch, language):
    from cdm_inspect.config.words import Speech
    from cdm_inspect_review import admin_tables

    at = "2026-03-02T14:00:00+00:00"
    facts = {"found": "0001", "expected": "0006", "where": "/plant", "free": 2**30, "total": 2**40}
    facts |= {"last": at, "newest": at, "now": at}
    names = {"picture": "pictures"}
    for kind in Problem:
        name = names.get(kind.split("-")[0], kind.split("-")[0])
        check = Check(name=name, is_good=False, facts=facts, problem="found 7.", kind=kind)
        (stated,) = admin_tables.problems([check], Speech(language), None)
        # What an error says is shown behind its kind; where figures say all there is no English.
        assert ("found 7." in stated) is kind.endswith("unreadable"), stated
        if language == "ja":
            assert re.search("[ぁ-ん]", stated), stated
    kinds = [kind.__name__.removesuffix("Offer").lower() for kind, *_ in KINDS.values()]
    for status in ("loaded", "partly refused", "refused", "not allowed", "disabled"):
        row = PluginRow(name="x", distribution="x", version="1", module="x", status=status)
        row.reason, row.troubles = "found 7", list(PluginProblem)
        row.offers = [f"{kind} x" for kind in kinds]
        (cells,) = admin_tables.plugin_rows([row], Speech(language))
        reason = cells[Speech(language)("admin.reason")]
        assert reason.endswith(" found 7")
        offers = cells[Speech(language)("admin.offers")].split(", ")
        assert all(offer.endswith(" x") for offer in offers)
        assert (offers == row.offers) is (language == "en")
        state = cells[Speech(language)("admin.status")]
        assert (state == status) is (language == "en")
        assert (len(re.findall("。", reason)) >= len(PluginProblem)) is (language == "ja")


def test_the_first_user_is_an_engineer_and_closes_the_desk(page, plant):
    app = page()
    assert app.selectbox(key="admin-role").options == ["engineer"]
    app.text_input(key="admin-name").set_value("伊藤")
    app.text_input(key="admin-password").set_value(PASSWORD)
    app.press("Add")
    assert "伊藤 may log in" in app.texts()
    (user,) = Accounts(plant / USERS_FILE).users()
    assert (user.name, user.role) == ("伊藤", Role.ENGINEER)
    ((action, who, facts),) = recorded(plant)
    assert (action, who, facts["user"]) == ("add-user", "佐藤", "伊藤")
    # From now on the page asks for the password of whoever changes their own.
    assert app.text_input(key="admin-old") is not None


def test_an_engineer_adds_and_changes_users_and_it_is_recorded(page, plant, accounts):
    app = page()
    app.text_input(key="admin-name").set_value("tanaka")
    app.selectbox(key="admin-role").set_value(Role.QA)
    app.text_input(key="admin-password").set_value(PASSWORD)
    app.press("Add")
    assert accounts.check("tanaka", PASSWORD).role is Role.QA
    assert list(app.table("May log in")["Name"]) == ["suzuki", "tanaka", "佐藤"]
    app.selectbox(key="admin-user").set_value("tanaka").run()
    (epoch,) = (user.epoch for user in accounts.users() if user.name == "tanaka")
    app.selectbox(key=f"admin-role-tanaka-{epoch}").set_value(Role.AUDITOR)
    app.checkbox(key=f"admin-active-tanaka-{epoch}").uncheck()
    app.text_input(key=f"admin-set-tanaka-{epoch}").set_value("another password")
    app.press("Save")
    assert "tanaka: saved" in app.texts()
    (user,) = (user for user in accounts.users() if user.name == "tanaka")
    assert (user.role, user.is_active) == (Role.AUDITOR, False)
    action, who, facts = recorded(plant)[0]
    assert (action, who) == ("change-user", "佐藤")
    assert facts["changed"] == ["is_active", "password", "role"]


def test_the_last_engineer_stays_and_mistakes_are_told(page, accounts):
    app = page()
    app.selectbox(key="admin-user").set_value("佐藤").run()
    (epoch,) = (user.epoch for user in accounts.users() if user.name == "佐藤")
    app.checkbox(key=f"admin-active-佐藤-{epoch}").uncheck()
    app.press("Save")
    assert "last active engineer" in app.texts()
    for name, password, error in [
        ("Suzuki", PASSWORD, "there is a user 'suzuki' already"),
        ("short", "short", "8 to"),
        ("", PASSWORD, "name of 1 to"),
    ]:
        app.text_input(key="admin-name").set_value(name)
        app.text_input(key="admin-password").set_value(password)
        app.press("Add")
        assert error in app.texts()
    assert len(accounts.users()) == 2


def test_an_operator_sees_no_users_and_the_core_refuses_them(page, plant, accounts):
    app = page(OPERATOR)
    assert "engineers who have said who they are" in app.texts()
    assert "佐藤" not in [*app.texts().split(), *(str(f.value.to_dict()) for f in app.dataframe)]
    labels = {button.label for button in app.button}
    assert labels.isdisjoint({"Add", "Save", "Make the demo line"})


def test_an_own_password_is_changed_with_the_old_one(page, accounts):
    app = page(OPERATOR)

    def change(old, new, again):
        for key, value in (("old", old), ("new", new), ("again", again)):
            app.text_input(key=f"admin-{key}").set_value(value)
        app.press("Change the password")
        return app.texts()

    assert "typed in two ways" in change(PASSWORD, "another password", "other")
    assert "old password is wrong" in change("a guess", "another password", "another password")
    assert accounts.check("suzuki", PASSWORD) is not None
    assert "Your password was changed" in change(PASSWORD, "another password", "another password")
    assert accounts.check("suzuki", "another password") is not None
    assert accounts.check("suzuki", PASSWORD) is None


def test_users_of_the_plants_own_login_are_not_looked_after_here(page, monkeypatch):
    monkeypatch.setenv(OIDC_VARIABLE, "1")
    app = page()
    assert "account of the plant" in app.texts()
    assert not app.text_input


def test_users_that_cannot_be_read_leave_the_rest(page, plant):
    app = page()
    (plant / USERS_FILE).write_text("{")
    (plant / USERS_FILE).chmod(0o600)
    app.run()
    assert not app.exception
    assert "damaged" in app.texts()


@pytest.mark.parametrize("language", ["en", "ja"])
def test_both_languages(page, accounts, language):
    app = page(language=language)
    assert app.title[0].value == {"en": "Administration", "ja": "管理"}[language]
    assert not app.markdown
