"""Tables and labels; pure functions of records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

import altair as alt
from words import word

from cdm_inspect.records import JsonObject, StoredInspection
from cdm_inspect.watching import directions


def part_label(part: StoredInspection) -> str:
    """One line of the queue: number, score, and the last two parts of the path."""
    path = PurePath(part.image)
    name = "/".join(path.parts[-2:])
    score = word("undecided") if part.score is None else f"{part.score:.2f}"
    # Radio labels are markdown; a backtick span shows a file name as it is.
    return f"{part.id} · {score} · `{name.replace('`', '')}`"


def decisions_table(parts: Sequence[StoredInspection]) -> list[dict[str, Any]]:
    return [
        {
            word("part"): part.id,
            word("image"): part.image,
            word("verdict"): part.verdict.value,
            word("score"): None if part.score is None else round(part.score, 3),
            word("decision"): "" if part.decision is None else word(part.decision.value),
            word("who"): part.reviewer,
            word("when"): "" if part.decided_at is None else f"{part.decided_at:%Y-%m-%d %H:%M:%S}",
        }
        for part in parts
    ]


def drift_chart(name: str, chart: JsonObject) -> alt.LayerChart:
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
            color=alt.Color(
                "which:N",
                title=None,
                scale=alt.Scale(domain=[rise, fall], range=["#0072B2", "#D55E00"]),
                legend=alt.Legend(orient="top", labelLimit=0),
            ),
        )
    )
    limits = alt.Chart(alt.Data(values=[{"limit": chart["limit"], "name": word("limit")}]))
    limit = limits.mark_rule(strokeDash=[6, 4], strokeWidth=2).encode(y="limit:Q")
    label = limits.mark_text(align="right", dy=-8).encode(
        x=alt.value("width"), y="limit:Q", text="name:N"
    )
    described = f"{word(name)}: {chart['level']:.1f} / {chart['limit']:.1f} ({word('limit')})"
    return (lines + limit + label).properties(height=220, description=described)
