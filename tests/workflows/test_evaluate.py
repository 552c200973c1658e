"""`evaluate`, its reports, retakes, expiry and thresholds by cost, on a line that was trained."""

import datetime as dt
import json
import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cdm_inspect.calibration.in_force import calibration_in_force
from cdm_inspect.errors import InvalidOption, NotCalibrated
from cdm_inspect.images import find_images
from cdm_inspect.project import open_project
from cdm_inspect.records import Verdict
from cdm_inspect.workflows.calibrate import calibrate
from cdm_inspect.workflows.evaluate import evaluate as evaluate_line
from cdm_inspect.workflows.inspect import inspect
from cdm_inspect.workflows.robustness import GRID

ONE_LEVEL = ["lines.A.scorers.score-norm.sigmas=[0.2]"]


@pytest.fixture
def project(line):
    return open_project(line, line="A")


def evaluate(project, **options):
    return evaluate_line(project, "A", project.root / "data" / "A", **options)


@pytest.mark.slow
def test_the_report_is_one_page_that_needs_nothing_else(project):
    document = evaluate(project, robustness=True)
    page = (project.root / "reports" / "A-residual.html").read_text()
    assert document["report_html"] == str(project.root / "reports" / "A-residual.html")
    fetched = re.findall(r'(?:src|href)="([^"]{0,20})', page)
    assert fetched
    assert all(target.startswith(("data:", "#")) for target in fetched)
    assert "@import" not in page
    assert "見逃し率" in page
    assert page.count("<svg") == 2
    assert document["explanation"][:40] in page
    record = json.loads((project.root / "reports" / "A-residual.json").read_bytes())
    assert len(record["parts"]) == 20
    assert {key: record[key] for key in ("escape_rate", "confusion")} == {
        key: document[key] for key in ("escape_rate", "confusion")
    }
    # Verdicts and exact intervals belong together.
    good = document["confusion"]["good"]
    assert sum(good.values()) == document["n_good"] == 8
    flagged = 8 - good["pass"]
    assert document["false_reject_rate"] == flagged / 8
    low, high = document["false_reject_interval"]
    assert low <= flagged / 8 <= high
    rows = document["robustness"]
    assert len(rows) == len(GRID)
    assert rows[0]["kind"] == "none"
    assert rows[0]["image_AUROC"] == pytest.approx(document["image_AUROC"], abs=1e-4)
    # Blur of 2 px is no part of the line, and never passes.
    blurred = next(row for row in rows if row["level"] == "2 px" and row["kind"] == "blur")
    assert blurred["undecided"] > 0
    assert blurred["escape_rate"] == 0


def test_two_evaluations_are_compared_part_by_part(project):
    first = evaluate(project)
    assert first["readings"] == 1
    project = open_project(project.root, line="A", overrides=ONE_LEVEL)
    calibrate(project, "A", scorer="score-norm")
    second = evaluate(
        project,
        scorer="score-norm",
        compare=project.root / "reports" / "A-residual.json",
        margin=0.9,
    )
    compared = second["compare"]
    assert compared["parts"] == 20
    assert compared["image_AUROC"]["theirs"] == pytest.approx(first["image_AUROC"], abs=1e-6)
    assert compared["escapes"]["theirs"] == pytest.approx(first["escape_rate"])
    assert compared["is_no_worse"] == (compared["escapes"]["high"] < 0.9)
    assert second["readings"] == 2
    page = (project.root / "reports" / "A-score-norm.html").read_text()
    assert "別の評価との比較" in page


def test_what_cannot_be_compared_is_said_before_anything_is_judged(project):
    evaluate(project)
    file = project.root / "reports" / "A-residual.json"
    other = project.root / "other.json"
    record = json.loads(file.read_bytes())
    said = record["parts"][3]
    damaged = []
    for part in ({**said, "score": None}, {k: v for k, v in said.items() if k != "verdict"}):
        parts = [*record["parts"][:3], part, *record["parts"][4:]]
        damaged.append(json.dumps({**record, "parts": parts}))
    for text in (None, "{", *damaged):
        if text is not None:
            other.write_text(text)
        with pytest.raises(InvalidOption, match="JSON report of another evaluation"):
            evaluate(project, compare=other)
    with pytest.raises(InvalidOption, match="is the report that this evaluation writes"):
        evaluate(project, compare=file)
    with pytest.raises(InvalidOption, match=r"named \.png"):
        evaluate(project, report=project.root / "report.pdf")
    assert evaluate(project)["readings"] == 2  # the first one, and this


def test_lost_masks_and_strange_names_are_no_reason_to_stop(project):
    data = project.root / "data" / "A"
    masks = sorted((data / "ground_truth").rglob("*.png"))
    masks[0].write_bytes(b"")
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(masks[1])
    strange = os.fsdecode(os.fsencode(data / "test" / "good") + b"/\x83e$x$.png")
    os.rename(find_images(data / "test" / "good")[0], strange)
    document = evaluate(project, report=project.root / "out" / "eval.html")
    assert document["n_defective"] == 12
    assert document["pixel_AUROC"] is None
    for ending in ("html", "json", "png"):
        assert (project.root / "out" / f"eval.{ending}").stat().st_size > 0
    assert "\\x83e$x$.png" in (project.root / "out" / "eval.html").read_text()


def test_a_photograph_taken_otherwise_is_undecided_and_says_what_to_check(project):
    good = find_images(project.root / "data" / "A" / "test" / "good")[0]
    dark = project.root / "dark.png"
    with Image.open(good) as image:
        Image.fromarray((np.asarray(image) * 0.25).astype(np.uint8)).save(dark)
    (found,) = inspect(project, "A", [dark])
    assert found.verdict is Verdict.UNDECIDED
    assert found.reason.startswith("retake: ")
    assert "take the photograph again" in found.reason


def test_past_its_expiry_nothing_passes(run, project):
    calibration = calibration_in_force(project, "A")
    parts = find_images(project.root / "data" / "A" / "test" / "good")
    replace(calibration, threshold=1e6, reject_threshold=1e6, expiry_parts=2).save(
        project.calibration_folder("A")
    )
    found = list(inspect(project, "A", parts[:3]))
    assert [part.verdict for part in found] == [Verdict.PASS, Verdict.PASS, Verdict.REVIEW]
    assert found[2].reason.startswith("calibration_expired: ")
    # Another process goes on counting.
    done = run("--project", project.root, "inspect", "--line", "A", parts[4])
    assert "holds for 2" in done.stdout + done.stderr
    # Made again, it holds again.
    now = dt.datetime.now(dt.UTC)
    replace(calibration, threshold=1e6, reject_threshold=1e6, expiry_parts=2, made_at=now).save(
        project.calibration_folder("A")
    )
    (fresh,) = inspect(project, "A", [parts[5]])
    assert fresh.verdict is Verdict.PASS


@pytest.mark.slow
def test_thresholds_by_cost_from_the_command_line(run, project):
    def call(*arguments):
        done = run("--project", project.root, "--json", *arguments)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout), done.stderr

    by_cost = ("--cost-escape", "50", "--cost-review", "0.4", "--defect-share", "2%")
    document, said = call("calibrate", "--line", "A", *by_cost)
    assert document["rule"] == "cost"
    assert document["version"] == 2
    assert "to keep this rule, write it under [lines.A];" in said
    shown, _ = call("calibrate", "--line", "A", "--explain")
    assert shown["explanation"] == document["explanation"]
    review, rejected = document["threshold"], document["reject_threshold"]
    band = shown["basis"]["band"]
    assert (band["review"], band["reject"]) == (review, rejected)
    if rejected is None:
        rule = "review from there, with nothing rejected unseen"
    elif rejected == review:
        rule = "reject from there, with nothing to review"
    else:
        assert rejected > review
        rule = f"review from there, reject from {rejected:.4g}"
    assert f"pass below {review:.4g}" in document["explanation"]
    assert rule in document["explanation"]
    # What costs least costs no more than what is always possible, or it is said.
    basis = shown["basis"]
    for name in ("passing", "reviewing"):
        is_cheaper = basis[f"cost_{name}_all"] < band["cost"]
        assert (f"{name} everything would be cheaper" in document["explanation"]) == is_cheaper
    assert [row["version"] for row in shown["versions"]] == [2, 1]
    assert shown["basis"]["costs"]["escape"] == 50
    assert len(shown["basis"]["doubts"]) == 8
    back, said = call("calibrate", "--line", "A")
    assert back["rule"] == "false-reject"
    assert "followed the rule 'cost'" in said
    done = run(
        "--project", project.root, "calibrate", "--line", "A", "--max-false-reject", "1%", *by_cost
    )
    assert done.returncode == 2
    assert "two rules" in done.stderr


@pytest.mark.slow
def test_detectors_side_by_side(run, line):
    """Calibrated on the same good parts, judged on the same labelled ones, tested in pairs."""
    before = calibration_in_force(open_project(line), "A").version
    data = line / "data" / "A"
    words = ("--scorer", "score-norm", "--scorer", "features", "--set", *ONE_LEVEL)
    said = run("--project", line, "--json", "bench", "--line", "A", "--data", data, *words)
    assert said.returncode == 0, said.stderr
    document = json.loads(said.stdout)
    rows = {row["scorer"]: row for row in document["rows"]}
    assert set(rows) == {"residual", "score-norm", "features"}
    assert document["compared_with"] == "residual"
    areas = [row["image_AUROC"] for row in document["rows"]]
    assert areas == sorted(areas, reverse=True)
    assert rows["residual"]["against_first"] is None
    paired = rows["score-norm"]["against_first"]
    assert paired["difference"] == pytest.approx(
        rows["score-norm"]["image_AUROC"] - rows["residual"]["image_AUROC"], abs=1e-6
    )
    # Nothing that is in force changes.
    with pytest.raises(NotCalibrated):
        calibration_in_force(open_project(line), "A", "features")
    assert calibration_in_force(open_project(line), "A").version == before
    assert rows["residual"]["seconds_to_fit"] is None
    assert rows["features"]["seconds_to_fit"] > 0
    assert (
        run("--project", line, "calibrate", "--line", "A", "--scorer", "features").returncode == 0
    )
    alone = run(
        "--project",
        line,
        "--json",
        "evaluate",
        "--line",
        "A",
        "--data",
        data,
        "--scorer",
        "features",
    )
    assert json.loads(alone.stdout)["image_AUROC"] == rows["features"]["image_AUROC"]
    assert Path(document["report"]).stat().st_size > 10_000
    assert json.loads(Path(document["report"]).with_suffix(".json").read_text())["rows"]


def test_a_detector_that_fails_is_left_out(run, install, line):
    install(
        "failing",
        """
        from cdm_inspect.plugins import ScorerOffer
        from cdm_inspect.plugins import hookimpl
        class Fails:
            def score(self, images, *, seeds): raise ValueError("no licence")
        @hookimpl
        def cdm_inspect_scorers():
            yield ScorerOffer(contract=1, name="failing", summary="s", build=lambda d, o: Fails())
        """,
    )
    data = line / "data" / "A"
    said = run(
        "--project", line, "--json", "bench", "--line", "A", "--data", data, "--scorer", "failing"
    )
    document = json.loads(said.stdout)
    assert [row["scorer"] for row in document["rows"]] == ["residual"]
    assert "no licence" in document["left_out"]["failing"]
