"""Finding plugins, and keeping a bad one from stopping the rest.

pluggy's own loader stops at the first import error, and one raising implementation aborts a hook
call for everyone. Here each entry point is imported, checked and asked by itself.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Collection, Iterable, Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import pluggy
from pydantic import BaseModel, ValidationError

from cdm_inspect.config import PROJECT_FILE, PluginsConfig, load_plugins_table, mistakes
from cdm_inspect.config.plugin_allow_list import why_refused
from cdm_inspect.errors import (
    PLUGIN_EXCEPTIONS,
    ConfigError,
    PluginFailed,
    PluginUnavailable,
)
from cdm_inspect.plugins.contracts.scorers import ScorerOffer
from cdm_inspect.plugins.hooks import PROJECT, Hooks
from cdm_inspect.plugins.offers import (
    BUILTIN,
    KINDS,
    Configured,
    OfferTable,
    PluginProblem,
    PluginRow,
    T,
    check_offer,
    warn_of,
)

DISABLE_VARIABLE = "CDM_INSPECT_DISABLE_PLUGINS"

_log = logging.getLogger(__name__)
_SLOW_SECONDS = 3.0


class Registry:
    """The plugins of this installation, loaded once.

    Args:
        hooks: whose offers are asked for; of other kinds there are none.

    Attributes:
        rows: one for each entry point found, also for those refused.
        distributions: that they belong to, by name.
    """

    def __init__(
        self,
        config: PluginsConfig | None = None,
        *,
        points: Iterable[EntryPoint] | None = None,
        hooks: Collection[str] = KINDS,
    ) -> None:
        self.config = config or PluginsConfig()
        self._hooks = hooks
        self.rows: list[PluginRow] = []
        self._manager = pluggy.PluginManager(PROJECT)
        self._manager.add_hookspecs(Hooks)
        self._offers = OfferTable(self.config.replaces)
        found = list(entry_points(group=PROJECT) if points is None else points)
        self.distributions = {_distribution(p)[0]: p.dist for p in found if p.dist is not None}
        for point in sorted(found, key=lambda p: (_distribution(p)[0], p.name)):
            self._load(point)
        self._offers.note_clashes()
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
        """Sound offers of a kind by name, without those that two plugins make."""
        return self._offers.usable(kind)

    def named(self, kind: type[T], name: str) -> T:
        """An offer that somebody asked for by name.

        Raises:
            PluginUnavailable: if there is none, with the reason where one was refused.
            PluginConflict: if several plugins offer it.
        """
        return self._offers.named(kind, name, refused=self._reasons())

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
            warn_of(row)
            return
        row.seconds = round(time.perf_counter() - began, 3)
        row.file = str(getattr(sys.modules.get(point.module), "__file__", None) or "")
        if row.seconds > _SLOW_SECONDS:
            row.note(PluginProblem.SLOW)
            row.reason = (
                f"its import took {row.seconds:.1f} s, at every start; it should import what is "
                "heavy where it builds"
            )
            warn_of(row)
        if self._register(row, plugin):
            for caller in self._manager.get_hookcallers(plugin) or ():
                row.hooks.append(caller.name)
                if caller.name in self._hooks:
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
            warn_of(row)
            return False
        return True

    def _collect(self, row: PluginRow, hook: str, implementation: Any) -> None:
        kind = KINDS[hook][0]
        try:
            offers = list(implementation.function())
        except PLUGIN_EXCEPTIONS as error:  # a plugin's code
            row.refuse(f"{hook} raised {type(error).__name__}: {error}", PluginProblem.RAISED)
            warn_of(row)
            return
        for offer in offers:
            problem = check_offer(offer, kind)
            if problem:
                row.refuse(f"{hook}: {problem}", PluginProblem.OFFER)
                warn_of(row)
                continue
            self._offers.add(kind, offer, row)

    def _reasons(self) -> str:
        refused = [
            f"{row.distribution}: {row.reason}" for row in self.rows if row.status != "loaded"
        ]
        return f"Not used were: {'; '.join(refused)}. " if refused else ""


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


def _call(implementation: Any, **arguments: Any) -> Any:
    chosen = {name: arguments[name] for name in implementation.argnames}
    return implementation.function(**chosen)


def _distribution(point: EntryPoint) -> tuple[str, str]:
    distribution = point.dist
    if distribution is None:
        return "unknown", "0"
    # Metadata may be missing.
    return distribution.name or "unknown", distribution.version or "0"


def open_registry(root: Path, *, hooks: Collection[str] = KINDS) -> Registry:
    """What is installed, as the project under `root` allows it, where there is one.

    Args:
        hooks: see `Registry`.

    Raises:
        ConfigError: if its table `plugins` cannot be read.
    """
    if not (root / PROJECT_FILE).is_file():
        return Registry(hooks=hooks)
    # Of what is required and not there the rows say why; what opens a project refuses to begin.
    allowed = load_plugins_table(root).model_copy(update={"required": ()})
    return Registry(allowed, hooks=hooks)
