"""What other thresholds of a line would cost, tried before they are put into force."""

from __future__ import annotations

from dataclasses import replace

import components
import desk
import streamlit as st
from session import explained, language, notify, word
from words import Speech

from cdm_inspect.costs import Costs
from cdm_inspect.draws import Estimate
from cdm_inspect.errors import CdmInspectError
from cdm_inspect.people import Actor, Right
from cdm_inspect.review import ReviewDesk
from cdm_inspect.what_if import FEWEST_DEFECTS, Outcome, WhatIf
from views import failure, frame

_SECONDS = 600
_FIGURES = ("escapes", "false_rejects", "reviews", "cost_per_day")


def show(counter: ReviewDesk, line: str, actor: Actor | None) -> None:
    """Curves with two thresholds to move, costs, what is expected, and saving it."""
    frame.show_title(word("thresholds.title"), line)
    try:
        with st.spinner(word("thresholds.reading")):
            what_if = _opened(line)
    except CdmInspectError as error:
        st.text(word("thresholds.unknown"))
        st.text(explained(error))
        return
    st.text(
        word(
            "thresholds.basis",
            reviewed=what_if.reviewed.reviewed,
            inspected=what_if.reviewed.inspected,
            defects=len(what_if.reviewed.defective.scores),
        )
    )
    costs, pace = _ask_costs(what_if)
    try:
        marks = _marks(what_if, costs)
        curves = what_if.curves(costs, parts_per_day=pace, marks=[*marks.values()])
    except CdmInspectError as error:
        failure.show(error)
        return
    if what_if.refusal:
        with st.container(border=True):
            st.text(word("thresholds.refused"))
            for text in _lacking(what_if):
                st.text(text)
    revision = _revision(what_if, costs, marks)
    chosen = components.show_thresholds(
        {
            "curves": curves,
            "thresholds": st.session_state.get("thresholds-start"),
            "revision": revision,
            "language": language(),
            "currency": "",
            "words": Speech(language()).below("thresholds.board."),
        }
    )
    _show_outcome(what_if, actor, chosen or curves["in_force"], costs, pace)


def _lacking(what_if: WhatIf) -> list[str]:
    """What is missing and what to do."""
    reviewed, unseen = what_if.reviewed, what_if.reviewed.unseen
    facts = {
        "defects": len(reviewed.defective.scores),
        "needed": FEWEST_DEFECTS,
        "reviewed": reviewed.reviewed,
        "inspected": reviewed.inspected,
    }
    if unseen is not None:
        verdict = word(f"desk.verdict_{unseen.verdict.value}")
        facts |= {"verdict": verdict, "parts": unseen.parts, "judged": unseen.judged}
    return [word(f"thresholds.lacks_{lack}", **facts) for lack in what_if.lacks]


@st.cache_resource(ttl=_SECONDS, show_spinner=False)
def _opened(line: str) -> WhatIf:
    return desk.plant().what_if(line)


def _ask_costs(what_if: WhatIf) -> tuple[Costs, float]:
    """Costs of mistakes, in any currency, and how many parts there are a day."""
    columns = st.columns(4)

    def ask(place: int, name: str, value: float) -> float:
        found = columns[place].number_input(
            word(f"thresholds.{name}"), min_value=0.0, value=value, key=f"costs-{name}"
        )
        return float(found)

    costs = replace(
        what_if.costs,
        escape=ask(0, "escape", what_if.costs.escape),
        false_reject=ask(1, "false_reject", what_if.costs.false_reject),
        review=ask(2, "review", what_if.costs.review),
    )
    return costs, max(1.0, ask(3, "parts_per_day", what_if.parts_per_day))


def _marks(what_if: WhatIf, costs: Costs) -> dict[str, float]:
    """Thresholds that are cheapest by these costs, so that they stand on the grid."""
    if what_if.refusal:
        return {}
    best = what_if.best(costs)
    found = {"review": best.review}
    if best.reject != float("inf"):
        found["reject"] = best.reject
    return found


def _revision(what_if: WhatIf, costs: Costs, best: dict[str, float]) -> str:
    """Changes whenever the thresholds on the board are to be put somewhere."""
    left, right = st.columns(2)
    turn = st.session_state.get("thresholds-turn", 0)
    places = {
        "best": {"review": best.get("review"), "reject": best.get("reject")},
        "in_force": {
            "review": what_if.calibration.threshold,
            "reject": what_if.calibration.reject_threshold,
        },
    }
    for column, (name, place) in zip((left, right), places.items(), strict=True):
        is_known = place["review"] is not None
        if column.button(word(f"thresholds.put_{name}"), disabled=not is_known, width="stretch"):
            turn += 1
            st.session_state["thresholds-turn"] = turn
            st.session_state["thresholds-start"] = place
    return f"{what_if.calibration.id}/{turn}"


def _show_outcome(
    what_if: WhatIf,
    actor: Actor | None,
    chosen: dict[str, float | None],
    costs: Costs,
    pace: float,
) -> None:
    review, reject = chosen["review"], chosen["reject"]
    if what_if.refusal or review is None:
        return
    try:
        outcome = what_if.outcome(review, reject, costs, parts_per_day=pace)
    except CdmInspectError as error:
        failure.show(error)
        return
    st.subheader(word("thresholds.expected"), anchor=False)
    st.dataframe(_rows(outcome), hide_index=True, width="stretch", placeholder="–")
    st.text(word("thresholds.bands", reviewed=outcome.reviewed, defects=outcome.defects))
    if actor is not None and actor.may(Right.SET_THRESHOLDS):
        _show_saving(what_if, actor, review, reject, costs, pace)
    else:
        st.text(word("thresholds.may_not"))


def _rows(outcome: Outcome) -> list[dict[str, str]]:
    def told(value: Estimate) -> str:
        return f"{value.value:,.1f}  ({value.low:,.1f} – {value.high:,.1f})"

    return [
        {
            word("thresholds.figure"): word(f"thresholds.{name}"),
            word("thresholds.a_day"): told(getattr(outcome.expected, name)),
            word("thresholds.change"): told(getattr(outcome.difference, name)),
        }
        for name in _FIGURES
    ]


def _show_saving(
    what_if: WhatIf,
    actor: Actor,
    review: float,
    reject: float | None,
    costs: Costs,
    pace: float,
) -> None:
    with st.form("save-thresholds"):
        never = word("thresholds.board.never") if reject is None else f"{reject:.4g}"
        st.text(word("thresholds.about_to", review=f"{review:.4g}", reject=never))
        reason = st.text_input(word("thresholds.reason"), max_chars=1000)
        if not st.form_submit_button(word("thresholds.save")):
            return
    try:
        version = desk.plant().save_thresholds(
            what_if,
            actor=actor,
            review=review,
            reject=reject,
            reason=reason,
            costs=costs,
            parts_per_day=pace,
        )
    except CdmInspectError as error:
        notify("error", explained(error))
    else:
        _opened.clear()
        notify("success", word("thresholds.saved", version=version))
    st.rerun()
