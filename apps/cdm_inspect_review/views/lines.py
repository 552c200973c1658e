"""A line in figures: how much is flagged, how often rightly, what escapes, who agrees."""

from __future__ import annotations

import datetime as dt

import streamlit as st

from cdm_inspect.config.shifts import shift_at
from cdm_inspect.config.units import at_most
from cdm_inspect.errors import CdmInspectError
from cdm_inspect.monitoring.summary import LineStatistics, Rate, ReviewerFigures
from cdm_inspect.review import ReviewDesk
from cdm_inspect.roles import Actor
from cdm_inspect_review import charts
from cdm_inspect_review.page_state import language, word
from cdm_inspect_review.plant import current_plant
from cdm_inspect_review.views import failure, frame

_DAYS = {"week": 7, "month": 30}
_SECONDS = 30


def show(desk: ReviewDesk, line: str, actor: Actor | None) -> None:
    """Figures of the time that is chosen."""
    frame.show_title(word("lines.title"), line)
    chosen = st.segmented_control(
        word("lines.window"),
        ("shift", "before", *_DAYS),
        default="shift",
        format_func=lambda name: word(f"lines.{name}"),
        key="lines-window",
        required=True,
        label_visibility="collapsed",
    )
    since, until = _window(desk, str(chosen))
    try:
        figures = _figures(line, since, until)
    except CdmInspectError as error:
        failure.show(error)
        return
    zone = desk.config.review.zone
    times = " – ".join(f"{moment.astimezone(zone):%Y-%m-%d %H:%M}" for moment in (since, until))
    st.text(times)
    _show_counts(figures)
    if not figures.counts.inspected:
        st.text(word("lines.nothing"))
        return
    _show_rates(figures)
    _show_charts(desk, line, figures)
    _show_people(figures)
    st.subheader(word("lines.versions"))
    st.dataframe(
        [
            {
                word("desk.model"): version.model,
                word("lines.calibration"): version.calibration,
                word("lines.threshold"): version.threshold,
                word("lines.parts"): version.parts,
            }
            for version in figures.versions
        ],
        hide_index=True,
        width="stretch",
        placeholder="–",
    )


def _window(desk: ReviewDesk, chosen: str) -> tuple[dt.datetime, dt.datetime]:
    now = dt.datetime.now(dt.UTC).replace(second=0, microsecond=0)
    shift = shift_at(now, desk.config.review)
    if chosen == "before":
        former = shift_at(shift.since - dt.timedelta(minutes=1), desk.config.review)
        return former.since, former.until
    if chosen in _DAYS:
        return now - dt.timedelta(days=_DAYS[chosen]), now
    return shift.since, max(now, shift.since + dt.timedelta(minutes=1))


@st.cache_resource(ttl=_SECONDS, show_spinner=False)
def _figures(line: str, since: dt.datetime, until: dt.datetime) -> LineStatistics:
    return current_plant().statistics(line, since, until)


def _show_counts(figures: LineStatistics) -> None:
    counts, queue = figures.counts, figures.queue
    oldest = queue.oldest_seconds
    found: dict[str, int | str] = {
        "inspected": counts.inspected,
        "flagged": counts.flagged,
        "decided": sum(counts.by_decision.values()),
        "waiting": queue.waiting,
        "oldest": "–" if oldest is None else _age(oldest),
    }
    for column, (name, value) in zip(st.columns(len(found)), found.items(), strict=True):
        column.metric(word(f"lines.{name}"), value)


def _show_rates(figures: LineStatistics) -> None:
    escapes = figures.escapes
    upper = escapes.upper
    bound = word(f"lines.{escapes.lacking}") if upper is None else f"≤ {at_most(upper)}"
    summary = word(
        "lines.escapes_told",
        n=escapes.audited,
        passed=escapes.passed,
        found=escapes.escapes,
        uncovered=escapes.uncovered,
    )
    columns = st.columns(3)
    rates = ((figures.flag_rate, "flag_rate"), (figures.false_reject_rate, "false_reject_rate"))
    for column, (rate, name) in zip(columns, rates, strict=False):
        with column.container(border=True):
            st.text(word(f"lines.{name}"))
            st.subheader(_share(rate), anchor=False)
            st.text(_interval(rate))
    with columns[2].container(border=True):
        st.text(word("lines.escape_rate"))
        st.subheader(bound, anchor=False)
        st.text(summary)


def _show_charts(desk: ReviewDesk, line: str, figures: LineStatistics) -> None:
    zone = desk.config.review.zone
    left, right = st.columns(2)
    for column, chart, name in (
        (left, figures.flag_chart, "flag_rate"),
        (right, figures.false_reject_chart, "false_reject_rate"),
    ):
        with column:
            title = word(f"lines.{name}")
            st.subheader(title, anchor=False)
            if chart.points:
                st.altair_chart(charts.control_chart(chart, title, word, zone))
            else:
                st.text(word("lines.no_points"))
    names = {reason.code: getattr(reason, language()) for reason in desk.settings(line).reasons}
    left, right = st.columns(2)
    with left:
        st.subheader(word("lines.reasons"), anchor=False)
        if figures.reasons:
            st.altair_chart(charts.pareto(figures, names, word))
        else:
            st.text(word("lines.no_rejects"))
    with right:
        st.subheader(word("lines.scores"), anchor=False)
        st.altair_chart(charts.score_histogram(figures, word))


def _show_people(figures: LineStatistics) -> None:
    st.subheader(word("lines.people"), anchor=False)
    if figures.reviewers:
        rows = [_reviewer_row(reviewer) for reviewer in figures.reviewers]
        st.dataframe(rows, hide_index=True, width="stretch", placeholder="–")
    else:
        st.text(word("lines.nobody"))
    st.subheader(word("lines.agreement"), anchor=False)
    overall = figures.agreement.overall
    if overall.kappa is None:
        st.text(word("lines.no_kappa", n=overall.n))
        return
    st.text(
        word(
            "lines.kappa_told",
            kappa=f"{overall.kappa:.2f}",
            lower=f"{overall.lower:.2f}",
            upper=f"{overall.upper:.2f}",
            n=overall.n,
            agreed=overall.agreed,
            what=word(f"lines.{overall.word}"),
        )
    )
    pairs = [
        {
            word("lines.pair"): " / ".join(pair.reviewers),
            word("lines.kappa"): pair.agreement.kappa,
            word("lines.parts"): pair.agreement.n,
            word("lines.agreed"): pair.agreement.agreed,
        }
        for pair in figures.agreement.pairs
    ]
    st.dataframe(pairs, hide_index=True, width="stretch", placeholder="–")


def _reviewer_row(reviewer: ReviewerFigures) -> dict[str, object]:
    def seconds(value: float | None) -> float | None:
        return None if value is None else round(value / 1000, 1)

    return {
        word("lines.reviewer"): reviewer.reviewer,
        word("lines.parts"): reviewer.parts,
        word("lines.median_s"): seconds(reviewer.median_ms),
        word("lines.p90_s"): seconds(reviewer.p90_ms),
        word("lines.hasty"): None
        if reviewer.hasty_share is None
        else f"{reviewer.hasty_share:.0%}",
    }


def _share(rate: Rate) -> str:
    return "–" if rate.rate is None else f"{rate.rate:.2%}"


def _interval(rate: Rate) -> str:
    if rate.lower is None or rate.upper is None:
        return word("lines.no_parts")
    return word(
        "lines.interval", lower=f"{rate.lower:.2%}", upper=f"{rate.upper:.2%}", k=rate.k, n=rate.n
    )


def _age(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 60:
        return word("desk.minutes", n=minutes)
    if minutes < 48 * 60:
        return word("desk.hours", n=round(minutes / 60))
    return word("desk.days", n=round(minutes / 1440))
