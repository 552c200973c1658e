"""What judges the line: model, calibration and their history, exports, stations; reports of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from cdm_inspect.errors import CdmInspectError
from cdm_inspect.review import ReviewDesk
from cdm_inspect.review.line_status import LineModels
from cdm_inspect.roles import Actor
from cdm_inspect_review import model_tables as tables
from cdm_inspect_review.page_state import explained, word
from cdm_inspect_review.plant import current_plant
from cdm_inspect_review.views import failure, frame, model_reports

_SECONDS = 20


def show(desk: ReviewDesk, line: str, actor: Actor | None) -> None:
    """The line in full, then all lines, then what was measured of the line."""
    frame.show_title(word("page.models"), line)
    zone = desk.config.review.zone
    try:
        found = _models(line)
    except CdmInspectError as error:
        failure.show(error)
        return
    _show_problems(found, zone)
    left, right = st.columns(2)
    with left.container(border=True):
        _show_facts(
            word("models.model_title"),
            tables.model_facts(found.model, word, zone) if found.model else [],
        )
    with right.container(border=True):
        _show_facts(
            word("models.calibration_title"),
            tables.calibration_facts(found.calibration, word, zone) if found.calibration else [],
        )
    _show_rows("running", tables.running_rows(found, word, zone))
    _show_rows("versions", tables.version_rows(found, word, zone))
    _show_rows("exported", tables.export_rows(found, word, zone))
    model_reports.show(line, zone)
    _show_all_lines(zone)


@st.cache_resource(ttl=_SECONDS, show_spinner=False)
def _models(line: str) -> LineModels:
    """Read anew after a while: the files of an export are hashed each time."""
    return current_plant().models(line)


def _show_problems(found: LineModels, zone: tables.Zone) -> None:
    """What people have to know before they look at figures."""
    texts = [explained(found.error)] if found.error is not None else []
    if found.calibration is not None and found.calibration.expiry is not None:
        texts.append(tables.expiry(found.calibration, word, zone))
    model = found.model.id if found.model else tables.NOTHING
    texts += [
        word("models.stray", station=run.station or "?", other=run.model, model=model)
        for run in found.strays
    ]
    for text in texts:
        with st.container(border=True):
            st.text(f"✖ {text}")


def _show_facts(title: str, facts: Sequence[tuple[str, str]]) -> None:
    st.subheader(title, anchor=False)
    if not facts:
        st.text(word("models.none_in_force"))
    else:
        st.text("\n".join(f"{name}: {value}" for name, value in facts))


def _show_rows(name: str, rows: Sequence[tables.Row]) -> None:
    """A table under its title, or why there is none."""
    st.subheader(word(f"models.{name}_title"), anchor=False)
    if rows:
        st.dataframe(rows, hide_index=True, width="stretch", placeholder="–")
    else:
        st.text(word(f"models.{name}_none"))


def _show_all_lines(zone: tables.Zone) -> None:
    plant = current_plant()
    st.subheader(word("models.all_title"), anchor=False)
    rows = []
    for name in sorted(plant.project.config.lines):
        found = _or_none(_models, name)
        if found is not None:
            rows.append(tables.line_row(found, word, zone))
    if rows:
        st.dataframe(rows, hide_index=True, width="stretch", placeholder="–")
    else:
        st.text(word("models.all_none"))


def _or_none(read: Callable[[str], LineModels], line: str) -> LineModels | None:
    try:
        return read(line)
    except CdmInspectError:
        return None  # the page of that line says why
