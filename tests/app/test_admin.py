"""The page Administration: users under the rights of the core, plugins, health; own passwords."""

import pytest

from cdm_inspect.accounts import USERS_FILE, Accounts
from cdm_inspect.cli.launching import OIDC_VARIABLE, PROJECT_VARIABLE, review_app
from cdm_inspect.hooks.conformance.specimens import a_part, evidence_of
from cdm_inspect.people import Actor, Right, Role, rights_of
from cdm_inspect.project import open_project

ENGINEER, OPERATOR = Actor("佐藤", Role.ENGINEER), Actor("suzuki", Role.OPERATOR)
PASSWORD = "correct horse battery"


@pytest.fixture
def plant(tmp_path):
    root = tmp_path / "plant"
    root.mkdir()
    (root / "cdm-inspect.toml").write_text('[lines.A]\nnormal = "good"\n')
    with open_project(root).open_store() as store:
        store.append(a_part(0), evidence=evidence_of(0))
    return root


@pytest.fixture
def accounts(plant):
    """Users of the plant: an engineer and an operator."""
    found = Accounts(plant / USERS_FILE)
    with open_project(plant).open_store() as store:
        for actor in (ENGINEER, OPERATOR):
            found.add(actor.name, actor.role, PASSWORD, by=ENGINEER, record=store.record_event)
    return found


def _page(actor):
    import desk
    from session import show_notice
    from views import admin

    show_notice()
    admin.show(desk.plant().desk, "A", actor)


@pytest.fixture
def page(plant, monkeypatch):
    """The page alone, as somebody sees it."""
    from streamlit.testing.v1 import AppTest

    monkeypatch.syspath_prepend(str(review_app().parent))
    monkeypatch.setenv(PROJECT_VARIABLE, str(plant))

    def open_page(actor=ENGINEER, **state):
        app = AppTest.from_function(_page, args=(actor,), default_timeout=60)
        for name, value in state.items():
            app.session_state[name] = value
        app.run()
        assert not app.exception
        return app

    return open_page


def texts(app):
    return "\n".join(text.value for text in app.text)


def table(app, column):
    return next(frame.value for frame in app.dataframe if column in frame.value)


def press(app, label):
    next(button for button in app.button if button.label == label).click().run()
    assert not app.exception


def recorded(plant):
    with open_project(plant).open_store() as store:
        return [(event.action, event.who, dict(event.facts)) for event in store.events()]


def test_anybody_sees_health_plugins_and_rights(page):
    app = page(None)
    found = table(app, "Found")
    states = dict(zip(found["What"], found["State"], strict=True))
    assert states["Store"] == "✔ good"
    assert states["Schema"] == "✔ good"
    assert {"Pictures", "Free disk", "Audit anchors", "Clock", "Login", "Allowed hosts"} <= set(
        states
    )
    assert "127.0.0.1" in dict(zip(found["What"], found["Found"], strict=True))["Allowed hosts"]
    assert "builtin" in list(table(app, "Offers")["Plugin"])
    rights = table(app, "Right")
    assert list(rights["operator"]).count("✔") == len(rights_of(Role.OPERATOR))
    assert list(rights["engineer"]).count("✔") == len(Right)
    assert "cdm-inspect" in list(table(app, "Program")["Program"])


def test_what_is_wrong_stands_above_the_table(page, plant):
    for path in (plant / "images").rglob("*"):
        if path.is_file():
            path.unlink()
    app = page(None)
    assert "✖ Pictures: " in texts(app)


def test_the_first_user_is_an_engineer_and_closes_the_desk(page, plant):
    app = page()
    assert app.selectbox(key="admin-role").options == ["engineer"]
    app.text_input(key="admin-name").set_value("伊藤")
    app.text_input(key="admin-password").set_value(PASSWORD)
    press(app, "Add")
    assert "伊藤 may log in" in texts(app)
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
    press(app, "Add")
    assert accounts.check("tanaka", PASSWORD).role is Role.QA
    assert list(table(app, "May log in")["Name"]) == ["suzuki", "tanaka", "佐藤"]
    app.selectbox(key="admin-user").set_value("tanaka").run()
    (epoch,) = (user.epoch for user in accounts.users() if user.name == "tanaka")
    app.selectbox(key=f"admin-role-tanaka-{epoch}").set_value(Role.AUDITOR)
    app.checkbox(key=f"admin-active-tanaka-{epoch}").uncheck()
    app.text_input(key=f"admin-set-tanaka-{epoch}").set_value("another password")
    press(app, "Save")
    assert "tanaka: saved" in texts(app)
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
    press(app, "Save")
    assert "last active engineer" in texts(app)
    for name, password, error in [
        ("Suzuki", PASSWORD, "there is a user 'suzuki' already"),
        ("short", "short", "8 to"),
        ("", PASSWORD, "name of 1 to"),
    ]:
        app.text_input(key="admin-name").set_value(name)
        app.text_input(key="admin-password").set_value(password)
        press(app, "Add")
        assert error in texts(app)
    assert len(accounts.users()) == 2


def test_an_operator_sees_no_users_and_the_core_refuses_them(page, plant, accounts):
    app = page(OPERATOR)
    assert "engineers who have said who they are" in texts(app)
    assert "佐藤" not in [*texts(app).split(), *(str(f.value.to_dict()) for f in app.dataframe)]
    labels = {button.label for button in app.button}
    assert labels.isdisjoint({"Add", "Save", "Make the demo line"})


def test_an_own_password_is_changed_with_the_old_one(page, accounts):
    app = page(OPERATOR)

    def change(old, new, again):
        for key, value in (("old", old), ("new", new), ("again", again)):
            app.text_input(key=f"admin-{key}").set_value(value)
        press(app, "Change the password")
        return texts(app)

    assert "typed in two ways" in change(PASSWORD, "another password", "other")
    assert "old password is wrong" in change("a guess", "another password", "another password")
    assert accounts.check("suzuki", PASSWORD) is not None
    assert "Your password was changed" in change(PASSWORD, "another password", "another password")
    assert accounts.check("suzuki", "another password") is not None
    assert accounts.check("suzuki", PASSWORD) is None


def test_users_of_the_plants_own_login_are_not_looked_after_here(page, monkeypatch):
    monkeypatch.setenv(OIDC_VARIABLE, "1")
    app = page()
    assert "account of the plant" in texts(app)
    assert not app.text_input


def test_users_that_cannot_be_read_leave_the_rest(page, plant):
    app = page()
    (plant / USERS_FILE).write_text("{")
    (plant / USERS_FILE).chmod(0o600)
    app.run()
    assert not app.exception
    assert "damaged" in texts(app)


@pytest.mark.parametrize("language", ["en", "ja"])
def test_both_languages(page, accounts, language):
    app = page(language=language)
    assert app.title[0].value == {"en": "Administration", "ja": "管理"}[language]
    assert not app.markdown
