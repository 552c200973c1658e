"""A page that a plugin has added."""

from __future__ import annotations

import logging

import streamlit as st

from cdm_inspect.plugins import PageOffer, PageView
from cdm_inspect.review import ReviewDesk
from cdm_inspect_review.page_state import language, word

_log = logging.getLogger(__name__)


def show(offer: PageOffer, desk: ReviewDesk, line: str) -> None:
    """Whatever it shows; what it raises stays on its page."""
    try:
        offer.show(PageView(line=line, language=language(), store=desk.store))
    except Exception as error:  # noqa: BLE001 - a plugin's page must not stop the desk
        _log.warning("page %r failed", offer.name, exc_info=True)
        st.error(word("page_failed"))
        st.text(f"{offer.name}: {type(error).__name__}: {error}")
