"""`cdm-inspect doctor`: one command that says whether a plant is as it should be."""

import json

import pytest


@pytest.fixture
def plant(tmp_path):
    (tmp_path / "cdm-inspect.toml").write_text('[lines.A]\nnormal = "good"\n')
    return tmp_path


def test_a_sound_plant(run, plant):
    done = run("--project", plant, "--json", "doctor")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["is_good"]
    checks = {check["name"]: check for check in found["checks"]}
    assert checks["store"]["facts"] == {"lines": [], "waiting": 0}
    assert checks["plugins"]["facts"]["builtin"] == "loaded"
    assert "CPUExecutionProvider" in checks["devices"]["facts"]["onnxruntime"]
    assert isinstance(checks["devices"]["facts"]["cuda"], list)
    told = run("--project", plant, "doctor").stdout
    assert "wrong" not in told
    assert "GB" in told


def test_what_is_wrong_ends_it_with_1(run, plant):
    (plant / "cdm-inspect.db").mkdir()
    done = run("--project", plant, "--json", "doctor")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    found = json.loads(done.stdout)
    assert not found["is_good"]
    checks = {check["name"]: check for check in found["checks"]}
    assert not checks["store"]["is_good"]
    assert checks["store"]["problem"]
    assert checks["disk"]["facts"]["free"] > 0
    assert "store:" in run("--project", plant, "doctor").stdout
