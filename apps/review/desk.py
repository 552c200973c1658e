"""The only module of the app that talks to the product."""

from __future__ import annotations

import os
from pathlib import Path

import streamlit as st

from cdm_inspect.contracts import PageOffer
from cdm_inspect.errors import CdmInspectError
from cdm_inspect.project import open_project
from cdm_inspect.records import JsonObject, Review
from cdm_inspect.review import ReviewDesk
from cdm_inspect.watching import drift

PROJECT_VARIABLE = "CDM_INSPECT_PROJECT"


def project_root() -> str:
    return os.environ.get(PROJECT_VARIABLE, ".")


@st.cache_resource
def open_desk(root: str) -> ReviewDesk:
    """One desk a server; its store is safe to use from several threads."""
    project = open_project(Path(root))

    def notify(review: Review) -> None:
        project.registry.notify("cdm_inspect_review_recorded", review=review)

    return ReviewDesk(project.open_store(), notify)


@st.cache_resource
def pages_of_plugins(root: str) -> list[PageOffer]:
    return list(open_project(Path(root)).registry.usable(PageOffer).values())


def calibration_in_force(line: str) -> str | None:
    """Its id; None where nobody knows, as on a desk without the models."""
    try:
        return open_project(Path(project_root()), line=line).calibration(line).id
    except CdmInspectError:
        return None


def line_drift(line: str) -> JsonObject:
    """Where the control charts of a line stand; see `watching.drift`."""
    # Opened anew: the line may have been calibrated since the server started.
    return drift(open_project(Path(project_root()), line=line), line)
