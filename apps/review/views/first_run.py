"""Before the first part has been inspected."""

from __future__ import annotations

import streamlit as st
from session import word


def show() -> None:
    """What to do first."""
    st.title("cdm-inspect")
    st.text(word("nothing_inspected"))
