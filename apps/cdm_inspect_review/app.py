"""The review app: router and head of the page. Started by `cdm-inspect dashboard`."""

from __future__ import annotations

from functools import partial

import streamlit as st
from PIL import Image

from cdm_inspect.errors import CdmInspectError
from cdm_inspect_review import access
from cdm_inspect_review.page_state import language, show_notice, word
from cdm_inspect_review.plant import current_plant
from cdm_inspect_review.views import (
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
        desk = current_plant().desk
        lines = desk.lines()
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
    pages = [
        st.Page(
            partial(view.show, desk, line, actor),
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
            partial(plugin.show, offer, desk, line),
            title=offer.titles.get(language(), offer.summary),
            url_path=f"plugin-{offer.name}",
        )
        for offer in current_plant().pages()
    ]
    page = st.navigation(pages, position="top")
    show_notice()
    page.run()


if __name__ == "__main__":  # as Streamlit runs it
    main()
