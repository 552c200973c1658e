"""What is shown where something cannot be read."""

from __future__ import annotations

import streamlit as st

from cdm_inspect.config.words import kind_of
from cdm_inspect.errors import CdmInspectError
from cdm_inspect_review.page_state import explained, word

_OF_RECORDS = ("StorageError", "StoreUnreachable", "DamagedFile")


def show(error: CdmInspectError) -> None:
    """In a sentence; the product's own words say what to do."""
    st.error(word("no_store" if kind_of(error) in _OF_RECORDS else "not_possible"))
    st.text(explained(error))
