"""The one place that touches `st.session_state`."""

from __future__ import annotations

import streamlit as st


class Session:
    """What one browser tab remembers."""

    @property
    def language(self) -> str:
        return str(st.session_state.get("_language", "en"))

    @language.setter
    def language(self, value: str) -> None:
        st.session_state["_language"] = value

    @property
    def reviewer(self) -> str:
        return str(st.session_state.get("_reviewer", ""))

    @reviewer.setter
    def reviewer(self, value: str) -> None:
        st.session_state["_reviewer"] = value

    @property
    def selected(self) -> int | None:
        """Number of the inspection on the screen."""
        value = st.session_state.get("_selected")
        return None if value is None else int(value)

    @selected.setter
    def selected(self, value: int | None) -> None:
        st.session_state["_selected"] = value

    @property
    def notice(self) -> tuple[str, str] | None:
        """Kind (`success` or `error`) and text to show once at the top of the page."""
        value = st.session_state.pop("_notice", None)
        return None if value is None else (str(value[0]), str(value[1]))

    @notice.setter
    def notice(self, value: tuple[str, str]) -> None:
        st.session_state["_notice"] = value


SESSION = Session()
