"""The report of a shift: its figures to look at first, then the files."""

from __future__ import annotations

import datetime as dt

import streamlit as st

from cdm_inspect.config.shifts import Shift, shift_of
from cdm_inspect.config.units import at_most
from cdm_inspect.errors import CdmInspectError
from cdm_inspect.monitoring.summary import LineStatistics, Rate
from cdm_inspect.review import ReviewDesk
from cdm_inspect.review.shift_report.making import MadeReport, last_shift
from cdm_inspect.roles import Actor, Right
from cdm_inspect_review import addresses, audit_text
from cdm_inspect_review.page_state import keep, kept, language, word
from cdm_inspect_review.plant import current_plant
from cdm_inspect_review.views import failure, frame

_SECONDS = 30
_MADE = "shift-report"
_TYPES = {"html": "text/html", "pdf": "application/pdf", "csv": "text/csv"}


def show(desk: ReviewDesk, line: str, actor: Actor | None) -> None:
    """Choose a shift; what its report will say; make it."""
    frame.show_title(word("page.report"), line)
    try:
        shift = _choose(desk)
        if shift.since == shift.until:
            st.text(word("report.no_time"))
            return
        figures = _figures(line, shift.since, shift.until)
    except CdmInspectError as error:
        failure.show(error)
        return
    zone = desk.config.review.zone
    times = " – ".join(f"{at.astimezone(zone):%Y-%m-%d %H:%M}" for at in (shift.since, shift.until))
    now = dt.datetime.now(dt.UTC)
    st.text(times if shift.until <= now else f"{times}  {word('report.not_over')}")
    _preview(figures)
    if actor is None or not actor.may(Right.REPORT):
        st.text(word("report.may_not"))
    elif shift.since > now:
        st.text(word("report.not_begun"))
    else:
        _make(line, shift, actor)


def _choose(desk: ReviewDesk) -> Shift:
    config = desk.config
    usual = last_shift(config, dt.datetime.now(dt.UTC))
    asked = addresses.number("shift") or usual.number
    beginnings = [f"{time:%H:%M}" for time in config.review.shifts]
    left, right, _ = st.columns(3)
    day = left.date_input(
        word("report.day"),
        addresses.day("day") or usual.day,
        min_value=addresses.EARLIEST,
        max_value=addresses.LATEST,
        format="YYYY-MM-DD",
        key="report-day",
    )
    number = right.selectbox(
        word("report.shift"),
        range(1, len(beginnings) + 1),
        index=asked - 1 if asked <= len(beginnings) else 0,
        format_func=lambda n: f"{n}  ({beginnings[n - 1]} –)",
        key="report-shift",
    )
    day = day if isinstance(day, dt.date) else usual.day
    addresses.say(day=day.isoformat(), shift=number)
    return shift_of(day, number, config.review)


@st.cache_resource(ttl=_SECONDS, show_spinner=False)
def _figures(line: str, since: dt.datetime, until: dt.datetime) -> LineStatistics:
    return current_plant().statistics(line, since, until)


def _preview(figures: LineStatistics) -> None:
    counts, escapes = figures.counts, figures.escapes
    upper = "–" if escapes.upper is None else f"≤ {at_most(escapes.upper)}"
    rows = [
        ("lines.inspected", f"{counts.inspected:,}"),
        ("lines.flagged", f"{counts.flagged:,}"),
        *(
            (f"report.{decision.value}", f"{count:,}")
            for decision, count in counts.by_decision.items()
        ),
        ("report.undecided", f"{counts.waiting:,}"),
        ("lines.flag_rate", _rate(figures.flag_rate)),
        ("lines.false_reject_rate", _rate(figures.false_reject_rate)),
        ("lines.escape_rate", f"{upper}  ({escapes.audited:,} / {escapes.passed:,})"),
        ("report.escalations", f"{len(figures.escalations):,}"),
    ]
    if not counts.inspected:
        st.text(word("lines.nothing"))
    st.dataframe(
        [{word("report.what"): word(name), word("report.value"): value} for name, value in rows],
        hide_index=True,
        width="stretch",
        placeholder="–",
        height="content",
    )


def _rate(rate: Rate) -> str:
    if rate.rate is None or rate.lower is None or rate.upper is None:
        return "–"
    return f"{rate.rate:.2%}  ({rate.lower:.2%} – {rate.upper:.2%}, n = {rate.n:,})"


def _make(line: str, shift: Shift, actor: Actor) -> None:
    st.text(word("report.why"))
    chosen = (line, shift.name, language())
    if st.button(word("report.make")):
        try:
            with st.spinner(word("report.making")):
                made = current_plant().make_report(actor, line, shift, language())
                files = {name: path.read_bytes() for name, path in made.files.items()}
        except CdmInspectError as error:
            keep(_MADE, None)
            failure.show(error)
            return
        keep(_MADE, (chosen, made, files))
    kept_report = kept(_MADE)
    if kept_report is not None and kept_report[0] == chosen:
        _offer(kept_report[1], kept_report[2])


def _offer(made: MadeReport, files: dict[str, bytes]) -> None:
    with st.container(border=True):
        number, digest = made.head.number, audit_text.short(made.head.hash)
        st.text(word("report.made", number=number, hash=digest))
        with st.container(horizontal=True):
            for name in files:
                st.download_button(
                    word(f"report.download_{name}"),
                    files[name],
                    file_name=made.files[name].name,
                    mime=_TYPES[name],
                    on_click="ignore",
                )
