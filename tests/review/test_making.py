"""Making a shift report anchors the audit chain, and the chain tells of the report."""

import datetime as dt
import json

import pytest

from cdm_inspect.config.shifts import shift_at, shift_of
from cdm_inspect.errors import InvalidOption, NotAllowed, StorageError, UnknownLine
from cdm_inspect.monitoring.csv_table import ENCODING
from cdm_inspect.project import open_project
from cdm_inspect.records import Decision, Verdict
from cdm_inspect.review.shift_report.making import SHIFT_REPORT, last_shift, make_shift_report
from cdm_inspect.roles import Actor, Role
from cdm_inspect.testing.specimens import a_part, a_review, evidence_of

QUALITY = Actor("伊藤", Role.QA)
DAY = dt.date(2026, 3, 2)
PROJECT = """\
[review]
timezone = "Asia/Tokyo"

[lines.A]
normal = "good"
"""


@pytest.fixture
def project(tmp_path):
    """Four parts in the second shift of a day, two of them flagged, one of these left open."""
    root = tmp_path / "plant"
    root.mkdir()
    (root / "cdm-inspect.toml").write_text(PROJECT)
    opened = open_project(root)
    start = shift_of(DAY, 2, opened.config.review).since
    with opened.open_store() as store:
        for number in range(4):
            verdict = Verdict.REVIEW if number < 2 else Verdict.PASS
            at = start + dt.timedelta(minutes=number)
            part = a_part(number, verdict=verdict, inspected_at=at)
            kept = store.append(part, evidence=evidence_of(number))
            if not number:
                store.record_review(a_review(kept.id, Decision.UNSURE))
    return opened


@pytest.fixture
def make(project, tmp_path):
    def call(actor=QUALITY, number=2, line="A", **options):
        shift = options.pop("shift", None) or shift_of(DAY, number, project.config.review)
        with project.open_store() as store:
            return make_shift_report(
                store,
                project.store_upkeep(),
                project.config,
                actor=actor,
                line=line,
                shift=shift,
                folder=tmp_path / "reports",
                language=options.pop("language", "en"),
                **options,
            )

    return call


def newest(project):
    return project.store_upkeep().entries(limit=1)[0]


def test_the_chain_is_anchored_and_tells_of_the_files(make, project):
    before = newest(project)
    made = make()
    assert (made.head.number, made.head.hash) == (before.number, before.hash)
    lines = (project.root / "audit-anchors.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["hash"] == made.head.hash
    after = newest(project)
    assert after.number == before.number + 1
    stated = after.entry
    assert (stated["action"], stated["who"], stated["line"]) == (SHIFT_REPORT, "伊藤", "A")
    assert stated["facts"]["anchor"] == {"number": made.head.number, "hash": made.head.hash}
    assert stated["facts"]["shift"] == "2026-03-02 / 2"
    assert stated["facts"]["sha256"] == dict(made.sha256)
    assert (
        project.store_upkeep()
        .verify(anchor=None, has_files=True, progress=lambda what, done, total: None)
        .is_sound
    )


def test_the_report_counts_the_shift_and_carries_the_head(make):
    made = make(formats=("csv",))
    assert list(made.files) == ["csv"]
    text = made.files["csv"].read_text(ENCODING)
    assert made.head.hash in text
    assert "伊藤" in text
    counts = made.statistics.counts
    assert (counts.inspected, counts.flagged, counts.waiting) == (4, 2, 1)
    assert make(number=1, formats=("csv",)).statistics.counts.inspected == 0


def test_an_earlier_report_stays(make):
    first, second = make(language="ja"), make(language="ja")
    assert not set(first.files.values()) & set(second.files.values())
    assert all(path.is_file() for path in (*first.files.values(), *second.files.values()))
    assert first.files["pdf"].read_bytes().startswith(b"%PDF")
    assert second.to_json()["files"] == {k: str(path) for k, path in second.files.items()}
    json.dumps(second.to_json(), allow_nan=False)


def test_a_name_of_a_line_is_no_path(make, project):
    with project.open_store() as store:
        store.append(a_part(9, line="前 工程/1"), evidence=None)
    made = make(line="前 工程/1", formats=("csv",))
    assert made.files["csv"].name.startswith("前_工程_1-2026-03-02-2-")


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"actor": Actor("田中", Role.OPERATOR)}, NotAllowed, "Ask somebody of the role"),
        ({"actor": Actor("", Role.ENGINEER)}, NotAllowed, "a name is needed"),
        ({"line": "C"}, UnknownLine, "no line 'C'"),
        ({"formats": ("pdf", "xls")}, InvalidOption, "found pdf, xls"),
        ({"formats": ()}, InvalidOption, "found none"),
        ({"language": "fr"}, InvalidOption, "'fr'"),
    ],
)
def test_what_cannot_be_made_is_not_told_of(make, project, options, error, said):
    before = newest(project)
    with pytest.raises(error, match=said):
        make(**options)
    assert newest(project) == before


def test_a_shift_to_come_has_no_report(make, project):
    later = shift_at(dt.datetime.now(dt.UTC) + dt.timedelta(days=2), project.config.review)
    with pytest.raises(InvalidOption, match="when it has begun"):
        make(shift=later)


def test_a_chain_other_than_the_anchored_one_gets_no_report(make, project, tmp_path):
    make()
    anchors = project.root / "audit-anchors.jsonl"
    document = json.loads(anchors.read_text().splitlines()[-1])
    document["hash"] = "0" * 64
    anchors.write_text(json.dumps(document) + "\n")
    files = sorted((tmp_path / "reports").iterdir())
    before = newest(project)
    with pytest.raises(StorageError, match="store verify"):
        make()
    assert newest(project) == before
    assert sorted((tmp_path / "reports").iterdir()) == files


def test_a_full_disk_tells_of_no_report(make, project, tmp_path):
    (tmp_path / "reports").write_text("no folder")
    before = newest(project)
    with pytest.raises(StorageError):
        make()
    assert newest(project) == before


def test_the_last_shift_is_the_one_that_is_over(project):
    config = project.config
    now = dt.datetime(2026, 3, 2, 6, 0, tzinfo=dt.UTC)  # 15:00 in Tokyo, in the second shift
    assert last_shift(config, now).name == "2026-03-02 / 1"
    assert last_shift(config, now - dt.timedelta(hours=10)).name == "2026-03-01 / 2"
