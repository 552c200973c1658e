"""The shift report: read back as HTML, PDF and CSV, in both languages, with hostile texts."""

import csv
import datetime as dt
import io
import json
import random
import string
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest
from pypdf import PdfReader

from cdm_inspect.config.review import LineReviewConfig, ReviewConfig
from cdm_inspect.config.shifts import shift_of
from cdm_inspect.config.units import at_most
from cdm_inspect.config.words import LANGUAGES, Speech, catalogue
from cdm_inspect.errors import InvalidOption
from cdm_inspect.monitoring.summary import summarise_line
from cdm_inspect.records import Decision, Purpose, Verdict
from cdm_inspect.review.shift_report.table import COLUMNS, collect_pictures, write_shift_report
from cdm_inspect.review.shift_report.wording import ShiftFacts
from cdm_inspect.storage import SqlStore
from cdm_inspect.testing.specimens import a_part, a_review

CONFIG = ReviewConfig(timezone="Asia/Tokyo")
SHIFT = shift_of(dt.date(2026, 10, 5), 2, CONFIG)
HOSTILE = [
    "<b>bold</b> & <i>",
    "an unclosed <font color='red'> tag",
    '<img src="http://127.0.0.1:9/x.png"/>',
    "&lt; &amp; &#65; &nosuch;",
    '=HYPERLINK("http://x")',
    "\x1b[31m\u202e right to left \x00 🙂 한글",
    "two\nlines",
    "終わりのない話。" * 300 + " The end of it." + "x" * 2585,
]


def a_photograph(seed):
    picture = np.random.default_rng(seed).integers(60, 200, (240, 480, 3), np.uint8)
    cv2.circle(picture, (300, 120), 40, (255, 255, 255), -1)
    return cv2.imencode(".png", picture)[1].tobytes()


@pytest.fixture(scope="module")
def shift(tmp_path_factory):
    """A store with a shift of a busy line, and the statistics of it."""
    draw = random.Random(0)
    with SqlStore("sqlite:///x.db", "images/", root=tmp_path_factory.mktemp("store")) as store:
        parts = []
        for number in range(1, 481):
            verdict = Verdict.PASS if draw.random() < 0.85 else Verdict.REVIEW
            if 200 < number < 230:
                verdict = Verdict.REJECT
            at = SHIFT.since + number * dt.timedelta(minutes=1) - dt.timedelta(seconds=30)
            score = draw.uniform(0.3, 1.4) if verdict is Verdict.PASS else draw.uniform(1.5, 4)
            parts.append(
                a_part(number, verdict=verdict, heatmap=None, inspected_at=at, score=score)
            )
        flagged = [part for part in parts if part.verdict is not Verdict.PASS]
        unsure = {id(part): text for part, text in zip(flagged[3:], HOSTILE, strict=False)}
        kept = store.append_many(
            [
                (part, a_photograph(i) if id(part) in unsure else None)
                for i, part in enumerate(parts)
            ]
        )
        passed = [part for part in kept if part.verdict is Verdict.PASS]
        for given, part in zip(parts, kept, strict=True):
            at = part.inspected_at + dt.timedelta(seconds=40)
            facts = {"decided_at": at, "seen_ms": draw.randint(150, 6000)}
            facts["reviewer"] = draw.choice(["佐藤", "Smith", "田中 & 子"])
            if id(given) in unsure:
                said = a_review(part.id, Decision.UNSURE, comment=unsure[id(given)], **facts)
            elif part.verdict is not Verdict.PASS:
                decision = draw.choice([Decision.ACCEPT, Decision.REJECT])
                reason = draw.choice(["dent", "dent", "scratch", "", "no-longer-listed"])
                said = a_review(part.id, decision, reason=reason, **facts)
            elif part in passed[::10]:
                said = a_review(part.id, Decision.ACCEPT, purpose=Purpose.AUDIT, **facts)
            else:
                continue
            store.record_review(said)
            if part.id % 5 == 0 and said.decision is not Decision.UNSURE:
                second = a_review(
                    part.id, said.decision, decided_at=at, reviewer="鈴木", purpose=Purpose.SECOND
                )
                store.record_review(second)
        statistics = summarise_line(store, "A", since=SHIFT.since, until=SHIFT.until, config=CONFIG)
        facts = ShiftFacts(
            made_by="高橋 <QA>",
            head=store.anchor(),
            shift=SHIFT,
            zone=CONFIG.zone,
            reasons=LineReviewConfig().reasons,
            pictures=collect_pictures(store, statistics, max_pixels=10**6),
        )
        yield statistics, facts


class Texts(HTMLParser):
    """What stands on a page, and what it would fetch."""

    def __init__(self):
        super().__init__()
        self.texts, self.tags, self.sources = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.sources += [value for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data):
        if self.tags[-1:] != ["style"]:
            self.texts.append(data)


def read_page(path):
    """The page, and its text without white space."""
    found = Texts()
    found.feed(path.read_text("utf-8"))
    return found, squeezed("".join(found.texts))


def squeezed(text):
    return "".join(text.split())


def word(language, name, **values):
    return Speech(language, "page_shift_report.")(name, **values)


def placeholders(text):
    return sorted(name for _, name, _, _ in string.Formatter().parse(text) if name)


def test_no_text_lacks_a_language_or_a_value():
    for name, texts in catalogue().items():
        assert set(texts) == set(LANGUAGES), name
        assert all(texts.values()), name
        # What is put into one is put into the other.
        assert len({tuple(placeholders(text)) for text in texts.values()}) == 1, name


def test_what_the_machine_and_what_people_say_have_names_of_their_own():
    """In Japanese, where one word could mean both; the same names as in the app."""
    app, japanese = Speech("ja"), Speech("ja").below("page_shift_report.")
    assert japanese["verdict"] == app("history.verdict") == "機械判定"
    for verdict in Verdict:
        assert japanese[f"verdict_{verdict.value}"].startswith("機械判定：")
    for decision in ("accept", "reject", "unsure"):
        assert "人の判定：" in japanese[f"decision_{decision}"]
    assert japanese["reviewer"] == app("history.reviewer")
    assert japanese["title"] == app("page.report")
    assert not [text for text in japanese.values() if "確認者" in text or "確認結果" in text]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_tells_what_was_counted(shift, tmp_path, language):
    statistics, facts = shift
    path = tmp_path / "report.html"
    write_shift_report(statistics, path, language=language, facts=facts)
    page, flat = read_page(path)
    for name in ("title", "counts", "rates", "charts", "pareto", "escalations", "versions"):
        assert squeezed(word(language, name)) in flat, name
    rate = statistics.flag_rate
    for stated in (
        SHIFT.name,
        "2026-10-05 14:00 – 2026-10-05 22:00",
        f"{rate.rate:.2%}{rate.lower:.2%} – {rate.upper:.2%}",
        at_most(statistics.escapes.upper),
        {"en": "Dent", "ja": "打痕"}[language],
        "no-longer-listed",
        facts.head.hash,
        "高橋 <QA>",
        "佐藤",
        "田中 & 子",
        "calibration",
    ):
        assert squeezed(stated) in flat, stated
    assert page.tags.count("svg") == 2


@pytest.mark.parametrize("language", LANGUAGES)
def test_texts_of_people_are_no_markup(shift, tmp_path, language):
    statistics, facts = shift
    path = tmp_path / "report.html"
    write_shift_report(statistics, path, language=language, facts=facts)
    page, flat = read_page(path)
    assert [e.review.comment.replace("\\x00", "\0") for e in statistics.escalations] == HOSTILE
    for stated in (*HOSTILE[:5], "two\nlines", "right to left \\x00 🙂 한글", "The end of it."):
        assert squeezed(stated) in flat, stated
    assert flat.count("終わりのない話。") == 300
    assert not {"font", "i"} & set(page.tags)
    assert page.tags.count("img") == len(HOSTILE)
    assert all(source.startswith("data:") for source in page.sources)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_pdf_has_pages_with_numbers_pictures_and_its_fonts(shift, tmp_path, language):
    statistics, facts = shift
    hostile = replace(facts, made_by='"</style><script>x</script>\\')
    path = tmp_path / "report.pdf"
    write_shift_report(statistics, path, language=language, facts=hostile)
    reader = PdfReader(path)
    pages = [squeezed(page.extract_text()) for page in reader.pages]
    assert len(pages) >= 3
    for number, page in enumerate(pages, start=1):
        assert squeezed(word(language, "page", page=number, pages=len(pages))) in page
    assert facts.head.hash in "".join(pages)
    assert len({image.data for page in reader.pages for image in page.images}) == len(HOSTILE)
    assert SHIFT.name in reader.metadata.title
    fonts = [
        font.get_object()
        for page in reader.pages
        for font in page["/Resources"]["/Font"].get_object().values()
    ]
    assert fonts
    for font in fonts:
        descendant = font["/DescendantFonts"][0].get_object()
        descriptor = descendant["/FontDescriptor"].get_object()
        assert {"/FontFile2", "/FontFile3"} & set(descriptor), font["/BaseFont"]


def test_a_report_of_nothing(tmp_path):
    with SqlStore("sqlite:///x.db", "images/", root=tmp_path) as store:
        statistics = summarise_line(store, "A", since=SHIFT.since, until=SHIFT.until, config=CONFIG)
        facts = ShiftFacts(made_by="", head=store.anchor())
        assert collect_pictures(store, statistics, max_pixels=10**6) == {}
    for language in LANGUAGES:
        for name in ("report.html", "report.pdf", "report.csv"):
            write_shift_report(statistics, tmp_path / name, language=language, facts=facts)
        _, flat = read_page(tmp_path / "report.html")
        assert squeezed(word(language, "no-passed-parts")) in flat
        assert facts.head.hash in flat


def test_a_picture_that_nobody_can_read_is_told_as_none(shift, tmp_path):
    statistics, facts = shift

    class Broken:
        def read_file(self, sha256):
            return b"no picture"

    assert collect_pictures(Broken(), statistics, max_pixels=10**6) == {}
    bare = ShiftFacts(made_by="x", head=facts.head, zone=facts.zone)
    write_shift_report(statistics, tmp_path / "x.html", language="en", facts=bare)
    _, flat = read_page(tmp_path / "x.html")
    assert flat.count("nopicture") == len(HOSTILE)


def test_pictures_are_small_and_keep_their_shape(shift):
    _, facts = shift
    assert len(facts.pictures) == len(HOSTILE)
    for picture in facts.pictures.values():
        assert picture.shape == (180, 360, 3)
        assert picture.dtype == np.uint8


def test_a_chart_of_many_points_and_of_one(tmp_path):
    """A month by shift, with a shift far out; then a single hour."""
    with SqlStore("sqlite:///x.db", "images/", root=tmp_path) as store:
        parts = []
        for number in range(1, 901):
            flagged = number % 10 == 0 or 450 <= number < 460
            verdict = Verdict.REVIEW if flagged else Verdict.PASS
            at = SHIFT.since + number * dt.timedelta(minutes=48)
            parts.append((a_part(number, verdict=verdict, heatmap=None, inspected_at=at), None))
        store.append_many(parts)
        facts = ShiftFacts(made_by="x", head=store.anchor(), zone=CONFIG.zone)
        until = SHIFT.since + dt.timedelta(days=30)
        for end, stated in ((until, "Beyond: 1 of 90."), (SHIFT.since + HOUR, "Beyond: 0 of 1.")):
            found = summarise_line(store, "A", since=SHIFT.since, until=end, config=CONFIG)
            write_shift_report(found, tmp_path / "x.html", language="en", facts=facts)
            page, flat = read_page(tmp_path / "x.html")
            assert squeezed(stated) in flat
            assert page.tags.count("path") == stated.count(": 1 ")


HOUR = dt.timedelta(hours=1)


def read_csv(path):
    data = path.read_bytes()
    assert data.startswith(b"\xef\xbb\xbf")
    return list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")))


@pytest.mark.parametrize("language", LANGUAGES)
def test_nobody_is_named_where_two_do_not_agree(tmp_path, language):
    with SqlStore("sqlite:///x.db", "images/", root=tmp_path) as store:
        found = a_part(1, verdict=Verdict.REVIEW, heatmap=None, inspected_at=SHIFT.since + HOUR)
        part = store.append(found, evidence=None)
        at = SHIFT.since + 2 * HOUR
        store.record_review(a_review(part.id, Decision.ACCEPT, decided_at=at))
        purpose, nobody = Purpose.DISAGREEMENT, {"reviewer": "", "role": "", "comment": ""}
        store.record_review(
            a_review(part.id, Decision.UNSURE, purpose=purpose, decided_at=at, **nobody)
        )
        statistics = summarise_line(store, "A", since=SHIFT.since, until=SHIFT.until, config=CONFIG)
        facts = ShiftFacts(made_by="x", head=store.anchor(), zone=CONFIG.zone)
    stated = word(language, "not_agreed")
    for name in ("x.csv", "x.html"):
        write_shift_report(statistics, tmp_path / name, language=language, facts=facts)
    by = [row["value"] for row in read_csv(tmp_path / "x.csv")]
    assert stated in by
    assert squeezed(stated) in read_page(tmp_path / "x.html")[1]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_csv_is_tidy_and_complete(shift, tmp_path, language):
    statistics, facts = shift
    path = tmp_path / "report.csv"
    write_shift_report(statistics, path, language=language, facts=facts)
    rows = read_csv(path)
    assert tuple(rows[0]) == COLUMNS
    assert len({(row["section"], row["name"]) for row in rows}) == len(rows)

    word = Speech(language, "page_shift_report.")
    found = {(row["section"], row["name"]): row for row in rows}
    counted = found[word("counts"), word("inspected")]
    assert (counted["value"], counted["n"]) == ("480", "")
    rate = found[word("rates"), word("flag_rate")]
    expected = statistics.flag_rate
    assert [float(rate[name]) for name in ("value", "lower", "upper")] == [
        expected.rate,
        expected.lower,
        expected.upper,
    ]
    assert rate["n"] == "480"
    chart = [row for row in rows if row["section"] == word("flag_chart", unit=word("hour"))]
    assert len(chart) == 1 + 8
    assert [float(row["value"]) for row in chart[1:]] == [
        point.rate for point in statistics.flag_chart.points
    ]
    assert found[word("audit"), word("hash")]["value"] == facts.head.hash
    comments = [row["value"] for row in rows if row["name"] == word("comment")]
    assert len(comments) == len(HOSTILE)
    assert comments[4] == "'" + HOSTILE[4]  # no formula
    assert (comments[0], comments[7]) == (HOSTILE[0], HOSTILE[7])


def test_what_cannot_be_written_says_so(shift, tmp_path):
    statistics, facts = shift
    with pytest.raises(InvalidOption, match=r"ends in \.html, \.pdf or \.csv, found 'x\.docx'"):
        write_shift_report(statistics, tmp_path / "x.docx", language="en", facts=facts)
    with pytest.raises(InvalidOption, match="expected a language of en, ja, found 'fr'"):
        write_shift_report(statistics, tmp_path / "x.pdf", language="fr", facts=facts)
    assert not list(tmp_path.iterdir())


def test_without_weasyprint_the_way_out_is_told(tmp_path):
    code = """
import sys
sys.modules["weasyprint"] = None
from pathlib import Path
from cdm_inspect.config.review import ReviewConfig
from cdm_inspect.errors import InvalidOption
from cdm_inspect.monitoring.summary import summarise_line
from cdm_inspect.review.shift_report.table import write_shift_report
from cdm_inspect.review.shift_report.wording import ShiftFacts
from cdm_inspect.storage import SqlStore
import datetime as dt, json
root, now = Path(sys.argv[1]), dt.datetime.now(dt.UTC)
with SqlStore("sqlite:///x.db", "images/", root=root) as store:
    found = summarise_line(
        store, "A", since=now - dt.timedelta(hours=1), until=now, config=ReviewConfig()
    )
    facts = ShiftFacts(made_by="x", head=store.anchor())
write_shift_report(found, root / "x.html", language="en", facts=facts)
try:
    write_shift_report(found, root / "x.pdf", language="en", facts=facts)
except InvalidOption as error:
    print(json.dumps(str(error)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], check=True, capture_output=True, text=True
    )
    assert "pip install 'cdm-inspect[pdf]'" in json.loads(done.stdout)
    assert (tmp_path / "x.html").exists()
