"""The review app out of an installed wheel, far from the checkout."""

import json
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PASSWORD = "korrekt-pferd-batterie"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    build = ["wheel", "--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
    subprocess.run(
        [sys.executable, "-m", "pip", *build, "--wheel-dir", str(folder), str(REPOSITORY)],
        check=True,
        timeout=300,
    )
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A folder with nothing but the wheel, and a Python that knows our dependencies only."""
    folder = tmp_path_factory.mktemp("installed")
    install = [
        "install",
        "--no-deps",
        "--no-index",
        "--quiet",
        "--target",
        str(folder / "packages"),
    ]
    subprocess.run([sys.executable, "-m", "pip", *install, str(wheel)], check=True, timeout=300)
    subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", str(folder / "python")],
        check=True,
        timeout=300,
    )
    python = folder / "python" / "bin" / "python"
    paths = {"base": str(folder / "python"), "platbase": str(folder / "python")}
    site = Path(sysconfig.get_path("purelib", vars=paths))
    # A line of such a file is a folder to look in; files of the kind that lie there do not count,
    # and the checkout is known by one of them.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return python, folder / "packages"


def test_everything_of_the_app_is_in_the_wheel(wheel):
    app = REPOSITORY / "apps" / "cdm_inspect_review"
    kept = subprocess.run(
        ["git", "-C", str(app), "ls-files", "--cached", "--others", "--exclude-standard"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    wanted = {f"cdm_inspect_review/{name}" for name in kept if (app / name).is_file()}
    assert {Path(name).suffix for name in wanted} >= {".py", ".js", ".css"}
    names = set(zipfile.ZipFile(wheel).namelist())
    assert wanted <= names
    inside = {name for name in names if name.startswith("cdm_inspect_review/")}
    assert inside == wanted  # nothing that was only left lying about


@pytest.mark.browser
def test_a_part_is_shown_far_from_the_checkout(
    installed, plant_folder, hire, dashboard, sit_down, tmp_path, monkeypatch
):
    python, packages = installed
    hire(plant_folder, mori="engineer", tanaka="operator")
    monkeypatch.setenv("PYTHONPATH", str(packages))
    monkeypatch.delenv("PYTHONHOME", raising=False)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    asked = (
        "import cdm_inspect_review as app, json, sys; print(json.dumps([app.__file__, *sys.path]))"
    )
    found, *path = json.loads(
        subprocess.run([python, "-c", asked], check=True, capture_output=True).stdout
    )
    assert Path(found).is_relative_to(packages)
    assert str(REPOSITORY) not in path

    monkeypatch.setattr(sys, "executable", str(python))
    with dashboard(plant_folder) as server:
        page = sit_down(server, password=PASSWORD)
        before = page.locator(".board").get_attribute("data-shown")
        page.wait_for_timeout(300)
        page.keyboard.press("a")
        page.wait_for_selector(f".board[data-shown]:not([data-shown='{before}'])")
        running = Path(f"/proc/{server.process.pid}/cmdline").read_bytes().split(b"\0")
        assert running[:4] == [str(python).encode(), b"-P", b"-m", b"cdm_inspect_review.server"]
