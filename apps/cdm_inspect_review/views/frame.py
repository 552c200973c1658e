"""What stands around every page: line, language, person."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from urllib.parse import quote

import streamlit as st

from cdm_inspect.config.words import LANGUAGES
from cdm_inspect.roles import Actor
from cdm_inspect_review import access, addresses, components
from cdm_inspect_review.page_state import (
    LANGUAGE_COOKIE,
    enter,
    entered,
    keep,
    kept,
    language,
    show_notice,
    word,
)

OF_ONE_LINE = ("verdict", "decision", "reviewer", "from", "until", "shift", "after", "part")
"""What History asks for in the address of one line; a serial or a lot is looked for on others."""
_MARKUP, _LITERAL = re.compile(r"([!-/:-@[-`{-~])"), r"\\\1"
# Streamlit's own margins leave a third of a small screen empty. Its captions lack contrast.
_STYLE = """<style>
[data-testid="stMainBlockContainer"] { padding: 3.9rem 1.2rem 0.5rem; }
[data-testid="stCaptionContainer"], [data-testid="stCaptionContainer"] * { color: inherit; }
/* For gloves. */
[data-testid="stTopNavLink"], [data-testid="stButtonGroup"] button, .stButton button,
.stDownloadButton button, .stFormSubmitButton button { min-height: 44px !important; }
.st-key-head { gap: 0.8rem; }
a.way { display: inline-flex; align-items: center; min-height: 44px; padding: 0 1rem;
  border: 1px solid; border-radius: 0.5rem; color: inherit; text-decoration: none; }
.st-key-head [data-testid="stText"] { white-space: nowrap; }
/* "Press Enter to apply", in English only; a text counts when its field is left, too. */
[data-testid="InputInstructions"], .st-key-language-cookie { display: none; }
/* Streamlit's own CSV of a table would give a spreadsheet what people have written as formulas. */
[data-testid="stElementToolbarButton"]:has([aria-label="Download as CSV"]) { display: none; }
</style>"""
_KIOSK = """<style>
[data-testid="stHeader"] { display: none; }
[data-testid="stMainBlockContainer"] { padding-top: 0.6rem; }
</style>"""


def is_kiosk() -> bool:
    """Whether the page fills a screen on the floor; asked for with `?kiosk=1`."""
    return st.query_params.get("kiosk") == "1"


def style() -> None:
    """Looks of all pages."""
    st.html(_STYLE)
    if is_kiosk():
        st.html(_KIOSK)


def show_head(lines: Sequence[str], actor: Actor | None) -> str:
    """Line, language and person; the line that was chosen."""
    asked = _choose_line(lines)
    with st.container(key="head", horizontal=True, vertical_alignment="center"):
        line = st.selectbox(
            word("line"),
            lines,
            key="line",
            label_visibility="collapsed",
            width=180,
            format_func=lambda name: f"{word('line')} {name}",
        )
        # So that it is the same one after a reload, on every page, and through a login.
        if line != (asked or lines[0]):
            _turn_to(str(line), is_another=line != kept("line"))
        keep("line", line)
        show_person(actor)
    return str(line)


def _choose_line(lines: Sequence[str]) -> str | None:
    """Put a line into the choice, where none is; the one that the address names, None if none.

    An address that has changed otherwise than by the choice, such as by the browser's way back,
    counts for more than what was chosen before.
    """
    asked = st.query_params.get("line")
    asked = asked if asked in lines else None
    if asked and asked != kept("line"):
        enter("line", asked)
    elif entered("line") not in lines:
        enter("line", asked or lines[0])
    return asked


def _turn_to(line: str, *, is_another: bool) -> None:
    """Name a line in the address, at once, so that the browser's way back has no step between."""
    query = st.query_params.to_dict()
    if is_another:
        query = {name: value for name, value in query.items() if name not in OF_ONE_LINE}
    st.query_params.from_dict({**query, "line": line})


def show_person(actor: Actor | None) -> None:
    """Language and person."""
    _show_languages()
    if actor is None:
        _show_way(word("who"), access.LOGIN)
    else:
        st.text(f"{actor.name} · {word(f'role.{actor.role.value}')}")
        _show_leave()


def _show_languages() -> None:
    """What is chosen is kept in the browser, for the next page and the login."""
    st.segmented_control(
        word("language"),
        list(LANGUAGES),
        default=language(),
        format_func=LANGUAGES.__getitem__,
        key="language",
        required=True,
        label_visibility="collapsed",
        on_change=keep,
        args=("is_language_chosen", True),
    )
    if kept("is_language_chosen"):
        components.keep_language(LANGUAGE_COOKIE, language())


def show_title(title: str, line: str) -> None:
    """Of a page about one line, whose name is text, whatever it would be in Markdown."""
    st.title(f"{title}: {_MARKUP.sub(_LITERAL, line)}", anchor=False)


def show_login() -> None:
    """To whoever has to say who they are, or again: nothing of the plant."""
    _show_languages()
    show_notice()
    st.title("cdm-inspect")
    if access.mode() is not access.Mode.OIDC:
        st.text(word("login.over"))
        _show_way(word("login.again"), access.LOGIN)
        return
    if st.user.is_logged_in:
        # Logged in, and yet nobody: the login is too old, or gives no role here.
        st.text(word("login.no_role"))
        st.button(word("leave"), on_click=access.leave_plant_login)
        return
    st.text(word("login.why_oidc"))
    st.button(word("login.enter"), on_click=st.login, type="primary")


def _show_leave() -> None:
    if access.mode() is access.Mode.OIDC:
        st.button(word("leave"), on_click=access.leave_plant_login)
    else:
        _show_way(word("leave"), access.LOGOUT)


def _show_way(text: str, address: str) -> None:
    """A link in the same tab; Streamlit's open another, and this one would go on being used.

    It leads back to this page, which may be that of a kiosk: nobody can type an address there.
    """
    if (here := addresses.here()) != "/":
        address = html.escape(f"{address}?next={quote(here, safe='')}")
    way = f'<a class="way" href="{address}" target="_self">{html.escape(text)}</a>'
    st.html(way, width="content")
