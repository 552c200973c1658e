"""The shift report as one page for people: HTML to look at and print, PDF where WeasyPrint is."""

from __future__ import annotations

import base64
import datetime as dt
import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import jinja2
from markupsafe import Markup

from cdm_inspect.config.units import at_most
from cdm_inspect.encoding import readable
from cdm_inspect.errors import InvalidOption
from cdm_inspect.monitoring.p_chart import PChart
from cdm_inspect.monitoring.summary import Escalation, LineStatistics, Rate
from cdm_inspect.review.shift_report.wording import (
    Picture,
    Wording,
    agreements_of,
    charts_of,
    count_rows,
    escape_note,
)

# Of the chart, in units of its drawing.
_LEFT, _RIGHT, _TOP, _BOTTOM = 50, 670, 8, 150
_MOST_TICKS = 7


def has_pdf() -> bool:
    """Whether WeasyPrint is installed."""
    return find_spec("weasyprint") is not None


def render_page(statistics: LineStatistics, word: Wording) -> str:
    """The HTML, which needs nothing else.

    Args:
        statistics: of the line within the shift.
        word: texts in the language of the reader.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    facts = word.facts
    name = facts.shift.name if facts.shift else word.time(statistics.since)
    page = environment.get_template("page.html").render(
        word=word,
        facts=facts,
        statistics=statistics,
        name=name,
        foot=_css_text(f"{word('title')}  {statistics.line}  {name}"),
        counter=_counter(word),
        head=[
            (word("line"), statistics.line),
            *([(word("shift"), facts.shift.name)] if facts.shift else []),
            (word("window"), f"{word.time(statistics.since)} – {word.time(statistics.until)}"),
            (word("made_at"), word.time(statistics.at)),
            (word("made_by"), facts.made_by),
        ],
        counts=[(label, f"{count:,}") for label, count in count_rows(statistics, word)],
        rates=_rates(statistics, word),
        escape_note=escape_note(statistics, word),
        charts=[_chart(key, chart, word) for key, chart in charts_of(statistics)],
        reasons=list(_reasons(statistics, word)),
        escalations=[_escalated(escalation, word) for escalation in statistics.escalations],
        people=list(_people(statistics, word)) if statistics.reviewers else [],
        agreement=list(_agreement(statistics, word)) if statistics.agreement.pairs else [],
        queue=_queue(statistics, word),
        versions=[
            (
                version.model or "–",
                version.calibration,
                "–" if version.threshold is None else f"{version.threshold:.4g}",
                f"{version.parts:,}",
            )
            for version in statistics.versions
        ],
    )
    return readable(page)


def print_pdf(page: str) -> bytes:
    """The page as PDF, with its fonts inside; nothing is fetched from anywhere.

    Raises:
        InvalidOption: if WeasyPrint, or what it needs of the system, is not installed.
    """
    try:
        from weasyprint import HTML
        from weasyprint.urls import URLFetcher
    except (ModuleNotFoundError, OSError) as error:
        raise InvalidOption(
            f"PDF needs WeasyPrint and Pango, which are not there ({error}). Run: pip install "
            "'cdm-inspect[pdf]' (Debian, Ubuntu: and apt-get install libpangoft2-1.0-0). Or take "
            "the HTML, which any browser prints."
        ) from error
    fetcher = URLFetcher(allowed_protocols=("data",))
    return bytes(HTML(string=page, url_fetcher=fetcher).write_pdf())


def _css_text(text: str) -> Markup:
    # As in JSON, but for what would end the style element, and for escapes by number.
    quoted = json.dumps(text, ensure_ascii=False)[1:-1]
    return Markup(quoted.replace("<", r"\3c ").replace(r"\u", "u"))  # noqa: S704


def _counter(word: Wording) -> Markup:
    """Page x of y, as counters of CSS."""
    text = json.dumps(word("page", page="\0", pages="\1"), ensure_ascii=False)
    text = text.replace("\\u0000", '" counter(page) "').replace("\\u0001", '" counter(pages) "')
    return Markup(text)  # noqa: S704 - from the catalogue


def _rates(statistics: LineStatistics, word: Wording) -> list[tuple[str, ...]]:
    escapes = statistics.escapes
    bound = "–" if escapes.upper is None else word("at_most", bound=at_most(escapes.upper))
    two = (
        ("flag_rate", statistics.flag_rate),
        ("false_reject_rate", statistics.false_reject_rate),
    )
    return [
        *((word(key), _percent(rate.rate), _interval(rate), f"{rate.n:,}") for key, rate in two),
        (word("escape_rate"), _percent(escapes.rate), bound, f"{escapes.audited:,}"),
    ]


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.2%}"


def _interval(rate: Rate) -> str:
    return "–" if rate.lower is None else f"{_percent(rate.lower)} – {_percent(rate.upper)}"


def _chart(key: str, chart: PChart, word: Wording) -> dict[str, Any]:
    """What the template draws of a control chart."""
    title = word(key, unit=word(chart.unit))
    if chart.centre is None:
        return {"title": title, "points": []}
    times = [point.since.timestamp() for point in chart.points]
    begin, length = times[0], max(times[-1] - times[0], 3600.0)
    highest = max(max(point.rate, point.upper) for point in chart.points)
    highest = min(1.0, max(0.01, 1.1 * highest))

    def x(seconds: float) -> float:
        return round(_LEFT + 12 + (_RIGHT - _LEFT - 24) * (seconds - begin) / length, 1)

    def y(share: float) -> float:
        return round(_BOTTOM - (_BOTTOM - _TOP) * share / highest, 1)

    def line(shares: list[float]) -> str:
        return " ".join(f"{x(at)},{y(share)}" for at, share in zip(times, shares, strict=True))

    shown = "%H:%M" if times[-1] - begin < 20 * 3600 else "%m-%d %H:%M"
    points = chart.points
    ticks = points[:: -(-len(points) // _MOST_TICKS)]
    return {
        "title": title,
        "key": word(
            "chart_key",
            centre=_percent(chart.centre),
            out=sum(point.is_out for point in points),
            points=len(points),
        ),
        "points": [
            (x(at), y(point.rate), point.is_out) for at, point in zip(times, points, strict=True)
        ],
        "line": line([point.rate for point in points]),
        "upper": line([point.upper for point in points]),
        "lower": line([point.lower for point in points]),
        "centre": line([chart.centre] * len(points)),
        "shares": [(y(highest * part / 4), f"{highest * part / 4:.1%}") for part in range(5)],
        "times": [(x(p.since.timestamp()), f"{_local(p.since, word):{shown}}") for p in ticks],
    }


def _local(moment: dt.datetime, word: Wording) -> dt.datetime:
    return moment.astimezone(word.facts.zone)


def _reasons(statistics: LineStatistics, word: Wording) -> Iterator[tuple[str, ...]]:
    total = sum(reason.count for reason in statistics.reasons)
    for reason in statistics.reasons:
        share, cumulative = _percent(reason.count / total), _percent(reason.cumulative)
        yield word.reason(reason.code), f"{reason.count:,}", share, cumulative


def _escalated(escalation: Escalation, word: Wording) -> dict[str, Any]:
    part, review = escalation.part, escalation.review
    score = "–" if part.score is None else f"{part.score:.3g}"
    threshold = "–" if part.threshold is None else f"{part.threshold:.3g}"
    picture = word.facts.pictures.get(part.id)
    return {
        "picture": "" if picture is None else _data_url(picture),
        "facts": [
            (word("part"), part.id),
            (word("serial"), part.serial or "–"),
            (word("lot"), part.lot or "–"),
            (word("inspected_at"), word.time(part.inspected_at)),
            (word("score"), f"{score} ({threshold})"),
            (word("verdict"), word(part.verdict.value)),
            (word("decided_by"), f"{word.decided_by(review)}, {word.time(review.decided_at)}"),
        ],
        "comment": review.comment or word("no_comment"),
    }


def _data_url(picture: Picture) -> str:
    _, data = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    return "data:image/png;base64," + base64.b64encode(data.tobytes()).decode()


def _people(statistics: LineStatistics, word: Wording) -> Iterator[tuple[str, ...]]:
    def seconds(milliseconds: float | None) -> str:
        return "–" if milliseconds is None else word("seconds", value=milliseconds / 1000)

    for figures in (*statistics.reviewers, statistics.judging):
        yield (
            word.reviewer(figures),
            f"{figures.parts:,}",
            seconds(figures.median_ms),
            seconds(figures.p90_ms),
            _percent(figures.hasty_share),
        )


def _agreement(statistics: LineStatistics, word: Wording) -> Iterator[tuple[str, ...]]:
    for name, agreement in agreements_of(statistics, word):
        figures = "–", "–"
        if agreement.kappa is not None:
            ends = f"{agreement.lower:.2f} – {agreement.upper:.2f}"
            figures = f"{agreement.kappa:.2f}", ends
        grade = word(agreement.word) if agreement.word else "–"
        yield name, f"{agreement.n:,}", f"{agreement.agreed:,}", *figures, grade


def _queue(statistics: LineStatistics, word: Wording) -> str:
    queue = statistics.queue
    if queue.oldest_seconds is None or queue.median_seconds is None:
        return word("queue_empty")
    return word(
        "queue_text",
        waiting=f"{queue.waiting:,}",
        oldest=_age(queue.oldest_seconds, word),
        median=_age(queue.median_seconds, word),
    )


def _age(seconds: float, word: Wording) -> str:
    minutes = seconds / 60
    if minutes < 100:
        return word("minutes", value=minutes)
    return (
        word("hours", value=minutes / 60) if minutes < 2880 else word("days", value=minutes / 1440)
    )
