"""The page Models: what judges a line, and what was measured of it, from real files."""

import datetime as dt
import json
import shutil
from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest

from cdm_inspect.calibration.guarantees import choose_threshold
from cdm_inspect.calibration.in_force import calibration_in_force
from cdm_inspect.calibration.record import Expiry
from cdm_inspect.config.units import at_most
from cdm_inspect.inspection.exported.bundle import MANIFEST
from cdm_inspect.model.diagnosis import WARNINGS
from cdm_inspect.project import open_project
from cdm_inspect.review.line_status import ExportFacts, ExportProblem, LineModels
from cdm_inspect.testing.specimens import a_part, evidence_of
from cdm_inspect.workflows.reports.pilot_report import write_pilot_report


@pytest.fixture
def plant(measured, tmp_path):
    """A line whose second press still runs another model; evaluated twice, diagnosed."""
    root = tmp_path / "plant"
    shutil.copytree(measured, root)
    project = open_project(root, line="A")
    found = calibration_in_force(project, "A")
    mine = {"model": found.model, "calibration": found.id, "scorer": "residual"}
    with project.open_store() as store:
        for number in range(4):
            other = {"station": "press 2", "model": "old"} if number % 2 else {"station": "press 1"}
            store.append(replace(a_part(number), **{**mine, **other}), evidence=evidence_of(number))
    return root


@pytest.fixture
def page(open_view):
    """The page alone."""

    def show(root, line="A", **state):
        named = {name.replace("_", "-"): value for name, value in state.items()}
        return open_view(root, "models", line=line, state=named)

    return show


def test_what_is_in_force_and_what_a_station_runs_instead(page, plant):
    app = page(plant)
    project = open_project(plant)
    found = calibration_in_force(project, "A")
    said = app.texts()
    assert f"Model: {found.model}" in said
    assert f"Version: 1 ({found.id})" in said
    assert f"Station press 2 still judges with the model old; the line has {found.model}" in said
    running = app.table("Station")
    assert dict(zip(running["Station"], running["Model"], strict=True)) == {
        "press 1": found.model,
        "press 2": "✖ old",
    }
    lines = app.table("Stations with another model")
    assert list(lines["Line"]) == ["A"]
    assert list(lines["Stations with another model"]) == ["press 2"]


@pytest.mark.parametrize("language", ["en", "ja"])
def test_what_is_promised_and_what_it_would_take(page, plant, language):
    found = calibration_in_force(open_project(plant), "A")
    said = page(plant, language=language).texts()
    label = {"en": "Promised: At most ", "ja": "保証: 検証用の良品"}[language]
    (promised,) = (line for line in said.splitlines() if line.startswith(label))
    assert at_most(found.false_reject_bound) in promised
    # Twelve held-out parts carry no more than that.
    assert "10.00%" in promised
    assert str(found.parts_needed) in promised


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.995, 0.99999999])
@pytest.mark.parametrize("language", ["en", "ja"])
def test_no_more_confidence_is_told_than_was_asked_for(monkeypatch, confidence, language):
    from cdm_inspect.config.words import Speech
    from cdm_inspect_review import model_tables

    _, found = choose_threshold([0.1, 0.2, 0.3], 0.01, confidence)
    asked = {0.5: "50%", 0.9: "90%", 0.95: "95%", 0.995: "99.5%", 0.99999999: "99.999999%"}
    said = model_tables.promise(found, Speech(language))
    assert f" {asked[confidence]} " in said
    assert f" at {asked[confidence]} confidence" in found.sentence


def test_an_export_was_made_by_the_clocks_of_the_plant(monkeypatch):
    from cdm_inspect.config.words import Speech
    from cdm_inspect_review import model_tables

    export = ExportFacts(
        name="onnx",
        exporter="onnx",
        model="m",
        calibration="c",
        made_at="2026-11-26T18:30:00+00:00",
        fits=True,
        thresholds_differ=False,
        problem="",
        misfit=None,
    )
    found = LineModels(
        line="A",
        preset="small",
        scorer="residual",
        model=None,
        calibration=None,
        problem="",
        error=None,
        versions=(),
        exports=(export, replace(export, made_at=""), replace(export, made_at="yesterday")),
        running=(),
    )
    rows = model_tables.export_rows(found, Speech("en"), ZoneInfo("Asia/Tokyo"))
    assert [row["Made"] for row in rows] == ["2026-11-27 03:30", "–", "yesterday"]


def test_what_is_wrong_is_told_in_japanese(page, plant):
    project = open_project(plant)
    folder, first = project.calibration_folder("A"), calibration_in_force(project, "A")
    hand = {**first.basis, "who": "伊藤", "role": "qa", "reason": "drill changed"}
    long_ago = dt.datetime.now(dt.UTC) - dt.timedelta(days=40)
    saved = replace(first, rule="by hand", basis=hand, made_at=long_ago, expiry_days=30.0)
    saved = saved.save(folder)
    damaged = project.export_folder("A", "onnx")
    damaged.mkdir(parents=True)
    (damaged / MANIFEST).write_text("{")
    app = page(plant, language="ja")
    made = saved.made_at.astimezone(project.config.review.zone)
    expired = f"✖ 校正 {saved.id}（{made:%Y-%m-%d %H:%M} 作成）の有効期間 30 日が過ぎました。"
    assert expired in app.texts()
    assert "holds for" not in app.texts()
    assert "しきい値の決め方: 手動設定" in app.texts()
    versions = app.table("しきい値の決め方")
    assert list(versions["しきい値の決め方"]) == ["手動設定", "良品の過検出率の上限"]
    assert list(versions["作成者"]) == ["伊藤 (品質担当)", "cdm-inspect calibrate"]
    (why,) = app.table("ラインとの一致")["問題"]
    assert why.startswith("ファイルを使用できません。詳細：")
    (folder / "residual.json").unlink()
    assert "✖ ラインが校正されていません。 " in page(plant, language="ja").texts()


@pytest.mark.parametrize("language", ["en", "ja"])
def test_every_misfit_expiry_and_concern_has_words(monkeypatch, language):
    from cdm_inspect.config.words import catalogue

    for name, kinds in (("expired", Expiry), ("misfit", ExportProblem), ("concern", WARNINGS)):
        for kind in kinds:
            assert catalogue()[f"models.{name}_{kind}"][language]


def test_what_thresholds_lack_is_told_in_japanese(open_view, measured):
    said = open_view(measured, "thresholds", state={"language": "ja"}).texts()
    assert "費用を算出するには情報が足りません" in said
    assert "不合格と判定された部品は 0 個で、30 個以上必要です。" in said
    assert "合格と判定された部品がありません。" in said
    assert "expected" not in said


def test_evaluations_stand_side_by_side(page, plant):
    app = page(plant)
    shown = app.table("Image AUROC")
    assert sorted(shown["Name"]) == ["A-residual", "again"]
    app = page(plant, models_kind="compare")
    compared = app.table("The first is")
    assert list(compared["Measure"]) == [
        *("Escapes among defective parts", "False rejects among good parts", "Image AUROC"),
    ]
    # The same model by the same thresholds: nothing tells them apart.
    assert set(compared["The first is"]) == {"not clearly different"}
    assert "8 good, 12 defective" in app.texts()


def test_a_diagnosis_is_told_in_figures_a_chart_and_its_picture(page, plant):
    app = page(plant, models_kind="diagnosis")
    levels = app.table("Overfit")
    assert len(levels) == 6
    assert len(app.table("Sampling drift")) == 16
    (chart,) = app.get("vega_lite_chart") or app.get("arrow_vega_lite_chart")
    assert "held-out" in chart.proto.spec
    pictures = [html for html in app.get("html") if "data:image/png;base64," in html.proto.body]
    assert len(pictures) == 1
    assert 'alt="' in pictures[0].proto.body


def test_warnings_of_a_diagnosis_are_told_in_japanese(page, plant):
    file = plant / "reports" / "A-diagnosis.json"
    document = json.loads(file.read_text())
    document["warnings"] = ["overfitting: the error is above 10% at sigma 0.1, 0.5."]
    document["concerns"] = [{"kind": "overfit", "sigmas": [0.1, 0.5]}]
    file.write_text(json.dumps(document))
    said = page(plant, models_kind="diagnosis", language="ja").texts()
    assert "✖ 過学習：σ 0.1, 0.5 で、" in said
    assert "overfitting" not in said
    # A file of an earlier version has the sentence alone.
    del document["concerns"]
    file.write_text(json.dumps(document))
    said = page(plant, models_kind="diagnosis", language="ja").texts()
    assert "✖ 診断の警告： overfitting: the error" in said


def test_a_pilot_says_go_or_not_in_both_languages(page, plant):
    comparison = {
        "endpoint": "drift",
        "arm_mean": 1.0,
        "reference_mean": 2.0,
        "difference": -1.0,
        "low": -1.5,
        "high": -0.5,
        "relative": -0.5,
    }
    pairs = (("on", "off"), ("staged", "off"), ("on", "off-equal-images"))
    run = {"arm": "on", "seed": 0, "curve": [[1, 2, 3], [2, 3, 2]], "consistency_cost_ratio": 1.2}
    document = {
        "line": "A",
        "preset": "tiny",
        "image_size": 64,
        "n_parts": 48,
        "n_held_out": 12,
        "seeds": 3,
        "seconds_per_run": 10.0,
        "data": None,
        "costs": {"escape": 1.0, "false_reject": 1.0, "review_minute": 1.0, "defect_share": 0.01},
        "runs": [run],
        "comparisons": [{**comparison, "arm": arm, "reference": ref} for arm, ref in pairs],
        "verdict": {"answer": "go", "rule": "lower", "endpoint": "drift"},
    }
    write_pilot_report(document, plant / "reports" / "A-pilot.html")
    app = page(plant, models_kind="pilot")
    assert "GO\n" in app.texts() + "\n"
    assert list(app.table("on − off")["on − off"]) == ["-1 (-1.5 – -0.5)"]
    assert [button.label for button in app.get("download_button")] == ["Download the report (HTML)"]
    app = page(plant, models_kind="pilot", language="ja")
    assert "採用" in app.texts()


@pytest.mark.parametrize(
    "kind", ["evaluation", "compare", "bench", "diagnosis", "pilot", "picture"]
)
@pytest.mark.parametrize("language", ["en", "ja"])
def test_a_line_that_nobody_has_trained_explains_itself(page, tmp_path, kind, language):
    (tmp_path / "cdm-inspect.toml").write_text('[lines.A]\nnormal = "good"\n')
    app = page(tmp_path, models_kind=kind, language=language)
    assert "cdm-inspect train" in app.texts()


def test_text_of_files_is_text(page, plant):
    report = plant / "reports" / "![x](http---example.com).json"
    source = (plant / "reports" / "again.json").read_text()
    report.write_text(
        source.replace('"scorer": "residual"', '"scorer": "<b>![x](http://e.com)</b>"')
    )
    app = page(plant)
    assert "<b>![x](http://e.com)</b>" in list(app.table("Image AUROC")["Scorer"])
    assert not [html for html in app.get("html") if "e.com" in html.proto.body]
    assert not app.markdown
