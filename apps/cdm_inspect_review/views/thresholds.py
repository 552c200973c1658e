"""What other thresholds of a line would cost, tried before they are put into force."""

from __future__ import annotations

import math
import threading
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TypedDict

import numpy as np
import streamlit as st

from cdm_inspect.calibration.costs import Costs
from cdm_inspect.calibration.what_if import FEWEST_DEFECTS, Outcome, WhatIf
from cdm_inspect.errors import CalibrationError, CdmInspectError
from cdm_inspect.records import Estimate
from cdm_inspect.review import ReviewDesk
from cdm_inspect.roles import Actor, Right
from cdm_inspect_review.charts import threshold_chart
from cdm_inspect_review.page_state import explained, keep, kept, notify, word
from cdm_inspect_review.plant import current_plant
from cdm_inspect_review.views import failure, frame

_SECONDS = 600
_FIGURES = ("escapes", "false_rejects", "reviews", "cost_per_day")
_START, _PAIR, _SAVING = "thresholds-start", "thresholds-pair", "thresholds-saving"


class Pair(TypedDict):
    """Thresholds: parts are reviewed from one on, and rejected from the other; None is never."""

    review: float
    reject: float | None


@dataclass(frozen=True, kw_only=True)
class _Start:
    """Where the page has put the thresholds; from there a person moves them.

    Attributes:
        of: key of the calibration that was in force.
        best: the cheapest ones by the costs on the page, which lie on the grid as well.
        revision: of no other; what was moved from another start does not count.
    """

    of: str
    pair: Pair
    best: Pair | None
    revision: str = field(default_factory=lambda: uuid.uuid4().hex)


@dataclass(kw_only=True)
class _Saving:
    """One press of the button, and what came of it: a version, or why there is none."""

    is_over: threading.Lock = field(default_factory=threading.Lock)
    result: int | CdmInspectError | None = None


def show(desk: ReviewDesk, line: str, actor: Actor | None) -> None:
    """Curves with two thresholds to move, costs, what is expected, and saving it."""
    _tell_saved()
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
        best = _best(what_if, costs)
        if what_if.refusal:
            _show_refusal(what_if)
        pair = _choose(what_if, best)
    except CdmInspectError as error:
        failure.show(error)
        return
    _show_outcome(what_if, actor, pair, costs, pace)


@st.cache_resource(ttl=_SECONDS, show_spinner=False)
def _opened(line: str) -> WhatIf:
    return current_plant().what_if(line)


def _key(what_if: WhatIf) -> str:
    """Of all that is entered: another for another line, and once other thresholds are in force."""
    return f"{what_if.calibration.id}-{what_if.calibration.version}"


def _show_refusal(what_if: WhatIf) -> None:
    """What is missing and what to do."""
    reviewed, unseen = what_if.reviewed, what_if.reviewed.unseen
    facts: dict[str, object] = {
        "defects": len(reviewed.defective.scores),
        "needed": FEWEST_DEFECTS,
        "reviewed": reviewed.reviewed,
        "inspected": reviewed.inspected,
    }
    if unseen is not None:
        verdict = word(f"desk.verdict_{unseen.verdict.value}")
        facts |= {"verdict": verdict, "parts": unseen.parts, "judged": unseen.judged}
    with st.container(border=True):
        st.text(word("thresholds.refused"))
        for lack in what_if.lacks:
            st.text(word(f"thresholds.lacks_{lack}", **facts))


def _ask_costs(what_if: WhatIf) -> tuple[Costs, float]:
    """Costs of mistakes, in any currency, and how many parts there are a day."""
    columns = st.columns(4, vertical_alignment="bottom")

    def ask(place: int, name: str, value: float) -> float:
        found = columns[place].number_input(
            word(f"thresholds.{name}"),
            min_value=0.0,
            value=value,
            key=f"costs-{name}-{_key(what_if)}",
        )
        return float(found)

    costs = replace(
        what_if.costs,
        escape=ask(0, "escape", what_if.costs.escape),
        false_reject=ask(1, "false_reject", what_if.costs.false_reject),
        review=ask(2, "review", what_if.costs.review),
    )
    return costs, max(1.0, ask(3, "parts_per_day", what_if.parts_per_day))


def _best(what_if: WhatIf, costs: Costs) -> Pair | None:
    """Thresholds that are cheapest by these costs; None where nobody can say."""
    if what_if.refusal:
        return None
    best = what_if.best(costs)
    return {"review": best.review, "reject": None if best.reject == float("inf") else best.reject}


def _in_force(what_if: WhatIf) -> Pair:
    calibration = what_if.calibration
    return {"review": calibration.threshold, "reject": calibration.reject_threshold}


def _choose(what_if: WhatIf, best: Pair | None) -> Pair:
    """Two thresholds to move on one slider, and the curves that they cut."""
    start = _start(what_if, best)
    pairs = [pair for pair in (start.pair, best) if pair is not None]
    cuts = [cut for pair in pairs for cut in (pair["review"], pair["reject"]) if cut is not None]
    curves = what_if.curves(marks=cuts)
    # Streamlit takes numbers that are nearly the same for one.
    known = np.array([*cuts, *_in_force(what_if).values()], np.float64)
    grid = [cut for cut in curves["thresholds"] if cut in known or not np.isclose(known, cut).any()]
    options = [*grid, math.inf]
    names = _names(options)
    review, reject = st.select_slider(
        word("thresholds.move"),
        options,
        value=(start.pair["review"], _end(start.pair)),
        format_func=names.__getitem__,
        key=f"thresholds-{start.revision}",
    )
    # Nothing would be flagged from "never" on.
    pair = Pair(review=min(review, options[-2]), reject=None if math.isinf(reject) else reject)
    keep(_PAIR, pair)
    in_force = _in_force(what_if)
    lines = [
        (word("thresholds.review_from"), pair["review"]),
        (word("thresholds.reject_from"), pair["reject"]),
        (word("thresholds.in_force"), in_force["review"]),
        (word("thresholds.in_force"), in_force["reject"]),
    ]
    chart = threshold_chart(curves, [(name, at) for name, at in lines if at is not None], word)
    st.altair_chart(chart, width="stretch")
    return pair


def _end(pair: Pair) -> float:
    return math.inf if pair["reject"] is None else pair["reject"]


def _names(options: Sequence[float]) -> dict[float, str]:
    """Each threshold with as few digits, four at least, as no other one has."""
    left, names = list(options[:-1]), {math.inf: word("thresholds.never")}
    for digits in range(4, 18):
        labels = Counter(f"{cut:.{digits}g}" for cut in options[:-1])
        names |= {cut: text for cut in left if labels[text := f"{cut:.{digits}g}"] == 1}
        left = [cut for cut in left if cut not in names]
    return names


def _start(what_if: WhatIf, best: Pair | None) -> _Start:
    """Where a person has had the thresholds put; those in force before."""
    start: _Start | None = kept(_START)
    if start is None or start.of != _key(what_if):
        start = _Start(of=_key(what_if), pair=_in_force(what_if), best=best)
    elif start.best != best:
        # Other costs have another grid: the slider is made anew where it stands.
        start = _Start(of=start.of, pair=kept(_PAIR), best=best)
    for column, name, pair in zip(
        st.columns(2), ("best", "in_force"), (best, _in_force(what_if)), strict=True
    ):
        is_pressed = column.button(
            word(f"thresholds.put_{name}"), disabled=pair is None, width="stretch"
        )
        if is_pressed and pair is not None:
            start = _Start(of=_key(what_if), pair=pair, best=best)
    keep(_START, start)
    return start


def _show_outcome(
    what_if: WhatIf, actor: Actor | None, pair: Pair, costs: Costs, pace: float
) -> None:
    if what_if.refusal:
        return
    try:
        outcome = what_if.outcome(**pair, costs=costs, parts_per_day=pace)
    except CdmInspectError as error:
        failure.show(error)
        return
    st.subheader(word("thresholds.expected"), anchor=False)
    st.dataframe(_rows(outcome), hide_index=True, width="stretch", placeholder="–")
    st.text(word("thresholds.bands", reviewed=outcome.reviewed, defects=outcome.defects))
    most = costs.review_share * pace
    if outcome.expected.reviews.value > most * (1 + 1e-9):
        st.text(word("thresholds.over_capacity", reviews=f"{most:,.0f}"))
    if actor is not None and actor.may(Right.SET_THRESHOLDS):
        _show_saving(what_if, actor, pair, costs, pace)
    else:
        st.text(word("thresholds.may_not"))


def _rows(outcome: Outcome) -> list[dict[str, str]]:
    def with_band(value: Estimate) -> str:
        return f"{value.value:,.1f}  ({value.low:,.1f} – {value.high:,.1f})"

    return [
        {
            word("thresholds.figure"): word(f"thresholds.{name}"),
            word("thresholds.a_day"): with_band(getattr(outcome.expected, name)),
            word("thresholds.change"): with_band(getattr(outcome.difference, name)),
        }
        for name in _FIGURES
    ]


def _show_saving(what_if: WhatIf, actor: Actor, pair: Pair, costs: Costs, pace: float) -> None:
    review, reject, is_in_force = pair["review"], pair["reject"], pair == _in_force(what_if)
    name = f"save-thresholds-{_key(what_if)}"
    with st.form(name):
        never = word("thresholds.never") if reject is None else f"{reject:.4g}"
        st.text(word("thresholds.about_to", review=f"{review:.4g}", reject=never))
        if is_in_force:
            st.text(word("thresholds.unchanged"))
        reason = st.text_input(word("thresholds.reason"), max_chars=1000)
        # Another button for another pair: whoever presses it has read which one is saved.
        key = f"{name}-{review!r}-{reject!r}"
        if not st.form_submit_button(word("thresholds.save"), key=key, disabled=is_in_force):
            return
    saving = _Saving()
    # A second press starts a run beside this one, which then ends where it next touches the session
    # and can tell nobody: so the session knows before, and the second run waits and tells.
    with saving.is_over:
        keep(_SAVING, saving)
        try:
            saving.result = current_plant().save_thresholds(
                what_if,
                actor=actor,
                **pair,
                reason=reason,
                costs=costs,
                parts_per_day=pace,
            )
        except CdmInspectError as error:
            saving.result = error
        if isinstance(saving.result, int | CalibrationError):
            _opened.clear()  # other thresholds are in force than those it was opened on
    st.rerun()


def _tell_saved() -> None:
    """Say once what came of the button, as soon as it is known."""
    saving: _Saving | None = kept(_SAVING)
    if saving is None:
        return
    with saving.is_over:
        result = saving.result
    if isinstance(result, CdmInspectError):
        notify("error", explained(result))
    elif result is not None:
        notify("success", word("thresholds.saved", version=result))
    keep(_SAVING, None)
    st.rerun()
