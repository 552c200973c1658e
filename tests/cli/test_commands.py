"""The command line as a user and as a program sees it."""

import json
import subprocess
import sys

import pytest


def test_help_is_light(run):
    """`--help` must not import what takes seconds."""
    code = (
        "import sys, atexit\n"
        "heavy = {'torch', 'streamlit', 'anomalib', 'lightning', 'sqlalchemy', 'cv2'}\n"
        "atexit.register(lambda: print('HEAVY', sorted(heavy & set(sys.modules))))\n"
        "sys.argv = ['cdm-inspect', '--help']\n"
        "from cdm_inspect.cli import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "HEAVY []" in done.stdout
    for command in (
        "init",
        "demo",
        "check",
        "train",
        "calibrate",
        "diagnose",
        "pilot",
        "sample",
        "evaluate",
        "inspect",
        "dashboard",
        "lines",
        "plugins",
        "store",
    ):
        assert command in done.stdout


def test_init_writes_a_project_that_loads(run, tmp_path):
    assert run("--project", tmp_path, "init", "--line", "B").returncode == 0
    listed = run("--project", tmp_path, "--json", "lines")
    (entry,) = json.loads(listed.stdout)["lines"]
    assert entry["line"] == "B"
    assert entry["is_trained"] is False
    again = run("--project", tmp_path, "init")
    assert again.returncode == 2
    assert "there already" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["lines"], 2, "cdm-inspect init"),
        (["train", "--line", "A", "--budget", "5m", "--images", "9"], 2, "exclude each other"),
        (["nonsense"], 2, "No such command"),
        (["train"], 2, "--line"),
    ],
)
def test_mistakes_have_exit_codes_and_no_traceback(run, tmp_path, arguments, code, message):
    done = run("--project", tmp_path, *arguments)
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.slow
def test_exit_codes_of_the_error_tree(run, line):
    def code(*arguments):
        done = run("--project", line, *arguments)
        assert "Traceback" not in done.stderr
        assert "error:" in done.stderr
        return done.returncode

    assert code("check", "--line", "Z") == 2
    assert code("calibrate", "--line", "A", "--max-false-reject", "150%") == 2
    for device in ("cuda:77", "cpu:0", "cuda:x"):
        assert code("train", "--line", "A", "--device", device) == 2
    assert code("train", "--line", "A", "--device", "cpu", "--devices", "0") == 2
    assert code("calibrate", "--line", "A", "--scorer", "nonsense") == 3
    assert code("evaluate", "--line", "A", "--data", "/nonexistent") == 4
    assert code("inspect", "--line", "A", "--scorer", "score-norm", line) == 7
    (line / "models" / "A" / "manifest.json").unlink()
    assert code("inspect", "--line", "A", line) == 6
    (line / "cdm-inspect.db").write_bytes(b"garbage " * 100)
    assert code("store", "verify") == 9


@pytest.mark.slow
def test_json_is_one_document_on_standard_output(run, line):
    def call(*arguments):
        done = run("--project", line, "--json", *arguments)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    assert call("check", "--line", "A")["usable"] == 60
    trained = call("train", "--line", "A", "--images", "80")
    assert {
        "line",
        "checkpoint",
        "images_seen",
        "steps",
        "seconds",
        "images_per_second",
        "loss_dsm",
        "loss_consistency",
        "consistency_cost_ratio",
        "device",
    } <= set(trained)
    assert trained["images_seen"] == 80
    calibrated = call("calibrate", "--line", "A", "--max-false-reject", "20%")
    assert calibrated["max_false_reject"] == pytest.approx(0.2)
    parts = sorted((line / "data" / "A" / "test" / "stain").glob("*.png"))
    found = call("inspect", "--line", "A", *parts)["inspections"]
    assert len(found) == 3
    assert {
        "image",
        "sha256",
        "line",
        "score",
        "p_value",
        "verdict",
        "threshold",
        "model",
        "heatmap",
        "regions",
    } <= set(found[0])
    assert call("store", "verify")["first_bad"] is None
    rows = call("plugins")["plugins"]
    assert rows[0]["distribution"] == "cdm-inspect"
    assert "scorer residual" in rows[0]["offers"]


def test_the_review_app_listens_on_this_machine_only(run, line):
    done = run("--project", line, "dashboard", "--address", "0.0.0.0")
    assert done.returncode == 2
    assert "this machine only" in done.stderr
