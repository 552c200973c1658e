"""Before the first part has been inspected: three steps, and how to see a demo line first."""

from __future__ import annotations

import streamlit as st

from cdm_inspect.errors import CdmInspectError
from cdm_inspect.monitoring.health import can_train
from cdm_inspect.roles import Actor
from cdm_inspect_review.page_state import word
from cdm_inspect_review.plant import current_plant
from cdm_inspect_review.views import failure, frame


def show(actor: Actor | None) -> None:
    """What to do first."""
    with st.container(key="head", horizontal=True, vertical_alignment="center"):
        st.text("cdm-inspect")
        frame.show_person(actor)
    st.title(word("first.title"), anchor=False)
    st.text(word("first.why"))
    try:
        _show_steps()
        _show_demo()
    except CdmInspectError as error:
        failure.show(error)


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


def _show_demo() -> None:
    """The commands that make a demo line beside the plant's own, and open it."""
    st.subheader(word("first.demo"), anchor=False)
    st.text(word("first.demo_why"))
    folder = current_plant().root / "demo-line"
    commands = [
        f"cdm-inspect demo --directory {folder}",
        f"cdm-inspect --project {folder} dashboard --port 8502",
    ]
    if not can_train():
        st.text(word("first.no_train"))
        commands.insert(0, "pip install 'cdm-inspect[train]'")
    st.code("\n".join(commands), language=None, wrap_lines=True)
