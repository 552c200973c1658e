"""Reports of a line are found by what they say, and two evaluations compare part by part."""

import json
import os

import numpy as np
import pytest

from cdm_inspect.errors import InvalidOption
from cdm_inspect.evaluation.compare import compare_evaluations
from cdm_inspect.evaluation.paired_tests import compare_auroc, compare_errors
from cdm_inspect.review.report_index import ReportKind, find_reports

VERDICT = {"answer": "go", "rule": "lower", "endpoint": "drift"}


def evaluation(scores, line="A", threshold=0.5, **more):
    """As `evaluate` writes it: every third part is defective."""
    parts = [
        {
            "sha256": f"{number:064x}",
            "label": "dent" if number % 3 == 0 else "good",
            "score": float(score),
            "verdict": "review" if score >= threshold else "pass",
        }
        for number, score in enumerate(scores)
    ]
    return {"line": line, "image_AUROC": 0.9, "parts": parts, **more}


@pytest.fixture
def write(tmp_path):
    def call(name, content, *, at=None):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        if at is not None:
            os.utime(path, (at, at))
        return path

    return call


def test_reports_are_told_apart_by_what_they_hold(tmp_path, write):
    write("A-fused.json", evaluation([1, 2, 3]), at=100)
    png = write("A-fused.png", "", at=90)
    page = write("A-fused.html", "", at=80)
    small = write("A-fused-detectability.png", "", at=70)
    write("night/anything.json", {"line": "A", "levels": [], "drifts": []}, at=400)
    write("A-pilot.json", {"line": "A", "verdict": VERDICT, "comparisons": []}, at=300)
    write("A-bench.json", {"line": "A", "rows": [], "compared_with": "fused"}, at=200)
    write("A-samples.png", "", at=50)
    write("B-fused.json", evaluation([1], line="B"))
    write("A-2-samples.png", "")
    write("else.json", {"line": "A"})
    write("shifts/A-2026-11-26-1.html", "")
    write("shifts/A-damaged.json", "{")
    write("A-broken.json", "{")
    write("A-list.json", "[]")
    found = find_reports(tmp_path, "A", lines=["A", "A-2", "B"])
    assert [report.kind.value for report in found.reports] == [
        "diagnosis", "pilot", "bench", "evaluation", "picture",
    ]  # fmt: skip
    assert [report.name for report in found.of(ReportKind.DIAGNOSIS)] == ["night/anything"]
    (judged,) = found.of(ReportKind.EVALUATION)
    assert set(judged.files) == {png, page, small}
    assert judged.written_at.timestamp() == 100
    assert set(found.damaged) == {"A-broken", "A-list"}
    (other,) = find_reports(tmp_path, "A-2", lines=["A", "A-2"]).reports
    assert other.name == "A-2-samples"


@pytest.mark.parametrize(
    "document",
    [
        {"verdict": {}, "comparisons": []},
        {"verdict": VERDICT, "comparisons": [{"endpoint": "drift"}]},
        {"levels": [{"sigma": 1}], "drifts": []},
        {"levels": [], "drifts": [{"start": 1, "steps": 2, "drift": 3, "returned": 4}]},
        {"levels": [], "drifts": [], "compare": {"levels": []}},
        {"rows": None, "compared_with": "fused"},
        {"image_AUROC": 1, "parts": ["x"]},
    ],
)
def test_figures_of_another_version_are_named_as_damaged(tmp_path, write, document):
    write("x.json", {"line": "A", **document})
    found = find_reports(tmp_path, "A")
    assert (found.reports, found.damaged) == ((), ("x",))


def test_a_line_without_reports_has_none(tmp_path):
    assert find_reports(tmp_path / "reports", "A").reports == ()


def test_two_evaluations_compare_on_the_parts_of_both():
    random = np.random.default_rng(0)
    bad = np.arange(60) % 3 == 0
    ours = random.normal(0, 0.3, 60) + bad
    theirs = random.normal(0, 0.6, 60) + bad
    found = compare_evaluations(evaluation(ours), evaluation(theirs[:50]))
    both = bad[:50]
    assert (found.good, found.defective) == ((~both).sum(), both.sum())
    assert found.image_auroc == compare_auroc(ours[:50], theirs[:50], both)
    assert found.escapes == compare_errors(ours[:50][both] < 0.5, theirs[:50][both] < 0.5)
    assert found.false_rejects == compare_errors(ours[:50][~both] >= 0.5, theirs[:50][~both] >= 0.5)


def test_one_kind_of_parts_alone_gives_half_of_the_figures():
    first, second = evaluation([0, 1, 2]), evaluation([0, 3, 1])
    for document in (first, second):
        document["parts"] = document["parts"][1:]
    found = compare_evaluations(first, second)
    assert (found.escapes, found.image_auroc) == (None, None)
    assert found.false_rejects.parts == 2


@pytest.mark.parametrize("spoil", ["apart", "labels", "damaged"])
def test_evaluations_that_do_not_compare_say_so(spoil):
    first, second = evaluation(range(6)), evaluation(range(6))
    if spoil == "apart":
        for part in second["parts"]:
            part["sha256"] = "f" + part["sha256"][1:]
    elif spoil == "labels":
        second["parts"][0]["label"] = "good"
    else:
        del second["parts"][2]["score"]
    with pytest.raises(InvalidOption, match="valuate"):
        compare_evaluations(first, second)
