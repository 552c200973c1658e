"""One part: its pictures, what is known of it, its whole story, and what may be done about it."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import asdict

import streamlit as st

from cdm_inspect.config.words import Speech
from cdm_inspect.records import InspectionQuery, JudgingSetup, Order, StoredInspection
from cdm_inspect.review import ReviewDesk
from cdm_inspect.roles import Actor
from cdm_inspect_review import components, desk_api, part_history
from cdm_inspect_review.page_state import language, word
from cdm_inspect_review.views import corrections

_CAPTURES = 20


def show(desk: ReviewDesk, number: int, actor: Actor | None) -> None:
    """Everything there is of one part."""
    part = desk.store.get(number)
    if part is None:
        st.text(word("history.no_part", part=number))
        return
    zone, speech = desk.config.review.zone, Speech(language())
    setup = desk.store.judged_with(part.id)
    events = desk.store.events(inspection_id=part.id)
    st.subheader(f"{word('desk.part')} {part.id}", anchor=False)
    components.show_part(
        {
            "part": desk_api.part_json(part),
            "facts": part_history.facts(part, setup, word, zone),
            "language": language(),
            "words": {**speech.below("desk."), **speech.below("history.board.")},
        }
    )
    st.subheader(word("history.story_title"), anchor=False)
    reasons = _reasons(desk, part)
    story = part_history.story(part, desk.story(part.id), events, reasons, word, zone)
    seen = word("history.story.seen")
    st.dataframe(
        story,
        hide_index=True,
        width="stretch",
        placeholder="",
        column_config={seen: st.column_config.NumberColumn(format="%.1f")},
    )
    _show_captures(desk, part, zone)
    _show_setup(setup)
    if actor is not None:
        corrections.show(desk, part, actor, events, reasons)


def _reasons(desk: ReviewDesk, part: StoredInspection) -> dict[str, str]:
    known = desk.settings(part.line).reasons
    return {reason.code: getattr(reason, language()) for reason in known}


def _show_captures(desk: ReviewDesk, part: StoredInspection, zone: dt.tzinfo | None) -> None:
    """Other inspections of the same serial number: second captures, or judged again."""
    if not part.serial:
        return
    query = InspectionQuery(
        line=part.line, serial=part.serial, order=Order.NEWEST, limit=_CAPTURES + 1
    )
    others = [other for other in desk.store.find(query) if other.id != part.id]
    if others:
        st.subheader(word("history.captures"), anchor=False)
        rows = part_history.rows(others, word, zone)
        st.dataframe(rows, hide_index=True, width="stretch", placeholder="")


def _show_setup(setup: JudgingSetup | None) -> None:
    with st.expander(word("history.setup")):
        if setup is None:
            st.text(word("history.no_setup"))
        else:
            document = json.dumps(asdict(setup), ensure_ascii=False, indent=2)
            st.code(document, language="json", height=400)
