"""Whether the line has changed since it was calibrated."""

from __future__ import annotations

import desk
import streamlit as st
from charts import drift_chart
from session import explained, notify, word

from cdm_inspect.errors import CdmInspectError
from cdm_inspect.people import Actor, Right
from cdm_inspect.records import Event, JsonObject
from cdm_inspect.review import ReviewDesk
from cdm_inspect.watching import first_alarms
from views import frame


def show(counter: ReviewDesk, line: str, actor: Actor | None) -> None:
    """Alarms, who has seen them, and the charts behind them."""
    frame.show_title(word("drift"), line)
    try:
        found = desk.plant().line_drift(line)
        acknowledged = counter.acknowledged(line)
    except CdmInspectError as error:
        st.info(word("drift_unknown"))
        st.text(explained(error))
        return
    _show_alarms(counter, line, actor, found["alarms"], acknowledged)
    st.text(word("drift_why"))
    for name, why in found["left_out"].items():
        st.text(f"{word(name)}: {why}")
    columns = st.columns(2)
    for number, (name, chart) in enumerate(found["charts"].items()):
        with columns[number % 2]:
            st.subheader(word(name), anchor=False)
            st.text(word("drift_parts", n=chart["parts"]))
            if chart["values"]:
                st.altair_chart(drift_chart(name, chart, word))


def _show_alarms(
    counter: ReviewDesk,
    line: str,
    actor: Actor | None,
    alarms: list[JsonObject],
    acknowledged: dict[str, Event],
) -> None:
    if not alarms:
        st.success(word("drift_none"))
        return
    for alarm in first_alarms(alarms):
        with st.container(border=True):
            st.text(
                word(
                    "alarm",
                    chart=word(alarm["chart"]),
                    direction=word(alarm["direction"]),
                    since=alarm["since_inspection"],
                    inspection=alarm["inspection"],
                    at=alarm["at"][:16].replace("T", " "),
                )
            )
            name = f"{alarm['chart']}/{alarm['inspection']}"
            known = acknowledged.get(name)
            if known is not None:
                told = word("acknowledged", who=known.who, at=f"{known.at:%Y-%m-%d %H:%M} UTC")
                st.text(f"✔ {told}")
                st.text(known.reason)
            elif actor is not None and actor.may(Right.ACKNOWLEDGE):
                _show_form(counter, line, actor, name)
    st.text(word("drift_advice"))


def _show_form(counter: ReviewDesk, line: str, actor: Actor, name: str) -> None:
    with st.form(f"alarm-{name}", border=False):
        reason = st.text_input(word("acknowledge_why"), max_chars=1000)
        if not st.form_submit_button(word("acknowledge")):
            return
    try:
        counter.acknowledge(actor, line, name, reason)
    except CdmInspectError as error:
        notify("error", explained(error))
    else:
        notify("success", word("acknowledged_now"))
    st.rerun()
