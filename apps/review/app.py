"""The review app: router and head of the page. Started by `cdm-inspect dashboard`."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import streamlit as st
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))

import access
import desk
from session import language, show_notice, word
from views import (
    admin,
    audit,
    drift,
    failure,
    first_run,
    frame,
    history,
    lines,
    models,
    plugin,
    queue,
    report,
    thresholds,
)

from cdm_inspect.errors import CdmInspectError

# A drawn icon: a named one would be fetched from the internet.
_ICON = Image.new("RGB", (32, 32), (0, 32, 77))
_ICON.paste((253, 231, 37), (8, 8, 24, 24))

# In the order of the menu, by the name in the address.
_PAGES = {
    "desk": queue,
    "queue": queue,
    "lines": lines,
    "drift": drift,
    "thresholds": thresholds,
    "history": history,
    "report": report,
    "audit": audit,
    "models": models,
    "admin": admin,
}


def main() -> None:
    """One page, for one person and line."""
    st.set_page_config(
        page_title="cdm-inspect",
        page_icon=_ICON,
        layout="wide",
        initial_sidebar_state="collapsed",
    )
    frame.style()
    try:
        actor = access.current()
        counter = desk.plant().desk
        lines = counter.lines()
    except CdmInspectError as error:
        failure.show(error)
        return
    if access.mode() is not access.Mode.OPEN and actor is None:
        frame.show_login()
        return
    if not lines:
        # Alone, so that no menu of a plant at work is left behind.
        first = st.Page(partial(first_run.show, actor), title="cdm-inspect", url_path="first")
        st.navigation([first], position="hidden").run()
        return
    line = frame.show_head(lines, actor)
    first_run.show_way_back(actor)
    pages = [
        st.Page(
            partial(view.show, counter, line, actor),
            title=word(f"page.{name}"),
            url_path=name,
            default=name == "desk",
            # The first page has no name of its own, but people type or have noted one.
            visibility="hidden" if name == "queue" else "visible",
        )
        for name, view in _PAGES.items()
    ]
    pages += [
        st.Page(
            partial(plugin.show, offer, counter, line),
            title=offer.titles.get(language(), offer.summary),
            url_path=f"plugin-{offer.name}",
        )
        for offer in desk.plant().pages()
    ]
    page = st.navigation(pages, position="top")
    show_notice()
    page.run()


main()
