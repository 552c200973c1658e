"""Plugins on the command line: their own commands, and the table of what is installed."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from typer.core import TyperGroup

from cdm_inspect.cli.steps import Context
from cdm_inspect.config import PROJECT_FILE, load_project
from cdm_inspect.config.plugin_allow_list import digest_of
from cdm_inspect.errors import (
    STRANGERS,
    CdmInspectError,
    ConfigError,
    InvalidOption,
    PluginFailed,
    PluginInvalid,
)
from cdm_inspect.plugins import Registry


# Typer used to stand on Click and now has a copy of its own: contexts and commands are `Any` here.
class CommandsOfPlugins(TyperGroup):
    """The built-in commands, then those of plugins, which are loaded only where they are needed."""

    def list_commands(self, ctx: Any) -> list[str]:
        """All names, for the help page."""
        return [*super().list_commands(ctx), *sorted(_offers(ctx).keys() - set(self.commands))]

    def invoke(self, ctx: Any) -> Any:
        """Run a command; what one of a plugin raises is said to be the plugin's."""
        try:
            return super().invoke(ctx)
        except CdmInspectError:
            raise
        except Exception as error:
            name = ctx.invoked_subcommand
            if name in self.commands or name is None or _is_of_typer(error):
                raise
            raise PluginFailed(
                f"the command {name!r} of a plugin failed: {type(error).__name__}: {error}. Tell "
                "its author."
            ) from error

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A command by name."""
        built_in = super().get_command(ctx, cmd_name)
        if built_in is not None:
            return built_in
        offer = _offers(ctx).get(cmd_name)
        if offer is None:
            return None
        try:
            return _as_command(offer.build(), cmd_name, offer.summary)
        except STRANGERS as error:  # perhaps only to be listed
            return _as_command(_unbuilt(cmd_name, error), cmd_name, offer.summary)


def _is_of_typer(error: Exception) -> bool:
    """Whether it is how Typer says that a command ends, or was used wrongly."""
    return type(error).__module__.partition(".")[0] in ("click", "typer")


def _unbuilt(name: str, error: BaseException) -> Callable[[], None]:
    """In place of a command that cannot be built; it says why when it is used."""

    def refuse() -> None:
        raise PluginFailed(
            f"the command {name!r} of a plugin cannot be built: {type(error).__name__}: {error}."
        ) from error

    return refuse


def _as_command(made: Any, name: str, summary: str) -> Any:
    group = made
    if not isinstance(made, typer.Typer):
        group = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        group.command(name, help=summary)(made)
    command = typer.main.get_command(group)
    command.name, command.short_help = name, summary
    return command


def _offers(ctx: Any) -> dict[str, Any]:
    from cdm_inspect.plugins.contracts import CommandOffer

    if "plugin_commands" not in ctx.meta:
        root = Path(ctx.params.get("project") or ".")
        try:
            ctx.meta["plugin_commands"] = _registry(root).usable(CommandOffer)
        except ConfigError:
            # Which plugins may load is in a file that cannot be read; the command that needs it
            # says so.
            ctx.meta["plugin_commands"] = {}
    found: dict[str, Any] = ctx.meta["plugin_commands"]
    return found


def _registry(root: Path) -> Registry:
    """What is installed, as the project allows it, where there is one."""
    if not (root / PROJECT_FILE).is_file():
        return Registry()
    plugins = load_project(root).plugins
    # Of what is required and not there the table says why; other commands refuse to begin.
    return Registry(plugins.model_copy(update={"required": ()}))


def plugins(
    context: typer.Context,
    hashes: Annotated[
        bool, typer.Option("--hashes", help="Also the hash of each, as plugins.allow takes it.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Fail if one is not sound.")] = False,
) -> None:
    """What plugins are installed, what they offer, and which were refused."""
    state: Context = context.obj
    registry = _registry(state.root)
    documents = [
        {**asdict(row), "sha256": _digest(registry, row.distribution) if hashes else None}
        for row in registry.rows
    ]
    rows = [
        (
            f"{row.distribution} {row.version}",
            escape(row.name),
            row.status,
            ", ".join(row.offers),
            escape(row.reason),
        )
        for row in registry.rows
    ]
    header = ("distribution", "plugin", "status", "offers", "reason")
    state.screen.table("Plugins", header, rows)
    for document in documents if hashes else ():
        state.screen.show_line(
            f'"{document["distribution"]}=={document["version"]} --hash=sha256:'
            f'{document["sha256"]}"'
            if document["sha256"]
            else f"{document['distribution']}: no hash, it is not installed from a wheel"
        )
    state.screen.finish({"plugins": documents})
    unsound = [row.name for row in registry.rows if "refused" in row.status]
    if strict and unsound:
        raise PluginInvalid(
            f"not sound: {', '.join(unsound)}; the reasons are in the table. Mend or uninstall "
            "them."
        )


def _digest(registry: Registry, name: str) -> str | None:
    try:
        return digest_of(registry.distributions[name])
    except (KeyError, ValueError):
        return None


def deliver(context: typer.Context) -> None:
    """Tell sinks the verdicts that wait for them."""
    from cdm_inspect.inspection.outbox import deliver as deliver_all

    state: Context = context.obj
    project = state.open()
    with state.screen.counting("deliver") as tick:
        document = deliver_all(project, tick=tick)
    state.screen.table(
        "Sinks",
        ("sink", "told", "waiting", "trouble"),
        [
            (escape(s["name"]), str(s["sent"]), str(s["waiting"]), escape(s["error"] or ""))
            for s in document["sinks"]
        ],
    )
    state.screen.finish(document)
    if failed := [s["name"] for s in document["sinks"] if s["error"]]:
        raise PluginFailed(
            f"could not tell {', '.join(failed)} everything; nothing is lost. Mend what is wrong "
            "there, and run `cdm-inspect deliver` again."
        )


def import_parts(
    context: typer.Context,
    source: Annotated[Path, typer.Argument(help="Where the collection is.")],
    destination: Annotated[Path, typer.Argument(help="Folder to write, new or empty.")],
    reader: Annotated[str, typer.Option(help="Which knows how the collection is kept.")] = "table",
    option: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Of the reader.")
    ] = None,
) -> None:
    """Bring a collection of photographs into train/good, test/LABEL and ground_truth/LABEL."""
    from cdm_inspect.images.import_collection import import_collection
    from cdm_inspect.plugins.contracts import ReaderOffer

    state: Context = context.obj
    offer = _registry(state.root).named(ReaderOffer, reader)
    given = dict(_key_value(text) for text in option or ())
    with state.screen.counting("import") as tick:
        document = import_collection(offer, given, source, destination, tick=tick)
    labels = ", ".join(f"{count} {label}" for label, count in document["labels"].items())
    state.screen.say(
        f"{document['for_training']} good parts to learn from, {labels or 'none'} to test with, "
        f"{document['masks']} masks: {escape(document['folder'])}"
    )
    for sentence in document["left_out"][:20]:
        state.screen.say(f"[yellow]left out:[/yellow] {escape(sentence)}")
    state.screen.finish(document)


def _key_value(text: str) -> tuple[str, str]:
    if not re.fullmatch(r"\w+=.*", text, re.DOTALL):
        raise InvalidOption(f"expected --option KEY=VALUE, found {text!r}.")
    key, _, value = text.partition("=")
    return key, value


def new_plugin(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Of what it offers, such as edges.")],
    kind: Annotated[str, typer.Option(help="scorer, sink, reader, page or command.")] = "scorer",
    directory: Annotated[Path, typer.Option(help="Where its folder is made.")] = Path(),
) -> None:
    """Write the skeleton of a plugin: a package that works, with its tests."""
    from cdm_inspect.plugins.skeleton import write_skeleton

    state: Context = context.obj
    folder = write_skeleton(name, kind, directory)
    state.screen.say(f"wrote {escape(str(folder))}. Then:")
    state.screen.say(f"  pip install -e {escape(str(folder))} pytest")
    state.screen.say(f"  pytest {escape(str(folder))}")
    state.screen.say("  cdm-inspect plugins")
    state.screen.finish({"folder": str(folder), "name": name, "kind": kind})
