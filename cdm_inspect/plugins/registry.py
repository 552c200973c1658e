"""Finding plugins, and keeping a bad one from stopping the rest.

pluggy's own loader stops at the first import error, and one raising implementation aborts a hook
call for everyone. Here each entry point is imported, checked and asked by itself.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from importlib.metadata import EntryPoint, entry_points
from inspect import signature
from pathlib import Path
from typing import Any, TypeVar

import pluggy
from pydantic import BaseModel, ValidationError

from cdm_inspect.config import PluginsConfig, mistakes
from cdm_inspect.config.plugin_allow_list import why_refused
from cdm_inspect.errors import (
    PLUGIN_EXCEPTIONS,
    ConfigError,
    PluginConflict,
    PluginFailed,
    PluginUnavailable,
)
from cdm_inspect.plugins.contracts import (
    CONTRACT,
    CommandOffer,
    ExporterOffer,
    Offer,
    PageOffer,
    ReaderOffer,
    ScorerOffer,
    SinkOffer,
    StoreOffer,
)
from cdm_inspect.plugins.hooks import PROJECT, Hooks

DISABLE_VARIABLE = "CDM_INSPECT_DISABLE_PLUGINS"
BUILTIN = "cdm-inspect"

_log = logging.getLogger(__name__)
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
# For each registration hook what it returns, which field of that makes what is offered, and of how
# many arguments.
_KINDS: dict[str, tuple[type[Any], str, int]] = {
    "cdm_inspect_scorers": (ScorerOffer, "build", 2),
    "cdm_inspect_exporters": (ExporterOffer, "build", 1),
    "cdm_inspect_stores": (StoreOffer, "open", 2),
    "cdm_inspect_sinks": (SinkOffer, "open", 2),
    "cdm_inspect_pages": (PageOffer, "show", 1),
    "cdm_inspect_commands": (CommandOffer, "build", 0),
    "cdm_inspect_readers": (ReaderOffer, "read", 2),
}
_SLOW_SECONDS = 3.0
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
class _Claim:
    offer: Offer
    row: PluginRow


class Registry:
    """The plugins of this installation, loaded once.

    Attributes:
        rows: one for each entry point found, also for those refused.
        distributions: that they belong to, by name.
    """

    def __init__(
        self,
        config: PluginsConfig | None = None,
        *,
        points: Iterable[EntryPoint] | None = None,
    ) -> None:
        self.config = config or PluginsConfig()
        self.rows: list[PluginRow] = []
        self._manager = pluggy.PluginManager(PROJECT)
        self._manager.add_hookspecs(Hooks)
        self._claims: dict[tuple[type[Any], str], list[_Claim]] = {}
        found = list(entry_points(group=PROJECT) if points is None else points)
        self.distributions = {_distribution(p)[0]: p.dist for p in found if p.dist is not None}
        for point in sorted(found, key=lambda p: (_distribution(p)[0], p.name)):
            self._load(point)
        self._note_clashes()
        missing = [
            name
            for name in self.config.required
            if not any(name in (r.name, r.distribution) and r.status == "loaded" for r in self.rows)
        ]
        if missing:
            raise PluginUnavailable(
                f"required plugins are not there or not sound: {', '.join(missing)}. "
                f"{self._reasons()}Install them, or remove them from plugins.required."
            )

    @property
    def scorers(self) -> dict[str, ScorerOffer]:
        """Usable scorers by name."""
        return self.usable(ScorerOffer)

    def scorer(self, name: str) -> ScorerOffer:
        """A scorer that somebody asked for by name; see `named`."""
        return self.named(ScorerOffer, name)

    def usable(self, kind: type[T]) -> dict[str, T]:
        """Sound offers of a kind by name, without those that two plugins claim."""
        winners = {
            name: self._winner(claims)
            for (claimed, name), claims in sorted(self._claims.items(), key=lambda item: item[0][1])
            if claimed is kind
        }
        return {name: w.offer for name, w in winners.items() if w is not None}  # type: ignore[misc]

    def named(self, kind: type[T], name: str) -> T:
        """An offer that somebody asked for by name.

        Raises:
            PluginUnavailable: if there is none, with the reason where one was refused.
            PluginConflict: if several plugins offer it.
        """
        usable, word = self.usable(kind), _word(kind)
        chosen = self.config.replaces.get(name)
        if chosen is not None and not any(
            chosen in (c.row.name, c.row.distribution)
            for (_, claimed), claims in self._claims.items()
            for c in claims
            if claimed == name
        ):
            raise PluginUnavailable(
                f"plugins.replaces names {chosen!r} for {name!r}, and that offers nothing of that "
                f"name. {self._reasons()}Install it, or remove it there."
            )
        if name in usable:
            return usable[name]
        if claims := self._claims.get((kind, name)):
            providers = ", ".join(f"{c.row.distribution} ({c.row.name})" for c in claims)
            raise PluginConflict(
                f"several plugins offer the {word} {name!r}: {providers}. Uninstall one, or choose "
                f'with [plugins.replaces] {name} = "DISTRIBUTION".'
            )
        raise PluginUnavailable(
            f"no installed plugin offers the {word} {name!r}; there are: "
            f"{', '.join(usable) or 'none'}. {self._reasons()}Install the plugin, or correct the "
            "name."
        )

    def line_file(self, line: str, root: Path) -> Path | None:
        """The first answer of a plugin to where a line's own file is.

        Raises:
            PluginFailed: if the answer is no existing file inside `root`, or a plugin raised.
        """
        for implementation in self._implementations("cdm_inspect_line_file"):
            try:
                path = _call(implementation, line=line, root=root)
            except PLUGIN_EXCEPTIONS as error:
                raise PluginFailed(
                    f"plugin {implementation.plugin_name!r} failed to name the file of line "
                    f"{line!r}: {error}."
                ) from error
            if path is None:
                continue
            resolved = Path(path).resolve()
            if not resolved.is_file() or not resolved.is_relative_to(root.resolve()):
                raise PluginFailed(
                    f"plugin {implementation.plugin_name!r} named {path} as the file of line "
                    f"{line!r}: expected an existing file inside {root}."
                )
            return resolved
        return None

    def notify(self, hook: str, **arguments: Any) -> None:
        """Tell every observer; what one raises is logged and stops nobody."""
        for implementation in self._implementations(hook):
            try:
                _call(implementation, **arguments)
            except PLUGIN_EXCEPTIONS:  # an observer must not stop a line
                _log.warning(
                    "plugin %r failed in %s", implementation.plugin_name, hook, exc_info=True
                )

    def _implementations(self, hook: str) -> Sequence[Any]:
        # pluggy calls in reverse order of registration; `trylast` ones stand first in its list.
        return list(reversed(getattr(self._manager.hook, hook).get_hookimpls()))

    def _load(self, point: EntryPoint) -> None:
        distribution, version = _distribution(point)
        row = PluginRow(
            name=point.name, distribution=distribution, version=version, module=point.value
        )
        self.rows.append(row)
        if distribution != BUILTIN:
            if os.environ.get(DISABLE_VARIABLE):
                row.status, row.reason = "disabled", f"{DISABLE_VARIABLE} is set"
                row.note(PluginProblem.DISABLED)
                return
            allow = self.config.allow
            if allow is not None and (why := why_refused(point.dist, allow)):
                row.status, row.reason = "not allowed", why
                row.note(PluginProblem.NOT_ALLOWED)
                return
        began = time.perf_counter()
        try:
            plugin = point.load()
        except PLUGIN_EXCEPTIONS as error:  # whatever a plugin's module does
            row.refuse(f"import failed: {type(error).__name__}: {error}", PluginProblem.IMPORT)
            self._warn(row)
            return
        row.seconds = round(time.perf_counter() - began, 3)
        row.file = str(getattr(sys.modules.get(point.module), "__file__", None) or "")
        if row.seconds > _SLOW_SECONDS:
            row.note(PluginProblem.SLOW)
            row.reason = (
                f"its import took {row.seconds:.1f} s, at every start; it should import what is "
                "heavy where it builds"
            )
            self._warn(row)
        if self._register(row, plugin):
            for caller in self._manager.get_hookcallers(plugin) or ():
                row.hooks.append(caller.name)
                if caller.name in _KINDS:
                    mine = next(i for i in caller.get_hookimpls() if i.plugin is plugin)
                    self._collect(row, caller.name, mine)

    def _register(self, row: PluginRow, plugin: Any) -> bool:
        name = f"{row.distribution}:{row.name}"
        try:
            self._manager.register(plugin, name=name)
            self._manager.check_pending()
        except PLUGIN_EXCEPTIONS as error:  # pluggy raises many kinds
            # Refused for its signature, a plugin may still be registered with live hooks.
            if self._manager.has_plugin(name):
                self._manager.unregister(name=name)
            row.refuse(f"wrong hook: {error}", PluginProblem.HOOK)
            self._warn(row)
            return False
        return True

    def _collect(self, row: PluginRow, hook: str, implementation: Any) -> None:
        kind = _KINDS[hook][0]
        try:
            offers = list(implementation.function())
        except PLUGIN_EXCEPTIONS as error:  # a plugin's code
            row.refuse(f"{hook} raised {type(error).__name__}: {error}", PluginProblem.RAISED)
            self._warn(row)
            return
        for offer in offers:
            problem = check_offer(offer, kind)
            if problem:
                row.refuse(f"{hook}: {problem}", PluginProblem.OFFER)
                self._warn(row)
                continue
            row.offers.append(f"{_word(kind)} {offer.name}")
            if row.status == "refused":  # what was offered before this
                row.status = "partly refused"
            self._claims.setdefault((kind, offer.name), []).append(_Claim(offer=offer, row=row))

    def _note_clashes(self) -> None:
        """Say of each offer that another plugin has taken the name of why it is not used."""
        for (kind, name), claims in self._claims.items():
            winner = self._winner(claims)
            for claim in claims:
                if claim is winner:
                    continue
                others = [c.row.distribution for c in claims if c is not claim]
                claim.row.offers.remove(f"{_word(kind)} {name}")
                claim.row.refuse(
                    f"the {_word(kind)} {name!r} is also offered by {', '.join(others)}; choose "
                    f"with plugins.replaces",
                    PluginProblem.NAME_TAKEN,
                )
                self._warn(claim.row)

    def _winner(self, claims: Sequence[_Claim]) -> _Claim | None:
        """The one claim to a name that counts; None where it cannot be decided."""
        chosen = self.config.replaces.get(claims[0].offer.name)
        named = [c for c in claims if chosen in (c.row.name, c.row.distribution)]
        if named:  # else it is about another kind of that name; see `named`
            return named[0] if len(named) == 1 else None
        builtin = [claim for claim in claims if claim.row.distribution == BUILTIN]
        # A plugin replaces what is built in only where the project says so.
        eligible = builtin or claims
        return eligible[0] if len(eligible) == 1 else None

    def _reasons(self) -> str:
        refused = [
            f"{row.distribution}: {row.reason}" for row in self.rows if row.status != "loaded"
        ]
        return f"Not used were: {'; '.join(refused)}. " if refused else ""

    def _warn(self, row: PluginRow) -> None:
        _log.warning("plugin %s (%s %s): %s", row.name, row.distribution, row.version, row.reason)


def build_options(offer: Configured, given: dict[str, Any], where: str) -> BaseModel:
    """The options of an offer from what the project file says.

    Raises:
        ConfigError: with every mistake, each with its key.
    """
    try:
        return offer.options.model_validate(given)
    except ValidationError as error:
        raise ConfigError(
            f"the options of {offer.name!r} cannot be used:", mistakes(error, where)
        ) from error


def check_offer(offer: Any, kind: type[Any]) -> str:
    """Why an offer of a kind cannot be used; empty if it can."""
    builder, arguments = next((name, n) for of, name, n in _KINDS.values() if of is kind)
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


def _word(kind: type[Any]) -> str:
    return kind.__name__.removesuffix("Offer").lower()


def _call(implementation: Any, **arguments: Any) -> Any:
    chosen = {name: arguments[name] for name in implementation.argnames}
    return implementation.function(**chosen)


def _distribution(point: EntryPoint) -> tuple[str, str]:
    distribution = point.dist
    if distribution is None:
        return "unknown", "0"
    # Metadata may be missing.
    return distribution.name or "unknown", distribution.version or "0"
