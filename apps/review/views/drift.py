"""Whether the line has changed since it was calibrated."""

from __future__ import annotations

import streamlit as st
from charts import drift_chart
from desk import line_drift
from words import word

from cdm_inspect.errors import CdmInspectError
from cdm_inspect.records import JsonObject
from cdm_inspect.watching import first_alarms


def show(line: str) -> None:
    st.title(word("drift"))
    try:
        found = line_drift(line)
    except CdmInspectError as error:
        st.info(word("drift_unknown"))
        st.text(str(error))
        return
    _show_alarms(found["alarms"])
    st.text(word("drift_why"))
    for name, why in found["left_out"].items():
        st.text(f"{word(name)}: {why}")
    columns = st.columns(2)
    for number, (name, chart) in enumerate(found["charts"].items()):
        with columns[number % 2]:
            st.subheader(word(name))
            st.text(word("drift_parts").format(n=chart["parts"]))
            if chart["values"]:
                st.altair_chart(drift_chart(name, chart))


def _show_alarms(alarms: list[JsonObject]) -> None:
    if not alarms:
        st.success(word("drift_none"))
        return
    for alarm in first_alarms(alarms):
        st.error(
            word("alarm").format(
                chart=word(alarm["chart"]),
                direction=word(alarm["direction"]),
                since=alarm["since_inspection"],
                inspection=alarm["inspection"],
                at=alarm["at"][:16].replace("T", " "),
            )
        )
    st.text(word("drift_advice"))
