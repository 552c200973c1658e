"""The page Models: what judges a line, and what was measured of it, from real files."""

import shutil
from dataclasses import replace

import pytest

from cdm_inspect import workflows
from cdm_inspect.hooks.conformance.specimens import a_part, evidence_of
from cdm_inspect.pilot_report import write_pilot_report
from cdm_inspect.project import open_project


@pytest.fixture(scope="module")
def measured(walked, tmp_path_factory):
    """A line whose second press still runs another model; evaluated twice, diagnosed."""
    line = tmp_path_factory.mktemp("measured") / "line"
    shutil.copytree(walked[0], line)
    project = open_project(line, line="A")
    data = line / "data" / "A"
    workflows.evaluate(project, "A", data, device="cpu")
    workflows.evaluate(project, "A", data, device="cpu", report=line / "reports" / "again.png")
    workflows.diagnose(project, "A", parts=4)
    found = project.calibration("A")
    mine = {"model": found.model, "calibration": found.id, "scorer": "fused"}
    with project.open_store() as store:
        for number in range(4):
            other = {"station": "press 2", "model": "old"} if number % 2 else {"station": "press 1"}
            store.append(replace(a_part(number), **{**mine, **other}), evidence=evidence_of(number))
    return line


@pytest.fixture
def plant(measured, tmp_path):
    """A copy that a test may change."""
    root = tmp_path / "plant"
    shutil.copytree(measured, root)
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
    found = project.calibration("A")
    told = app.texts()
    assert f"Model: {found.model}" in told
    assert f"Version: 1 ({found.id})" in told
    assert f"Station press 2 still judges with the model old; the line has {found.model}" in told
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
    found = open_project(plant).calibration("A")
    told = page(plant, language=language).texts()
    label = {"en": "Promised: At most ", "ja": "保証: 検証用の良品"}[language]
    (promised,) = (line for line in told.splitlines() if line.startswith(label))
    assert f"{found.false_reject_bound:.2%}" in promised
    # Twelve held-out parts carry no more than that.
    assert "10.00%" in promised
    assert str(found.parts_needed) in promised


def test_evaluations_stand_side_by_side(page, plant):
    app = page(plant)
    shown = app.table("Image AUROC")
    assert sorted(shown["Name"]) == ["A-fused", "again"]
    app = page(plant, models_kind="compare")
    compared = app.table("The first is")
    assert list(compared["Measure"]) == ["Escapes", "False rejects", "Image AUROC"]
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
    report.write_text(source.replace('"scorer": "fused"', '"scorer": "<b>![x](http://e.com)</b>"'))
    app = page(plant)
    assert "<b>![x](http://e.com)</b>" in list(app.table("Image AUROC")["Scorer"])
    assert not [html for html in app.get("html") if "e.com" in html.proto.body]
    assert not app.markdown
