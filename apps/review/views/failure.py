"""What is shown where something cannot be read."""

from __future__ import annotations

import streamlit as st
from session import explained, word
from words import kind_of

from cdm_inspect.errors import CdmInspectError

_OF_RECORDS = ("StorageError", "StoreUnreachable", "DamagedFile")


def show(error: CdmInspectError) -> None:
    """In a sentence; the product's own words say what to do."""
    st.error(word("no_store" if kind_of(error) in _OF_RECORDS else "not_possible"))
    st.text(explained(error))
