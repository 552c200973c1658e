"""The desk under people's hands: what they press, what it tells, and what becomes of it alone."""

import datetime as dt
import json
import re
from pathlib import Path

import numpy as np
import pytest

import cdm_inspect
from cdm_inspect.project import open_project
from cdm_inspect.records import Decision, InspectionQuery, Verdict
from cdm_inspect.testing.recorded_line import record_line
from cdm_inspect.testing.specimens import a_part, a_review
from cdm_inspect_review.sessions import Signer, plant_secret

PROJECT = """\
[review]
timezone = "Asia/Tokyo"

[lines.A]
normal = "good"

[lines.A.review]
min_look_ms = 700

[lines.damaged]
normal = "good"

[lines.gone]
normal = "good"

[lines.large]
normal = "good"

[lines.set-aside]
normal = "good"

[lines.usual]
normal = "good"
"""
LOOKED_MS = 900
SHOWN = ".board[data-shown]"
TAKEN = dt.datetime(2026, 3, 1, 16, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def plant(tmp_path_factory, hire):
    """Lines whose parts differ in what is there of them."""
    root = tmp_path_factory.mktemp("hands") / "plant"
    root.mkdir()
    (root / "cdm-inspect.toml").write_text(PROJECT)
    hire(root, tanaka="engineer", suzuki="operator", abe="auditor")
    said = {"heatmap": None, "regions": (), "inspected_at": TAKEN}
    scored = {**said, "score": 0.012345, "threshold": 0.0123, "p_value": 0.66}
    aside = {"score": None, "p_value": None, "verdict": Verdict.UNDECIDED}
    why = "retake: exposure 0.1, accepted are 0.2 to 0.4"
    with open_project(root).open_store() as store:
        record_line(store, 120, side=256, photographs=4, flagged=0.9)
        record_line(store, 3, line="damaged", side=256, photographs=3, flagged=1.0)
        record_line(store, 1, line="gone", side=64, photographs=1, flagged=1.0)
        record_line(store, 1, line="large", side=2400, photographs=1, flagged=1.0)
        store.append(a_part(1, line="set-aside", **{**said, **aside, "reason": why}), evidence=None)
        store.append(a_part(2, line="usual", **scored), evidence=None)
    return root


@pytest.fixture
def visit(server, plant, hire, open_page):
    """Open a page as a user who has logged in."""

    def go(path="/", name="tanaka", **options):
        user = next(user for user in hire(plant).users() if user.name == name)
        session = Signer(plant_secret(plant)).session(user.actor, user.epoch)
        page = open_page(**options)
        cookie = {"name": "cdm_session", "value": session, "url": server.url}
        page.context.add_cookies([cookie])
        return page, lambda: page.goto(f"{server.url}{path}")

    return go


@pytest.fixture
def sit(visit):
    """The same, at the desk with a part on the screen that has been looked at."""

    def down(path="/", *options, **more):
        page, go = visit(path, *options, **more)
        go()
        page.wait_for_selector(SHOWN)
        page.wait_for_timeout(LOOKED_MS)
        return page

    return down


@pytest.fixture
def parts_of(plant):
    """Parts of a line, as the store has them."""

    def find(line, **asked):
        with open_project(plant).open_store() as store:
            return store.find(InspectionQuery(line=line, limit=200, **asked))

    return find


@pytest.fixture
def lose(plant):
    """Delete a kept file."""

    def unlink(name):
        (found,) = [path for path in plant.rglob(name) if path.is_file()]
        found.unlink()

    return unlink


def number_on(page):
    return int(page.locator(".board").get_attribute("data-shown"))


def settle(page):
    page.wait_for_selector('.board[data-unsent="0"]')


browser_test = pytest.mark.browser


@browser_test
@pytest.mark.parametrize(
    ("locale", "stated"), [("en-US", "Your role looks"), ("ja-JP", "閲覧のみ")]
)
def test_whoever_only_looks_is_told_so_and_where(visit, pictures, locale, stated):
    page, go = visit(name="abe", locale=locale)
    go()
    page.get_by_text(stated).wait_for()
    page.screenshot(path=pictures / f"desk-auditor-{locale}.png")
    for text in ("loading", "読み込み中", "Say who you are", "名前を入力"):
        assert page.get_by_text(text).count() == 0, text
    assert page.locator(".act.accept").is_hidden()
    page.locator(".board a.way").click()
    page.wait_for_url("**/history?line=A")


@browser_test
def test_whoever_has_not_said_who_they_are_is_asked(tmp_path, serve, open_page):
    root = tmp_path / "plant"
    root.mkdir()
    (root / "cdm-inspect.toml").write_text('[lines.A]\nnormal = "good"\n')
    with open_project(root).open_store() as store:
        record_line(store, 4, side=64, photographs=1, flagged=1.0)
    page = open_page()
    page.goto(serve(root).url)
    page.get_by_text("Say who you are (above) to decide").wait_for()
    assert page.get_by_text("loading").count() == 0
    assert page.get_by_text("Your role looks").count() == 0


@browser_test
def test_a_reason_is_of_the_part_that_was_seen(sit, plant):
    page = sit()
    chosen = page.locator('.reasons [aria-pressed="true"]')
    number = number_on(page)
    page.keyboard.press("x")
    page.wait_for_selector(f'{SHOWN}:not([data-shown="{number}"])')
    page.keyboard.press("3")  # said of the part that has gone
    assert chosen.count() == 0
    page.wait_for_timeout(LOOKED_MS)
    page.keyboard.press("3")
    page.keyboard.press("3")  # twice in a row it was meant once
    assert chosen.inner_text().endswith("Stain")
    page.wait_for_timeout(LOOKED_MS)
    page.keyboard.press("3")
    assert chosen.count() == 0
    settle(page)
    with open_project(plant).open_store() as store:
        assert [review.reason for review in store.reviews(number)] == [""]
    assert page.get_by_text("First the reason, then X.").first.is_visible()
    page.keyboard.press("?")
    rule = page.get_by_role("dialog").get_by_text("First the reason, then X.")
    assert rule.is_visible()


@browser_test
def test_what_was_pressed_by_hand_keeps_no_key(sit):
    page = sit()
    fill = page.locator(".fill")
    is_hidden = "node => node.style.visibility === 'hidden'"
    scratch = page.get_by_role("button", name="Scratch")
    scratch.click()
    page.keyboard.down(" ")
    assert fill.evaluate(is_hidden)
    page.keyboard.up(" ")
    assert not fill.evaluate(is_hidden)
    assert scratch.get_attribute("aria-pressed") == "true"
    # Letters go on deciding after a choice, and after a comment that was ended by a button.
    colours = page.get_by_label("Colours")
    colours.focus()
    colours.select_option("viridis")
    page.get_by_role("textbox", name="Comment").press_sequentially("ax")
    page.get_by_role("button", name="Fit").click()
    number = number_on(page)
    page.keyboard.press("a")
    page.wait_for_selector(f'{SHOWN}:not([data-shown="{number}"])')
    order = page.get_by_label("Order")
    order.focus()
    order.select_option("oddest")
    page.keyboard.press("o")
    assert order.input_value() == "oddest"


@browser_test
def test_the_map_is_hidden_by_its_button_from_the_keyboard(sit):
    page = sit()
    fill, hold = page.locator(".fill"), page.get_by_role("button", name="Hold to hide map")
    is_hidden = "node => node.style.visibility === 'hidden'"
    hold.focus()
    for key in (" ", "Enter"):
        page.keyboard.down(key)
        assert fill.evaluate(is_hidden), key
        page.keyboard.up(key)
        assert not fill.evaluate(is_hidden), key
    page.keyboard.down("Enter")
    page.keyboard.press("Tab")
    assert not fill.evaluate(is_hidden)
    page.keyboard.up("Enter")


@browser_test
def test_lost_evidence_is_not_told_as_none(sit, visit, parts_of, lose, decisions, plant, pictures):
    for part in parts_of("damaged"):
        lose(part.heatmap_sha256)
        lose(part.restoration_sha256)
    page = sit("/?line=damaged")
    page.get_by_text("The heat map is lost or damaged").wait_for()
    page.get_by_text("The restoration is lost or damaged").wait_for()
    page.screenshot(path=pictures / "desk-lost-map.png")
    assert page.get_by_text("There is no heat map").is_hidden()
    number = number_on(page)
    page.keyboard.press("a")
    page.wait_for_selector(f'{SHOWN}:not([data-shown="{number}"])')
    settle(page)
    assert number in decisions(plant)
    (part,) = parts_of("gone")
    lose(part.image_sha256)
    page, go = visit(f"/history?line=gone&part={part.id}", locale="ja-JP")
    go()
    page.get_by_text("撮影画像が失われたか壊れています").wait_for()


@browser_test
def test_pictures_of_a_part_that_come_late_are_waited_for(visit, parts_of):
    part = parts_of("A")[0]
    page, go = visit(f"/history?part={part.id}")
    page.route("**/cdm/pictures/**", lambda route: route.fulfill(status=503, json={}))
    go()
    page.get_by_text("The pictures cannot be shown. Trying again").wait_for()
    page.unroute("**/cdm/pictures/**")
    page.wait_for_selector(f'.part[data-shown="{part.id}"]')
    assert page.get_by_text("Trying again").is_hidden()


@browser_test
def test_a_reduced_photograph_is_marked_until_its_own_pixels_are_there(visit):
    page, go = visit("/?line=large")
    asked = []
    spoilt = re.compile(r'("full": "[^"]+\?e=)')

    def give_old_addresses(route):
        text = json.dumps(route.fetch().json())
        route.fulfill(body=spoilt.sub(r"\g<1>1", text), content_type="application/json")

    page.on("request", lambda request: "/full/" in request.url and asked.append(request.url))
    page.route("**/cdm/desk/take", give_old_addresses)
    go()
    page.wait_for_selector(SHOWN)
    mark = page.locator(".pane.photo .reduced")
    photograph = page.locator(".pane.photo img")
    assert mark.inner_text() == "reduced picture"
    assert photograph.evaluate("image => image.naturalWidth") == 2048
    asked.clear()  # the restoration, which has no other address
    page.locator(".pane.photo").focus()
    for _ in range(12):
        page.keyboard.press("+")
    page.wait_for_timeout(500)
    assert 1 <= len(asked) <= 4  # not for each movement
    assert mark.is_visible()
    # The next answer of the server has addresses that are good.
    page.unroute("**/cdm/desk/take")
    mark.wait_for(state="hidden")
    assert photograph.evaluate("image => image.naturalWidth") == 2400


@browser_test
def test_one_to_one_is_so_for_small_photographs_too(sit):
    page = sit(width=1920, height=1200)
    photograph, pane = page.locator(".pane.photo img"), page.locator(".pane.photo")
    assert photograph.bounding_box()["width"] > 300
    page.keyboard.press("g")
    box, around = photograph.bounding_box(), pane.bounding_box()
    assert box["width"] == pytest.approx(256, abs=0.5)
    middle = around["x"] + around["width"] / 2
    assert box["x"] + box["width"] / 2 == pytest.approx(middle, abs=1)
    page.keyboard.press("f")
    assert photograph.bounding_box()["width"] > 300


@browser_test
def test_a_screen_that_was_left_keeps_no_parts(visit, plant):
    page, go = visit()
    page.clock.install()
    go()
    page.wait_for_selector(SHOWN)
    number, taken = number_on(page), []
    page.on("request", lambda request: request.url.endswith("/take") and taken.append(request))
    with page.expect_request("**/cdm/desk/release"):
        page.clock.fast_forward("05:30")
    taken.clear()
    page.clock.run_for(30_000)
    assert not taken
    assert number_on(page) == number
    # Nobody wants it: it stays with who comes back.
    with page.expect_response("**/cdm/desk/take"):
        page.mouse.move(300, 300)
    page.wait_for_timeout(300)
    assert number_on(page) == number
    assert page.locator(".refusals").is_hidden()
    # Somebody else has decided it meanwhile.
    with page.expect_request("**/cdm/desk/release"):
        page.clock.fast_forward("05:30")
    with open_project(plant).open_store() as store:
        store.record_review(a_review(number, Decision.REJECT, reviewer="ito", reason=""))
    page.mouse.move(400, 400)
    page.get_by_text(f"Part {number} was given back while nobody was at this screen").wait_for()
    page.wait_for_selector(f'{SHOWN}:not([data-shown="{number}"])')


@browser_test
def test_last_decisions_lead_to_the_page_of_their_part(sit):
    page = sit("/?kiosk=1")
    number = number_on(page)
    page.keyboard.press("a")
    page.wait_for_selector(f'{SHOWN}:not([data-shown="{number}"])')
    settle(page)
    link = page.locator(".history a").first
    link.focus()
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(rf"/history\?.*part={number}\b.*kiosk=1"))
    page.wait_for_selector(f'.part[data-shown="{number}"]')
    page.go_back()
    page.wait_for_selector(SHOWN)
    page.keyboard.press("z")
    page.get_by_text("Nothing was decided in this page").wait_for()


@browser_test
def test_times_notes_and_figures_are_those_of_the_plant(sit):
    page = sit("/?line=set-aside", locale="ja-JP", timezone_id="America/New_York")
    assert page.get_by_text("2026-03-02 01:00:00").is_visible()
    page.get_by_text("撮り直してください：exposure 0.1, accepted are 0.2 to 0.4").first.wait_for()
    page = sit("/?line=usual")
    head = page.locator(".head")
    assert "0.01235 · review from 0.01230" in head.inner_text()
    assert "more than half of the good parts look this odd or odder" in head.inner_text()


def test_a_p_value_is_told_no_better_than_it_is(monkeypatch):
    from cdm_inspect.config.words import Speech
    from cdm_inspect_review import part_history

    def stated(p_value):
        return part_history.oddity(a_part(1, p_value=p_value), Speech("en"))

    assert stated(0.66).startswith("more than half of the good parts")
    assert stated(0.5).startswith("at most 1 of 2 good parts")
    assert stated(0.4).startswith("at most 1 of 2 good parts")
    for count in range(2, 3000):
        assert stated(float(np.float64(1) / count)).startswith(f"at most 1 of {count:,} good parts")


def test_every_kind_of_note_is_told_in_both_languages(monkeypatch):
    from cdm_inspect.config.words import Speech, catalogue
    from cdm_inspect_review import part_history

    core = Path(cdm_inspect.__file__).parent
    sources = "\n".join(path.read_text("utf-8") for path in sorted(core.rglob("*.py")))
    kinds = set(re.findall(r"_set_aside\(path, \"(\w+)\"", sources))
    kinds |= {"calibration_expired"}
    for part in re.findall(r"raise UnreadableImage\((.*?)\n\s*\)", sources, re.DOTALL):
        kinds |= set(re.findall(r"reason=\"(\w+)\"", part))
    assert kinds >= {"retake", "scorer_failed", "truncated", "wrong_mode", "blank"}
    for kind in kinds:
        assert f"desk.note_{kind}" in catalogue()
        for language in ("en", "ja"):
            speech = Speech(language)
            note = part_history.note(f"{kind}: a: b.", speech)
            assert note == speech("desk.note", kind=speech(f"desk.note_{kind}"), detail="a: b.")
    assert part_history.note("odd: a", Speech("ja")) == "odd: a"
    assert part_history.note("by hand", Speech("ja")) == "by hand"
