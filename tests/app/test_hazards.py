"""What was found to go wrong with other designs of the desk, and lies at Streamlit's door."""

import os
import re
import sys
import textwrap

import psutil
import pytest

from cdm_inspect_review.launcher import (
    ADDRESS_VARIABLE,
    PORT_VARIABLE,
    PROJECT_VARIABLE,
)

pytestmark = pytest.mark.browser

LOOKED_MS = 300
"""Longer than a part must be looked at."""

# The app, whose desk stands on a page with a dialog of Streamlit; there is none by itself.
WITH_DIALOG = """
from cdm_inspect_review import server
import streamlit as st
from cdm_inspect_review.views import queue

desk_alone = queue.show


@st.dialog("A dialog")
def ask():
    st.text("Behind it lies a part.")


def desk_with_dialog(*what):
    if st.button("Open it"):
        ask()
    desk_alone(*what)


queue.show = desk_with_dialog
server.main()
"""


def shown(page):
    return page.locator(".board").get_attribute("data-shown")


def test_no_key_decides_behind_a_dialog_of_streamlit(
    plant_folder, dashboard, sit_down, decisions, tmp_path
):
    script = tmp_path / "with_dialog.py"
    script.write_text(textwrap.dedent(WITH_DIALOG))

    class WithDialog(dashboard.func):
        """What `cdm-inspect dashboard` runs, but for the page."""

        def launch(self):
            environment = {
                **os.environ,
                PROJECT_VARIABLE: str(plant_folder),
                ADDRESS_VARIABLE: "127.0.0.1",
                PORT_VARIABLE: str(self.port),
            }
            with self.log.open("ab") as log:
                command = [sys.executable, str(script)]
                return psutil.Popen(command, stdout=log, stderr=log, env=environment)

    server = WithDialog(None, plant_folder)
    with server:
        page = sit_down(server)
        page.get_by_role("button", name="Open it").click()
        page.get_by_text("Behind it lies a part.").wait_for()
        number = shown(page)
        page.wait_for_timeout(LOOKED_MS)
        for key in "axe":
            page.keyboard.press(key)
        page.wait_for_timeout(LOOKED_MS)
        assert (shown(page), decisions(plant_folder)) == (number, {})
        page.keyboard.press("Escape")
        page.get_by_text("Behind it lies a part.").wait_for(state="detached")
        page.wait_for_timeout(LOOKED_MS)
        page.keyboard.press("a")
        page.wait_for_selector(f".board[data-shown]:not([data-shown='{number}'])")


def test_keys_of_streamlit_do_nothing_and_components_are_registered_once(
    plant_folder, serve, sit_down
):
    """Its own `c` offers to clear caches, its `r` runs the page again."""
    server = serve(plant_folder)
    page = sit_down(server)
    number = shown(page)
    for key in ("c", "r", "C", "Shift+C"):
        page.keyboard.press(key)
        page.wait_for_timeout(200)
    assert page.get_by_role("dialog").count() == 0
    assert "cache" not in page.locator("body").inner_text().lower()
    assert shown(page) == number
    # Each of these draws the page again.
    for language in ("日本語", "English", "日本語"):
        page.get_by_text(language, exact=True).click()
        page.wait_for_timeout(400)
    page.goto(f"{server.url}/history?part=1")
    page.get_by_role("heading").first.wait_for()
    assert "already registered" not in server.log.read_text()


def test_drawing_a_page_again_registers_no_component(plant_folder, open_view, monkeypatch):
    import streamlit.components.v2

    pages = [open_view(plant_folder, "queue"), open_view(plant_folder, "history")]

    def register(name, **_):
        raise AssertionError(f"{name} is registered whenever a page is drawn")

    monkeypatch.setattr(streamlit.components.v2, "component", register)
    pages[1].query_params["part"] = "1"
    for page in pages:
        page.run()
        assert not page.exception
        assert page.get("bidi_component")


def test_a_photograph_that_fails_for_a_while_comes_back(plant_folder, serve, sit_down, decisions):
    server = serve(plant_folder)
    page = sit_down(server)
    page.wait_for_timeout(1000)  # the next ones are here
    lost = re.compile("/cdm/pictures/")
    page.route(lost, lambda route: route.abort())
    page.reload()
    page.get_by_role("alert").get_by_text("The pictures cannot be shown.").wait_for()
    # Nothing of a part is on the screen, and so nothing can be decided.
    assert shown(page) is None
    assert page.locator(".board").get_attribute("data-part") is None
    for key in "axe":
        page.keyboard.press(key)
    page.wait_for_timeout(LOOKED_MS)
    assert decisions(plant_folder) == {}
    page.unroute(lost)
    page.wait_for_selector(".board[data-shown]")
    number = shown(page)
    photograph = page.locator(".pane img, .pane canvas").first
    assert photograph.is_visible()
    page.wait_for_timeout(LOOKED_MS)
    page.keyboard.press("a")
    page.wait_for_selector(f".board[data-shown]:not([data-shown='{number}'])")
    page.wait_for_selector(".board[data-answered='1']")
    assert list(decisions(plant_folder)) == [int(number)]


def test_by_touch_in_japanese(plant_folder, serve, sit_down, decisions):
    server = serve(plant_folder)
    page = sit_down(server, has_touch=True, width=800, height=1280, locale="ja-JP")
    number = shown(page)
    for name, label in (("accept", "合格"), ("reject", "不合格"), ("unsure", "保留")):
        act = page.locator(f".act.{name}")
        assert label in act.inner_text()
        box = act.bounding_box()
        assert box["height"] >= 72
        assert box["y"] + box["height"] <= 1280
    page.wait_for_timeout(LOOKED_MS)
    page.locator(".act.unsure").tap()
    page.wait_for_selector(f".board[data-shown]:not([data-shown='{number}'])")
    page.wait_for_selector(".board[data-answered='1']")
    assert [part.decision.value for part in decisions(plant_folder).values()] == ["unsure"]
