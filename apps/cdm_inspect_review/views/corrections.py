"""What quality may do about one part: correct a decision, mark a limit sample, hold it."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import streamlit as st

from cdm_inspect.errors import CdmInspectError
from cdm_inspect.records import Decision, Event, Purpose, Review, StoredInspection
from cdm_inspect.review import ReviewDesk
from cdm_inspect.roles import Actor, Right
from cdm_inspect_review import part_history
from cdm_inspect_review.page_state import explained, keep, kept, notify, word
from cdm_inspect_review.plant import current_plant

_PENDING = "history-pending"
_LONGEST = 1000


def show(
    desk: ReviewDesk,
    part: StoredInspection,
    actor: Actor,
    events: Sequence[Event],
    reasons: dict[str, str],
) -> None:
    """Forms for what this person may do.

    Args:
        part: as it was read.
        actor: who looks at it.
        events: about the part, newest first.
        reasons: of its line by code, in words.
    """
    may_settle = actor.may(Right.SETTLE)
    if not may_settle and not (actor.may(Right.DECIDE) and part.reviewer == actor.name):
        st.text(word("history.may_not"))
        return
    columns = st.columns(3)
    with columns[0]:
        _change(desk, part, actor, reasons)
    if may_settle:
        with columns[1]:
            _mark(desk, part, actor, is_marked=part_history.is_limit_sample(events))
        with columns[2]:
            _hold(part, actor)


def _change(
    desk: ReviewDesk, part: StoredInspection, actor: Actor, reasons: dict[str, str]
) -> None:
    """Another decision; a second press confirms it."""
    st.subheader(word("history.change"), anchor=False)
    pending = kept(_PENDING)
    if pending is not None and pending.inspection_id == part.id:
        _confirm(desk, part, actor, pending)
        return
    choices = [each for each in Decision if each is not part.decision]
    if part.decision is None:
        choices.remove(Decision.UNDO)
    # Keys name the part and its state: what was typed for one is nothing to another.
    at = f"{part.id}-{part.version}"
    with st.form(f"history-change-{at}"):
        decision = st.selectbox(
            word("history.decision"),
            choices,
            format_func=lambda each: part_history.decision_text(each, word),
            key=f"history-decision-{at}",
        )
        reason = st.selectbox(
            word("desk.reasons"),
            ("", *reasons),
            format_func=lambda code: reasons.get(code, word("history.no_reason")),
            key=f"history-reason-{at}",
        )
        comment = st.text_input(
            word("desk.comment"), max_chars=_LONGEST, key=f"history-comment-{at}"
        )
        if not st.form_submit_button(word("history.go_on")):
            return
    review = Review(
        client_id=uuid.uuid4().hex,
        inspection_id=part.id,
        decision=decision,
        reviewer=actor.name,
        reason=reason if decision is Decision.REJECT else "",
        comment=comment,
        version=part.version,
        purpose=Purpose.CORRECTION,
    )
    keep(_PENDING, review)
    st.rerun()


def _confirm(desk: ReviewDesk, part: StoredInspection, actor: Actor, review: Review) -> None:
    former, new = (
        part_history.decision_text(each, word) or word("history.undecided")
        for each in (part.decision, review.decision)
    )
    st.text(word("history.confirm", part=part.id, former=former, new=new))
    if review.comment:
        st.text(review.comment)
    with st.container(horizontal=True):
        if st.button(word("history.record")):
            keep(_PENDING, None)
            decided = replace(review, decided_at=dt.datetime.now(dt.UTC))
            _do(lambda: desk.decide(actor, decided))
        if st.button(word("history.cancel")):
            keep(_PENDING, None)
            st.rerun()


def _mark(desk: ReviewDesk, part: StoredInspection, actor: Actor, *, is_marked: bool) -> None:
    st.subheader(word("desk.limit_samples"), anchor=False)
    if part.decision not in (Decision.ACCEPT, Decision.REJECT):
        st.text(word("history.mark_undecided"))
        return
    at = f"{'unmark' if is_marked else 'mark'}-{part.id}"
    with st.form(f"history-{at}", clear_on_submit=True):
        st.text(word("history.is_marked" if is_marked else "history.is_not_marked"))
        reason = st.text_input(word("history.why"), max_chars=_LONGEST, key=f"history-why-{at}")
        if st.form_submit_button(word("history.unmark" if is_marked else "history.mark")):
            mark = partial(desk.marks.mark_limit_sample, actor, part, reason, ends=is_marked)
            _do_with(reason, mark)


def _hold(part: StoredInspection, actor: Actor) -> None:
    st.subheader(word("history.hold"), anchor=False)
    at = f"hold-{part.id}"
    with st.form(f"history-{at}", clear_on_submit=True):
        st.text(part.hold or word("history.is_not_held"))
        reason = st.text_input(word("history.why"), max_chars=_LONGEST, key=f"history-why-{at}")
        if st.form_submit_button(word("history.hold_begin")):
            _do_with(reason, lambda: current_plant().hold(actor, part, reason, ends=False))
    if part.hold:
        with st.form(f"history-end-{at}"):
            former = st.selectbox(
                word("history.hold_which"), part.hold.split("; "), key=f"history-former-{at}"
            )
            if st.form_submit_button(word("history.hold_end")):
                _do(lambda: current_plant().hold(actor, part, former, ends=True))


def _do_with(reason: str, act: Callable[[], object]) -> None:
    if reason.strip():
        _do(act)
    st.text(word("history.reason_first"))


def _do(act: Callable[[], object]) -> None:
    """Do something that is recorded, and say at the top of the page what came of it."""
    try:
        is_changed = act() is not False
    except CdmInspectError as error:
        notify("error", explained(error))
    else:
        text = word("recorded" if is_changed else "history.unchanged")
        notify("success" if is_changed else "error", text)
    st.rerun()
