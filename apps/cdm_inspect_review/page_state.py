"""The one place that touches `st.session_state`: what one browser tab remembers."""

from __future__ import annotations

from typing import Any

import streamlit as st

from cdm_inspect.config.words import LANGUAGES, Speech
from cdm_inspect.errors import CdmInspectError

LANGUAGE_COOKIE = "cdm_language"
"""Keeps in a browser which language was chosen last: "en" or "ja", and nothing else."""


def language() -> str:
    """Chosen on the page, or in this browser before; at first that of the browser."""
    if (chosen := st.session_state.get("language")) in LANGUAGES:
        return str(chosen)
    if (chosen := st.context.cookies.get(LANGUAGE_COOKIE)) in LANGUAGES:
        return str(chosen)
    return "ja" if (st.context.locale or "").startswith("ja") else "en"


def word(key: str, **values: object) -> str:
    """A text in the language of the session."""
    return Speech(language())(key, **values)


def explained(error: CdmInspectError) -> str:
    """What went wrong, its kind in the language of the session."""
    return Speech(language()).error(error)


def keep(name: str, value: object) -> None:
    """Remember something of this tab until it is closed; None forgets it."""
    if value is None:
        st.session_state.pop(f"_{name}", None)
    else:
        st.session_state[f"_{name}"] = value


def kept(name: str) -> Any:
    """What was remembered under a name; None if nothing."""
    return st.session_state.get(f"_{name}")


def entered(name: str) -> Any:
    """What a widget of that key holds; None where it was not drawn the last time."""
    return st.session_state.get(name)


def enter(name: str, value: object) -> None:
    """Put a value into a widget that is about to be drawn."""
    st.session_state[name] = value


def notify(kind: str, text: str) -> None:
    """Show a text at the top of the page the next time it is drawn."""
    st.session_state["_notice"] = kind, text


def show_notice() -> None:
    """Show what there is to show, once. Text of people is text, never markup."""
    notice = st.session_state.pop("_notice", None)
    if notice is not None:
        kind, text = notice
        with st.container(border=True):
            st.text(f"{'✔' if kind == 'success' else '✖'} {text}")
