"""The review app: router and sidebar. Started by `cdm-inspect dashboard`."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import streamlit as st
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))

import desk
from session import SESSION
from views import drift, history, plugin, queue
from words import LANGUAGES, word

from cdm_inspect.errors import CdmInspectError

# A drawn icon: a named one would be fetched from the internet.
_ICON = Image.new("RGB", (32, 32), (0, 32, 77))
_ICON.paste((253, 231, 37), (8, 8, 24, 24))


def main() -> None:
    st.set_page_config(page_title="cdm-inspect", page_icon=_ICON, layout="wide")
    language = st.sidebar.selectbox("Language / 言語", list(LANGUAGES), key="language")
    SESSION.language = LANGUAGES[language]
    try:
        counter = desk.open_desk(desk.project_root())
        lines = counter.lines()
    except CdmInspectError as error:
        st.error(word("no_store"))
        st.text(str(error))
        return
    if not lines:
        st.info(word("nothing_inspected"))
        return
    line = st.sidebar.selectbox(word("line"), lines, key="line")
    SESSION.reviewer = st.sidebar.text_input(word("reviewer"), key="reviewer").strip()
    pages = [
        st.Page(partial(queue.show, counter, line), title=word("queue"), url_path="queue"),
        st.Page(partial(history.show, counter, line), title=word("history"), url_path="history"),
        st.Page(partial(drift.show, line), title=word("drift"), url_path="drift"),
    ]
    pages += [
        st.Page(
            partial(plugin.show, offer, counter, line),
            title=offer.titles.get(SESSION.language, offer.summary),
            url_path=f"plugin-{offer.name}",
        )
        for offer in desk.pages_of_plugins(desk.project_root())
    ]
    st.navigation(pages).run()


main()
