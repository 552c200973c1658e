"""The audit chain: what was done by whom, and whether the record is what it was."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence

import streamlit as st

from cdm_inspect.errors import CdmInspectError
from cdm_inspect.plugins import AuditEntry, ChainState
from cdm_inspect.review import ReviewDesk
from cdm_inspect.roles import Actor, Right
from cdm_inspect_review import addresses, audit_text
from cdm_inspect_review.page_state import keep, kept, word
from cdm_inspect_review.plant import current_plant
from cdm_inspect_review.views import failure

_PAGE = 100
_FINGER = 44  # pixels
_CHECKED = "audit-checked"


def show(desk: ReviewDesk, line: str, actor: Actor | None) -> None:
    """State of the chain, then its entries, newest first; of all lines."""
    st.title(word("page.audit"))
    if actor is None or not actor.may(Right.AUDIT):
        st.text(word("audit.may_not"))
        return
    zone = desk.config.review.zone
    _show_state(actor, zone)
    st.subheader(word("audit.entries"), anchor=False)
    before = addresses.number("before")
    try:
        entries = current_plant().audit_entries(actor, before=before, limit=_PAGE)
    except CdmInspectError as error:
        failure.show(error)
        return
    if entries:
        _show_entries(entries, zone)
    else:
        st.text(word("audit.none"))
    _turn_pages(entries, before)


def _show_state(actor: Actor, zone: dt.tzinfo | None) -> None:
    st.subheader(word("audit.state"), anchor=False)
    st.text(word("audit.why_check"))
    if st.button(word("audit.check")):
        bar = st.progress(0.0, word("audit.checking"))

        def tell(what: str, done: int, total: int) -> None:
            # The chain is most of the work, what the decisions say the rest.
            share = min(1.0, done / max(total, 1))
            bar.progress(0.7 * share if what == "audit chain" else 0.7 + 0.3 * share)

        try:
            keep(_CHECKED, (dt.datetime.now(dt.UTC), current_plant().check_audit(actor, tell)))
        except CdmInspectError as error:
            keep(_CHECKED, None)
            failure.show(error)
        bar.empty()
    checked: tuple[dt.datetime, ChainState] | None = kept(_CHECKED)
    if checked is not None:
        with st.container(border=True):
            for text in _describe(checked[0], checked[1], zone):
                st.text(text)


def _describe(at: dt.datetime, found: ChainState, zone: dt.tzinfo | None) -> list[str]:
    """What a check has found, and what to do."""
    texts = [word("audit.checked_at", at=f"{at.astimezone(zone):%Y-%m-%d %H:%M:%S}")]
    if found.first_bad is not None:
        texts.append(word("audit.broken", number=found.first_bad, before=found.first_bad - 1))
    elif found.unlike:
        parts = ", ".join(map(str, found.unlike[:10]))
        texts.append(word("audit.unlike", n=len(found.unlike), parts=parts))
    else:
        texts.append(word("audit.sound", n=found.entries, hash=audit_text.short(found.head)))
    if found.anchored_at is None:
        texts.append(word("audit.no_anchors"))
    else:
        hours = (at - found.anchored_at).total_seconds() / 3600
        written = f"{found.anchored_at.astimezone(zone):%Y-%m-%d %H:%M}"
        texts.append(word("audit.anchors", n=found.anchors, at=written, hours=f"{hours:.1f}"))
    if not found.is_signed:
        texts.append(word("audit.no_key"))
    return texts


def _show_entries(entries: Sequence[AuditEntry], zone: dt.tzinfo | None) -> None:
    people = sorted({str(link.entry["who"]) for link in entries if link.entry.get("who")})
    actions = sorted({str(link.entry.get("action", "")) for link in entries})
    columns, anything = st.columns(3), word("history.any")
    who = columns[0].multiselect(word("audit.who"), people, key="audit-who", placeholder=anything)
    done = columns[1].multiselect(
        word("audit.action"),
        actions,
        key="audit-action",
        placeholder=anything,
        format_func=lambda action: audit_text.kind(action, word),
    )
    part = columns[2].text_input(word("desk.part"), key="audit-part", max_chars=18).strip()
    found = [
        link
        for link in entries
        if (not who or link.entry.get("who") in who)
        and (not done or link.entry.get("action") in done)
        and (not part or str(link.entry.get("inspection", "")) == part)
    ]
    st.text(word("audit.shown", n=len(found), of=len(entries)))
    event = st.dataframe(
        audit_text.rows(found, word, zone),
        hide_index=True,
        width="stretch",
        placeholder="–",
        row_height=_FINGER,
        on_select="rerun",
        selection_mode="single-row",
        key=f"audit-entries-{entries[0].number}-{len(found)}",
        column_config={word("audit.what"): st.column_config.TextColumn(width="large")},
    )
    for index in event.selection.rows:
        link = found[index]
        st.text(audit_text.sentence(link.entry, word, zone))
        shown = {"number": link.number, "hash": link.hash, "entry": link.entry}
        st.code(json.dumps(shown, ensure_ascii=False, indent=2), language="json", wrap_lines=True)


def _turn_pages(entries: Sequence[AuditEntry], before: int | None) -> None:
    with st.container(horizontal=True):
        if before is not None and st.button(word("audit.newest")):
            addresses.say(before=None)
            st.rerun()
        is_more = bool(entries) and entries[-1].number > 1
        if st.button(word("audit.older"), disabled=not is_more):
            addresses.say(before=entries[-1].number)
            st.rerun()
