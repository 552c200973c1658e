"""Commands that plugins add to the command line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from cdm_inspect.config import ProjectConfig
    from cdm_inspect.plugins.contracts.stores import VerdictStore
    from cdm_inspect.records import JsonObject


class CommandHost(Protocol):
    """What a command finds as `obj` of its Typer context: the program it is part of."""

    @property
    def root(self) -> Path:
        """The project directory."""
        ...

    def say(self, text: str) -> None:
        """One line for people, which goes to standard error where JSON was asked for."""
        ...

    def table(self, title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table for people; the cells are plain text."""
        ...

    def finish(self, document: JsonObject) -> None:
        """The one JSON document, if it was asked for; called once, last."""
        ...

    def configuration(self) -> ProjectConfig:
        """The project file, checked.

        Raises:
            ConfigError: if there is none, or it has mistakes.
        """
        ...

    def open_store(self) -> VerdictStore:
        """The store that the project names; use it as a context manager."""
        ...


@dataclass(frozen=True, kw_only=True)
class CommandOffer:
    """A command, by name; none that is built in can be replaced.

    Attributes:
        build: returns a function with Typer annotations, whose first argument is the
            `typer.Context`, or a `typer.Typer` with commands of its own. Called when the command is
            used or the list of commands is shown.
    """

    name: str
    summary: str
    build: Callable[[], Any]
    contract: int
