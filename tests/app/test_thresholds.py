"""Thresholds are tried on curves, by mouse and keyboard, and put into force with a reason.

What the board shows, what the text below says and what is saved are the same pair.
"""

import json
import re
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cdm_inspect.calibration.in_force import calibration_in_force
from cdm_inspect.calibration.record import Calibration
from cdm_inspect.calibration.what_if import open_what_if
from cdm_inspect.project import open_project
from cdm_inspect.records import Decision, Inspection
from cdm_inspect.review.thresholds import save_thresholds
from cdm_inspect.roles import Actor, Role
from cdm_inspect.testing.specimens import a_review
from cdm_inspect.workflows.inspect import inspect

QUALITY = Actor("伊藤", Role.QA)
MODEL = "0123456789ab"
REASON = "too many escapes since May"
CHEAPEST, BACK, SAVE = "Put them where it is cheapest", "Put them back", "Put into force"
PROJECT = """\
[lines.A]
normal = "good"
scorer = "residual"

[lines.A.costs]
escape = 80.0

[lines.B]
normal = "good"
scorer = "residual"

[lines.B.costs]
escape = 9000.0
"""
IN_FORCE = {"A": (1.5, 3.5), "B": (2.5, 4.5)}


def calibrate(root, line):
    """A calibration by simulated scores; nothing here reads weights."""
    folder = root / "models" / line
    folder.mkdir(parents=True)
    manifest = {"format": 1, "weights": "w.safetensors", "weights_sha256": MODEL + 52 * "0"}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    review, reject = IN_FORCE[line]
    return Calibration(
        line=line,
        model=MODEL,
        scorer="residual",
        options={},
        view={},
        found={},
        scores=tuple(np.sort(np.random.default_rng(0).normal(size=100)).tolist()),
        max_false_reject=0.05,
        confidence=0.95,
        false_reject_bound=0.06,
        parts_needed=59,
        threshold=review,
        reject_threshold=reject,
        rule="false-reject",
        basis={},
        explanation="because",
        state={"mean": np.arange(3, dtype=np.float32)},
    ).save(open_project(root, line=line).calibration_folder(line))


def judge(store, calibration, scores, decision):
    """Have a person say the same of all parts with these scores."""
    for number, score in enumerate(scores):
        name = f"{calibration.line}-{decision.value}-{number}"
        part = Inspection(
            image=Path(f"{name}.png"),
            sha256=name,
            line=calibration.line,
            verdict=calibration.verdict(score),
            model=MODEL,
            calibration=calibration.id,
            scorer="residual",
            threshold=calibration.threshold,
            score=score,
            p_value=calibration.p_value(score),
        )
        store.record_review(a_review(store.append(part, evidence=None).id, decision))


@pytest.fixture
def make_plant(tmp_path):
    """Make a plant of two lines, on which people have found so many defects each."""

    def make(defects=40):
        root = tmp_path / "plant"
        root.mkdir()
        (root / "cdm-inspect.toml").write_text(PROJECT)
        random = np.random.default_rng(3)
        with open_project(root).open_store() as store:
            for line in IN_FORCE:
                calibration = calibrate(root, line)
                judge(store, calibration, random.normal(size=120).tolist(), Decision.ACCEPT)
                bad = random.normal(3.0, size=defects).tolist()
                judge(store, calibration, bad, Decision.REJECT)
        return root

    return make


def in_force(root, line="A"):
    """The thresholds by which a line is judged."""
    calibration = calibration_in_force(open_project(root, line=line), line)
    return calibration.threshold, calibration.reject_threshold


def cheapest(root, line="A", **costs):
    """Thresholds that bring the lowest cost, by the costs of the line where none are given."""
    project = open_project(root, line=line)
    with project.open_store() as store:
        what_if = open_what_if(project, line, store)
    best = what_if.best(replace(what_if.costs, **costs))
    return best.review, best.reject if np.isfinite(best.reject) else None


def told(pair):
    """What the page says of a pair that would be saved."""
    review, reject = pair
    never = "never" if reject is None else f"{reject:.4g}"
    return f"Parts are reviewed from {review:.4g} on, rejected from: {never}."


def versions(root):
    """How often thresholds were saved, by the record."""
    with open_project(root).open_store() as store:
        return len(store.events(action="save-thresholds"))


class Board:
    """The page in a browser."""

    def __init__(self, page, server, line="A"):
        self.page = page
        page.goto(f"{server.url}/cdm/login")
        page.locator("#name").fill("kato")
        page.locator("button").click()
        page.goto(f"{server.url}/thresholds?line={line}")
        self.review = page.get_by_role("slider", name="review from")
        self.reject = page.get_by_role("slider", name="reject from")
        self.save = page.get_by_role("button", name=SAVE)
        self.review.wait_for()

    def pair(self):
        """Where the handles stand."""
        is_never = self.reject.get_attribute("aria-valuetext") == "never"
        reject = None if is_never else float(self.reject.get_attribute("aria-valuenow"))
        return float(self.review.get_attribute("aria-valuenow")), reject

    def shows(self, pair):
        """Wait until the board and the text below it say this."""
        from playwright.sync_api import Error

        text, deadline, seen = self.page.get_by_text(told(pair)), time.monotonic() + 60, None
        while (seen, text.count()) != (pair, 1):
            assert time.monotonic() < deadline, f"expected {pair}, found {seen}"
            self.page.wait_for_timeout(50)
            try:
                seen = self.pair()
            except Error as error:
                seen = error  # the board of the former line leaves later than the new one comes
        # What a run of the page has left out goes when it is over.
        self.page.locator('[data-test-script-state="notRunning"]').wait_for()

    def move(self, key="PageDown", times=2):
        """Move the threshold for review; the pair, once the page has heard of it."""
        self.review.focus()
        for _ in range(times):
            self.page.keyboard.press(key)
        self.shows(self.pair())
        return self.pair()

    def press(self, label):
        """Press a button above the board."""
        self.page.get_by_role("button", name=label).click()

    def put_into_force(self):
        """Give a reason and save; returns once it is said."""
        self.page.get_by_label("Why").fill(REASON)
        self.save.click()
        self.page.get_by_text("In force as version").wait_for()

    def choose(self, line):
        """Go to another line, as the head of the page offers it."""
        self.page.get_by_role("combobox").first.click()
        self.page.get_by_role("option", name=f"Line {line}").click()
        self.page.get_by_role("heading", name=f"Thresholds: {line}").wait_for()


@pytest.mark.browser
def test_thresholds_are_moved_and_put_into_force(reviewed_line, serve, open_page, pictures):
    from playwright.sync_api import expect

    before = calibration_in_force(open_project(reviewed_line, line="A"), "A")
    board = Board(page := open_page(height=1400), serve(reviewed_line))
    start, _ = board.pair()
    board.move(times=3)
    box = board.reject.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 160, box["y"], steps=6)
    page.mouse.up()
    board.shows(moved := board.pair())
    page.screenshot(path=pictures / "thresholds-moved.png")
    assert moved[0] < start
    page.get_by_label("Why").fill("short")
    board.save.click()
    expect(page.get_by_text("at least 10 characters")).to_be_visible()
    assert (
        calibration_in_force(open_project(reviewed_line, line="A"), "A").version == before.version
    )
    board.put_into_force()
    after = calibration_in_force(open_project(reviewed_line, line="A"), "A")
    assert after.version == before.version + 1
    assert (after.threshold, after.reject_threshold) == moved
    assert after.scoring_id == before.scoring_id
    with open_project(reviewed_line).open_store() as store:
        (event,) = store.events(action="save-thresholds")
    assert (event.who, event.reason) == ("kato", REASON)
    # The page now stands where the line stands, and nothing is left to be saved.
    board.shows(moved)
    expect(board.save).to_be_disabled()


@pytest.mark.browser
def test_the_cheapest_come_into_force_as_the_board_shows_them(reviewed_line, serve, open_page):
    best = cheapest(reviewed_line)
    assert best != in_force(reviewed_line)
    board = Board(open_page(), serve(reviewed_line))
    # What was moved before is not what is saved.
    assert board.move() != best
    board.press(CHEAPEST)
    board.shows(best)
    board.put_into_force()
    assert in_force(reviewed_line) == best
    board.shows(best)


@pytest.mark.browser
def test_thresholds_go_back_to_those_in_force_and_can_be_moved_again(make_plant, serve, open_page):
    from playwright.sync_api import expect

    root = make_plant()
    board = Board(open_page(), serve(root))
    first = board.move("Home", 1)
    board.press(BACK)
    board.shows(IN_FORCE["A"])
    expect(board.save).to_be_disabled()
    # To the very place that was told before they were put back.
    assert board.move("Home", 1) == first
    board.press(CHEAPEST)
    board.shows(cheapest(root))
    last = board.move(times=1)
    board.put_into_force()
    assert in_force(root) == last


@pytest.mark.browser
def test_a_threshold_under_a_finger_stays_there_and_is_what_counts(make_plant, serve, open_page):
    from playwright.sync_api import expect

    root = make_plant()
    board = Board(page := open_page(), serve(root))
    box = board.review.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    shown = page.locator("[data-revision]")
    before = shown.get_attribute("data-revision")
    page.get_by_role("button", name=CHEAPEST).dispatch_event("click")
    expect(shown).not_to_have_attribute("data-revision", before)
    page.mouse.up()
    board.shows(IN_FORCE["A"])
    expect(board.save).to_be_disabled()


@pytest.mark.browser
def test_costs_may_change_after_thresholds_were_moved(make_plant, serve, open_page):
    from playwright.sync_api import expect

    root = make_plant()
    board = Board(page := open_page(), serve(root))
    board.press(CHEAPEST)
    board.shows(cheapest(root))
    moved = board.move()
    for costs in (5000.0, 1.0):  # other cheapest ones, and so another grid
        cost = page.locator(".figures tr:last-child td").first
        before = cost.inner_text()
        page.get_by_role("spinbutton", name="Cost of an escape").fill(str(costs))
        page.keyboard.press("Tab")
        expect(cost).not_to_have_text(before)
        board.shows(moved)
    board.press(CHEAPEST)
    board.shows(best := cheapest(root, escape=1.0))
    assert best != moved
    board.put_into_force()
    assert in_force(root) == best


@pytest.mark.browser
def test_nothing_of_one_line_is_used_for_another(make_plant, serve, open_page):
    from playwright.sync_api import expect

    root = make_plant()
    # So high that nothing is scrolled, which would close a list that opens.
    board = Board(page := open_page(height=1600), serve(root))
    cost = page.get_by_role("spinbutton", name="Cost of an escape")
    cost.fill("5")
    page.keyboard.press("Tab")
    board.press(CHEAPEST)
    board.shows(cheapest(root, escape=5.0))
    board.move()
    board.choose("B")
    board.shows(IN_FORCE["B"])
    expect(board.save).to_be_disabled()
    expect(cost).to_have_value("9000.00")
    board.press(CHEAPEST)
    board.shows(best := cheapest(root, "B"))
    board.put_into_force()
    board.shows(best)
    expect(board.save).to_be_disabled()
    assert in_force(root, "B") == best
    assert in_force(root, "A") == IN_FORCE["A"]
    board.choose("A")
    board.shows(IN_FORCE["A"])


@pytest.mark.browser
def test_a_second_press_saves_nothing_more(make_plant, serve, open_page):
    from playwright.sync_api import expect

    root = make_plant()
    board = Board(page := open_page(), serve(root))
    moved = board.move()
    page.get_by_label("Why").fill(REASON)
    board.save.dblclick()
    expect(page.get_by_text("In force as version 2")).to_be_visible()
    expect(board.save).to_be_disabled()
    board.shows(moved)
    assert versions(root) == 1
    assert in_force(root) == moved
    # Another move can be saved again.
    moved = board.move("PageUp", 1)
    board.put_into_force()
    assert (in_force(root), versions(root)) == (moved, 2)


@pytest.mark.browser
def test_without_enough_defects_no_figure_is_shown(make_plant, serve, open_page):
    from playwright.sync_api import expect

    board = Board(page := open_page(), serve(make_plant(defects=29)))
    expect(page.get_by_text("Too little is known to say")).to_be_visible()
    board.review.focus()
    page.keyboard.press("PageDown")
    expect(board.review).not_to_have_attribute("aria-valuenow", repr(IN_FORCE["A"][0]))
    cells = page.locator(".figures td")
    assert cells.all_inner_texts() == ["–"] * 12
    assert not page.locator(".note").inner_text()
    expect(page.get_by_role("button", name=CHEAPEST)).to_be_disabled()
    assert board.save.count() == 0


@pytest.mark.browser
def test_without_any_defect_the_curve_of_good_parts_is_shown(line, serve, open_page):
    from playwright.sync_api import expect

    project = open_project(line, line="A")
    list(inspect(project, "A", [line / "data" / "A" / "test" / "good"]))
    board = Board(page := open_page(), serve(line))
    expect(page.get_by_text("Too little is known to say")).to_be_visible()
    assert board.save.count() == 0


def test_the_page_begins_anew_where_a_calibration_has_come_into_force(make_plant, open_view):
    root = make_plant()
    app = open_view(root, "thresholds", QUALITY)
    app.press(CHEAPEST)
    assert told(cheapest(root)) in app.texts()
    app.number_input[0].set_value(5.0).run()
    project = open_project(root, line="A")
    with project.open_store() as store:
        what_if = open_what_if(project, "A", store)
        save_thresholds(
            project, store, what_if, actor=QUALITY, review=1.0, reject=None, reason=REASON
        )
    # What this page was opened on is not in force any more: it is refused, and read anew.
    app.text_input[0].set_value(REASON)
    app.press(SAVE)
    assert "somebody has set thresholds or calibrated" in app.texts()
    assert in_force(root) == (1.0, None)
    assert told((1.0, None)) in app.texts()
    assert app.number_input[0].value == 80.0


def test_only_thresholds_that_differ_from_those_in_force_can_be_saved(make_plant, open_view):
    root = make_plant()
    app = open_view(root, "thresholds", QUALITY)

    def is_savable():
        return not next(button for button in app.button if button.label == SAVE).disabled

    assert not is_savable()
    assert "These thresholds are in force." in app.texts()
    app.press(CHEAPEST)
    assert is_savable()
    assert "These thresholds are in force." not in app.texts()
    app.press(BACK)
    assert not is_savable()
    assert told(IN_FORCE["A"]) in app.texts()
    app.press(CHEAPEST)
    app.text_input[0].set_value(REASON)
    app.press(SAVE)
    assert in_force(root) == cheapest(root)
    assert not is_savable()
    assert "In force as version 2" in app.texts()
    app.run()
    assert "In force as version 2" not in app.texts()


@pytest.mark.parametrize(
    ("language", "cost", "figure"),
    [
        ("en", "Cost of a good part rejected without review", "good parts rejected without review"),
        ("ja", "自動で不合格とした良品 1 個の費用", "良品の自動不合格"),
    ],
)
def test_good_parts_rejected_without_review_are_called_that(
    make_plant, open_view, language, cost, figure
):
    app = open_view(make_plant(), "thresholds", QUALITY, state={"language": language})
    assert [field.label for field in app.number_input][1] == cost
    assert figure in set(app.dataframe[0].value.iloc[:, 0])
    assert not re.search("過検出", app.texts())
