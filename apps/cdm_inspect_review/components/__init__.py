"""Components of our own; registered here once, and not whenever a page is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from cdm_inspect_review import assets

# The parts of a component are modules of their own, under an address that changes with them.
_LOADER = """
export default function (component) {
  const { data, parentElement, setStateValue } = component;
  const root = parentElement.querySelector(".desk");
  const held = (root.held ??= { module: import(new URL("%(address)s", location.origin)) });
  held.data = data;
  held.set = setStateValue;
  held.module.then(({ mount }) => {
    if (held.isOver) return;
    if (held.mounted) held.mounted.update(held.data);
    else held.mounted = mount(root, held.data, (name, value) => held.set(name, value));
  });
  return () => {
    held.isOver = true;
    held.mounted?.end();
    root.held = undefined;
  };
}
"""

# Written once a choice, so that tabs do not take turns at overwriting each other's.
_COOKIE = """
export default function ({ data, parentElement }) {
  if (parentElement.kept === data.value) return;
  parentElement.kept = data.value;
  const secure = location.protocol === "https:" ? "; Secure" : "";
  document.cookie = `${data.name}=${data.value}; Path=/; Max-Age=31536000; SameSite=Lax${secure}`;
}
"""


def _component(name: str, *styles: str) -> Any:
    address = f"{assets.PREFIX}/{name}/{name}.js"
    return st.components.v2.component(
        f"cdm_{name}",
        html='<div class="desk"></div>',
        css="".join(
            (assets.FOLDER / style / f"{style}.css").read_text("utf-8") for style in (*styles, name)
        ),
        js=_LOADER % {"address": address},
    )


_DESK = _component("desk")
_PART = _component("part", "desk")
_LANGUAGE = st.components.v2.component("cdm_language", js=_COOKIE)


def keep_language(cookie: str, language: str) -> None:
    """Have the browser keep a choice; nothing is seen of it."""
    _LANGUAGE(key="language-cookie", data={"name": cookie, "value": language})


def show_desk(data: Mapping[str, Any]) -> None:
    """The review desk; it asks the server by itself, see `desk_api`."""
    _DESK(key="desk", data=dict(data))


def show_part(data: Mapping[str, Any]) -> None:
    """One part to look at, with linked panes."""
    _PART(key="part", data=dict(data))
