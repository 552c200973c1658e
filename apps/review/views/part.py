"""One part on the screen: photograph, heat map, facts and decision buttons."""

from __future__ import annotations

import uuid

import streamlit as st
from session import SESSION
from words import word

from cdm_inspect.errors import CdmInspectError
from cdm_inspect.records import Decision, StoredInspection
from cdm_inspect.review import ReviewDesk

_STYLE = """<style>
.st-key-decisions button { min-height: 72px; }
.st-key-decisions button p { font-size: 1.3rem; }
</style>"""


def show_part(desk: ReviewDesk, part: StoredInspection) -> None:
    # Text from files goes through st.text: markdown in a name could fetch from outside.
    st.text(f"{word('part')} {part.id}: {part.image}")
    _show_facts(part)
    picture = desk.picture(part)
    if picture is None:
        st.warning(word("no_picture"))
        return
    heatmap = desk.heatmap(part)
    left, right = st.columns(2)
    left.image(picture, caption=word("image"), width="stretch")
    if heatmap is not None and part.threshold is not None:
        opacity = st.slider(word("opacity"), 0, 100, 70, 5, key="opacity", format="%d %%")
        overlay = desk.overlay(picture, heatmap, part.threshold, opacity / 100)
        right.image(overlay, caption=word("heatmap"), width="stretch")


def show_decisions(desk: ReviewDesk, part: StoredInspection, following: int | None) -> None:
    """Buttons that decide exactly the part on the screen."""
    st.html(_STYLE)
    has_name = bool(SESSION.reviewer)
    if not has_name:
        st.warning(word("name_first"))
    comment = st.text_input(word("comment"), key=f"comment-{part.id}", max_chars=1000)
    with st.container(key="decisions", horizontal=True):
        for decision in (Decision.ACCEPT, Decision.REJECT, Decision.UNSURE):
            st.button(
                word(decision.value),
                key=f"{decision.value}-{part.id}",
                type="primary" if decision is Decision.REJECT else "secondary",
                width="stretch",
                disabled=not has_name,
                on_click=_decide,
                args=(desk, part, decision, comment, following),
            )


def _decide(
    desk: ReviewDesk,
    part: StoredInspection,
    decision: Decision,
    comment: str,
    following: int | None,
) -> None:
    try:
        desk.decide(
            part.id,
            decision,
            reviewer=SESSION.reviewer,
            comment=comment,
            client_id=uuid.uuid4().hex,
            version=part.version,
        )
    except CdmInspectError as error:
        SESSION.notice = ("error", f"{word('not_recorded')} {error}")
        return
    SESSION.selected = following
    SESSION.notice = (
        "success",
        f"{word('part')} {part.id}: {word(decision.value)} - {word('recorded')}",
    )


def _show_facts(part: StoredInspection) -> None:
    if part.score is None or part.threshold is None or part.p_value is None:
        st.text(f"{word('undecided')}: {part.reason}")
        return
    odd = word("odd").format(n=round(1 / part.p_value), p=part.p_value)
    st.text(
        f"{word('score')} {part.score:.2f}, {word('threshold')} {part.threshold:.2f}. {odd}. "
        f"{word('model')} {part.model}"
    )
    if part.reason:
        st.text(part.reason)


def show_failure(error: CdmInspectError) -> None:
    st.error(word("no_store"))
    st.text(str(error))


def show_notice() -> None:
    notice = SESSION.notice
    if notice is not None:
        kind, text = notice
        (st.success if kind == "success" else st.error)(text)
