"""The frame of the review app: its texts, pages of plugins, a store that cannot be read."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

import cdm_inspect_review
from cdm_inspect.config import words
from cdm_inspect.errors import CdmInspectError, DecisionConflict, PluginFailed

APP = Path(cdm_inspect_review.__file__).parent
CATALOGUE_FILE = Path(words.__file__).with_suffix(".toml")
CATALOGUE = {
    name: texts
    for name, texts in tomllib.loads(CATALOGUE_FILE.read_text("utf-8")).items()
    if name not in ("page_check", "page_evaluation", "page_pilot", "page_shift_report")
}
# Texts whose names are put together: by the kind of what is shown, or all below a prefix at once.
BY_KIND = re.compile(r"word\(\s*f\"([a-z_.]*)\{")
# What says a text by its name.
SAYING = ("word", "say", "speech")


def texts(table, prefix=""):
    for name, value in table.items():
        if isinstance(value.get("en"), str) or isinstance(value.get("ja"), str):
            yield f"{prefix}{name}", value
        else:
            yield from texts(value, f"{prefix}{name}.")


def said(call):
    """Names that a call says a text by: one, or one of two."""
    func = call.func
    if getattr(func, "id", getattr(func, "attr", "")) not in SAYING or not call.args:
        return set()
    first = call.args[0]
    branches = [first.body, first.orelse] if isinstance(first, ast.IfExp) else [first]
    return {each.value for each in branches if isinstance(each, ast.Constant)}


def named_in_the_app():
    """Names of texts in the sources, and beginnings of names that are put together.

    A name without a dot may be anything, such as a field of a table: it counts where it is said.
    """
    names, beginnings = set(), set()
    for file in APP.rglob("*.py"):
        source = file.read_text("utf-8")
        beginnings |= set(BY_KIND.findall(source))
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Constant) and "." in str(node.value):
                names.add(node.value)
            if isinstance(node, ast.Call):
                names |= said(node)
            if isinstance(node, ast.JoinedStr) and isinstance(node.values[0], ast.Constant):
                beginnings.add(str(node.values[0].value))
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "below"
            ):
                beginnings.add(node.args[0].value)
    return names, {beginning for beginning in beginnings if beginning}


def test_every_text_is_there_in_both_languages():
    for name, both in texts(CATALOGUE):
        assert set(both) == {"en", "ja"}, name
        assert all(both.values()), name
        places = [sorted(re.findall(r"\{(\w+)", both[language])) for language in ("en", "ja")]
        assert places[0] == places[1], name


def test_no_text_is_missing_or_left_over():
    known = {name for name, _ in texts(CATALOGUE)}
    names, beginnings = named_in_the_app()
    asked = set()
    for file in APP.rglob("*.py"):
        asked |= set(re.findall(r"\bword\(\s*\"([^\"]+)\"", file.read_text("utf-8")))
    assert asked <= known
    from cdm_inspect.monitoring.drift import _DIRECTIONS

    charted = {*_DIRECTIONS, *(word for pair in _DIRECTIONS.values() for word in pair)}
    left = {
        name
        for name in known
        if name not in names | charted
        and not any("." in start and name.startswith(start) for start in beginnings)
    }
    assert left == set()


# What Streamlit shows of its first argument.
SHOWN = (
    *("title", "header", "subheader", "text", "write", "markdown", "caption", "metric"),
    *("info", "success", "warning", "error", "button", "form_submit_button", "checkbox"),
    *("text_input", "text_area", "number_input", "date_input", "selectbox", "multiselect"),
    *("segmented_control", "expander", "spinner", "download_button"),
)
# Whose methods of these names show nothing.
OTHERS = ("addresses", "_log")


def test_no_text_goes_past_the_catalogue():
    """Neither written where it is shown, nor the name of a field under the mouse."""
    found = []
    for file in sorted(APP.rglob("*.py")):
        for call in ast.walk(ast.parse(file.read_text("utf-8"))):
            if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
                continue
            given = {keyword.arg: keyword.value for keyword in call.keywords}
            at = f"{file.name}:{call.lineno}"
            if call.func.attr in SHOWN and call.args and ast.unparse(call.func.value) not in OTHERS:
                # Of a text that is put together, what stands between.
                parts = getattr(call.args[0], "values", [call.args[0]])
                texts = [str(part.value) for part in parts if isinstance(part, ast.Constant)]
                found += [(at, text) for text in texts if re.search(r"[^\W\d_]", text)]
            # Without one Streamlit says "None" where there is nothing.
            if ast.unparse(call.func) == "st.dataframe" and "placeholder" not in given:
                found.append((at, "None"))
            if call.func.attr == "Tooltip" and "title" not in given:
                found.append((at, ast.unparse(call)))
            for tip in getattr(given.get("tooltip"), "elts", ()):
                if isinstance(tip, ast.Constant):
                    found.append((at, tip.value))
    # The program's own name, on the page of the login.
    assert {text for _, text in found} <= {"cdm-inspect"}, found


# A shift is no day, a legal hold no maintenance, and the chain is not inspected as parts are.
MISLEADING = ("日報", "保全", "今すぐ検査", "機械は", "機械の判定", "決着", "述べるには")


def test_no_word_means_something_else_on_the_floor():
    found = [
        (name, word) for name, both in texts(CATALOGUE) for word in MISLEADING if word in both["ja"]
    ]
    assert found == []
    # In sentences a role stands for a person.
    assert CATALOGUE["role"]["auditor"]["ja"].endswith("担当")


def test_the_desk_asks_for_no_text_that_is_missing():
    known = set(CATALOGUE["desk"])
    for file in (APP / "components" / "desk").glob("*.js"):
        source = file.read_text("utf-8")
        found = set(re.findall(r"\bwords\.(\w+)", source))
        found |= set(re.findall(r"this\.section\(\"(\w+)\"", source))
        assert found <= known, file.name


def kinds_of_errors(parent):
    yield parent
    for kind in parent.__subclasses__():
        yield from kinds_of_errors(kind)


def test_every_error_of_the_core_is_explained_in_both_languages(monkeypatch):
    from cdm_inspect.config.words import Speech, kind_of

    for kind in kinds_of_errors(CdmInspectError):
        error = kind.__new__(kind, "found 3, expected 4.")
        for language in ("en", "ja"):
            stated = Speech(language).error(error)
            assert stated.endswith(" found 3, expected 4.")
            assert stated.startswith(CATALOGUE["error"][kind_of(error)][language])
    # A kind of its own says more than its family; one without words is stated as its family.
    assert kind_of(DecisionConflict("late")) == "DecisionConflict"
    assert kind_of(PluginFailed("raised")) == "PluginError"
    assert set(CATALOGUE["error"]) <= {kind.__name__ for kind in kinds_of_errors(CdmInspectError)}


PAGES = """
from cdm_inspect.plugins import PageOffer
from cdm_inspect.plugins import hookimpl
from cdm_inspect.records import InspectionQuery

def show(view):
    import streamlit as st
    st.text(f"{view.store.count(InspectionQuery(line=view.line))} parts, {view.language}")

def fail(view): raise RuntimeError("no <b>shift</b>")

@hookimpl
def cdm_inspect_pages():
    yield PageOffer(contract=1, name="shift", summary="Shift", show=show, titles={"ja": "シフト"})
    yield PageOffer(contract=1, name="failing", summary="Failing", show=fail)
"""


@pytest.mark.browser
def test_pages_of_plugins_stand_beside_ours(install, plant_folder, serve, sit_down, pictures):
    from playwright.sync_api import expect

    install("shift-pages", PAGES)
    server = serve(plant_folder)
    page = sit_down(server)
    page.goto(f"{server.url}/plugin-shift")
    expect(page.get_by_text("400 parts, en")).to_be_visible()
    page.goto(f"{server.url}/plugin-failing")
    expect(page.get_by_text("This page comes from a plugin")).to_be_visible()
    expect(page.get_by_text("failing: RuntimeError: no <b>shift</b>")).to_be_visible()
    page.screenshot(path=pictures / "plugin.png")
    page.get_by_role("radio", name="日本語").click()
    page.goto(f"{server.url}/plugin-shift")
    expect(page.get_by_text(re.compile("400 parts, (en|ja)"))).to_be_visible()


def _fail(kind):
    from cdm_inspect import errors
    from cdm_inspect_review.views import failure

    failure.show(getattr(errors, kind)("found 3, expected 4."))


@pytest.mark.parametrize(
    ("kind", "is_of_records"),
    [
        *(("StorageError", True), ("StoreUnreachable", True), ("DamagedFile", True)),
        *(("ConfigError", False), ("NotCalibrated", False), ("CheckpointCorrupt", False)),
        *(("NotAllowed", False), ("DecisionConflict", False), ("CdmInspectError", False)),
    ],
)
def test_only_of_the_records_it_is_said_that_they_cannot_be_read(monkeypatch, kind, is_of_records):
    from streamlit.testing.v1 import AppTest

    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    app = AppTest.from_function(_fail, args=(kind,), default_timeout=60).run()
    assert not app.exception
    [headline] = [error.value for error in app.error]
    assert ("records" in headline) == is_of_records
    assert app.text[0].value.endswith(" found 3, expected 4.")


@pytest.mark.browser
def test_a_store_that_cannot_be_read_is_told_and_comes_back(plant_folder, serve, open_page):
    from playwright.sync_api import expect

    database = plant_folder / "cdm-inspect.db"
    aside = Path(f"{database}.aside")
    database.rename(aside)
    database.write_bytes(b"no database " * 99)
    server = serve(plant_folder)
    page = open_page()
    page.goto(server.url)
    expect(page.get_by_text("The records cannot be read.")).to_be_visible()
    assert page.get_by_test_id("stException").count() == 0
    database.unlink()
    aside.rename(database)
    page.reload()
    expect(page.locator(".act.accept")).to_be_visible()
