"""Every page in a real browser: both languages, both themes, two screens, and who cannot see."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe

pytestmark = pytest.mark.browser

SCREENS = {"wide": (1280, 800), "upright": (800, 1280)}
BAD = ("serious", "critical")


@pytest.fixture
def judged_plant(plant_folder):
    """The plant, with decisions of several people, samples and second opinions."""
    from cdm_inspect.hooks.conformance.recorded_line import judge_line
    from cdm_inspect.project import open_project

    with open_project(plant_folder).open_store() as store:
        judge_line(store)
    return plant_folder


def at_rest(page):
    """Nothing moves any more: the script has run, charts are drawn, parts are on the screen."""
    page.wait_for_selector("[data-testid=stAppViewContainer]")
    page.wait_for_function(
        "() => !document.querySelector('[data-test-script-state=running]')"
        " && !document.querySelector('[data-testid=stSkeleton]')"
    )
    if page.locator(".board").count():
        page.wait_for_selector(".board[data-shown]")
    page.wait_for_timeout(600)


def addresses(page):
    """Where the menu leads, as a person would go."""
    links = page.get_by_test_id("stTopNavLink")
    found = [link.get_attribute("href") for link in links.all()]
    return [address for address in found if address]


def violations(page):
    """What keeps people from using a page, in words."""
    found = Axe().run(page).response["violations"]
    return [
        f"{rule['id']} ({rule['impact']}): {node['html'][:200]}"
        for rule in found
        if rule["impact"] in BAD
        for node in rule["nodes"]
    ]


@pytest.mark.parametrize("language", ["en-US", "ja-JP"])
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.slow
def test_every_page(judged_plant, serve, sit_down, pictures, language, theme):
    server = serve(judged_plant)
    page = sit_down(server, locale=language, color_scheme=theme)
    at_rest(page)
    links = addresses(page)
    assert len(links) >= 3
    for link in links:
        page.goto(f"{server.url}{re.sub(r'^https?://[^/]+', '', link) or '/'}")
        at_rest(page)
        name = link.rstrip("/").rpartition("/")[2] or "desk"
        name = "desk" if ":" in name else name
        assert page.get_by_test_id("stException").count() == 0, name
        assert "encountered an error" not in page.locator("body").inner_text(), name
        for screen, (width, height) in SCREENS.items():
            page.set_viewport_size({"width": width, "height": height})
            page.wait_for_timeout(500)
            page.screenshot(path=pictures / f"{name}-{language[:2]}-{theme}-{screen}.png")
            assert page.evaluate(
                "() => document.documentElement.scrollWidth <= window.innerWidth"
            ), name
            assert violations(page) == [], (name, screen)
        page.set_viewport_size({"width": 1280, "height": 800})


def test_the_login_page(judged_plant, serve, open_page, pictures):
    server = serve(judged_plant)
    for theme in ("light", "dark"):
        page = open_page(color_scheme=theme)
        page.goto(f"{server.url}/cdm/login")
        page.screenshot(path=pictures / f"login-{theme}.png")
        assert violations(page) == []
