"""`check`: what is said of a folder of good parts, and what people decide of them."""

import json

import cv2
import numpy as np
import pytest
from PIL import Image

from cdm_inspect.errors import InvalidOption, UnreadableImage
from cdm_inspect.images import load_good_parts, load_manifest
from cdm_inspect.project import open_project
from cdm_inspect.workflows.check import check, review_parts
from cdm_inspect.workflows.reports.check_report import write_check_report


@pytest.fixture
def project(tmp_path):
    """Thirty photographs of two lots, one too dark, one out of focus, one taken twice."""
    folder = tmp_path / "good"
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(30):
        field = cv2.resize(random.normal(size=(10, 10)), (80, 80), interpolation=cv2.INTER_NEAREST)
        picture = 128 + 30 * field + random.normal(scale=4, size=field.shape)
        if number == 3:
            picture *= 0.2
        if number == 4:
            picture = cv2.GaussianBlur(picture, (0, 0), 3)
        save(folder / f"lot{number % 2}_{number:02d}.png", picture)
        if number == 5:
            save(folder / "again.png", picture + random.normal(scale=1.5, size=picture.shape))
    (folder / "cut.png").write_bytes((folder / "lot0_00.png").read_bytes()[:500])
    (folder / "notes.txt").write_text("x")
    (tmp_path / "cdm-inspect.toml").write_text(
        '[lines.A]\nnormal = "good"\nimage_size = 64\n[lines.A.images]\ngroup = "(lot[01])_"\n'
    )
    return open_project(tmp_path, line="A")


def save(path, picture):
    Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(path)


def names(items):
    return [item.path.name for item in items]


def test_a_folder_is_judged_before_it_is_learnt_from(project):
    stated = []
    report = check(project, "A", tick=lambda done, total: stated.append((done, total)))
    assert (report.files, report.usable) == (32, 31)
    assert names(report.problems) == ["cut.png"]
    assert {(item.path.name, item.reason) for item in report.odd} >= {
        ("lot1_03.png", "exposure"),
        ("lot0_04.png", "focus"),
    }
    assert set(names(report.odd)) == {"lot1_03.png", "lot0_04.png"}
    ((first, second),) = report.near_duplicates
    assert {first.name, second.name} == {"again.png", "lot1_05.png"}
    assert report.groups == 2
    assert report.passed_over == {".txt": 1}
    assert stated[-1] == (64, 64)
    # What it announces is what training gets.
    config = project.config.line("A")
    parts = load_good_parts(project.path(config.normal), config)
    assert (len(parts.train), len(parts.held_out)) == (report.n_train, report.n_held_out)


def test_what_people_decide_is_kept_and_heeded(project):
    folder = project.path("good")
    dark, soft = folder / "lot1_03.png", folder / "lot0_04.png"
    file = review_parts(project, "A", accept=[soft], exclude=[dark])
    rows = {row.file: row.decision for row in load_manifest(file).rows.values()}
    assert rows == {"lot1_03.png": "exclude", "lot0_04.png": "accept"}
    report = check(project, "A")
    assert sorted((p.path.name, p.reason) for p in report.problems) == [
        ("cut.png", "truncated"),
        ("lot1_03.png", "excluded"),
    ]
    assert report.odd == ()
    # A change of mind; renaming makes no difference.
    dark.rename(folder / "lot1_99.png")
    review_parts(project, "A", accept=[folder / "lot1_99.png"])
    assert "excluded" not in {p.reason for p in check(project, "A").problems}
    assert len(load_manifest(file).rows) == 2


def test_decisions_about_other_files_are_refused(project, tmp_path):
    other = tmp_path / "other.png"
    save(other, np.zeros((80, 80)))
    part = project.path("good") / "lot0_00.png"
    with pytest.raises(InvalidOption, match="expected a good part below"):
        review_parts(project, "A", exclude=[other])
    with pytest.raises(InvalidOption, match="both accepted and excluded"):
        review_parts(project, "A", accept=[part], exclude=[part])
    with pytest.raises(UnreadableImage):
        review_parts(project, "A", exclude=[part.with_name("none.png")])
    assert not project.manifest_file("A").exists()


def test_the_page_shows_the_pictures_in_question(run, project):
    done = run("--project", project.root, "--json", "check", "--line", "A")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    page = (project.root / "reports" / "A-check.html").read_text()
    assert document["report_html"].endswith("A-check.html")
    assert page.count("data:image/png;base64,") == 2 * (2 + 2)  # each in two languages
    assert "lot1_03.png" in page
    assert "他と異なる写真" in page
    # Files that have gone since are no reason to fail.
    for path in project.path("good").glob("lot*.png"):
        path.unlink()
    write_check_report(document, project.root / "again.html", max_pixels=10**6)


def test_decisions_by_the_command_line(run, project):
    part = project.path("good") / "lot1_03.png"
    done = run("--project", project.root, "--json", "check", "--line", "A", "--exclude", part)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["usable"] == 30


def test_a_manifest_of_all_parts_names_groups(project):
    file = review_parts(project, "A", is_complete=True)
    text = file.read_text(encoding="utf-8-sig")
    assert len(text.splitlines()) == 1 + 31
    # Somebody fills in the column; what was there already stays.
    text = text.replace(",,,", ",monday,,", 12)
    file.write_text(text, encoding="utf-8-sig")
    # The twin in lot 1 lies among them and ties that lot to them.
    assert check(project, "A").groups == 2
    review_parts(project, "A", is_complete=True)
    assert file.read_text(encoding="utf-8-sig").count("monday") == 12


def test_too_few_parts_are_reported_and_not_an_error(project):
    for path in list(project.path("good").glob("lot*.png"))[:26]:
        path.unlink()
    report = check(project, "A")
    assert report.usable < report.needed
    assert report.n_held_out == 0
    assert not report.is_enough


def test_parts_that_all_belong_together_are_not_enough(project):
    for path in project.path("good").glob("lot1*.png"):
        path.unlink()
    (project.path("good") / "again.png").unlink()
    report = check(project, "A")
    assert report.groups == 1
    assert not report.is_enough
