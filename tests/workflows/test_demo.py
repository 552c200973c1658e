"""`cdm-inspect demo` as the README promises it."""

import json

import numpy as np
import pytest

from cdm_inspect.images.demo_line import (
    DEFECTS,
    DemoCounts,
    draw_plate,
    write_demo_line,
    write_demo_project,
)


def test_the_line_is_the_same_everywhere_and_every_defect_has_a_mask(tmp_path):
    counts = DemoCounts(train=2, test_good=1, test_defect=2)
    for name in ("one", "two"):
        write_demo_line(tmp_path / name, seed=5, counts=counts)
    first = sorted((tmp_path / "one").rglob("*.png"))
    assert len(first) == 2 + 1 + 2 * 2 * len(DEFECTS)
    for path in first:
        twin = tmp_path / "two" / path.relative_to(tmp_path / "one")
        assert twin.read_bytes() == path.read_bytes()
    random = np.random.default_rng(0)
    for name in DEFECTS:
        for _ in range(5):
            assert draw_plate(random, name)[1].any(), name


@pytest.mark.slow
def test_the_demo_runs_from_end_to_end(run_program, tmp_path):
    """As a project file that is there already wants it: half the size, no watch for overfitting."""
    folder = tmp_path / "demo-line"
    write_demo_project(folder)
    file = folder / "cdm-inspect.toml"
    text = file.read_text().replace("image_size = 128", "image_size = 64")
    file.write_text(f"{text}patience = 0\n")
    walk(run_program, folder, "--images", "1200", least=0.8)
    assert "image_size = 64" in file.read_text()


@pytest.mark.timeout(1800)  # one thread takes twice as long
@pytest.mark.long
@pytest.mark.slow
def test_the_demo_finds_the_defects_as_promised(run_program, tmp_path):
    walk(run_program, tmp_path / "demo-line", least=0.95)


def walk(run_program, folder, *options, least):
    done = run_program("--json", "demo", "--directory", folder, *options, timeout=1500)
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout)
    assert result["evaluate"]["image_AUROC"] >= least
    assert result["evaluate"]["pixel_AUROC"] > least - 0.05
    assert sum(result["inspect"].values()) == 88
    assert "dashboard" in done.stderr
