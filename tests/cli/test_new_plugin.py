"""Every kind of skeleton: written, installed, and its own tests pass."""

import json
import os
import subprocess
import sys

import pytest

from cdm_inspect.plugins import skeleton

KINDS = json.loads((skeleton._TEMPLATE / "cookiecutter.json").read_text())["kind"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_skeleton_works_as_it_is(run, kind, tmp_path):
    name = f"my-{kind}"
    said = run("--json", "new-plugin", name, "--kind", kind, "--directory", tmp_path / "made")
    assert said.returncode == 0, said.stderr
    folder = tmp_path / "made" / f"cdm-inspect-{name}"
    assert json.loads(said.stdout)["folder"] == str(folder)
    site = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    pip += ["--target", str(site)]
    subprocess.run([*pip, "--disable-pip-version-check", str(folder)], check=True)
    environment = {**os.environ, "PYTHONPATH": str(site)}
    passed = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", str(folder)],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert passed.returncode == 0, passed.stdout
    rows = json.loads(run("--json", "plugins", PYTHONPATH=str(site)).stdout)["plugins"]
    (row,) = (row for row in rows if row["distribution"] == f"cdm-inspect-{name}")
    assert (row["status"], row["offers"]) == ("loaded", [f"{kind} {name}"])


def test_what_cannot_be_written_is_said(run, tmp_path):
    for words, message in (
        (("Edges",), "kebab-case"),
        (("class",), "kebab-case"),
        (("edges", "--kind", "store"), "expected --kind to be one of scorer, sink"),
    ):
        said = run("new-plugin", *words, cwd=tmp_path)
        assert (said.returncode, list(tmp_path.iterdir())) == (2, []), words
        assert message in said.stderr
    assert run("new-plugin", "edges", cwd=tmp_path).returncode == 0
    again = run("new-plugin", "edges", cwd=tmp_path)
    assert again.returncode == 2
    assert "is there already" in again.stderr
