"""The page Drift: alarms, the first and the latest of each chart, and who has seen them."""

import datetime as dt
import json
import re
import time
from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from cdm_inspect.calibration.in_force import calibration_in_force
from cdm_inspect.calibration.record import Calibration
from cdm_inspect.images import Envelope
from cdm_inspect.monitoring.drift import drift
from cdm_inspect.project import open_project
from cdm_inspect.records import Inspection, Verdict
from cdm_inspect.roles import Actor, Role
from cdm_inspect_review.sessions import Signer, plant_secret

MODEL = "0123456789ab"
QUALITY, OPERATOR = Actor("伊藤", Role.QA), Actor("suzuki", Role.OPERATOR)
ROOT = Actor("root", Role.ENGINEER)
PROJECT = """\
[lines.A]
normal = "good"
scorer = "residual"

[review]
timezone = "Asia/Kathmandu"    # no machine runs by it, and it has no full hours
"""
USUAL = tuple(np.linspace(0.4, 0.6, 60).tolist())


def calibrate(root, held_out=100):
    """A calibration by simulated scores; nothing here reads weights."""
    project = open_project(root, line="A")
    envelope = Envelope(
        bounds={}, histogram=(0.5, 1.0), distance=1.0, usual={"exposure": USUAL}, parts=60
    )
    return Calibration(
        line="A",
        model=MODEL,
        scorer="residual",
        options={},
        view={},
        found={},
        scores=tuple(np.linspace(0.0, 1.0, held_out).tolist()),
        max_false_reject=0.05,
        confidence=0.95,
        false_reject_bound=0.06,
        parts_needed=59,
        threshold=1.5,
        reject_threshold=3.0,
        rule="false-reject",
        basis={},
        explanation="because",
        envelope=envelope.to_json(),
        made_at=dt.datetime.now(dt.UTC) - dt.timedelta(days=2),
        state={"mean": np.arange(3, dtype=np.float32)},
    ).save(project.calibration_folder("A"))


@pytest.fixture
def plant(tmp_path):
    """A line that is calibrated; no part has come yet."""
    root = tmp_path / "plant"
    folder = root / "models" / "A"
    folder.mkdir(parents=True)
    (root / "cdm-inspect.toml").write_text(PROJECT)
    manifest = {"format": 1, "weights": "w.safetensors", "weights_sha256": MODEL + 52 * "0"}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    calibrate(root)
    return root


def inspect(root, exposures, start=0):
    """Ordinary parts, photographed so light, one a minute since yesterday."""
    project = open_project(root, line="A")
    calibration = calibration_in_force(project, "A")
    since = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    with project.open_store() as store:
        for number, exposure in enumerate(exposures, start=start):
            part = Inspection(
                image=Path(f"{number}.png"),
                sha256=f"{number}",
                line="A",
                verdict=Verdict.PASS,
                model=MODEL,
                calibration=calibration.id,
                scorer="residual",
                threshold=calibration.threshold,
                score=0.5,
                p_value=0.5,
                acquisition={"exposure": float(exposure)},
                inspected_at=since + dt.timedelta(minutes=number),
            )
            store.append(part, evidence=None)


@pytest.fixture
def look(open_view, monkeypatch):
    """Open the page as somebody, with the session that their browser sends."""

    def start(root, actor, *, epoch=0, since=None):
        from streamlit.runtime.context import ContextProxy, StreamlitCookies

        session = Signer(plant_secret(root)).session(actor, epoch, now=since)
        monkeypatch.setattr(ContextProxy, "cookies", StreamlitCookies({"cdm_session": session}))
        return open_view(root, "drift", actor)

    return start


def acknowledged(root):
    with open_project(root).open_store() as store:
        return store.events(line="A", action="acknowledge-alarm")


def acknowledge(app, reason):
    """Say in the first form that is open what was done."""
    app.text_input[0].set_value(reason)
    app.press("Acknowledge")


def test_the_first_and_the_latest_alarm_are_acknowledged_each_for_itself(plant, look):
    inspect(plant, [0.3] * 60)
    found = drift(open_project(plant, line="A"), "A")
    first, latest = found["alarms"]
    calls = found["charts"]["exposure"]["calls"]
    assert calls > 2
    app = look(plant, QUALITY)
    said = app.texts()
    assert f"Brightness: alarms since the calibration: {calls}" in said
    assert [text.value for text in app.warning] == ["Alarms that nobody has acknowledged: 2"]
    for which, alarm in (("First", first), ("Latest", latest)):
        assert f"{which} alarm · Brightness: darker since about part" in said
        assert f"(found at part {alarm['inspection']}, " in said
    acknowledge(app, "lamp replaced")
    assert [text.value for text in app.warning] == ["Alarms that nobody has acknowledged: 1"]
    assert "lamp replaced" in app.texts()
    acknowledge(app, "shutter stuck")
    assert not app.warning
    assert not app.text_input
    assert "Nobody has acknowledged" not in app.texts()
    assert [(event.facts["alarm"], event.reason) for event in reversed(acknowledged(plant))] == [
        (f"exposure/{first['inspection']}", "lamp replaced"),
        (f"exposure/{latest['inspection']}", "shutter stuck"),
    ]
    # The lamp fails once more: the page says so, though the first alarm was seen to.
    inspect(plant, [0.3] * 30, start=60)
    assert [text.value for text in look(plant, QUALITY).warning] == [
        "Alarms that nobody has acknowledged: 1"
    ]


def test_an_alarm_that_nobody_has_seen_is_told_to_all(plant, open_view):
    inspect(plant, [0.3] * 60)
    for actor in (OPERATOR, None):
        app = open_view(plant, "drift", actor)
        assert app.warning
        assert "✖ Nobody has acknowledged this alarm yet." in app.texts()
        assert not app.text_input


def test_what_is_acknowledged_is_what_was_on_the_screen(plant, look):
    """While a change lasts, the chart calls again and again: also while somebody writes."""
    inspect(plant, [0.3] * 60)
    project = open_project(plant, line="A")
    _, shown = drift(project, "A")["alarms"]
    app = look(plant, QUALITY)
    inspect(plant, [0.3] * 30, start=60)
    assert drift(project, "A")["alarms"][-1] != shown
    app.text_input[1].set_value("shutter stuck")
    app.button[1].click().run()
    assert not app.exception
    (event,) = acknowledged(plant)
    assert (event.facts["alarm"], event.reason) == (
        f"exposure/{shown['inspection']}",
        "shutter stuck",
    )
    assert [text.value for text in app.warning] == ["Alarms that nobody has acknowledged: 2"]


@pytest.mark.parametrize("how", ["barred", "demoted", "expired", "logged out"])
def test_who_has_lost_the_right_acknowledges_nothing_from_an_open_page(plant, look, hire, how):
    inspect(plant, [0.3] * 60)
    accounts = hire(plant, mori="engineer", sato="qa")
    sato = next(user for user in accounts.users() if user.name == "sato")
    hours = open_project(plant).config.review.session_hours if how == "expired" else 0
    since = time.time() - hours * 3600 - 60
    app = look(plant, sato.actor, epoch=sato.epoch, since=since)
    if how == "barred":
        accounts.change("sato", is_active=False, by=ROOT, record=lambda _: None)
    elif how == "demoted":
        accounts.change("sato", role=Role.OPERATOR, by=ROOT, record=lambda _: None)
    elif how == "logged out":
        from cdm_inspect_review import access

        access.leave(Signer(plant_secret(plant)).session(sato.actor, sato.epoch, now=since))
    acknowledge(app, "lamp replaced")
    assert acknowledged(plant) == []
    assert "✖ The alarm was not acknowledged: you are no longer logged in." in app.texts()


@pytest.mark.browser
def test_who_was_barred_is_told_so_and_nothing_is_acknowledged(plant, hire, serve, open_page):
    inspect(plant, [0.3] * 60)
    accounts = hire(plant, mori="engineer", sato="qa")
    server = serve(plant)
    page = open_page()
    page.goto(f"{server.url}/cdm/login?next=/drift%3Fline%3DA")
    page.locator("#name").fill("sato")
    page.locator("#password").fill("korrekt-pferd-batterie")
    page.locator("button").click()
    page.get_by_label("What was found or done").first.fill("lamp replaced")
    accounts.change("sato", is_active=False, by=ROOT, record=lambda _: None)
    page.get_by_role("button", name="Acknowledge").first.click()
    page.get_by_text("The alarm was not acknowledged").wait_for()
    page.get_by_text("Your session is over.").wait_for()
    assert acknowledged(plant) == []


def test_times_are_those_of_the_plant(plant, look):
    inspect(plant, [0.3] * 60)
    app = look(plant, QUALITY)
    acknowledge(app, "lamp replaced")
    zone = ZoneInfo("Asia/Kathmandu")
    for alarm in drift(open_project(plant, line="A"), "A")["alarms"]:
        at = dt.datetime.fromisoformat(alarm["at"]).astimezone(zone)
        assert f"(found at part {alarm['inspection']}, {at:%Y-%m-%d %H:%M})" in app.texts()
    (event,) = acknowledged(plant)
    assert f"acknowledged by 伊藤, {event.at.astimezone(zone):%Y-%m-%d %H:%M}" in app.texts()
    assert "UTC" not in app.texts()


def test_a_part_has_one_name_in_japanese(plant, open_view):
    inspect(plant, [0.3] * 60)
    app = open_view(plant, "drift", QUALITY, state={"language": "ja"})
    charts = app.get("vega_lite_chart") or app.get("arrow_vega_lite_chart")
    said = "\n".join([app.texts(), *(chart.proto.spec for chart in charts)])
    assert "検査番号" not in said
    assert re.search(r"部品番号 \d+ 付近から暗くなった（部品番号 \d+、", said)


@pytest.mark.parametrize(
    ("held_out", "threshold", "said"),
    [(10, 1.5, "良品が 10 個しかなく、14 個必要"), (100, -1.0, "合格する部品がない")],
)
def test_why_there_is_no_chart_is_told_in_the_language_of_the_page(
    plant, open_view, held_out, threshold, said
):
    calibration = calibrate(plant, held_out)
    file = open_project(plant).calibration_folder("A")
    replace(calibration, threshold=threshold).save(file)
    text = open_view(plant, "drift", QUALITY, state={"language": "ja"}).texts()
    (why,) = (line for line in text.splitlines() if said in line)
    assert why.startswith("合格品の異常度：管理図なし")
    assert not re.search("[a-z]{2}", text)
