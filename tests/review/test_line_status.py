"""What judges a line, said from the files of a real training and the records of a store."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest

from cdm_inspect.calibration.in_force import calibration_in_force
from cdm_inspect.errors import NotCalibrated
from cdm_inspect.evaluation.compare import compare_evaluations
from cdm_inspect.project import open_project
from cdm_inspect.records import Event
from cdm_inspect.review.line_status import ExportProblem, describe_line
from cdm_inspect.review.report_index import ReportKind, find_reports
from cdm_inspect.testing.specimens import a_part, evidence_of
from cdm_inspect.workflows.evaluate import evaluate


@pytest.fixture
def project(line):
    return open_project(line, line="A")


def describe(project):
    with project.open_store() as store:
        return describe_line(project, store, "A")


def test_model_and_calibration_in_force(project, walked):
    report = walked[1]
    found = describe(project)
    model, calibration = found.model, calibration_in_force(project, "A")
    assert model.id == report.model
    assert (model.preset, model.size, model.budget) == ("tiny", (64, 64), "640")
    assert (model.images_seen, model.loss_held_out) == (report.images_seen, report.loss_held_out)
    assert (model.n_train, model.n_held_out) == (report.n_train, report.n_held_out)
    assert model.has_consistency is (report.consistency_started is not None)
    assert model.cost_ratio == report.consistency_cost_ratio
    assert 0 <= (calibration.made_at - model.trained_at).total_seconds() < 600
    assert (found.calibration.id, found.calibration.version) == (calibration.id, 1)
    assert found.calibration.guarantee.sentence.startswith("at most ")
    assert (found.calibration.expires_at - calibration.made_at).days == calibration.expiry_days
    assert not found.calibration.expired
    assert found.calibration.expiry is None
    assert (found.problem, found.exports, found.running, found.strays) == ("", (), (), ())


def test_versions_tell_who_and_why(project):
    folder, first = project.calibration_folder("A"), calibration_in_force(project, "A")

    def save(reason):
        said = {**first.basis, "who": "伊藤", "role": "qa", "reason": reason}
        return replace(first, threshold=first.threshold + 1, rule="by hand", basis=said).save(
            folder
        )

    second = save("a reason of the record")
    third = save("forged")
    with project.open_store() as store:
        facts = {"saved": {"calibration": second.id, "version": second.version}}
        store.record_event(
            Event(
                action="save-thresholds",
                who="伊藤",
                role="qa",
                line="A",
                reason="a reason of the record",
                facts=facts,
            )
        )
    versions = describe(project).versions
    assert [version.version for version in versions] == [3, 2, 1]
    assert [version.is_in_force for version in versions] == [True, False, False]
    assert [version.is_recorded for version in versions] == [False, True, True]
    assert [version.who for version in versions] == ["伊藤", "伊藤", ""]
    assert versions[1].reason == "a reason of the record"
    assert versions[0].id == third.id
    assert versions[0].threshold == pytest.approx(first.threshold + 1)


def test_stations_that_run_something_else_are_named(project):
    found = describe(project)
    mine = {
        "line": "A",
        "model": found.model.id,
        "calibration": found.calibration.id,
        "scorer": "residual",
    }
    with project.open_store() as store:
        for number, more in enumerate(
            [
                {"station": "press 1", "model": "old"},
                {"station": "press 1"},
                {"station": "press 2", "model": "old"},
                {"station": "press 3", "calibration": "before"},
            ]
        ):
            store.append(replace(a_part(number), **{**mine, **more}), evidence=evidence_of(number))
    found = describe(project)
    assert {(run.station, run.model, run.is_last) for run in found.running} == {
        ("press 1", "old", False),
        ("press 1", found.model.id, True),
        ("press 2", "old", True),
        ("press 3", found.model.id, True),
    }
    assert [run.station for run in found.strays] == ["press 2"]
    (third,) = (run for run in found.running if run.station == "press 3")
    assert (third.is_model_in_force, third.is_calibration_in_force) == (True, False)
    # Counted from the hour in which the calibration was made, and by nothing else.
    assert found.calibration.judged == 3


def test_what_is_missing_or_damaged_is_said_and_the_rest_is_told(project):
    manifest = project.model_folder("A") / "manifest.json"
    whole = manifest.read_text()
    manifest.write_text(json.dumps({**json.loads(whole), "preparation": {"height": "high"}}))
    assert "cannot be read" in describe(project).problem
    manifest.write_text("{")
    found = describe(project)
    assert "damaged" in found.problem
    assert (found.model, found.calibration) == (None, None)
    assert len(found.versions) == 1
    manifest.write_text(whole)
    (project.calibration_folder("A") / "residual.json").unlink()
    found = describe(project)
    assert "cdm-inspect calibrate" in found.problem
    assert isinstance(found.error, NotCalibrated)
    assert found.model is not None
    manifest.unlink()
    assert "cdm-inspect train" in describe(project).problem


@pytest.mark.slow
def test_an_export_fits_until_the_line_learns_anew(exported, tmp_path):
    shutil.copytree(exported[0], tmp_path / "line")
    project = open_project(tmp_path / "line", line="A")
    (export,) = describe(project).exports
    assert (export.name, export.fits, export.problem) == ("onnx", True, "")
    assert export.calibration == calibration_in_force(project, "A").id
    assert not export.thresholds_differ
    first = calibration_in_force(project, "A")
    replace(first, threshold=first.threshold + 1).save(project.calibration_folder("A"))
    (export,) = describe(project).exports
    assert (export.fits, export.thresholds_differ) == (True, True)
    scores = tuple(score + 1 for score in first.scores)
    replace(first, scores=scores).save(project.calibration_folder("A"))
    (export,) = describe(project).exports
    assert not export.fits
    assert "Export again" in export.problem
    assert export.misfit is ExportProblem.OTHER_SCORES
    graph = next(project.export_folder("A", "onnx").glob("*.onnx"))
    graph.write_bytes(graph.read_bytes()[:-1])
    (export,) = describe(project).exports
    assert "was changed" in export.problem
    assert export.misfit is ExportProblem.DAMAGED


def test_real_evaluations_are_found_and_compare(project):
    data = project.root / "data" / "A"
    evaluate(project, "A", data, device="cpu")
    first = calibration_in_force(project, "A")
    other = project.root / "reports" / "stricter.png"
    lower = replace(first, threshold=first.scores[0], reject_threshold=None)
    lower.save(project.calibration_folder("A"))
    evaluate(project, "A", data, device="cpu", report=other)
    found = find_reports(project.root / "reports", "A", lines=["A"]).of(ReportKind.EVALUATION)
    assert {report.name for report in found} == {"A-residual", "stricter"}
    assert all({path.suffix for path in report.files} == {".png", ".html"} for report in found)
    by_name = {report.name: report.document for report in found}
    compared = compare_evaluations(by_name["stricter"], by_name["A-residual"])
    assert compared.good == by_name["A-residual"]["n_good"]
    # The same scores: only the threshold differs, and it flags more.
    assert compared.image_auroc.difference == 0
    assert compared.false_rejects.difference >= 0
    assert compared.escapes.difference <= 0


def test_it_loads_without_torch():
    code = (
        "import sys, cdm_inspect.review.line_status, cdm_inspect.review.report_index, "
        "cdm_inspect.monitoring.health; "
        "assert 'torch' not in sys.modules; "
        "assert 'streamlit' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
