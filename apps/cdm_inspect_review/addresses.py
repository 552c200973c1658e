"""What stands behind the `?` of a page's address; nonsense in it counts as nothing."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Collection
from urllib.parse import urlencode, urlsplit

import streamlit as st

_NUMBER = re.compile(r"[0-9]{1,18}")
LONGEST = 129
"""Characters: a serial number, and the asterisk behind it."""
EARLIEST, LATEST = dt.date(2000, 1, 1), dt.date(2100, 1, 1)


def text(name: str) -> str:
    """A short text of one line."""
    found = st.query_params.get(name, "").strip()
    return found if len(found) <= LONGEST and found.isprintable() else ""


def number(name: str) -> int | None:
    """A number from 1."""
    found = st.query_params.get(name, "")
    return int(found) or None if _NUMBER.fullmatch(found) and found.isascii() else None


def day(name: str) -> dt.date | None:
    """A date such as 2026-11-26, of this century."""
    found = st.query_params.get(name, "")
    try:
        value = dt.date.fromisoformat(found[:10])
    except ValueError:
        return None
    return value if EARLIEST <= value <= LATEST and len(found) == len("2026-11-26") else None


def names(name: str, known: Collection[str]) -> list[str]:
    """Those of a list, parted by commas, that are known."""
    given = st.query_params.get(name, "")[: 16 * LONGEST].split(",")
    return [each for each in known if each in given]


def here() -> str:
    """The page with all that stands in its address, to come back to; from the path on."""
    query = urlencode(st.query_params.to_dict())
    path = urlsplit(st.context.url or "").path or "/"
    return f"{path}?{query}" if query else path


def say(**values: str | int | None) -> None:
    """Write values into the address; empty ones leave it."""
    for name, value in values.items():
        if value in (None, ""):
            st.query_params.pop(name, None)
        else:
            st.query_params[name] = str(value)
