"""Before the first part has been inspected: three steps, and a demo line that shows them all."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from cdm_inspect.errors import CdmInspectError
from cdm_inspect.monitoring.health import can_train
from cdm_inspect.review.demo_process import DemoProgress, DemoState
from cdm_inspect.roles import Actor, Right, Role
from cdm_inspect_review import access
from cdm_inspect_review.page_state import explained, word
from cdm_inspect_review.plant import close_demo, current_plant, open_demo
from cdm_inspect_review.views import failure, frame

# About how much of the time is over when a step begins: training takes most of it.
_BEGINS = (0.0, 0.02, 0.04, 0.72, 0.8, 0.92, 1.0)
_SECONDS = 1.0
_NOBODY = Actor("", Role.AUDITOR)
"""Who has not said who they are, where that is asked for."""


def show(actor: Actor | None) -> None:
    """What to do first."""
    with st.container(key="head", horizontal=True, vertical_alignment="center"):
        st.text("cdm-inspect")
        frame.show_person(actor)
    show_way_back(actor)
    st.title(word("first.title"), anchor=False)
    st.text(word("first.why"))
    try:
        _show_steps()
        show_demo(actor)
    except CdmInspectError as error:
        failure.show(error)


def show_demo(actor: Actor | None) -> None:
    """The demo line: how it is made, how far it is, and the way to it."""
    st.subheader(word("first.demo"), anchor=False)
    st.text(word("first.demo_why"))
    progress = current_plant().demo.progress()
    if progress.state is DemoState.RUNNING:
        # Drawn each second by itself; the page once it is over.
        st.fragment(_follow, run_every=_SECONDS)()
        return
    if progress.state is DemoState.FAILED:
        st.text(f"✖ {word('first.failed')}")
        _show_output(progress)
    if progress.state is not DemoState.DONE and not can_train():
        st.text(word("first.no_train"))
        st.code("pip install 'cdm-inspect[train]'", language=None)
    elif not _may(actor):
        st.text(word("first.may_not"))
    elif progress.state is DemoState.DONE:
        _offer_to_open(actor)
    elif st.button(word("first.make"), key="first-make"):
        _do(lambda: current_plant().demo.start(_by(actor)))


def show_way_back(actor: Actor | None) -> None:
    """Where the server shows the demo line: that it does, and how it goes back."""
    if not current_plant().is_demo:
        return
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        st.text(word("first.is_demo"))
        if _may(actor) and st.button(word("first.back"), key="first-back"):
            _do(lambda: _turn(lambda: close_demo(_by(actor))))


def _show_steps() -> None:
    """What is done already has a tick."""
    plant = current_plant()
    lines = sorted(plant.project.config.lines)
    line = lines[0] if lines else "A"
    found = plant.models(line) if lines else None
    at = f"cdm-inspect --project {plant.root}"
    has_model = found is not None and found.model is not None
    has_calibration = found is not None and found.calibration is not None
    steps = {
        "describe": (bool(lines), [f"{at} init --line {line}"]),
        "learn": (
            has_model and has_calibration,
            [f"{at} train --line {line}", f"{at} calibrate --line {line}"],
        ),
        "inspect": (False, [f"{at} inspect --line {line} photographs/"]),
    }
    for number, (name, (is_done, commands)) in enumerate(steps.items(), start=1):
        done = f" ✔ {word('first.done')}" if is_done else ""
        st.subheader(f"{number}. {word(f'first.{name}')}{done}", anchor=False)
        folder = plant.project.config.line(line).normal if lines else f"data/{line}/train/good"
        st.text(word(f"first.{name}_why", folder=folder))
        st.code("\n".join(commands), language=None, wrap_lines=True)


def _follow() -> None:
    progress = current_plant().demo.progress()
    if progress.state is not DemoState.RUNNING:
        st.rerun()
    begun = _BEGINS[max(progress.step - 1, 0)]
    share = begun + (progress.share or 0.0) * (_BEGINS[progress.step] - begun)
    st.progress(share)
    st.text(word(f"first.step_{progress.step}"))
    _show_output(progress)


def _show_output(progress: DemoProgress) -> None:
    if progress.lines:
        st.code("\n".join(progress.lines), language=None, wrap_lines=True)


def _offer_to_open(actor: Actor | None) -> None:
    plant = current_plant()
    st.text(f"✔ {word('first.made')}")
    if plant.is_demo:
        return
    if plant.desk.lines():
        # People are at work here; turned away, they would lose their desk.
        st.text(word("first.at_work"))
        command = f"cdm-inspect --project {plant.demo.folder} dashboard --port 8502"
        st.code(command, language=None, wrap_lines=True)
    else:
        st.text(word("first.open_why"))
        if st.button(word("first.open"), key="first-open"):
            _do(lambda: _turn(lambda: open_demo(_by(actor))))


def _turn(way: Callable[[], None]) -> None:
    """Go to the other plant; nothing that was read of this one may be shown there."""
    way()
    st.cache_resource.clear()
    st.cache_data.clear()


def _do(what: Callable[[], None]) -> None:
    try:
        what()
    except CdmInspectError as error:
        st.text(f"✖ {explained(error)}")
        return
    st.rerun()


def _by(actor: Actor | None) -> Actor | None:
    """Who does it; None is anybody, where nobody has to log in."""
    return None if access.mode() is access.Mode.OPEN else actor or _NOBODY


def _may(actor: Actor | None) -> bool:
    is_open = access.mode() is access.Mode.OPEN
    return is_open or (actor is not None and actor.may(Right.ADMINISTER))
