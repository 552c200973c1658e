"""The only module of the app that talks to the product."""

from __future__ import annotations

import os
from pathlib import Path

import streamlit as st

from cdm_inspect.project import open_project
from cdm_inspect.records import Review
from cdm_inspect.review import ReviewDesk

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
