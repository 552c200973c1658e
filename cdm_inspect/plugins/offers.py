"""What plugins offer: which offers are sound, and which one counts where two have one name."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from inspect import signature
from typing import Any, TypeVar

from pydantic import BaseModel

from cdm_inspect.errors import (
    PluginConflict,
    PluginUnavailable,
)
from cdm_inspect.plugins.contracts.commands import CommandOffer
from cdm_inspect.plugins.contracts.datasets import ReaderOffer
from cdm_inspect.plugins.contracts.exporters import ExporterOffer
from cdm_inspect.plugins.contracts.options import CONTRACT
from cdm_inspect.plugins.contracts.review_pages import PageOffer
from cdm_inspect.plugins.contracts.scorers import ScorerOffer
from cdm_inspect.plugins.contracts.stores import SinkOffer, StoreOffer

BUILTIN = "cdm-inspect"

_log = logging.getLogger(__name__)
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
# For each registration hook what it returns, which field of that makes what is offered, and of how
# many arguments.
KINDS: dict[str, tuple[type[Any], str, int]] = {
    "cdm_inspect_scorers": (ScorerOffer, "build", 2),
    "cdm_inspect_exporters": (ExporterOffer, "build", 1),
    "cdm_inspect_stores": (StoreOffer, "open", 2),
    "cdm_inspect_sinks": (SinkOffer, "open", 2),
    "cdm_inspect_pages": (PageOffer, "show", 1),
    "cdm_inspect_commands": (CommandOffer, "build", 0),
    "cdm_inspect_readers": (ReaderOffer, "read", 2),
}
Offer = (
    ScorerOffer | ExporterOffer | StoreOffer | SinkOffer | PageOffer | CommandOffer | ReaderOffer
)
"""Anything that a plugin can offer."""
Configured = ScorerOffer | ExporterOffer | StoreOffer | SinkOffer | ReaderOffer
T = TypeVar(
    "T", ScorerOffer, ExporterOffer, StoreOffer, SinkOffer, PageOffer, CommandOffer, ReaderOffer
)


class PluginProblem(StrEnum):
    """What is wrong with a plugin, for programs that say it in their own words."""

    DISABLED = "disabled"
    NOT_ALLOWED = "not-allowed"
    IMPORT = "import"
    SLOW = "slow"
    HOOK = "hook"
    RAISED = "raised"
    OFFER = "offer"
    NAME_TAKEN = "name-taken"


@dataclass(kw_only=True)
class PluginRow:
    """What became of one entry point; a row of `cdm-inspect plugins`.

    Attributes:
        module: that it names.
        file: that the module was loaded from; empty if it was not.
        status: `loaded`, `partly refused`, `refused`, `not allowed` or `disabled`.
        reason: for people; also why a plugin that was loaded is slow.
        troubles: kinds of what the reason tells.
        hooks: that it implements.
        offers: that are sound, each with its kind.
        seconds: that its import took.
    """

    name: str
    distribution: str
    version: str
    module: str
    file: str = ""
    status: str = "loaded"
    reason: str = ""
    troubles: list[PluginProblem] = field(default_factory=list)
    hooks: list[str] = field(default_factory=list)
    offers: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def refuse(self, reason: str, trouble: PluginProblem) -> None:
        """Note why it, or a part of it, is not used."""
        self.note(trouble)
        self.status = "refused" if not self.offers else "partly refused"
        line = " ".join(reason.split())  # pluggy writes several
        self.reason = f"{self.reason}; {line}" if self.reason else line

    def note(self, trouble: PluginProblem) -> None:
        """Note a kind of trouble, once."""
        if trouble not in self.troubles:
            self.troubles.append(trouble)


@dataclass(kw_only=True)
class _Entry:
    offer: Offer
    row: PluginRow


class OfferTable:
    """Sound offers by kind and name.

    Args:
        replaces: which distribution or plugin counts for a name that several offer.
    """

    def __init__(self, replaces: Mapping[str, str]) -> None:
        self._replaces = replaces
        self._entries: dict[tuple[type[Any], str], list[_Entry]] = {}

    def add(self, kind: type[Any], offer: Offer, row: PluginRow) -> None:
        """Enter an offer of a plugin."""
        row.offers.append(f"{word_of(kind)} {offer.name}")
        if row.status == "refused":  # what was offered before this
            row.status = "partly refused"
        self._entries.setdefault((kind, offer.name), []).append(_Entry(offer=offer, row=row))

    def usable(self, kind: type[T]) -> dict[str, T]:
        """Sound offers of a kind by name, without those that two plugins make."""
        winners = {
            name: self._winner(entries)
            for (offered, name), entries in sorted(
                self._entries.items(), key=lambda item: item[0][1]
            )
            if offered is kind
        }
        return {name: w.offer for name, w in winners.items() if w is not None}  # type: ignore[misc]

    def named(self, kind: type[T], name: str, *, refused: str) -> T:
        """An offer that somebody asked for by name.

        Args:
            refused: what was not used and why, for the sentence of the error.

        Raises:
            PluginUnavailable: if there is none, with the reason where one was refused.
            PluginConflict: if several plugins offer it.
        """
        usable, word = self.usable(kind), word_of(kind)
        chosen = self._replaces.get(name)
        if chosen is not None and not any(
            chosen in (c.row.name, c.row.distribution)
            for (_, offered), entries in self._entries.items()
            for c in entries
            if offered == name
        ):
            raise PluginUnavailable(
                f"plugins.replaces names {chosen!r} for {name!r}, and that offers nothing of that "
                f"name. {refused}Install it, or remove it there."
            )
        if name in usable:
            return usable[name]
        if entries := self._entries.get((kind, name)):
            providers = ", ".join(f"{c.row.distribution} ({c.row.name})" for c in entries)
            raise PluginConflict(
                f"several plugins offer the {word} {name!r}: {providers}. Uninstall one, or choose "
                f'with [plugins.replaces] {name} = "DISTRIBUTION".'
            )
        raise PluginUnavailable(
            f"no installed plugin offers the {word} {name!r}; there are: "
            f"{', '.join(usable) or 'none'}. {refused}Install the plugin, or correct the "
            "name."
        )

    def note_clashes(self) -> None:
        """Say of each offer that another plugin has taken the name of why it is not used."""
        for (kind, name), entries in self._entries.items():
            winner = self._winner(entries)
            for entry in entries:
                if entry is winner:
                    continue
                others = [c.row.distribution for c in entries if c is not entry]
                entry.row.offers.remove(f"{word_of(kind)} {name}")
                entry.row.refuse(
                    f"the {word_of(kind)} {name!r} is also offered by {', '.join(others)}; choose "
                    f"with plugins.replaces",
                    PluginProblem.NAME_TAKEN,
                )
                warn_of(entry.row)

    def _winner(self, entries: Sequence[_Entry]) -> _Entry | None:
        """The one offer of a name that counts; None where it cannot be decided."""
        chosen = self._replaces.get(entries[0].offer.name)
        named = [c for c in entries if chosen in (c.row.name, c.row.distribution)]
        if named:  # else it is about another kind of that name; see `named`
            return named[0] if len(named) == 1 else None
        builtin = [entry for entry in entries if entry.row.distribution == BUILTIN]
        # A plugin replaces what is built in only where the project says so.
        eligible = builtin or entries
        return eligible[0] if len(eligible) == 1 else None


def check_offer(offer: Any, kind: type[Any]) -> str:
    """Why an offer of a kind cannot be used; empty if it can."""
    builder, arguments = next((name, n) for of, name, n in KINDS.values() if of is kind)
    if type(offer) is not kind:
        return f"expected {kind.__name__}, found {type(offer).__name__}"
    if offer.contract != CONTRACT:
        return f"{offer.name!r} is for contract {offer.contract}, this program has {CONTRACT}"
    if not isinstance(offer.name, str) or not _NAME.fullmatch(offer.name):
        return f"expected a kebab-case name, found {offer.name!r}"
    if not isinstance(offer.summary, str) or "\n" in offer.summary or not offer.summary.strip():
        return f"{offer.name!r} needs a summary of one line"
    options = getattr(offer, "options", BaseModel)  # pages and commands have none
    if not (isinstance(options, type) and issubclass(options, BaseModel)):
        return f"{offer.name!r} needs a Pydantic model as options, found {options!r}"
    if isinstance(offer, PageOffer) and not _are_titles(offer.titles):
        return f"{offer.name!r} needs titles by language, found {offer.titles!r}"
    build: Callable[..., Any] = getattr(offer, builder)
    try:
        signature(build).bind(*range(arguments))
    except (TypeError, ValueError) as error:
        return f"{offer.name!r}: {builder} must take {arguments} arguments: {error}"
    return ""


def _are_titles(titles: Any) -> bool:
    return isinstance(titles, Mapping) and all(
        isinstance(text, str) and text.strip() for pair in titles.items() for text in pair
    )


def word_of(kind: type[Any]) -> str:
    """A kind of offer as people call it, such as "scorer"."""
    return kind.__name__.removesuffix("Offer").lower()


def warn_of(row: PluginRow) -> None:
    """Log what is wrong with a plugin."""
    _log.warning("plugin %s (%s %s): %s", row.name, row.distribution, row.version, row.reason)
