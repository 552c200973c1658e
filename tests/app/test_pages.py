"""Every page in a real browser: both languages, both themes, two screens, and who cannot see."""

import re
import shutil

import pytest
from axe_playwright_python.sync_playwright import Axe

from cdm_inspect.project import open_project
from cdm_inspect.records import InspectionQuery, Verdict
from cdm_inspect.testing.recorded_line import judge_line, record_line
from tests.app.rest import at_rest, still

pytestmark = pytest.mark.browser

SCREENS = {"wide": (1280, 800), "upright": (800, 1280)}
BAD = ("serious", "critical")


@pytest.fixture(scope="module")
def plant(reviewed, measured, tmp_path_factory):
    """Line A judges, and was measured; people have judged parts of both lines."""
    root = tmp_path_factory.mktemp("pages") / "plant"
    shutil.copytree(reviewed, root)
    with (root / "cdm-inspect.toml").open("a") as file:
        file.write('\n[lines.B]\nnormal = "good"\n\n[lines.B.review]\nsecond_share = 0.5\n')
    shutil.copytree(measured / "reports", root / "reports", dirs_exist_ok=True)
    with open_project(root).open_store() as store:
        record_line(store, 400, line="B", side=256, photographs=8)
        judge_line(store, line="B")
    return root


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


def check(page, name):
    """Nothing went wrong, nothing is cut off, nobody is kept out."""
    assert page.get_by_test_id("stException").count() == 0, name
    assert "encountered an error" not in page.locator("body").inner_text(), name
    assert page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth"), name
    assert violations(page) == [], name


def draw(page, name, pictures, width):
    """A picture of the whole page, checked."""
    check(page, name)
    main = page.get_by_test_id("stMain")
    height = main.evaluate("(node) => node.scrollHeight") if main.count() else 800
    page.set_viewport_size({"width": width, "height": min(4000, max(800, height + 60))})
    still(page)
    page.screenshot(path=pictures / f"{name}.png")


LOOKS = [("en-US", "light", "wide"), ("ja-JP", "dark", "upright")]
# With those, every two of language, theme and screen meet.
OTHERS = [
    pytest.param(language, theme, screen, marks=pytest.mark.long)
    for language, theme in (("en-US", "dark"), ("ja-JP", "light"))
    for screen in SCREENS
]


@pytest.mark.parametrize(("language", "theme", "screen"), [*LOOKS, *OTHERS])
@pytest.mark.slow
def test_every_page(server, sit_down, pictures, language, theme, screen):
    """Of a line that was never calibrated: some of them say why they have nothing to say."""
    width, height = SCREENS[screen]
    look = {"locale": language, "color_scheme": theme, "width": width, "height": height}
    page = sit_down(server, path="/?line=B", **look)
    at_rest(page)
    links = addresses(page)
    assert len(links) >= 3
    for link in links:
        page.goto(f"{server.url}{re.sub(r'^https?://[^/]+', '', link) or '/'}?line=B")
        at_rest(page)
        name = link.rstrip("/").rpartition("/")[2] or "desk"
        name = "desk" if ":" in name else name
        shot = f"{name}-{language[:2]}-{theme}-{screen}"
        page.screenshot(path=pictures / f"{shot}.png")
        check(page, shot)


@pytest.mark.parametrize(("language", "theme", "screen"), LOOKS)
@pytest.mark.slow
def test_pages_of_a_line_that_judges(server, plant, sit_down, pictures, language, theme, screen):
    width, height = SCREENS[screen]
    look = {"locale": language, "color_scheme": theme, "width": width, "height": height}
    page = sit_down(server, path="/?line=B", **look)
    page.keyboard.press("?")
    page.get_by_role("dialog").wait_for()
    draw(page, f"help-{language[:2]}-{theme}-{screen}", pictures, width)
    with open_project(plant).open_store() as store:
        flagged = store.find(InspectionQuery(line="A", verdicts=(Verdict.REVIEW, Verdict.REJECT)))
    kinds = {"en-US": ("Compare two", "Diagnosis"), "ja-JP": ("二つを比較", "診断")}[language]
    for name, address, pressed, awaited in (
        ("drift", "/drift?line=A", None, "canvas, svg.marks"),
        ("thresholds", "/thresholds?line=A", None, "[data-testid=stSlider]"),
        ("part", f"/history?line=A&part={flagged[0].id}", None, ".panes"),
        ("models", "/models?line=A", None, "[data-testid=stDataFrame]"),
        ("compared", None, kinds[0], "[data-testid=stDataFrame]"),
        ("diagnosed", None, kinds[1], "canvas, svg.marks"),
    ):
        page.set_viewport_size({"width": width, "height": height})
        if address:
            page.goto(f"{server.url}{address}")
        else:
            page.get_by_role("radio", name=pressed).click()
        page.locator(awaited).first.wait_for()
        at_rest(page)
        draw(page, f"judging-{name}-{language[:2]}-{theme}-{screen}", pictures, width)


@pytest.mark.parametrize(("language", "theme", "screen"), LOOKS)
def test_the_first_start(serve, open_page, pictures, tmp_path, language, theme, screen):
    root = tmp_path / "new"
    root.mkdir()
    (root / "cdm-inspect.toml").write_text('[lines.A]\nnormal = "good"\n')
    width, height = SCREENS[screen]
    page = open_page(width=width, height=height, locale=language, color_scheme=theme)
    page.goto(serve(root).url)
    page.get_by_role("heading").first.wait_for()
    at_rest(page)
    draw(page, f"first-{language[:2]}-{theme}-{screen}", pictures, width)


def test_the_login_page(server, open_page, pictures):
    for language, theme, screen in LOOKS:
        width, height = SCREENS[screen]
        page = open_page(width=width, height=height, locale=language, color_scheme=theme)
        page.goto(f"{server.url}/cdm/login")
        draw(page, f"login-{language[:2]}-{theme}-{screen}", pictures, width)


@pytest.mark.parametrize("language", ["en-US", "ja-JP"])
def test_no_text_of_streamlit_stands_under_a_field(server, open_page, language):
    page = open_page(locale=language)
    page.goto(f"{server.url}/history?line=B")
    field = page.get_by_test_id("stTextInput").locator("input").first
    field.press_sequentially("SN")
    page.wait_for_timeout(300)
    hint = page.get_by_test_id("InputInstructions")
    hint.first.wait_for(state="attached")
    assert not any(each.is_visible() for each in hint.all())
    assert "Press Enter" not in page.locator("body").inner_text()
