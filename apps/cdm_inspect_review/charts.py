"""Charts; pure functions of what they show. Each says in words what it shows.

Blue and orange tell apart for all eyes, and never alone: lines are dashed or named as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import altair as alt

from cdm_inspect.monitoring.drift import directions
from cdm_inspect.monitoring.p_chart import PChart
from cdm_inspect.monitoring.summary import LineStatistics
from cdm_inspect.records import Decision, JsonObject, Verdict

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#7f7f7f"
Word = Callable[..., str]


def control_chart(chart: PChart, title: str, word: Word, zone: Any) -> alt.LayerChart:
    """A p-chart: rates with their limits, those beyond in orange."""
    rows = [
        {
            "since": f"{point.since.astimezone(zone):%m-%d %H:%M}",
            "rate": point.rate,
            "lower": point.lower,
            "upper": point.upper,
            "n": point.n,
            "out": word("lines.out") if point.is_out else word("lines.in"),
        }
        for point in chart.points
    ]
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("since:N", sort=None, title=word(f"lines.by_{chart.unit}"))
    )
    percent = alt.Axis(format=".1%", title=None)
    limits = base.mark_line(strokeDash=[4, 3], color=GREY, interpolate="step")
    points = base.mark_point(filled=True, size=70).encode(
        y=alt.Y("rate:Q", axis=percent),
        color=_two(word("lines.in"), word("lines.out"), "out"),
        shape=alt.Shape("out:N", legend=None),
        tooltip=[
            alt.Tooltip("since:N", title=word("lines.since")),
            alt.Tooltip("rate:Q", format=".2%", title=title),
            alt.Tooltip("n:Q", title=word("lines.parts")),
        ],
    )
    layers = alt.layer(
        limits.encode(y=alt.Y("upper:Q", axis=percent)),
        limits.encode(y=alt.Y("lower:Q", axis=percent)),
        base.mark_line(color=BLUE, opacity=0.5).encode(y=alt.Y("rate:Q", axis=percent)),
        points,
    )
    beyond = sum(point.is_out for point in chart.points)
    described = word("lines.chart_told", title=title, n=len(chart.points), out=beyond)
    return layers.properties(height=220, description=described)


def pareto(figures: LineStatistics, names: Mapping[str, str], word: Word) -> alt.LayerChart:
    """Reasons of rejects, the most frequent first, and what they add up to."""
    rows = [
        {
            "reason": names.get(reason.code, reason.code) or word("lines.no_reason"),
            "count": reason.count,
            "cumulative": reason.cumulative,
        }
        for reason in figures.reasons
    ]
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("reason:N", sort=None, title=None, axis=alt.Axis(labelAngle=-30))
    )
    bars = base.mark_bar(color=BLUE).encode(
        y=alt.Y("count:Q", title=word("lines.parts"), axis=alt.Axis(tickMinStep=1))
    )
    line = base.mark_line(color=ORANGE, point=True).encode(
        y=alt.Y("cumulative:Q", title=word("lines.cumulative"), axis=alt.Axis(format=".0%"))
    )
    summary = ", ".join(f"{row['reason']} {row['count']}" for row in rows)
    described = f"{word('lines.reasons')}: {summary}"
    layers = alt.layer(bars, line).resolve_scale(y="independent")
    return layers.properties(height=240, description=described)


def score_histogram(figures: LineStatistics, word: Word) -> alt.LayerChart:
    """How many parts have which score, in units of their threshold."""
    edges = figures.histogram.edges
    rows = []
    for series in figures.histogram.series:
        name = _kind(series.decision, series.verdict, word)
        rows += [
            {"from": low, "to": high, "count": count, "kind": name}
            for (low, high), count in zip(pairwise(edges), series.counts, strict=True)
            if count
        ]
    bars = (
        alt.Chart(alt.Data(values=rows))
        .mark_bar(stroke="white", strokeWidth=0.3)
        .encode(
            x=alt.X("from:Q", title=word("lines.score_ratio"), bin="binned"),
            x2="to:Q",
            y=alt.Y("sum(count):Q", title=word("lines.parts"), stack=True),
            color=alt.Color(
                "kind:N",
                title=None,
                scale=alt.Scale(scheme="cividis"),
                legend=alt.Legend(orient="top", labelLimit=0, columns=3),
            ),
            tooltip=[
                alt.Tooltip("kind:N", title=word("lines.judged_as")),
                alt.Tooltip("count:Q", title=word("lines.parts")),
            ],
        )
    )
    rule = (
        alt.Chart(alt.Data(values=[{"at": 1.0}]))
        .mark_rule(strokeDash=[6, 4], strokeWidth=2, color=ORANGE)
        .encode(x="at:Q")
    )
    described = word("lines.histogram_told", n=figures.histogram.sampled)
    return (bars + rule).properties(height=240, description=described)


def drift_chart(name: str, chart: JsonObject, word: Word) -> alt.LayerChart:
    """Both sums of a control chart, and the limit at which it calls."""
    rise, fall = (word(direction) for direction in directions(name))
    rows = [
        {"inspection": value["id"], "sum": value[side], "which": which}
        for value in chart["values"]
        for side, which in (("upper", rise), ("lower", fall))
    ]
    lines = (
        alt.Chart(alt.Data(values=rows))
        .mark_line(interpolate="step-after")
        .encode(
            x=alt.X("inspection:Q", title=word("inspection"), scale=alt.Scale(zero=False)),
            y=alt.Y("sum:Q", title=word("sum")),
            color=_two(rise, fall, "which", alt.Legend(orient="top", labelLimit=0)),
            strokeDash=alt.StrokeDash("which:N", legend=None),
        )
    )
    limits = alt.Chart(alt.Data(values=[{"limit": chart["limit"], "name": word("limit")}]))
    limit = limits.mark_rule(strokeDash=[6, 4], strokeWidth=2, color=GREY).encode(y="limit:Q")
    label = limits.mark_text(align="right", dy=-8, color=GREY).encode(
        x=alt.value("width"), y="limit:Q", text="name:N"
    )
    described = f"{word(name)}: {chart['level']:.1f} / {chart['limit']:.1f} ({word('limit')})"
    return (lines + limit + label).properties(height=220, description=described)


def _kind(decision: Decision | None, verdict: Verdict | None, word: Word) -> str:
    if decision is not None:
        return word(f"desk.{decision.value}")
    return word(f"desk.verdict_{verdict.value}") if verdict is not None else ""


def _two(first: str, second: str, field: str, legend: alt.Legend | None = None) -> alt.Color:
    domain: Sequence[str] = [first, second]
    scale = alt.Scale(domain=domain, range=[BLUE, ORANGE])
    return alt.Color(f"{field}:N", title=None, scale=scale, legend=legend)


def threshold_chart(
    curves: JsonObject, lines: Sequence[tuple[str, float]], word: Word
) -> alt.LayerChart:
    """Shares of good and defective parts over the score, their bands, and thresholds.

    Args:
        curves: as `WhatIf.curves` gives them.
        lines: thresholds with their names.
        word: texts in the language of the reader.
    """
    cuts = curves["thresholds"]
    x = alt.X("score:Q", title=word("thresholds.score"), scale=alt.Scale(type=curves["scale"]))
    share = alt.Axis(format=".0%")
    rows = [
        {"score": cut, "kind": word(f"thresholds.{kind}"), "share": at, "low": low, "high": high}
        for kind in ("good", "defective")
        if curves[kind] is not None
        for cut, at, low, high in zip(
            cuts, *(curves[kind][name] for name in ("share", "low", "high")), strict=True
        )
    ]
    legend = alt.Legend(orient="top")
    color = _two(word("thresholds.good"), word("thresholds.defective"), "kind", legend)
    base = alt.Chart(alt.Data(values=rows)).encode(x=x, color=color)
    bands = base.mark_area(opacity=0.2).encode(
        y=alt.Y("low:Q", title=word("thresholds.share"), axis=share), y2="high:Q"
    )
    curve = base.mark_line().encode(
        y=alt.Y("share:Q", axis=share), strokeDash=alt.StrokeDash("kind:N", legend=None)
    )
    # Thresholds at one place have one line, with all their names.
    names: dict[float, dict[str, None]] = {}
    for name, at in lines:
        names.setdefault(at, {})[name] = None
    places = [{"score": at, "name": " = ".join(some)} for at, some in names.items()]
    marked = alt.Legend(orient="bottom", labelLimit=0, symbolStrokeColor=GREY, symbolSize=400)
    dashes = alt.StrokeDash("name:N", title=None, legend=marked)
    rules = alt.Chart(alt.Data(values=places)).mark_rule(strokeWidth=2, color=GREY)
    rules = rules.encode(x=x, strokeDash=dashes)
    summary = "; ".join(f"{name} {at:.4g}" for name, at in lines)
    described = f"{word('thresholds.curves')} {summary}"
    layers = alt.layer(bands, curve, rules).resolve_scale(strokeDash="independent")
    return layers.properties(height=340, description=described)
