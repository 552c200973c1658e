"""The product on a small synthetic line: train, resume, calibrate, evaluate, inspect."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from unittest.mock import patch

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from cdm_inspect.errors import (
    CheckpointCorrupt,
    CheckpointMismatch,
    ConfigError,
    NotCalibrated,
    PluginUnavailable,
    StorageError,
    TrainingDiverged,
    TrainingError,
)
from cdm_inspect.images import KINDS, load_good_parts
from cdm_inspect.inspection.inspector import Inspector
from cdm_inspect.model.checkpoint import load_model
from cdm_inspect.model.training import Training
from cdm_inspect.model.training.held_out import DefectCheck, HeldOutCheck
from cdm_inspect.project import open_project
from cdm_inspect.records import Verdict
from cdm_inspect.scoring.line_scorer import LineScorer
from cdm_inspect.workflows.assembly import ModelScorer, open_inspector
from cdm_inspect.workflows.calibrate import calibrate
from cdm_inspect.workflows.check import check
from cdm_inspect.workflows.detectability import (
    CONTRASTS,
    draw_detectability,
    measure_detectability,
    smallest_detected,
)
from cdm_inspect.workflows.evaluate import evaluate
from cdm_inspect.workflows.inspect import inspect as inspect_line
from cdm_inspect.workflows.pilot.running import plan_pilot
from cdm_inspect.workflows.pilot.runs import PilotRun, train_side_by_side
from cdm_inspect.workflows.train import train


def test_training_reports_what_it_did(walked):
    root, report = walked
    assert report.images_seen == 640
    assert report.steps == 80
    assert report.loss_held_out < 0.95
    assert report.n_held_out == 12
    assert report.n_train == 48
    assert np.isfinite([report.loss_dsm, report.loss_consistency]).all()
    assert report.consistency_cost_ratio is not None
    manifest = json.loads((root / "models" / "A" / "manifest.json").read_text())
    assert manifest["config"]["training"]["images"] == "640"
    assert len(manifest["config_sha256"]) == 64
    assert len(manifest["held_out"]) == 12
    assert not list((root / "models" / "A" / "training").glob("*.safetensors"))


def test_a_budget_of_time_is_that_of_the_training_alone(line):
    """Whoever takes the steps may take time between them; a run beside others must."""
    project = open_project(
        line, line="A", overrides=["training.images=", "training.budget=2s", "training.patience=0"]
    )
    config = project.config.line("A")
    parts = load_good_parts(project.path(config.normal), config)
    training = Training("A", config, parts, line / "elsewhere", device="cpu")
    started, outside, said = time.monotonic(), 0.0, 0.0
    for at in training.run():
        said = at.seconds
        paused = time.monotonic()
        time.sleep(0.1)
        outside += time.monotonic() - paused
    inside = time.monotonic() - started - outside
    assert outside >= 0.1
    assert said == pytest.approx(training.report.seconds, abs=0.01)
    assert 2.0 <= training.report.seconds <= inside + 0.05


def test_runs_side_by_side_are_saved_when_interrupted_in_the_midst_of_a_step(line, monkeypatch):
    project = open_project(line, line="A")
    plan, good = plan_pilot(project, "A", budget="120s", parts=24)
    runs = [
        PilotRun(project, plan, good, arm=arm, seed=0, images=None, folder=line / "side")
        for arm in ("off", "on")
    ]
    step, steps = Training._step, Counter()

    def interrupted(self, progress):
        # Who has how many turns is up to the clock.
        steps[id(self)] += 1
        if len(steps) == 2 and min(steps.values()) == 10:
            raise KeyboardInterrupt
        return step(self, progress)

    monkeypatch.setattr(Training, "_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train_side_by_side(runs, lambda run, share: None, device="cpu")
    monkeypatch.undo()
    for run in runs:
        training = run.training("cpu")
        assert training.unfinished.is_there
        with training.unfinished.locked():  # nobody holds it any more
            training.resume()
        assert training.position.step > 0


@pytest.mark.parametrize(("patience", "checks"), [(3, 6), (0, 20)])
def test_training_stops_where_held_out_parts_get_worse(line, monkeypatch, patience, checks):
    """The error falls for three checks and then rises: the third's weights come into force."""
    losses = iter([0.9, 0.8, 0.7, *(0.8 + 0.01 * n for n in range(40))])
    measured = []

    def measure(self, denoiser, device):
        measured.append(next(losses))
        return measured[-1]

    monkeypatch.setattr(HeldOutCheck, "measure", measure)
    monkeypatch.setattr(DefectCheck, "measure", lambda self, denoiser, device: [1.0, 2.0])
    overrides = [f"training.patience={patience}", "consistency.weight=0"]
    project = open_project(line, line="A", overrides=overrides)
    said = []
    report = train(project, "A", device="cpu", tick=lambda at: said.append(at.warnings))
    assert len(measured) == checks
    assert said[-1] == report.warnings
    assert report.loss_held_out == 0.7
    stopped = [text for text in report.warnings if "stopped early" in text]
    assert bool(stopped) is (patience > 0)
    assert (report.images_seen < 640) is (patience > 0)
    assert load_model(line / "models" / "A").card.training["best_step"] < report.steps


def test_training_stops_where_defects_stand_out_less(line, monkeypatch):
    """The error falls on and on, but after two checks defects are plain no more."""
    losses = iter([0.9 - 0.01 * number for number in range(40)])
    found = iter([[1.0, 2.0], [1.1, 2.1], *([[0.5, 1.6]] * 40)])
    monkeypatch.setattr(HeldOutCheck, "measure", lambda self, denoiser, device: next(losses))
    monkeypatch.setattr(DefectCheck, "measure", lambda self, denoiser, device: next(found))
    overrides = ["training.patience=3", "consistency.weight=0"]
    report = train(open_project(line, line="A", overrides=overrides), "A", device="cpu")
    assert report.loss_held_out == pytest.approx(0.89)  # of the second check
    (stopped,) = [text for text in report.warnings if "stopped early" in text]
    assert "stood out ever less" in stopped


def test_check_names_each_bad_file(line):
    good = line / "data" / "A" / "train" / "good"
    (good / "zero.png").write_bytes(b"")
    Image.fromarray(np.full((128, 128), 90, np.uint8)).save(good / "blank.png")
    (good / "copy.png").write_bytes((good / "000.png").read_bytes())
    with Image.open(good / "001.png") as image:
        image.save(good / "other-bytes.png", compress_level=1)
        image.convert("RGB").save(good / "colour.png")
    (good / "modern.webp").write_bytes(b"RIFF")
    project = open_project(line, line="A")
    report = check(project, "A")
    assert report.usable == 60
    assert sorted(p.reason for p in report.problems) == [
        "blank",
        "duplicate",
        "duplicate",
        "empty",
        "wrong_mode",
    ]
    assert report.passed_over == {".webp": 1}
    config = project.config.line("A")
    parts = load_good_parts(project.path(config.normal), config)
    assert len(parts.train) + len(parts.held_out) == report.usable
    assert {p.path for p in parts.set_aside} == {p.path for p in report.problems}
    assert report.kinds == {"grey, 8-bit": 60}


def test_evaluate_prints_the_keys_of_the_contract(line):
    result = evaluate(open_project(line, line="A"), "A", line / "data" / "A")
    keys = {
        "line",
        "scorer",
        "n_good",
        "n_defective",
        "image_AUROC",
        "image_AUPR",
        "image_F1Max",
        "pixel_AUROC",
        "pixel_AUPRO",
        "threshold",
        "false_reject_rate",
        "escape_rate",
        "seconds_per_image",
        "per_defect",
    }
    assert keys <= set(result)
    assert (result["n_good"], result["n_defective"]) == (8, 12)
    assert 0.5 < result["image_AUROC"] <= 1
    low, high = result["image_AUROC_interval"]
    assert low <= result["image_AUROC"] <= high
    with Image.open(result["report"]) as picture:
        assert picture.width > 1000
    for mask in (line / "data" / "A" / "ground_truth").rglob("*.png"):
        mask.unlink()
    without = evaluate(open_project(line, line="A"), "A", line / "data" / "A")
    assert without["pixel_AUROC"] is None
    assert without["image_AUROC"] == result["image_AUROC"]


def test_how_small_a_defect_is_found(line):
    document = measure_detectability(open_project(line, line="A"), "A", repeats=1)
    assert len(document["defects"]) == len(KINDS) * len(CONTRASTS)
    shares = [rate for row in document["defects"] for rate in row["found"]]
    assert {0.0, 1.0} >= set(shares)
    spots = {row["contrast"]: row["found"] for row in document["defects"] if row["kind"] == "spot"}
    assert sum(spots[2.0]) > sum(spots[0.5])  # even this model finds the coarse ones
    assert set(document["smallest"]) == set(KINDS)
    assert document["flagged_undamaged"] == 0.0
    picture = line / "reports" / "found.png"
    draw_detectability(document, "A", picture)
    with Image.open(picture) as image:
        assert image.width > 1000


def test_the_smallest_size_found_leaves_no_gap_above():
    assert smallest_detected([0.0, 0.9, 1.0, 1.0]) == 0.08
    assert smallest_detected([1.0, 0.5, 1.0, 1.0]) == 0.16
    assert smallest_detected([1.0, 1.0, 1.0, 0.5]) is None


def test_bad_input_is_undecided_and_never_passes(line):
    inbox = line / "inbox"
    inbox.mkdir()
    test = line / "data" / "A" / "test"
    (inbox / "good.png").write_bytes((test / "good" / "000.png").read_bytes())
    (inbox / "cut.png").write_bytes((test / "good" / "001.png").read_bytes()[:2000])
    (inbox / "zero.jpg").write_bytes(b"")
    Image.new("RGB", (128, 128)).save(inbox / "colour.png")
    Image.new("L", (400, 100)).save(inbox / "wide.png")
    (inbox / "folder.png").mkdir()
    project = open_project(line, line="A")
    Image.new("L", (128, 128), 9).save(inbox / "black.png")
    Image.open(test / "good" / "000.png").resize((24, 24)).save(inbox / "thumbnail.png")
    strange = os.fsdecode(os.fsencode(inbox) + b"/\x83e.png")  # Shift-JIS on a network share
    Path(strange).write_bytes(b"")
    paths = [*sorted(inbox.iterdir()), inbox / "absent.png", inbox / ("n" * 300 + ".png")]
    found = {Path(i.image).name: i for i in inspect_line(project, "A", paths)}
    assert "folder.png" not in found  # a folder is looked into, whatever its name
    assert found["good.png"].verdict in (Verdict.PASS, Verdict.REJECT)
    for name, reason in {
        "cut.png": "truncated",
        "zero.jpg": "empty",
        "colour.png": "wrong_mode",
        "wide.png": "wrong_shape",
        "absent.png": "missing",
        "n" * 300 + ".png": "missing",
        "black.png": "blank",
        "thumbnail.png": "too_small",
        "\\x83e.png": "empty",
    }.items():
        assert found[name].verdict is Verdict.UNDECIDED, name
        assert found[name].reason.startswith(reason)
        assert found[name].score is None
    again = list(inspect_line(project, "A", [inbox / "good.png"]))
    assert again[0].id == found["good.png"].id


def test_what_could_not_be_judged_is_judged_when_it_can_be(line):
    """And observers hear of each verdict once."""
    project = open_project(line, line="A")
    said = []
    project.registry.notify = lambda hook, *, inspection: said.append(inspection.verdict)
    part = line / "part.png"

    def inspect():
        (kept,) = inspect_line(project, "A", [part])
        return kept

    part.write_bytes(b"")
    first = inspect()
    assert inspect().id == first.id
    os.utime(part, ns=(1, 1))  # the camera has written an empty file once more
    assert inspect().id != first.id
    part.write_bytes((line / "data" / "A" / "test" / "good" / "000.png").read_bytes())
    with patch.object(
        Inspector,
        "inspect",
        lambda self, p: self._set_aside(p.path, "scorer_failed", "no memory", p.sha256),
    ):
        assert inspect().verdict is Verdict.UNDECIDED
    judged = inspect()
    assert judged.verdict is not Verdict.UNDECIDED
    assert inspect().id == judged.id
    assert said == [Verdict.UNDECIDED] * 3 + [judged.verdict]


@pytest.mark.parametrize("failure", ["raises", "nan", "shape", "exits"])
def test_a_failing_scorer_is_undecided(line, failure):
    inspector = open_inspector(open_project(line, line="A"), "A")

    class Broken:
        def score(self, images, *, seeds):
            if failure == "raises":
                raise RuntimeError("no idea")
            if failure == "exits":
                raise MemoryError
            batch = inspector.scorer.line.scorer.score(images, seeds=seeds)
            if failure == "nan":
                return batch._replace(scores=batch.scores * float("nan"))
            return batch._replace(maps=batch.maps[:, 1:])

    model = inspector.scorer.model
    scorer = LineScorer(Broken(), options={}, model_id=model.id, device=model.device)
    judge = ModelScorer(model, scorer)
    broken = Inspector("A", judge, inspector.calibration, max_pixels=10**6)
    part = line / "data" / "A" / "test" / "good" / "000.png"
    inspection, evidence = broken.inspect_file(part)
    assert inspection.verdict is Verdict.UNDECIDED
    assert inspection.reason.startswith("scorer_failed")
    assert evidence == part.read_bytes()


@pytest.mark.slow
def test_a_score_is_the_same_in_another_process(line, run, run_program):
    part = line / "data" / "A" / "test" / "scratch" / "000.png"
    results = []
    for call in (run, run_program):
        # All of the store: without its database alone it counts as lost.
        for path in ("cdm-inspect.db", "audit-anchors.jsonl"):
            (line / path).unlink(missing_ok=True)
        shutil.rmtree(line / "images", ignore_errors=True)
        done = call("--project", line, "--json", "inspect", "--line", "A", part)
        assert done.returncode == 0, done.stderr
        results.append(json.loads(done.stdout)["inspections"][0])
    assert results[0]["score"] == results[1]["score"]
    assert results[0]["heatmap"] == results[1]["heatmap"]


@pytest.mark.slow
@pytest.mark.long
def test_every_scorer_can_be_calibrated_and_used(line):
    project = open_project(line, line="A")
    part = line / "data" / "A" / "test" / "scratch" / "000.png"
    for name in project.registry.scorers:
        calibration = calibrate(project, "A", scorer=name)
        assert len(calibration.scores) == 12
        (stored,) = inspect_line(project, "A", [part], scorer=name)
        assert stored.scorer == name
        assert stored.score is not None
        assert 1 / 13 <= stored.p_value <= 1


def test_a_line_looks_where_its_region_says_and_nowhere_else(line):
    part = line / "data" / "A" / "test" / "good" / "000.png"
    pixels = cv2.imread(str(part), cv2.IMREAD_UNCHANGED)
    height, width = pixels.shape[:2]
    region = np.zeros((height, width), np.uint8)
    region[:, : width // 2] = 255
    cv2.imwrite(str(line / "region.png"), region)
    whole = open_project(line, line="A")
    project = open_project(line, line="A", overrides=["images.region=region.png"])
    with pytest.raises(ConfigError, match=r"images\.region"):
        open_inspector(project, "A")
    calibration = calibrate(project, "A")
    assert calibration.found["layout"] in ("aligned", "unaligned")
    before = open_inspector(project, "A").inspect_file(part)[0]
    pixels[:, width // 2 + 2 :] = 255 - pixels[:, width // 2 + 2 :]
    cv2.imwrite(str(part), pixels)
    after = open_inspector(project, "A").inspect_file(part)[0]
    assert after.score == before.score
    assert np.array_equal(after.heatmap, before.heatmap)
    # The last calibration is in force, for whoever looks at the whole part too.
    with pytest.raises(ConfigError, match="region"):
        open_inspector(whole, "A")


@pytest.mark.parametrize("content", ["black", "no picture", "nothing", "lying"])
def test_a_region_that_cannot_be_used_is_refused(line, content):
    if content == "black":
        cv2.imwrite(str(line / "region.png"), np.zeros((64, 64), np.uint8))
    elif content == "no picture":
        (line / "region.png").write_text("white")
    elif content == "lying":
        cv2.imwrite(str(line / "region.png"), np.full((64, 128), 255, np.uint8))
    project = open_project(line, line="A", overrides=["images.region=region.png"])
    with pytest.raises(ConfigError, match=r"images\.region.*(white|black)"):
        calibrate(project, "A")


@pytest.mark.long
@pytest.mark.slow
def test_small_tiles_judge_much_as_one_look_does(line):
    """Bounded memory must not cost the verdict: the defect stays the oddest place of the part."""
    part = line / "data" / "A" / "test" / "scratch" / "000.png"
    peaks = []
    for tile in (64, 32):
        project = open_project(line, line="A", overrides=[f"tile={tile}"])
        calibrate(project, "A")
        heatmap = open_inspector(project, "A").inspect_file(part)[0].heatmap
        peaks.append(np.array(np.unravel_index(heatmap.argmax(), heatmap.shape)))
    assert np.abs(peaks[0] - peaks[1]).max() <= 12


def test_what_does_not_fit_together_is_refused(line):
    project = open_project(line, line="A")
    with pytest.raises(NotCalibrated, match="score-norm"):
        open_inspector(project, "A", scorer="score-norm")
    with pytest.raises(PluginUnavailable, match="no installed plugin"):
        open_inspector(project, "A", scorer="nonsense")
    changed = open_project(line, line="A", overrides=["scorers.residual.blur=3"])
    with pytest.raises(ConfigError, match="changed since"):
        open_inspector(changed, "A")
    with pytest.raises(ConfigError, match=r"scorers\.residual\.blurry"):
        open_inspector(open_project(line, line="A", overrides=["scorers.residual.blurry=3"]), "A")
    (weights,) = (line / "models" / "A").glob("model-*.safetensors")
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(bytes(data))
    with pytest.raises(CheckpointCorrupt, match="SHA-256"):
        load_model(line / "models" / "A")
    weights.unlink()
    with pytest.raises(CheckpointCorrupt, match="cannot be read"):
        load_model(line / "models" / "A")
    (line / "models" / "A" / "manifest.json").write_text("{")
    with pytest.raises(CheckpointCorrupt, match="damaged"):
        load_model(line / "models" / "A")
    with pytest.raises(CheckpointMismatch, match="cdm-inspect train"):
        load_model(line / "nowhere")


def final_weights(root):
    (file,) = (root / "models" / "A").glob("model-*.safetensors")
    return load_model(root / "models" / "A").denoiser.state_dict(), file.name


@pytest.mark.slow
@pytest.mark.long
def test_kill_and_resume_gives_the_run_that_was_never_killed(line):
    """kill -9 at a saved step; the resumed run ends with the weights of the whole one."""
    expected, name = final_weights(line)
    for file in (line / "models" / "A").glob("*"):
        if file.is_file():
            file.unlink()
    script = (
        "from cdm_inspect.workflows.train import train\n"
        "from cdm_inspect.project import open_project\n"
        "import sys, time\n"
        f"project = open_project({str(line)!r} and __import__('pathlib').Path({str(line)!r}),"
        " line='A')\n"
        "def tick(t):\n"
        "    if t.step == 40: print('now', flush=True); time.sleep(60)\n"
        "train(project, 'A', device='cpu', tick=tick)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"},
    )
    assert process.stdout.readline().strip() == "now"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    project = open_project(line, line="A")
    other = open_project(line, line="A", overrides=["training.seed=9"])
    with pytest.raises(CheckpointMismatch, match=r"other images|another configuration"):
        train(other, "A", device="cpu", resume=True)
    steps = []
    report = train(project, "A", device="cpu", resume=True, tick=lambda t: steps.append(t.step))
    assert 2 <= steps[0] <= 41
    assert report.steps == 80
    found, again = final_weights(line)
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    assert again == name
    with pytest.raises(CheckpointMismatch, match="nothing to resume"):
        train(project, "A", device="cpu", resume=True)


def test_budget_of_time_is_kept(line):
    project = open_project(
        line,
        line="A",
        overrides=["training.budget=4s", "training.images=''", "consistency.weight=0"],
    )
    timed = project.config.line("A")
    parts = load_good_parts(project.path(timed.normal), timed)
    training = Training("A", timed, parts, line / "timed", device="cpu")
    started = time.monotonic()
    ticks = list(training.run())
    assert 3.5 < time.monotonic() - started < 12
    assert ticks[-1].progress == 1
    assert training.report.consistency_cost_ratio is None
    assert training.report.loss_consistency != training.report.loss_consistency  # never on: NaN


def test_a_run_stopped_before_its_first_step_leaves_nothing_to_resume(line):
    project = open_project(line, line="A")
    config = project.config.line("A")
    parts = load_good_parts(project.path(config.normal), config)
    Training("A", config, parts, line / "early", device="cpu").save()
    with pytest.raises(CheckpointMismatch, match="nothing to resume"):
        next(Training("A", config, parts, line / "early", device="cpu").run(resume=True))


def test_two_runs_of_one_line_do_not_mix(line):
    project = open_project(line, line="A")
    config = project.config.line("A")
    parts = load_good_parts(project.path(config.normal), config)
    first, second = (Training("A", config, parts, line / "m", device="cpu") for _ in range(2))
    run = first.run()
    next(run)
    with pytest.raises(TrainingError, match="another process"):
        next(second.run())
    run.close()
    next(second.run())


def test_a_full_disk_ends_no_training(line):
    # Twenty steps, with no look at whether more would help.
    overrides = ["training.images=160", "training.patience=0"]
    project = open_project(line, line="A", overrides=overrides)
    config = project.config.line("A")
    parts = load_good_parts(project.path(config.normal), config)
    training = Training("A", config, parts, line / "full", device="cpu")
    real, refused = os.fsync, []

    def full_for_a_while(descriptor):
        if len(refused) < 4:
            refused.append(descriptor)
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    with patch.object(os, "fsync", full_for_a_while):
        last = list(training.run())[-1]
    assert training.report.steps == 20
    assert any("No space left" in warning for warning in last.warnings)
    assert load_model(line / "full").card.training["steps"] == 20


def test_held_out_parts_stay_held_out_in_fine_tuning(line):
    base = line / "models" / "A"

    def tune(*overrides):
        settings = [
            "training.images=64",
            "consistency.schedule=fine-tune",
            f"consistency.checkpoint='{base}'",
            *overrides,
        ]
        return train(open_project(line, line="A", overrides=settings), "A", device="cpu")

    with pytest.raises(CheckpointMismatch, match="held out now"):
        tune("training.seed=5")
    with pytest.raises(CheckpointMismatch, match="preset 'small'"):
        tune("preset=small")
    before = load_model(base)
    report = tune("training.learning_rate=1e-9")
    after = load_model(base)
    assert report.consistency_started == 0
    assert after.id != before.id
    for name, weight in before.denoiser.state_dict().items():
        assert torch.allclose(after.denoiser.state_dict()[name], weight, atol=1e-5), name


def test_training_with_the_conservativity_penalty(line):
    settings = ["training.images=64", "conservativity.weight=1e-3"]
    project = open_project(line, line="A", overrides=settings)
    report = train(project, "A", device="cpu")
    assert report.steps == 8
    assert np.isfinite(report.loss_dsm)


def test_a_scorer_that_the_model_could_not_serve_is_refused_before_training(line):
    settings = ["scorer=inpainting", "training.masked_share=0.02"]  # of 8 crops: none
    with pytest.raises(ConfigError, match="masked_share"):
        train(open_project(line, line="A", overrides=settings), "A", device="cpu")


def test_a_disk_that_stays_full_is_said_to_be_full(line):
    project = open_project(line, line="A", overrides=["training.images=64"])
    config = project.config.line("A")
    parts = load_good_parts(project.path(config.normal), config)
    training = Training("A", config, parts, line / "full", device="cpu")
    full = OSError(errno.ENOSPC, "No space left on device")
    with (
        patch.object(os, "fsync", side_effect=full),
        pytest.raises(StorageError, match="No space left"),
    ):
        list(training.run())


@pytest.mark.slow
@pytest.mark.long
def test_two_processes_train_one_model_and_one_of_them_speaks(line, run_program):
    done = run_program(
        *("--project", line, "--json", "train", "--line", "A", "--device", "cpu"),
        *("--devices", 2, "--images", 320),
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["steps"], report["images_seen"]) == (20, 320)
    assert load_model(line / "models" / "A").id == report["model"]


def test_a_diverging_run_is_stopped(line):
    project = open_project(
        line,
        line="A",
        overrides=["training.learning_rate=50.0", "training.lr_warmup=0.0"],
    )
    with pytest.raises(TrainingDiverged, match="learning_rate"):
        train(project, "A", device="cpu")


@pytest.mark.slow
def test_a_scorer_that_hangs_leaves_parts_undecided_and_stops_nobody(
    run, run_program, install, line
):
    install(
        "hanging",
        """
        import os, time
        from cdm_inspect.plugins import ScoreBatch, ScorerOffer
        from cdm_inspect.plugins import hookimpl
        class Hangs:
            # Once it is said to, on every call but the first.
            calls = 0
            def score(self, images, *, seeds):
                self.calls += 1
                if "SPECIMEN_HANGS" in os.environ and self.calls > 1:
                    time.sleep(3600)
                maps = images.square().mean(dim=1)
                return ScoreBatch(scores=maps.amax(dim=(1, 2)), maps=maps)
        @hookimpl
        def cdm_inspect_scorers():
            yield ScorerOffer(contract=1, name="hanging", summary="s", build=lambda d, o: Hangs())
        """,
    )
    project = line / "cdm-inspect.toml"
    text = project.read_text()
    project.write_text(
        text.replace('scorer = "residual"', 'scorer = "hanging"\ntime_limit = "1s"', 1)
    )
    assert run("--project", line, "calibrate", "--line", "A").returncode == 0
    good = sorted((line / "data/A/test/good").glob("*.png"))[:6]
    began = time.monotonic()
    said = run_program(
        "--project", line, "--json", "inspect", "--line", "A", *good, SPECIMEN_HANGS="1"
    )
    assert said.returncode == 0, said.stderr
    found = json.loads(said.stdout)["inspections"]
    assert found[0]["score"] is not None
    assert [part["verdict"] for part in found[1:]] == ["undecided"] * 5
    assert (
        "no answer within 1 s. Mend the scorer, or raise lines.A.time_limit" in found[1]["reason"]
    )
    # While it hangs it is asked nothing else; what cannot be judged never passes.
    for part in found[2:]:
        assert "it has not answered on an earlier part" in part["reason"]
    assert time.monotonic() - began < 120
