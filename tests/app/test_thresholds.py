"""Thresholds are tried on curves and put into force with a reason.

What the slider shows, what the text below says and what is saved are the same pair.
"""

import json
import re
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


def said(pair):
    """What the page says of a pair that would be saved."""
    review, reject = pair
    never = "never" if reject is None else f"{reject:.4g}"
    return f"Parts are reviewed from {review:.4g} on, rejected from: {never}."


def versions(root):
    """How often thresholds were saved, by the record."""
    with open_project(root).open_store() as store:
        return len(store.events(action="save-thresholds"))


def place(app):
    """Where the handles of the slider stand."""
    review, reject = app.select_slider[0].value
    return review, reject if np.isfinite(reject) else None


def move(app, steps, *, handle=0):
    """Move a handle by so many places; the pair that it then shows."""
    slider = app.select_slider[0]
    cuts, pair = list(slider.format_func.__self__), list(slider.value)
    pair[handle] = cuts[cuts.index(pair[handle]) + steps]
    slider.set_range(*pair).run()
    assert not app.exception
    return place(app)


@pytest.mark.browser
def test_thresholds_are_moved_by_keyboard_and_put_into_force(
    reviewed_line, serve, sit_down, pictures
):
    from playwright.sync_api import expect

    before = calibration_in_force(open_project(reviewed_line, line="A"), "A")
    server = serve(reviewed_line)
    page = sit_down(server, "kato", path="/thresholds?line=A", awaited="h1", height=1400)
    # While a page is drawn anew, a button of before may stand beside its own.
    save = page.locator("button:enabled").filter(has_text=SAVE)
    expect(page.get_by_text(said(in_force(reviewed_line)))).to_be_visible()
    handle = page.get_by_role("slider").first
    for key in ("PageDown", "PageDown", "ArrowRight"):
        handle.press(key)
    expect(save).to_have_count(1)
    page.locator('[data-test-script-state="notRunning"]').wait_for()
    page.screenshot(path=pictures / "thresholds-moved.png")
    page.get_by_label("Why").fill("short")
    save.click()
    expect(page.get_by_text("at least 10 characters")).to_be_visible()
    assert calibration_in_force(open_project(reviewed_line, line="A"), "A").id == before.id
    page.get_by_label("Why").fill(REASON)
    # A second press saves nothing more.
    save.dblclick()
    expect(page.get_by_text("In force as version 2")).to_be_visible()
    expect(save).to_have_count(0)
    expect(page.locator("button:disabled").filter(has_text=SAVE)).to_have_count(1)
    after = calibration_in_force(open_project(reviewed_line, line="A"), "A")
    assert after.version == before.version + 1
    assert after.threshold < before.threshold
    assert after.scoring_id == before.scoring_id
    expect(page.get_by_text(said(in_force(reviewed_line)))).to_be_visible()
    with open_project(reviewed_line).open_store() as store:
        (event,) = store.events(action="save-thresholds")
    assert (event.who, event.reason) == ("kato", REASON)


def test_the_cheapest_come_into_force_as_the_page_shows_them(make_plant, open_view):
    root = make_plant()
    best = cheapest(root)
    assert best != in_force(root)
    app = open_view(root, "thresholds", QUALITY)
    # What was moved before is not what is saved.
    assert move(app, 3) != best
    app.press(CHEAPEST)
    assert place(app) == best
    app.text_input[0].set_value(REASON)
    app.press(SAVE)
    assert in_force(root) == best
    assert place(app) == best


@pytest.mark.long
def test_thresholds_go_back_to_those_in_force_and_can_be_moved_again(make_plant, open_view):
    root = make_plant()
    app = open_view(root, "thresholds", QUALITY)
    first = move(app, -2)
    app.press(BACK)
    assert place(app) == IN_FORCE["A"]
    # To the very place that was chosen before they were put back.
    assert move(app, -2) == first
    app.press(CHEAPEST)
    assert place(app) == cheapest(root)
    last = move(app, -1)
    assert said(last) in app.texts()
    app.text_input[0].set_value(REASON)
    app.press(SAVE)
    assert in_force(root) == last


def test_nothing_is_rejected_unseen_at_the_last_place(make_plant, open_view):
    root = make_plant()
    app = open_view(root, "thresholds", QUALITY)
    slider = app.select_slider[0]
    slider.set_range(slider.value[0], np.inf).run()
    assert said((IN_FORCE["A"][0], None)) in app.texts()
    app.text_input[0].set_value(REASON)
    app.press(SAVE)
    assert in_force(root) == (IN_FORCE["A"][0], None)


@pytest.mark.long
def test_costs_may_change_after_thresholds_were_moved(make_plant, open_view):
    root = make_plant()
    app = open_view(root, "thresholds", QUALITY)
    app.press(CHEAPEST)
    moved = move(app, 2)
    for costs in (5000.0, 1.0):  # other cheapest ones, and so another grid
        app.number_input[0].set_value(costs).run()
        assert place(app) == moved
    app.press(CHEAPEST)
    assert place(app) == (best := cheapest(root, escape=1.0)) != moved
    app.text_input[0].set_value(REASON)
    app.press(SAVE)
    assert in_force(root) == best


def test_nothing_of_one_line_is_used_for_another(make_plant, open_view):
    root = make_plant()
    app = open_view(root, "thresholds", QUALITY)
    app.number_input[0].set_value(5.0).run()
    app.press(CHEAPEST)
    assert place(app) == cheapest(root, escape=5.0)
    move(app, 1)
    other = open_view(root, "thresholds", QUALITY, line="B")
    assert place(other) == IN_FORCE["B"]
    assert other.number_input[0].value == 9000.0
    other.press(CHEAPEST)
    assert place(other) == (best := cheapest(root, "B"))
    other.text_input[0].set_value(REASON)
    other.press(SAVE)
    assert in_force(root, "B") == best
    assert in_force(root, "A") == IN_FORCE["A"]


def test_without_enough_defects_no_figure_is_shown(make_plant, open_view):
    app = open_view(make_plant(defects=29), "thresholds", QUALITY)
    assert "Too little is known to say" in app.texts()
    move(app, -1)
    assert not app.dataframe
    assert next(b for b in app.button if b.label.startswith(CHEAPEST)).disabled
    assert SAVE not in [button.label for button in app.button]


def test_without_any_defect_the_curve_of_good_parts_is_shown(line, open_view):
    project = open_project(line, line="A")
    list(inspect(project, "A", [line / "data" / "A" / "test" / "good"]))
    app = open_view(line, "thresholds", QUALITY)
    assert "Too little is known to say" in app.texts()
    assert app.get("arrow_vega_lite_chart") or app.get("vega_lite_chart")
    assert SAVE not in [button.label for button in app.button]


def test_the_page_begins_anew_where_a_calibration_has_come_into_force(make_plant, open_view):
    root = make_plant()
    app = open_view(root, "thresholds", QUALITY)
    app.press(CHEAPEST)
    assert said(cheapest(root)) in app.texts()
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
    assert said((1.0, None)) in app.texts()
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
    assert said(IN_FORCE["A"]) in app.texts()
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
