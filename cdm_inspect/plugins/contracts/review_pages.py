"""Pages that plugins add to the review app."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cdm_inspect.plugins.contracts.stores import InspectionReader


@dataclass(frozen=True, kw_only=True)
class PageView:
    """What a page is about.

    Attributes:
        line: chosen in the sidebar.
        language: "en" or "ja".
        store: to read from.
    """

    line: str
    language: str
    store: InspectionReader


@dataclass(frozen=True, kw_only=True)
class PageOffer:
    """A page of the review app, by name.

    Attributes:
        show: draws the page with Streamlit, which it should import itself; what it raises is shown
            on the page and stops nothing else.
        titles: by language; where one is missing, `summary` stands in the menu.
    """

    name: str
    summary: str
    show: Callable[[PageView], None]
    titles: Mapping[str, str] = field(default_factory=dict)
    contract: int
