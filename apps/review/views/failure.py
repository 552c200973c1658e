"""What is shown where something cannot be read."""

from __future__ import annotations

import streamlit as st
from session import explained, word

from cdm_inspect.errors import CdmInspectError


def show(error: CdmInspectError) -> None:
    """In a sentence; the product's own words say what to do."""
    st.error(word("no_store"))
    st.text(explained(error))
