"""All commands by name; what they need is loaded once one of them runs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from cdm_inspect.errors import CdmInspectError, ConfigError, PluginFailed

# In the order of the help page. Each is a function of its own name in a module of its own name.
COMMANDS = {
    "init": "Write a commented cdm-inspect.toml for one line.",
    "demo": "Make a small synthetic line and walk through the whole product on it.",
    "check": "Read every good part and say which cannot be used, which are odd, and why.",
    "train": "Train the model of a line on its good parts.",
    "calibrate": "Set the thresholds: by a false-reject rate, or by lowest cost.",
    "evaluate": "Compare verdicts with labels.",
    "bench": "Compare detectors side by side: quality and speed.",
    "diagnose": "Measure a model on held-out good parts: overfit, martingale gap, curl, drift.",
    "pilot": "Train with and without the consistency term, and say go or no-go.",
    "sample": "Draw good parts from the model: what it has understood of the line.",
    "inspect": "Judge parts and store what was said of them.",
    "watch": "Judge what arrives in a folder, each photograph once, until Ctrl-C.",
    "serve": "Judge photographs that come over HTTP: Open Inference Protocol v2, health, metrics.",
    "drift": "Has the line changed since it was calibrated? Control charts say.",
    "report": "Write the report of a shift, the last one that is over, and anchor the audit chain.",
    "export": "Write a line for a station without PyTorch; fails unless its verdicts are the same.",
    "parity": "Does this machine judge the golden set as the trained model did?",
    "lines": "What lines are configured, and how far each has come.",
    "store": "The store: check, copy, upgrade and thin out its records.",
    "doctor": "Say whether machine, store, files, anchors and plugins are as they should be.",
    "plugins": "What plugins are installed, what they offer, and which were refused.",
    "deliver": "Send sinks the verdicts that wait for them.",
    "import": "Bring a collection of photographs into the folders that learning and tests take.",
    "new-plugin": "Write the skeleton of a plugin: a package that works, with its tests.",
}
_MODULES = {"import": "import_parts", "new-plugin": "new_plugin"}


class _Deferred(TyperCommand):
    """A command that is listed by its summary and built where it is used."""

    def __init__(self, name: str, summary: str, build: Callable[[], Any]) -> None:
        super().__init__(name, help=summary, callback=None)
        self._summary, self._build = summary, build

    def get_short_help_str(self, limit: int = 0) -> str:
        """The whole summary; cut off it would say nothing."""
        return self._summary

    # Typer used to stand on Click and now has a copy of its own: contexts are `Any` here.
    def make_context(
        self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any
    ) -> Any:
        """Build the command, which takes the place of this one."""
        made = self._build()
        group = made
        if not isinstance(made, typer.Typer):
            group = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
            group.command(self.name, help=self._summary)(made)
        command = typer.main.get_command(group)
        command.name = self.name
        return command.make_context(info_name, args, parent=parent, **extra)


class _Commands(TyperGroup):
    """The built-in commands, then those of plugins."""

    def list_commands(self, ctx: Any) -> list[str]:
        """All names, for the help page."""
        return [*COMMANDS, *sorted(_offers(ctx).keys() - COMMANDS.keys())]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A command by name; None if there is none."""
        if cmd_name in COMMANDS:
            return _Deferred(cmd_name, COMMANDS[cmd_name], lambda: _built_in(cmd_name))
        offer = _offers(ctx).get(cmd_name)
        return offer and _Deferred(cmd_name, offer.summary, lambda: _of_plugin(offer))

    def invoke(self, ctx: Any) -> Any:
        """Run a command; what one of a plugin raises is said to be the plugin's."""
        try:
            return super().invoke(ctx)
        except CdmInspectError:
            raise
        except Exception as error:
            name = ctx.invoked_subcommand
            if name is None or name in COMMANDS or _is_of_typer(error):
                raise
            raise PluginFailed(
                f"the command {name!r} of a plugin failed: {type(error).__name__}: {error}. Tell "
                "its author."
            ) from error


def _built_in(name: str) -> Any:
    module = _MODULES.get(name, name)
    return getattr(import_module(f"cdm_inspect.cli.{module}"), module)


def _of_plugin(offer: Any) -> Any:
    from cdm_inspect.errors import PLUGIN_EXCEPTIONS

    try:
        return offer.build()
    except PLUGIN_EXCEPTIONS as error:
        raise PluginFailed(
            f"the command {offer.name!r} of a plugin cannot be built: {type(error).__name__}: "
            f"{error}."
        ) from error


def _is_of_typer(error: Exception) -> bool:
    """Whether it is how Typer says that a command ends, or was used wrongly."""
    return type(error).__module__.partition(".")[0] in ("click", "typer")


def _offers(ctx: Any) -> dict[str, Any]:
    """Commands of plugins by name."""
    from cdm_inspect.plugins import CommandOffer
    from cdm_inspect.plugins.registry import open_registry

    if "plugin_commands" not in ctx.meta:
        root = Path(ctx.params.get("project") or ".")
        try:
            registry = open_registry(root, hooks=("cdm_inspect_commands",))
            ctx.meta["plugin_commands"] = registry.usable(CommandOffer)
        except ConfigError:
            # Which plugins may load is in a file that cannot be read; the command that needs it
            # says so.
            ctx.meta["plugin_commands"] = {}
    found: dict[str, Any] = ctx.meta["plugin_commands"]
    return found


app = typer.Typer(
    name="cdm-inspect",
    cls=_Commands,
    help="Learns from photographs of good parts, flags the odd ones, and lets people judge them.",
    no_args_is_help=True,
    # Plain: the list of commands needs no parser of Markdown, which takes longer than all else.
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def options(
    context: typer.Context,
    project: Annotated[
        # Before --help, which lists the commands of the plugins that the project allows.
        Path, typer.Option(help="Project directory.", is_eager=True)
    ] = Path(),
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what happens.")] = False,
) -> None:
    """Options of every command."""
    from cdm_inspect.cli.context import Context
    from cdm_inspect.cli.rendering import Screen

    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(message)s")
    context.obj = Context(root=project, screen=Screen(as_json=as_json))
