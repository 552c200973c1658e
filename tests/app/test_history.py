"""The page History: parts are found by what is known of them, with all that happened to them."""

import datetime as dt
import uuid
from urllib.parse import quote

import pytest

from cdm_inspect.errors import NotAllowed
from cdm_inspect.project import open_project
from cdm_inspect.records import (
    Decision,
    Event,
    InspectionQuery,
    JudgingSetup,
    Purpose,
    Verdict,
)
from cdm_inspect.review import ReviewDesk
from cdm_inspect.roles import Actor, Role
from cdm_inspect.testing.specimens import a_part, a_review, evidence_of

QUALITY = Actor("伊藤", Role.QA)
OPERATOR = Actor("田中", Role.OPERATOR)
SERIALS = ("SN-1", "SN-10", "SN%1", "![x](http://example.com/a.png)", "SN\\2", "sn-1")
NONSENSE = ("-1", "0", "1e999", "NaN", "inf", "9" * 10_000, "a\nb", "'; DROP TABLE inspection --")

PROJECT = """\
[review]
timezone = "Asia/Tokyo"

[lines.A]
normal = "good"
"""


@pytest.fixture
def plant(tmp_path):
    """Sixty passed parts, then six of known serials; three of them are decided."""
    root = tmp_path / "plant"
    root.mkdir()
    (root / "cdm-inspect.toml").write_text(PROJECT)
    start = dt.datetime(2026, 3, 1, 16, tzinfo=dt.UTC)  # in Tokyo it is the second of March
    with open_project(root).open_store() as store:
        store.record_setup(
            JudgingSetup(
                line="A",
                configuration={"preset": "small"},
                model="model",
                model_record={"steps": 3},
                calibration="calibration",
                calibration_record={"reject_threshold": 2.75, "version": 4},
            )
        )
        early = {"serial": "", "lot": "L-0", "verdict": Verdict.PASS, "inspected_at": start}
        store.append_many([(a_part(number, **early), None) for number in range(60)])
        kept = []
        for number, serial in enumerate(SERIALS):
            at = start + dt.timedelta(days=number)
            part = a_part(100 + number, serial=serial, inspected_at=at)
            kept.append(store.append(part, evidence=evidence_of(number)))
        store.record_review(a_review(kept[0].id, Decision.REJECT, comment="![y](http://x/y)"))
        store.record_review(
            a_review(kept[0].id, reviewer="鈴木", purpose=Purpose.SECOND, seen_ms=1500)
        )
        store.record_review(a_review(kept[1].id, reviewer="田中"))
        store.append(a_part(200, serial="SN-1", image="again.png"), evidence=evidence_of(9))
        store.append(a_part(300, line="B", serial="SN-1"), evidence=None)
    return root


@pytest.fixture
def page(open_view, plant):
    """The page alone, as somebody sees it."""

    def show(actor=QUALITY, **query):
        return open_view(plant, "history", actor, query=query)

    return show


@pytest.fixture
def visit(plant, serve, open_page):
    """Open an address of the plant in a browser, as an engineer."""

    def start(address):
        server, page = serve(plant), open_page(locale="en-GB")
        page.goto(f"{server.url}/cdm/login?next={quote(address)}")
        page.locator("#name").fill("mori")
        page.locator("button").click()
        return server, page

    return start


def numbers(app):
    """Of the parts in the list; none where it says that there is none."""
    if not app.dataframe:
        return []
    return list(app.dataframe[0].value["Part"])


def named(widgets, label):
    return next(widget for widget in widgets if widget.label.startswith(label))


def number_of(root, serial):
    with open_project(root).open_store() as store:
        return store.find(InspectionQuery(line="A", serial=serial))[0].id


def test_parts_come_newest_first_by_pages(page):
    app = page()
    first = numbers(app)
    assert len(first) == 50
    assert first == sorted(first, reverse=True)
    app.press("Older")
    second = numbers(app)
    assert len(second) == 17
    assert max(second) < min(first)
    app.press("Newest")
    assert numbers(app) == first


def test_the_form_asks_and_the_address_tells(page, plant):
    app = page()
    named(app.text_input, "Serial").set_value("SN-1*")
    app.press("Find")
    assert list(app.dataframe[0].value["Serial"]) == ["SN-1", "SN-10", "SN-1"]
    assert app.query_params["serial"] == "SN-1*"
    assert app.query_params["line"] == "A"
    named(app.text_input, "Serial").set_value("SN-1")
    named(app.selectbox, "Decision").set_value("reject")
    app.press("Find")
    assert numbers(app) == [number_of(plant, "SN-1")]
    assert "1 in all" in app.texts()
    app.press("Clear")
    assert len(numbers(app)) == 50
    assert "serial" not in app.query_params
    named(app.selectbox, "Decision").set_value("none")
    named(app.selectbox, "Shift").set_value(3)
    named(app.date_input, "until").set_value(dt.date(2026, 3, 4))
    app.press("Find")
    # A shift is one of one day.
    assert app.query_params["from"] == "2026-03-04"
    assert "until" not in app.query_params
    assert (app.query_params["shift"], app.query_params["decision"]) == ("3", "none")
    assert list(app.dataframe[0].value["Serial"]) == [SERIALS[3]]
    named(app.text_input, "Part number").set_value("61")
    app.press("Find")
    assert app.subheader[0].value == "Part 61"
    # A number that was gone to is nothing to the next search.
    app.press("Clear")
    assert named(app.text_input, "Part number").value == ""
    named(app.text_input, "Lot").set_value("L-0")
    app.press("Find")
    assert "part" not in app.query_params
    assert not app.subheader


def test_what_was_typed_and_not_sent_is_cleared_too(page):
    app = page()
    for label in ("Serial", "Lot", "Part number"):
        named(app.text_input, label).set_value("61")
    app.press("Clear")
    app.press("Find")
    assert dict(app.query_params) == {"line": "A"}


@pytest.mark.parametrize(
    ("addressed", "serials"),
    [
        ({"serial": "SN%*"}, ["SN%1"]),
        ({"serial": "SN\\*"}, ["SN\\2"]),
        ({"serial": "sn*"}, ["sn-1"]),
        ({"serial": "SN_*"}, []),
        ({"serial": "!*"}, ["![x](http://example.com/a.png)"]),
        ({"lot": "L-7", "reviewer": "田中"}, ["SN-10"]),
        ({"decision": "reject"}, ["SN-1"]),
        ({"verdict": "reject", "from": "2026-03-05", "until": "2026-03-06"}, ["SN\\2", SERIALS[3]]),
        ({"verdict": "undecided"}, []),
        ({"decision": "none", "lot": "L-7"}, ["SN-1", "sn-1", "SN\\2", SERIALS[3], "SN%1"]),
        # In Tokyo the parts come at one in the morning: in the night shift of the day before.
        ({"from": "2026-03-03", "shift": "3"}, ["SN%1"]),
        ({"from": "2026-03-03", "until": "2026-03-09", "shift": "3"}, ["SN%1"]),
        ({"from": "2026-03-03", "shift": "1"}, []),
        ({"from": "2026-03-03", "until": "2026-03-03", "shift": "4"}, ["SN-10"]),
        ({"until": "2026-03-03", "shift": "1", "lot": "L-7"}, ["SN-10", "SN-1"]),
    ],
)
def test_an_address_finds(page, addressed, serials):
    app = page(**addressed)
    found = list(app.dataframe[0].value["Serial"]) if numbers(app) else []
    assert found == serials
    assert ("No part of this line" in app.texts()) == (not serials)


@pytest.mark.parametrize("nonsense", NONSENSE)
def test_nonsense_in_an_address_counts_as_nothing(page, nonsense):
    names = ("part", "after", "from", "until", "shift", "verdict", "decision")
    app = page(**dict.fromkeys(names, nonsense))
    assert len(numbers(app)) == 50
    assert not app.subheader
    if len(nonsense) > 129:
        app = page(serial=nonsense, lot=nonsense, reviewer=nonsense)
        assert len(numbers(app)) == 50
    else:
        page(serial=nonsense, lot=nonsense, reviewer=nonsense)


def test_a_part_is_told_of_with_all_that_happened(page, plant):
    number = number_of(plant, "SN-1")
    again = a_review(number, Decision.REJECT, purpose=Purpose.CORRECTION)
    with open_project(plant).open_store() as store:
        desk = ReviewDesk(store, open_project(plant).config)
        with pytest.raises(NotAllowed):
            desk.decide(OPERATOR, again)
    app = page(part=str(number))
    story, captures = (app.dataframe[index].value for index in (1, 2))
    assert list(story["Who"]) == ["the machine", "佐藤", "鈴木", "田中"]
    assert list(story["What"])[1:] == ["✖ Reject", "✔ Accept", "was not allowed to decide"]
    assert list(story["Reason"])[1] == "Dent"
    assert list(story["On the occasion of"])[1:3] == ["flagged part", "second opinion"]
    assert list(story["Looked at, s"])[1:3] == [0.84, 1.5]
    assert story["When"][0].startswith("2026-03-02 01:00")
    # The second capture, not the part itself, nor one of another line.
    assert len(captures) == 1
    assert captures["Inspected"][0] > "2026-03-02"
    assert '"preset": "small"' in app.code[0].value
    shown = [text.value for text in app.markdown]
    assert not [text for text in shown if "![y]" in text or "![x]" in text]


def test_facts_of_a_part(plant, monkeypatch):
    from cdm_inspect.config.words import Speech
    from cdm_inspect_review import part_history

    with open_project(plant).open_store() as store:
        part = store.find(InspectionQuery(line="A", serial="SN-1"))[0]
        setup = store.judged_with(part.id)
    facts = dict(part_history.facts(part, setup, Speech("en"), dt.UTC))
    assert facts["reject from"] == "2.750"
    assert facts["Calibration (version)"] == "calibration (4)"
    assert facts["Oddness"].startswith("at most 1 of 100 good parts")
    assert facts["Photograph"] == "brightness 0.25, sharpness 11"
    assert facts["Inspected"] == "2026-03-01 16:00:00"
    unjudged = dict(part_history.facts(part, None, Speech("ja"), dt.UTC))
    assert unjudged["校正（版）"] == "calibration"
    assert not {value for value in facts.values() if value == ""}


def test_a_correction_takes_a_second_press(page, plant):
    number = number_of(plant, "SN-10")
    app = page(part=str(number))
    of_change = [box for box in app.selectbox if box.form_id.startswith("history-change")]
    named(of_change, "Decision").set_value(Decision.REJECT)
    named(app.selectbox, "Reason").set_value("burr")
    named(app.text_input, "Comment").set_value("seen again")
    app.press("Go on")
    with open_project(plant).open_store() as store:
        assert store.get(number).decision is Decision.ACCEPT
    assert "✔ Accept becomes ✖ Reject" in app.texts()
    app.press("Record it")
    with open_project(plant).open_store() as store:
        last = store.reviews(number)[-1]
    assert (last.decision, last.reason, last.comment) == (Decision.REJECT, "burr", "seen again")
    assert (last.reviewer, last.role, last.purpose) == ("伊藤", "qa", Purpose.CORRECTION)
    assert "✔ recorded" in app.texts()
    assert list(app.dataframe[1].value["Who"])[-1] == "伊藤"


def test_a_correction_of_what_somebody_else_has_changed_is_refused(page, plant):
    number = number_of(plant, "SN-10")
    app = page(part=str(number))
    app.press("Go on")
    with open_project(plant).open_store() as store:
        store.record_review(a_review(number, Decision.UNSURE, client_id=uuid.uuid4().hex))
    app.press("Record it")
    assert "has decided part" in app.texts()
    with open_project(plant).open_store() as store:
        assert store.get(number).decision is Decision.UNSURE


def test_a_limit_sample_and_a_hold_take_a_reason(page, plant):
    number = number_of(plant, "SN-1")
    app = page(part=str(number))
    app.press("Make it a limit sample")
    assert "Say why first" in app.texts()
    app.text_input[-2].set_value("just too deep")
    app.press("Make it a limit sample")
    assert "is shown beside others" in app.texts()
    app.text_input[-1].set_value("case 17")
    app.press("Keep it from being deleted")
    with open_project(plant).open_store() as store:
        assert store.get(number).hold == "case 17"
        assert [part.id for part in ReviewDesk(store).marks.limit_samples("A")] == [number]
    app.text_input[-1].set_value("case 17")
    app.press("Keep it from being deleted")
    assert "is so already" in app.texts()
    app.press("End this hold")
    app.text_input[-2].set_value("the customer has changed the limit")
    app.press("Limit sample no longer")
    with open_project(plant).open_store() as store:
        assert store.get(number).hold == ""
        assert list(ReviewDesk(store).marks.limit_samples("A")) == []
    entries = open_project(plant).store_upkeep().entries(limit=4)
    assert [link.entry["action"] for link in entries] == [
        *("unmark-limit-sample", "end hold", "hold", "mark-limit-sample"),
    ]
    assert {link.entry["who"] for link in entries} == {"伊藤"}


def test_what_was_typed_for_one_part_is_nothing_to_another(page, plant):
    first, second = number_of(plant, "SN-1"), number_of(plant, "SN-10")
    app = page(part=str(first))
    for button, place in (("Make it a limit sample", -2), ("Keep it from being deleted", -1)):
        app.query_params["part"] = str(first)
        app.run()
        app.text_input[place].set_value("customer claim 77")
        app.press(button)
        app.query_params["part"] = str(second)
        app.run()
        assert f"Part {second}" in [each.value for each in app.subheader]
        assert not [each.value for each in app.text_input if each.value]
        app.press(button)
        assert "Say why first" in app.texts()
    with open_project(plant).open_store() as store:
        assert store.events(inspection_id=second) == []
        assert store.get(second).hold == ""


@pytest.mark.browser
def test_what_was_typed_and_not_sent_is_nothing_to_another_part(plant, visit):
    from playwright.sync_api import expect

    first, second = number_of(plant, "SN-1"), number_of(plant, "SN-10")
    _, page = visit(f"/history?line=A&part={first}")
    expect(page.get_by_role("heading", name=f"Part {first}")).to_be_visible()
    fields = page.get_by_label("Comment").or_(page.get_by_label("Why", exact=True))
    expect(fields).to_have_count(3)
    for field in fields.all():
        field.fill("customer claim 77")
    page.get_by_text("Search", exact=True).click()
    page.get_by_label("Part number").fill(str(second))
    page.get_by_role("button", name="Find").click()
    expect(page.get_by_role("heading", name=f"Part {second}")).to_be_visible()
    expect(fields).to_have_count(3)
    for field in fields.all():
        expect(field).to_have_value("")
    expect(page.get_by_label("Part number")).to_have_value("")


def test_a_reason_is_used_up_when_it_is_recorded(page, plant):
    app = page(part=str(number_of(plant, "SN-1")))
    for label, opposite, place in (
        ("Make it a limit sample", "Limit sample no longer", -2),
        ("Keep it from being deleted", "Keep it from being deleted", -1),
    ):
        app.text_input[place].set_value("case 17")
        app.press(label)
        assert "✔ recorded" in app.texts()
        app.press(opposite)
        assert "Say why first" in app.texts()


@pytest.mark.browser
def test_another_line_begins_with_its_newest_parts(visit):
    from playwright.sync_api import expect

    asked = "after=66&part=3&serial=SN-1&from=2026-03-01&shift=1"
    server, page = visit(f"/history?kiosk=1&line=A&{asked}")
    expect(page.get_by_role("heading", name="Part 3")).to_be_visible()
    page.get_by_role("combobox").first.click()
    page.get_by_role("option", name="Line B").click()
    expect(page.get_by_role("heading", name="History: B")).to_be_visible()
    expect(page.get_by_text("1 parts, newest first")).to_be_visible()
    expect(page.get_by_role("heading", name="Part 3")).to_have_count(0)
    # What was looked for by name may be on this line.
    assert page.url == f"{server.url}/history?kiosk=1&line=B&serial=SN-1"
    page.go_back()
    expect(page.get_by_role("heading", name="Part 3")).to_be_visible()
    assert page.url == f"{server.url}/history?kiosk=1&line=A&{asked}"


@pytest.mark.browser
def test_what_was_asked_for_stays_in_the_form_until_it_is_cleared(visit):
    _, page = visit("/history?line=A")
    # While a page is drawn anew, fields of before may stand beside its own.
    shown = """([serial, lot]) => {
      const values = [...document.querySelectorAll("[data-testid=stForm] input[type=text]")]
        .filter((input) => /^(Serial|Lot)/.test(input.ariaLabel))
        .map((input) => input.value);
      return values.length === 2 && values[0] === serial && values[1] === lot;
    }"""
    for label, text, values in (
        ("Serial", "SN-1*", ["SN-1*", ""]),
        ("Lot", "L-7", ["SN-1*", "L-7"]),
    ):
        page.get_by_label(label).fill(text)
        page.get_by_role("button", name="Find").click()
        page.wait_for_function(shown, arg=values)
        page.wait_for_function("(text) => location.search.includes(text)", arg=text.strip("*"))
    page.get_by_role("button", name="Clear").click()
    page.wait_for_function(shown, arg=["", ""])
    page.wait_for_function("() => location.search === '?line=A'")


@pytest.mark.browser
def test_another_line_leaves_the_shift_of_a_report(visit):
    from playwright.sync_api import expect

    _, page = visit("/report?line=A&day=2026-03-02&shift=2")
    times = page.get_by_text("2026-03-02 14:00 – 2026-03-02 22:00")
    expect(times).to_be_visible()
    page.get_by_role("combobox").first.click()
    page.get_by_role("option", name="Line B").click()
    expect(page.get_by_role("heading", name="Shift report: B")).to_be_visible()
    expect(times).to_be_visible()
    page.wait_for_url(lambda url: "line=B" in url and "shift=2" in url)


def test_who_may_not_is_told_and_may_correct_what_is_their_own(page, plant):
    other, own = number_of(plant, "SN-1"), number_of(plant, "SN-10")
    app = page(OPERATOR, part=str(other))
    assert "may correct this part" in app.texts()
    assert "Go on" not in [button.label for button in app.button]
    app = page(OPERATOR, part=str(own))
    labels = [button.label for button in app.button]
    assert "Go on" in labels
    assert "Keep it from being deleted" not in labels
    assert "Go on" not in [button.label for button in page(None, part=str(own)).button]


def test_a_part_that_is_gone_and_events_of_no_known_kind(page, plant):
    assert "There is no part 99999" in page(part="99999").texts()
    number = number_of(plant, "SN-10")
    with open_project(plant).open_store() as store:
        store.record_event(Event(action="paint-roof", who="x", line="A", inspection_id=number))
    assert "paint-roof" in list(page(part=str(number)).dataframe[1].value["What"])


def test_the_story_says_what_was_refused_and_who_left_a_part_open(plant, monkeypatch):
    from cdm_inspect.config.words import Speech
    from cdm_inspect_review import part_history

    with open_project(plant).open_store() as store:
        part = store.find(InspectionQuery(line="A", serial="SN-1"))[0]
    nobody = {"reviewer": "", "role": "", "comment": "", "reason": "", "seen_ms": None}
    open_ = a_review(part.id, Decision.UNSURE, purpose=Purpose.DISAGREEMENT, **nobody)
    kinds = ("NotAllowed", "DecisionConflict", "InvalidOption", None)
    events = [
        Event(action="refused", who="田中", facts={"kind": kind} if kind else {}) for kind in kinds
    ]
    for language, allowed, program in (
        ("en", "allowed", "The program"),
        ("ja", "許可", "プログラム"),
    ):
        speech = Speech(language)
        story = part_history.story(part, [open_], events, {}, speech, dt.UTC)
        who, what = speech("history.story.who"), speech("history.story.what")
        assert story[1][who] == program
        assert story[1][what] == speech("history.left_open")
        said = [row[what] for row in story[2:]]
        assert len(set(said)) == 4
        assert [allowed in text for text in said] == [True, False, False, False]
