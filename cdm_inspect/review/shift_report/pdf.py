"""The shift report as PDF. Needs reportlab."""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Sequence

import cv2
from reportlab.graphics.charts.lineplots import LinePlot
from reportlab.graphics.shapes import Drawing
from reportlab.graphics.widgets.markers import makeMarker
from reportlab.lib import colors
from reportlab.lib.units import mm
from reportlab.platypus import (
    CondPageBreak,
    Flowable,
    Image,
    KeepTogether,
    Paragraph,
    Spacer,
    Table,
    TableStyle,
)

from cdm_inspect.config.units import at_most
from cdm_inspect.monitoring.p_chart import PChart
from cdm_inspect.monitoring.summary import Escalation, LineStatistics, Rate
from cdm_inspect.review.shift_report.pdf_pages import (
    GREY,
    INK,
    LINE,
    SMALL,
    STRONG,
    TITLE,
    WIDTH,
    paragraph,
    section,
    table,
    write_pages,
)
from cdm_inspect.review.shift_report.wording import (
    Picture,
    Wording,
    agreements_of,
    charts_of,
    count_rows,
    escape_note,
)

_PICTURE = 34 * mm
_SIGNAL = colors.HexColor("#b3261e")
_MOST_TICKS = 7


def draw_report(statistics: LineStatistics, word: Wording) -> bytes:
    """The bytes of the PDF.

    Args:
        statistics: of the line within the shift.
        word: texts in the language of the reader.
    """
    story = [
        *_head(statistics, word),
        *section(word("counts"), _counts(statistics, word)),
        *section(word("rates"), *_rates(statistics, word)),
        *_charts(statistics, word),
        *section(word("pareto"), _reasons(statistics, word)),
        *_escalations(statistics, word),
        *section(word("people"), *_people(statistics, word)),
        *section(word("agreement"), _agreement(statistics, word)),
        *section(word("queue"), _queue(statistics, word)),
        *section(word("versions"), _versions(statistics, word)),
        *section(
            word("audit"),
            paragraph(word("audit_text", number=word.facts.head.number)),
            paragraph(word.facts.head.hash, STRONG),
        ),
    ]
    name = word.facts.shift.name if word.facts.shift else word.time(statistics.since)
    return write_pages(
        story,
        foot=f"{word('title')}  {statistics.line}  {name}",
        count=lambda page, pages: word("page", page=page, pages=pages),
        author=word.facts.made_by,
        language=word.language,
    )


def _head(statistics: LineStatistics, word: Wording) -> list[Flowable]:
    facts = word.facts
    window = f"{word.time(statistics.since)} – {word.time(statistics.until)}"
    rows = [
        (word("line"), statistics.line),
        *([(word("shift"), facts.shift.name)] if facts.shift else []),
        (word("window"), window),
        (word("made_at"), word.time(statistics.at)),
        (word("made_by"), facts.made_by),
    ]
    cells = [[paragraph(name, SMALL), paragraph(value, STRONG)] for name, value in rows]
    table = Table(cells, colWidths=[WIDTH * 0.2, WIDTH * 0.8], hAlign="LEFT")
    table.setStyle(
        TableStyle(
            [
                ("TOPPADDING", (0, 0), (-1, -1), 0.5),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 0.5),
                ("LEFTPADDING", (0, 0), (0, -1), 0),
            ]
        )
    )
    return [paragraph(word("title"), TITLE), table]


def _counts(statistics: LineStatistics, word: Wording) -> Table:
    rows = [(name, f"{count:,}") for name, count in count_rows(statistics, word)]
    return table(("", word("count")), rows, (3, 1))


def _rates(statistics: LineStatistics, word: Wording) -> list[Flowable]:
    escapes = statistics.escapes
    bound = "–" if escapes.upper is None else word("at_most", bound=at_most(escapes.upper))
    rows = [
        *(
            (word(name), _percent(rate.rate), _interval(rate), f"{rate.n:,}")
            for name, rate in (
                ("flag_rate", statistics.flag_rate),
                ("false_reject_rate", statistics.false_reject_rate),
            )
        ),
        (word("escape_rate"), _percent(escapes.rate), bound, f"{escapes.audited:,}"),
    ]
    head = (word("rate"), word("value"), word("interval"), word("n"))
    return [
        table(head, rows, (5, 1.4, 2.4, 1.6)),
        Spacer(0, 1.5 * mm),
        paragraph(escape_note(statistics, word), SMALL),
    ]


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.2%}"


def _interval(rate: Rate) -> str:
    return "–" if rate.lower is None else f"{_percent(rate.lower)} – {_percent(rate.upper)}"


def _charts(statistics: LineStatistics, word: Wording) -> list[Flowable]:
    first, second = (_chart(name, chart, word) for name, chart in charts_of(statistics))
    return section(word("charts"), *first, KeepTogether(second), together=len(first))


def _chart(name: str, chart: PChart, word: Wording) -> list[Flowable]:
    title = paragraph(word(name, unit=word(chart.unit)), STRONG)
    if chart.centre is None:
        return [title, paragraph(word("no_points"), SMALL)]
    key = word(
        "chart_key",
        centre=_percent(chart.centre),
        out=sum(point.is_out for point in chart.points),
        points=len(chart.points),
    )
    drawing = _draw_chart(chart, chart.centre, word)
    return [title, drawing, paragraph(key, SMALL), Spacer(0, 2 * mm)]


def _draw_chart(chart: PChart, centre: float, word: Wording) -> Drawing:
    times = [point.since.timestamp() for point in chart.points]
    series = {
        "rate": [(t, point.rate) for t, point in zip(times, chart.points, strict=True)],
        "centre": [(times[0], centre), (times[-1], centre)],
        "upper": [(t, point.upper) for t, point in zip(times, chart.points, strict=True)],
        "lower": [(t, point.lower) for t, point in zip(times, chart.points, strict=True)],
        "out": [
            (t, point.rate) for t, point in zip(times, chart.points, strict=True) if point.is_out
        ],
    }
    drawn = {name: points for name, points in series.items() if points}
    drawing, plot = Drawing(WIDTH, 46 * mm), LinePlot()
    plot.x, plot.y, plot.width, plot.height = 14 * mm, 8 * mm, WIDTH - 20 * mm, 35 * mm
    plot.data = list(drawn.values())
    for index, name in enumerate(drawn):
        line = plot.lines[index]
        line.strokeColor = INK if name in ("rate", "centre") else GREY
        line.strokeWidth = 1.0 if name == "rate" else 0.6
        if name in ("upper", "lower"):
            line.strokeDashArray = (3, 2)
        if name == "rate":
            line.symbol = makeMarker("FilledCircle", size=3.5, fillColor=INK)
        if name == "out":
            line.strokeColor = None
            line.symbol = makeMarker("FilledDiamond", size=8, fillColor=_SIGNAL)
    _set_axes(plot, chart, times, word)
    drawing.add(plot)
    return drawing


def _set_axes(plot: LinePlot, chart: PChart, times: Sequence[float], word: Wording) -> None:
    zone = word.facts.zone
    step = -(-len(times) // _MOST_TICKS)
    shown = "%H:%M" if times[-1] - times[0] < 20 * 3600 else "%m-%d %H:%M"

    def told(seconds: float) -> str:
        moment = dt.datetime.fromtimestamp(seconds, dt.UTC).astimezone(zone)
        return f"{moment:{shown}}"

    reach = max(1800.0, 0.02 * (times[-1] - times[0]))
    across, up = plot.xValueAxis, plot.yValueAxis
    across.valueMin, across.valueMax = times[0] - reach, times[-1] + reach
    across.valueSteps = list(times[::step])
    across.labelTextFormat = told
    up.valueMin = 0.0
    up.valueMax = max(0.01, 1.1 * max(max(point.rate, point.upper) for point in chart.points))
    up.labelTextFormat = lambda share: f"{share:.1%}"
    up.maximumTicks = 6
    up.visibleGrid, up.gridStrokeColor, up.gridStrokeWidth = 1, LINE, 0.3
    for axis in (across, up):
        axis.labels.fontName, axis.labels.fontSize = "Helvetica", 7
        axis.strokeColor = GREY


def _reasons(statistics: LineStatistics, word: Wording) -> Flowable:
    if not statistics.reasons:
        return paragraph(word("none"), SMALL)
    total = sum(reason.count for reason in statistics.reasons)
    rows = [
        (
            word.reason(reason.code),
            f"{reason.count:,}",
            _percent(reason.count / total),
            _percent(reason.cumulative),
        )
        for reason in statistics.reasons
    ]
    head = (word("reason"), word("count"), word("share"), word("cumulative"))
    return table(head, rows, (4, 1.2, 1.2, 1.2))


def _escalations(statistics: LineStatistics, word: Wording) -> list[Flowable]:
    if not statistics.escalations:
        return section(word("escalations"), paragraph(word("none"), SMALL))
    first, *others = [_escalated(escalation, word) for escalation in statistics.escalations]
    story = section(word("escalations"), *first)
    for content in others:
        story += [CondPageBreak(_PICTURE + 12 * mm), *content]
    return story


def _escalated(escalation: Escalation, word: Wording) -> list[Flowable]:
    """A picture and facts side by side; the comment below, where it may go on over pages."""
    part, review = escalation.part, escalation.review
    score = "–" if part.score is None else f"{part.score:.3g}"
    threshold = "–" if part.threshold is None else f"{part.threshold:.3g}"
    facts = [
        (word("part"), f"{part.id}"),
        (word("serial"), part.serial or "–"),
        (word("lot"), part.lot or "–"),
        (word("inspected_at"), word.time(part.inspected_at)),
        (word("score"), f"{score} ({threshold})"),
        (word("verdict"), word(part.verdict.value)),
        (word("decided_by"), f"{word.decided_by(review)}, {word.time(review.decided_at)}"),
    ]
    cells = [[paragraph(name, SMALL), paragraph(value)] for name, value in facts]
    table = Table(cells, colWidths=[WIDTH * 0.2, WIDTH * 0.8 - _PICTURE - 4 * mm])
    table.setStyle(
        TableStyle(
            [
                ("TOPPADDING", (0, 0), (-1, -1), 0),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 1),
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ]
        )
    )
    picture = word.facts.pictures.get(part.id)
    shown = _thumbnail(picture) if picture is not None else paragraph(word("no_picture"), SMALL)
    both = Table([[shown, table]], colWidths=[_PICTURE + 4 * mm, None], hAlign="LEFT")
    both.setStyle(
        TableStyle(
            [
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("LINEABOVE", (0, 0), (-1, 0), 0.4, LINE),
                ("LEFTPADDING", (0, 0), (-1, -1), 0),
            ]
        )
    )
    comment = f"{word('comment')}: {review.comment or word('no_comment')}"
    return [both, paragraph(comment), Spacer(0, 2.5 * mm)]


def _thumbnail(picture: Picture) -> Image:
    _, data = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    height, width = picture.shape[:2]
    scale = _PICTURE / max(height, width)
    return Image(
        io.BytesIO(data.tobytes()), width=width * scale, height=height * scale, hAlign="LEFT"
    )


def _people(statistics: LineStatistics, word: Wording) -> list[Flowable]:
    note = paragraph(word("people_note"), SMALL)
    if not statistics.reviewers:
        return [note, paragraph(word("none"), SMALL)]

    def seconds(milliseconds: float | None) -> str:
        return "–" if milliseconds is None else word("seconds", value=milliseconds / 1000)

    rows = [
        (
            word.reviewer(figures),
            f"{figures.parts:,}",
            seconds(figures.median_ms),
            seconds(figures.p90_ms),
            _percent(figures.hasty_share),
        )
        for figures in (*statistics.reviewers, statistics.judging)
    ]
    head = [word(name) for name in ("reviewer", "count", "median_ms", "p90_ms", "hasty")]
    return [note, table(head, rows, (3, 1.2, 1.7, 1.7, 1.7))]


def _agreement(statistics: LineStatistics, word: Wording) -> Flowable:
    if not statistics.agreement.pairs:
        return paragraph(word("none"), SMALL)
    rows = []
    for name, agreement in agreements_of(statistics, word):
        figures = "–", "–"
        if agreement.kappa is not None:
            ends = f"{agreement.lower:.2f} – {agreement.upper:.2f}"
            figures = f"{agreement.kappa:.2f}", ends
        grade = word(agreement.word) if agreement.word else "–"
        rows.append((name, f"{agreement.n:,}", f"{agreement.agreed:,}", *figures, grade))
    head = [word(name) for name in ("pair", "n", "agreed", "kappa", "interval", "grade")]
    return table(head, rows, (3, 1.4, 1, 1, 1.8, 1.6))


def _queue(statistics: LineStatistics, word: Wording) -> Paragraph:
    queue = statistics.queue
    if queue.oldest_seconds is None or queue.median_seconds is None:
        return paragraph(word("queue_empty"))
    return paragraph(
        word(
            "queue_text",
            waiting=f"{queue.waiting:,}",
            oldest=_age(queue.oldest_seconds, word),
            median=_age(queue.median_seconds, word),
        )
    )


def _age(seconds: float, word: Wording) -> str:
    minutes = seconds / 60
    if minutes < 100:
        return word("minutes", value=minutes)
    return (
        word("hours", value=minutes / 60) if minutes < 2880 else word("days", value=minutes / 1440)
    )


def _versions(statistics: LineStatistics, word: Wording) -> Flowable:
    if not statistics.versions:
        return paragraph(word("none"), SMALL)
    rows = [
        (
            version.model or "–",
            version.calibration,
            "–" if version.threshold is None else f"{version.threshold:.4g}",
            f"{version.parts:,}",
        )
        for version in statistics.versions
    ]
    head = [word(name) for name in ("model", "calibration", "threshold", "count")]
    return table(head, rows, (3, 3, 1.3, 1), texts=2)
