"""What people decided."""

from __future__ import annotations

import streamlit as st
from charts import decisions_table
from words import word

from cdm_inspect.errors import CdmInspectError
from cdm_inspect.review import ReviewDesk
from views.part import show_decisions, show_failure, show_notice, show_part


def show(desk: ReviewDesk, line: str) -> None:
    st.title(word("history"))
    show_notice()
    try:
        decided = desk.decided(line)
    except CdmInspectError as error:
        show_failure(error)
        return
    if not decided:
        st.info(word("nothing_decided"))
        return
    st.dataframe(decisions_table(decided), hide_index=True, width="stretch")
    number = st.selectbox(word("part"), [part.id for part in decided], key="history-part")
    part = next(part for part in decided if part.id == number)
    show_part(desk, part)
    st.subheader(word("story"))
    try:
        story = desk.story(number)
    except CdmInspectError as error:
        show_failure(error)
        return
    for review in story:
        st.text(
            f"{review.decided_at:%Y-%m-%d %H:%M:%S} UTC  {word(review.decision.value)}  "
            f"{review.reviewer}  {review.comment}"
        )
    st.subheader(word("change"))
    show_decisions(desk, part, None)
