"""The report of a shift, for people to sign and file: a page to read, CSV to reckon with."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from cdm_inspect.config.words import LANGUAGES
from cdm_inspect.errors import ImageError, InvalidOption, StorageError
from cdm_inspect.files import write_durably
from cdm_inspect.images import decode_image, to_display
from cdm_inspect.monitoring.csv_table import ENCODING, write_rows
from cdm_inspect.monitoring.p_chart import PChart
from cdm_inspect.monitoring.summary import LineStatistics
from cdm_inspect.plugins import InspectionReader
from cdm_inspect.review.shift_report.page import print_pdf, render_page
from cdm_inspect.review.shift_report.wording import (
    Picture,
    ShiftFacts,
    Wording,
    agreements_of,
    charts_of,
    count_rows,
    escape_note,
)

COLUMNS = ("section", "name", "value", "lower", "upper", "n")
"""Of the CSV. What has no interval, or stands on no number of parts, has empty cells there."""

_THUMBNAIL = 360  # pixels of the longer side
_MOST_PICTURES = 100


def write_shift_report(
    statistics: LineStatistics, destination: Path, *, language: str, facts: ShiftFacts
) -> None:
    """Write the report as HTML, PDF or CSV, by the ending of the file's name.

    Args:
        statistics: of the line within the shift.
        destination: written whole or not at all.
        language: `en` or `ja`.
        facts: what else it tells.

    Raises:
        InvalidOption: if the file has another ending, the language is none of ours, or what PDF
            needs is not installed.
        StorageError: if the file cannot be written.
    """
    if language not in LANGUAGES:
        raise InvalidOption(f"expected a language of {', '.join(LANGUAGES)}, found {language!r}.")
    word = Wording(language=language, facts=facts)
    ending = destination.suffix.lower()
    if ending == ".csv":
        file = io.StringIO(newline="")
        write_rows(file, [COLUMNS, *_rows(statistics, word)])
        data = file.getvalue().encode(ENCODING)
    elif ending in (".html", ".pdf"):
        page = render_page(statistics, word)
        data = page.encode() if ending == ".html" else print_pdf(page)
    else:
        raise InvalidOption(
            f"expected a file that ends in .html, .pdf or .csv, found {destination.name!r}."
        )
    write_durably(destination, data)


def collect_pictures(
    store: InspectionReader,
    statistics: LineStatistics,
    *,
    max_pixels: int,
    limit: int = _MOST_PICTURES,
) -> dict[int, Picture]:
    """Small pictures of escalated parts, by number of the part; without those nobody can read.

    Args:
        statistics: with the escalations.
        max_pixels: larger photographs are not decoded.
        limit: at most so many, the first ones.
    """
    pictures = {}
    for escalation in statistics.escalations[:limit]:
        part = escalation.part
        if not part.image_sha256:
            continue
        try:
            data = store.read_file(part.image_sha256)
            photograph = decode_image(data, Path(part.image), max_pixels=max_pixels)
        except (ImageError, StorageError):
            continue  # the report says that there is none
        picture = to_display(photograph.pixels)
        height, width = picture.shape[:2]
        scale = min(1.0, _THUMBNAIL / max(height, width))
        size = max(1, round(width * scale)), max(1, round(height * scale))
        small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        pictures[part.id] = np.asarray(small, np.uint8)
    return pictures


Row = tuple[str, str, object, object, object, object]


def _rows(statistics: LineStatistics, word: Wording) -> Iterator[Row]:
    """The report as a tidy table, one figure a row."""
    title = word("title")
    facts = word.facts
    yield title, word("line"), statistics.line, "", "", ""
    if facts.shift is not None:
        yield title, word("shift"), facts.shift.name, "", "", ""
    window = word.time(statistics.since), word.time(statistics.until)
    yield title, word("window"), "", *window, ""
    yield title, word("made_at"), word.time(statistics.at), "", "", ""
    yield title, word("made_by"), facts.made_by, "", "", ""
    for name, count in count_rows(statistics, word):
        yield word("counts"), name, count, "", "", ""
    yield from _rates(statistics, word)
    for name, chart in charts_of(statistics):
        yield from _chart(chart, word(name, unit=word(chart.unit)), word)
    for reason in statistics.reasons:
        yield word("pareto"), word.reason(reason.code), reason.count, "", "", ""
        name = f"{word.reason(reason.code)}: {word('cumulative')}"
        yield word("pareto"), name, reason.cumulative, "", "", ""
    yield from _escalated(statistics, word)
    yield from _people(statistics, word)
    queue, section = statistics.queue, word("queue")
    yield section, word("count"), queue.waiting, "", "", ""
    yield section, word("oldest"), _known(queue.oldest_seconds), "", "", ""
    yield section, word("median_age"), _known(queue.median_seconds), "", "", ""
    for version in statistics.versions:
        section = f"{word('versions')}: {version.calibration}"
        yield section, word("model"), version.model, "", "", version.parts
        yield section, word("threshold"), _known(version.threshold), "", "", version.parts
    yield word("audit"), word("number"), facts.head.number, "", "", ""
    yield word("audit"), word("hash"), facts.head.hash, "", "", ""


def _rates(statistics: LineStatistics, word: Wording) -> Iterator[Row]:
    section = word("rates")
    for name in ("flag_rate", "false_reject_rate"):
        rate = getattr(statistics, name)
        ends = _known(rate.lower), _known(rate.upper)
        yield section, word(name), _known(rate.rate), *ends, rate.n
    escapes = statistics.escapes
    value = _known(escapes.rate), "", _known(escapes.upper)
    yield section, word("escape_rate"), *value, escapes.audited
    yield section, escape_note(statistics, word), "", "", "", escapes.passed


def _chart(chart: PChart, section: str, word: Wording) -> Iterator[Row]:
    yield section, word("mean"), _known(chart.centre), "", "", ""
    for point in chart.points:
        yield section, word.time(point.since), point.rate, point.lower, point.upper, point.n


def _escalated(statistics: LineStatistics, word: Wording) -> Iterator[Row]:
    for escalation in statistics.escalations:
        part, review = escalation.part, escalation.review
        section = f"{word('escalations')}: {part.id}"
        yield section, word("serial"), part.serial, "", "", ""
        yield section, word("lot"), part.lot, "", "", ""
        yield section, word("inspected_at"), word.time(part.inspected_at), "", "", ""
        yield section, word("score"), _known(part.score), "", _known(part.threshold), ""
        yield section, word("verdict"), word(part.verdict.value), "", "", ""
        yield section, word("decided_by"), word.decided_by(review), "", "", ""
        yield section, word("comment"), review.comment, "", "", ""


def _people(statistics: LineStatistics, word: Wording) -> Iterator[Row]:
    for figures in (*statistics.reviewers, statistics.judging):
        section = f"{word('people')}: {word.reviewer(figures)}"
        yield section, word("count"), figures.parts, "", "", ""
        for name, value in (
            ("median_ms", figures.median_ms),
            ("p90_ms", figures.p90_ms),
        ):
            yield section, word(name), "" if value is None else value / 1000, "", "", figures.timed
        yield section, word("hasty"), _known(figures.hasty_share), "", "", figures.timed
    for name, agreement in agreements_of(statistics, word):
        ends = _known(agreement.lower), _known(agreement.upper)
        yield word("agreement"), name, _known(agreement.kappa), *ends, agreement.n


def _known(value: float | None) -> float | str:
    return "" if value is None else value
