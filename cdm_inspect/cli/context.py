"""What the options before a command say, and what commands of plugins are given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape

from cdm_inspect.cli.rendering import Screen

if TYPE_CHECKING:
    from cdm_inspect.config import ProjectConfig
    from cdm_inspect.plugins import VerdictStore
    from cdm_inspect.project import Project
    from cdm_inspect.records import JsonObject


@dataclass(frozen=True)
class Context:
    """What the options before the command say."""

    root: Path
    screen: Screen

    def open(self, line: str | None = None, overrides: list[str] | None = None) -> Project:
        """The project, with the plugins loaded."""
        from cdm_inspect.project import open_project

        return open_project(self.root, line=line, overrides=overrides or [])

    # What follows is for the commands of plugins; see `contracts.CommandHost`.

    def say(self, text: str) -> None:
        """One line for people, as it is."""
        self.screen.say(escape(text))

    def table(self, title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table for people, of texts as they are."""
        self.screen.table(title, header, [[escape(cell) for cell in row] for row in rows])

    def finish(self, document: JsonObject) -> None:
        """The one JSON document, if it was asked for."""
        self.screen.finish(document)

    def configuration(self) -> ProjectConfig:
        """The project file, checked."""
        return self.open().config

    def open_store(self) -> VerdictStore:
        """The store that the project names."""
        return self.open().open_store()
