"""`cdm-inspect doctor`: one command that says whether a plant is as it should be."""

import json
import sys
import types

import pytest

from cdm_inspect.cli.doctor import check_devices


@pytest.fixture
def plant(tmp_path):
    (tmp_path / "cdm-inspect.toml").write_text('[lines.A]\nnormal = "good"\n')
    return tmp_path


@pytest.fixture
def doctor(run, plant):
    """Exit code and checks by name, but for the disk, which is that of whoever tests."""

    def call():
        done = run("--project", plant, "--json", "doctor")
        assert "Traceback" not in done.stderr
        found = json.loads(done.stdout)
        checks = {check["name"]: check for check in found["checks"]}
        assert checks.pop("disk")["facts"]["free"] > 0
        assert found["is_good"] == (done.returncode == 0)
        return done.returncode, checks

    return call


def test_a_sound_plant(doctor, run, plant):
    _, checks = doctor()
    assert all(check["is_good"] is not False for check in checks.values()), checks
    assert checks["store"]["facts"] == {"lines": [], "waiting": 0}
    assert checks["plugins"]["facts"]["builtin"] == "loaded"
    assert "CPUExecutionProvider" in checks["devices"]["facts"]["onnxruntime"]
    assert isinstance(checks["devices"]["facts"]["torch"], list)
    said = run("--project", plant, "doctor").stdout
    assert "store" in said
    assert "GB" in said


def test_what_is_wrong_ends_it_with_1(doctor, run, plant):
    (plant / "cdm-inspect.db").mkdir()
    code, checks = doctor()
    assert code == 1
    assert not checks["store"]["is_good"]
    assert checks["store"]["problem"]
    assert checks["devices"]["is_good"] is None
    assert "store:" in run("--project", plant, "doctor").stdout


def test_a_damaged_runtime_is_what_it_is_for(monkeypatch):
    """As it is left where one of the two packages of ONNX Runtime was removed."""
    empty = types.ModuleType("onnxruntime")
    empty.__spec__ = types.SimpleNamespace()
    monkeypatch.setitem(sys.modules, "onnxruntime", empty)
    check = check_devices()
    assert check.is_good is False
    assert "ONNX Runtime is damaged" in check.problem
    assert "torch" in check.facts
