"""The page Shift report: what the report will say, and the files for who may have them."""

import datetime as dt

import pytest

from cdm_inspect.config.shifts import shift_of
from cdm_inspect.project import open_project
from cdm_inspect.records import Decision, Verdict
from cdm_inspect.roles import Actor, Role
from cdm_inspect.testing.specimens import a_part, a_review, evidence_of

PROJECT = """\
[review]
timezone = "Asia/Tokyo"

[lines.A]
normal = "good"
"""


@pytest.fixture
def plant(tmp_path):
    """Four parts in the second shift of a day; one of the two flagged ones is rejected."""
    root = tmp_path / "plant"
    root.mkdir()
    (root / "cdm-inspect.toml").write_text(PROJECT)
    project = open_project(root)
    start = shift_of(dt.date(2026, 3, 2), 2, project.config.review).since
    with project.open_store() as store:
        for number in range(4):
            verdict = Verdict.REVIEW if number < 2 else Verdict.PASS
            part = a_part(number, verdict=verdict, inspected_at=start)
            kept = store.append(part, evidence=evidence_of(number))
            if not number:
                store.record_review(a_review(kept.id, Decision.REJECT))
    return root


@pytest.fixture
def page(open_view, plant):
    """The page alone, as somebody sees it."""

    def show(role=Role.QA, **query):
        actor = None if role is None else Actor("伊藤", role)
        return open_view(plant, "report", actor, query=query)

    return show


def figures(app):
    table = app.dataframe[0].value
    return dict(zip(table["Figure"], table["Value (95 % interval)"], strict=True))


def actions(root):
    return [link.entry["action"] for link in open_project(root).store_upkeep().entries()]


def test_the_figures_of_a_shift_are_shown_before_it_is_made(page, plant):
    app = page(day="2026-03-02", shift="2")
    assert "2026-03-02 14:00 – 2026-03-02 22:00" in app.texts()
    found = figures(app)
    assert (found["inspected"], found["flagged"]) == ("4", "2")
    assert (found["flagged and rejected"], found["flagged and not decided yet"]) == ("1", "1")
    assert found["Flag rate"].startswith("50.00%")
    assert actions(plant) == ["decide"]
    app.selectbox(key="report-shift").set_value(1).run()
    assert "No part was inspected" in app.texts()


def test_a_report_is_made_and_offered(page, plant):
    app = page(day="2026-03-02", shift="2")
    app.button[0].click().run()
    assert not app.exception
    assert "anchored at entry 1" in app.texts()
    assert actions(plant) == ["shift-report", "decide"]
    assert len(app.get("download_button")) == 3
    names = sorted(path.suffix for path in (plant / "reports/shifts").iterdir())
    assert names == [".csv", ".html", ".pdf"]
    # Another shift has no report yet.
    app.selectbox(key="report-shift").set_value(1).run()
    assert not app.get("download_button")


def test_it_is_called_the_report_of_a_shift_in_japanese(open_view, plant):
    query = {"day": "2026-03-02", "shift": "2"}
    state = {"language": "ja"}
    app = open_view(plant, "report", Actor("伊藤", Role.QA), query=query, state=state)
    assert app.title[0].value.startswith("シフト報告書")
    assert app.button[0].label == "シフト報告書を作成"
    shown = list(app.dataframe[0].value["項目"])
    assert "要確認品のうち人の判定が不合格" in shown


@pytest.mark.parametrize("nonsense", ["-1", "99", "1e999", "NaN", "0001-01-01", "x" * 10_000])
def test_nonsense_in_the_address_counts_as_nothing(page, nonsense):
    app = page(day=nonsense, shift=nonsense)
    assert app.selectbox(key="report-shift").value in (1, 2, 3)
    assert abs(app.date_input(key="report-day").value - dt.date.today()) < dt.timedelta(days=3)


@pytest.mark.parametrize(
    ("role", "may"), [(None, False), (Role.OPERATOR, False), (Role.AUDITOR, True)]
)
def test_who_may(page, role, may):
    app = page(role, day="2026-03-02", shift="2")
    assert bool(app.button) == may
    assert ("auditors may make a report" in app.texts()) != may


def test_a_shift_to_come(page):
    tomorrow = (dt.date.today() + dt.timedelta(days=3)).isoformat()
    app = page(day=tomorrow, shift="1")
    assert "has not begun" in app.texts()
    assert not app.button
