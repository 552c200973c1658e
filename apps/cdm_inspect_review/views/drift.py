"""Whether the line has changed since it was calibrated."""

from __future__ import annotations

import datetime as dt

import streamlit as st

from cdm_inspect.errors import CdmInspectError
from cdm_inspect.monitoring.drift import alarms_by_chart
from cdm_inspect.records import Event, JsonObject
from cdm_inspect.review import ReviewDesk
from cdm_inspect.roles import Actor, Right
from cdm_inspect_review import access
from cdm_inspect_review.charts import drift_chart
from cdm_inspect_review.model_tables import at
from cdm_inspect_review.page_state import entered, explained, notify, word
from cdm_inspect_review.plant import current_plant
from cdm_inspect_review.views import frame


def show(desk: ReviewDesk, line: str, actor: Actor | None) -> None:
    """Alarms, who has seen them, and the charts behind them."""
    frame.show_title(word("drift"), line)
    try:
        found = current_plant().line_drift(line)
        acknowledged = desk.marks.acknowledged(line)
    except CdmInspectError as error:
        st.info(word("drift_unknown"))
        st.text(explained(error))
        return
    _show_alarms(desk, line, actor, found, acknowledged)
    st.text(word("drift_why"))
    for name, why in found["left_out_why"].items():
        figures = {"parts": why["parts"], "needed": why["needed"]}
        st.text(word(f"drift_left.{why['reason']}", chart=word(name), **figures))
    columns = st.columns(2)
    for number, (name, chart) in enumerate(found["charts"].items()):
        with columns[number % 2]:
            st.subheader(word(name), anchor=False)
            st.text(word("drift_parts", n=chart["parts"]))
            if chart["values"]:
                st.altair_chart(drift_chart(name, chart, word))


def _show_alarms(
    desk: ReviewDesk,
    line: str,
    actor: Actor | None,
    found: JsonObject,
    acknowledged: dict[str, Event],
) -> None:
    alarms = found["alarms"]
    if not alarms:
        st.success(word("drift_none"))
        return
    if unseen := sum(_name(alarm) not in acknowledged for alarm in alarms):
        st.warning(word("drift_open", n=unseen))
    for chart, known in alarms_by_chart(alarms).items():
        with st.container(border=True):
            # Thresholds may have left out the chart since it called.
            calls = found["charts"].get(chart, {}).get("calls", len(known))
            st.text(word("alarm_calls", chart=word(chart), n=calls))
            _show_alarm(desk, line, actor, known[0], word("alarm_first"), acknowledged)
            if len(known) > 1:
                _show_alarm(desk, line, actor, known[-1], word("alarm_latest"), acknowledged)
    st.text(word("drift_advice"))


def _show_alarm(
    desk: ReviewDesk,
    line: str,
    actor: Actor | None,
    alarm: JsonObject,
    which: str,
    acknowledged: dict[str, Event],
) -> None:
    zone, name = desk.config.review.zone, _name(alarm)
    summary = word(
        "alarm",
        chart=word(alarm["chart"]),
        direction=word(alarm["direction"]),
        since=alarm["since_inspection"],
        inspection=alarm["inspection"],
        at=at(dt.datetime.fromisoformat(alarm["at"]), zone),
    )
    st.text(f"{which} · {summary}")
    known = acknowledged.get(name)
    if known is not None:
        st.text(f"✔ {word('acknowledged', who=known.who, at=at(known.at, zone))}")
        st.text(known.reason)
        return
    st.text(f"✖ {word('alarm_open')}")
    if actor is not None and actor.may(Right.ACKNOWLEDGE):
        _show_form(desk, line, name)


def _name(alarm: JsonObject) -> str:
    """Under which an alarm is acknowledged."""
    return f"{alarm['chart']}/{alarm['inspection']}"


def _show_form(desk: ReviewDesk, line: str, name: str) -> None:
    with st.form(f"alarm-{name}", border=False):
        st.text_input(word("acknowledge_why"), max_chars=1000, key=f"why-{name}")
        # Of the alarm that was on the screen: meanwhile the chart may have called again.
        st.form_submit_button(word("acknowledge"), on_click=_acknowledge, args=(desk, line, name))


def _acknowledge(desk: ReviewDesk, line: str, name: str) -> None:
    try:
        # This runs before the page is drawn again: whoever it was drawn for may have lost the
        # right, or left, since.
        actor = access.current()
        if actor is None:
            notify("error", word("acknowledged_by_nobody"))
            return
        desk.marks.acknowledge(actor, line, name, entered(f"why-{name}"))
    except CdmInspectError as error:
        notify("error", explained(error))
    else:
        notify("success", word("acknowledged_now"))
