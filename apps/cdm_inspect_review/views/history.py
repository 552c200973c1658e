"""Parts of a line, by what is known of them; one of them with its whole story."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import streamlit as st

from cdm_inspect.config.review import ReviewConfig
from cdm_inspect.config.shifts import Shift, shift_at, shift_of
from cdm_inspect.errors import CdmInspectError
from cdm_inspect.records import Decision, InspectionQuery, Order, StoredInspection, Verdict
from cdm_inspect.review import ReviewDesk
from cdm_inspect.roles import Actor
from cdm_inspect_review import addresses, part_history
from cdm_inspect_review.page_state import keep, kept, word
from cdm_inspect_review.views import failure, frame, part

_PAGE = 50
_FINGER = 44  # pixels
_SELECTED = "history-selected"
_NONE = "none"
_DECISIONS = {
    "accept": "desk.accept",
    "reject": "desk.reject",
    "unsure": "desk.unsure",
    _NONE: "history.not_decided",
}


def show(desk: ReviewDesk, line: str, actor: Actor | None) -> None:
    """What is asked for stands in the address, so that it can be sent to somebody."""
    frame.show_title(word("page.history"), line)
    with st.expander(word("history.search"), expanded=addresses.number("part") is None):
        _ask(line, desk.config.review)
    query = _query(line, desk.config.review)
    try:
        found = desk.store.find(query)
        count = desk.store.count(query) if query.serial or query.lot else None
        _show_list(found, count, desk.config.review.zone)
        number = addresses.number("part")
        if number is not None:
            part.show(desk, number, actor)
    except CdmInspectError as error:
        failure.show(error)


def _ask(line: str, config: ReviewConfig) -> None:
    """The form; nothing is looked for before it is sent."""
    # Cleared, so that a part that was gone to is not gone to again by the next search.
    with st.form("history", clear_on_submit=True, border=False):
        left, middle, right = st.columns(3)
        asked: dict[str, str | int | None] = {
            "serial": left.text_input(
                word("history.serial"), addresses.text("serial"), max_chars=addresses.LONGEST
            ),
            "lot": middle.text_input(word("desk.lot"), addresses.text("lot"), max_chars=128),
            "reviewer": right.text_input(
                word("history.reviewer"), addresses.text("reviewer"), max_chars=128
            ),
        }
        left, middle, right = st.columns(3)
        verdicts = left.multiselect(
            word("history.verdict"),
            [verdict.value for verdict in Verdict],
            addresses.names("verdict", [verdict.value for verdict in Verdict]),
            format_func=lambda name: word(f"desk.verdict_{name}"),
            placeholder=word("history.any"),
        )
        given = addresses.names("decision", _DECISIONS)
        asked["decision"] = middle.selectbox(
            word("history.decision"),
            ("", *_DECISIONS),
            index=[*_DECISIONS].index(given[0]) + 1 if given else 0,
            format_func=lambda name: word(_DECISIONS.get(name, "history.any")),
        )
        asked["part"] = right.text_input(word("history.part"), "", max_chars=18)
        asked |= _ask_when(config)
        with st.container(horizontal=True):
            is_sent = st.form_submit_button(word("history.find"))
            is_cleared = st.form_submit_button(word("history.clear"))
    if is_cleared:
        asked, verdicts = {}, []
    if is_sent or is_cleared:
        addresses.say(**dict.fromkeys(("serial", "lot", *frame.OF_ONE_LINE)))
        addresses.say(**asked, verdict=",".join(verdicts), line=line)
        st.rerun()


def _ask_when(config: ReviewConfig) -> dict[str, str | int | None]:
    """Days, or one shift: of the first day, or else of the last one, or of this one."""
    left, middle, right = st.columns(3)
    days: dict[str, dt.date | None] = {}
    for column, name in ((left, "from"), (middle, "until")):
        day = column.date_input(
            word(f"history.{name}"),
            addresses.day(name),
            min_value=addresses.EARLIEST,
            max_value=addresses.LATEST,
            format="YYYY-MM-DD",
        )
        days[name] = day if isinstance(day, dt.date) else None
    beginnings = [f"{time:%H:%M}" for time in config.shifts]
    given = addresses.number("shift") or 0
    number = right.selectbox(
        word("history.shift"),
        range(len(beginnings) + 1),
        index=given if given <= len(beginnings) else 0,
        format_func=lambda n: f"{n}  ({beginnings[n - 1]} –)" if n else word("history.any"),
    )
    if number:
        now = shift_at(dt.datetime.now(dt.UTC), config)
        day = days["from"] or days["until"] or now.day
        return {"from": day.isoformat(), "until": None, "shift": number}
    return {name: day.isoformat() if day else None for name, day in days.items()}


def _asked_shift(config: ReviewConfig) -> Shift | None:
    """The shift that the address names; a number without a day names none."""
    day, number = addresses.day("from"), addresses.number("shift")
    if day is None or number is None or number > len(config.shifts):
        return None
    return shift_of(day, number, config)


def _query(line: str, config: ReviewConfig) -> InspectionQuery:
    serial, given = addresses.text("serial"), addresses.names("decision", _DECISIONS)
    first, last = addresses.day("from"), addresses.day("until")
    since = _midnight(first, config.zone) if first else None
    until = _midnight(last + dt.timedelta(days=1), config.zone) if last else None
    if shift := _asked_shift(config):
        since, until = shift.since, shift.until
    begins = serial[:-1] if serial.endswith("*") else None
    return InspectionQuery(
        line=line,
        serial=serial if serial and begins is None else None,
        serial_prefix=begins or None,
        lot=addresses.text("lot") or None,
        reviewer=addresses.text("reviewer") or None,
        verdicts=tuple(map(Verdict, addresses.names("verdict", list(Verdict)))),
        decision=Decision(given[0]) if given and given[0] != _NONE else None,
        is_decided=False if given and given[0] == _NONE else None,
        since=since,
        until=until,
        after_id=addresses.number("after"),
        order=Order.NEWEST,
        limit=_PAGE,
    )


def _midnight(day: dt.date, zone: dt.tzinfo | None) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(), tzinfo=zone).astimezone(dt.UTC)


def _show_list(
    found: Sequence[StoredInspection], count: int | None, zone: dt.tzinfo | None
) -> None:
    if not found:
        st.text(word("history.none"))
        _turn_pages(found)
        return
    said = word("history.newest", n=len(found))
    st.text(said if count is None else f"{said} {word('history.of', n=f'{count:,}')}")
    key = f"history-{found[0].id}-{found[-1].id}-{len(found)}"
    event = st.dataframe(
        part_history.rows(found, word, zone),
        hide_index=True,
        width="stretch",
        height=min(_FINGER * (len(found) + 1) + 2, 354),
        row_height=_FINGER,
        placeholder="",
        on_select="rerun",
        selection_mode="single-row",
        key=key,
        column_config={word("desk.score"): st.column_config.NumberColumn(format="%.3f")},
    )
    chosen = [found[index].id for index in event.selection.rows if index < len(found)]
    # Only what somebody has just done counts: the address may name a part that is not in the list.
    former: tuple[str, list[int]] = kept(_SELECTED) or ("", [])
    if chosen != (former[1] if former[0] == key else []):
        addresses.say(part=chosen[0] if chosen else None)
    keep(_SELECTED, (key, chosen))
    _turn_pages(found)


def _turn_pages(found: Sequence[StoredInspection]) -> None:
    with st.container(horizontal=True):
        if addresses.number("after") is not None and st.button(word("audit.newest")):
            addresses.say(after=None)
            st.rerun()
        is_more = len(found) == _PAGE
        if st.button(word("history.older"), disabled=not is_more):
            addresses.say(after=found[-1].id)
            st.rerun()
