"""Parts that wait for a decision: flagged ones, or a random sample of those that passed."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st
from charts import part_label
from desk import calibration_in_force
from session import SESSION
from words import word

from cdm_inspect.errors import CdmInspectError
from cdm_inspect.records import StoredInspection
from cdm_inspect.review import ReviewDesk
from views.part import show_decisions, show_failure, show_notice, show_part


def show(desk: ReviewDesk, line: str) -> None:
    st.title(word("queue"))
    show_notice()
    kind = st.segmented_control(
        word("show"),
        ("flagged", "sample"),
        default="flagged",
        format_func=word,
        key="queue-kind",
    )
    kind = kind or "flagged"  # a second press takes the choice back
    is_sample = kind == "sample"
    try:
        counts = desk.counts(line)
        waiting = _sample(desk, line) if is_sample else desk.waiting(line)
    except CdmInspectError as error:
        show_failure(error)
        return
    for column, key in zip(st.columns(3), ("waiting", "flagged", "inspected"), strict=True):
        column.metric(word(key), getattr(counts, key))
    if is_sample:
        st.text(word("sample_why"))
    if not waiting:
        st.success(word("no_sample" if is_sample else "all_done"))
        return
    numbers = [part.id for part in waiting]
    by_number = {part.id: part for part in waiting}
    if SESSION.selected not in by_number:
        SESSION.selected = numbers[0]
    place = numbers.index(SESSION.selected or numbers[0])

    side, centre = st.columns([1, 3])
    chosen = side.radio(
        word("sample" if is_sample else "flagged"),
        numbers,
        index=place,
        format_func=lambda number: part_label(by_number[number]),
        key=f"queue-{kind}-{line}-{numbers[place]}-{len(numbers)}",
    )
    SESSION.selected = chosen
    place = numbers.index(chosen)
    rest = [*numbers[place + 1 :], *numbers[:place]]
    with centre:
        show_part(desk, by_number[chosen])
        show_decisions(desk, by_number[chosen], rest[0] if rest else None)


def _sample(desk: ReviewDesk, line: str) -> Sequence[StoredInspection]:
    return desk.sample(line, calibration_in_force(line))
