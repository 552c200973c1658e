"""Every text that people read in two languages, from one catalogue: `words.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

LANGUAGES = {"en": "English", "ja": "日本語"}
"""Names of the languages in themselves, by code."""


@cache
def catalogue() -> Mapping[str, Mapping[str, str]]:
    """All texts: by name, then by language."""
    return dict(_flat(tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))))


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, dict[str, str]]]:
    for name, value in table.items():
        if "en" in value and isinstance(value["en"], str):
            yield f"{prefix}{name}", value
        else:
            yield from _flat(value, f"{prefix}{name}.")


def kind_of(error: Exception) -> str:
    """The nearest class of an error that the catalogue has words for."""
    known = catalogue()
    return next(kind.__name__ for kind in type(error).__mro__ if f"error.{kind.__name__}" in known)


class Speech:
    """Texts in one language.

    Args:
        language: a code of `LANGUAGES`.
        prefix: with which the names of all texts begin.
    """

    def __init__(self, language: str, prefix: str = "") -> None:
        self.language, self._prefix = language, prefix

    def __call__(self, key: str, **values: Any) -> str:
        """The text under a name, with values put in."""
        text = catalogue()[f"{self._prefix}{key}"][self.language]
        return text.format(**values) if values else text

    def __contains__(self, key: str) -> bool:
        return f"{self._prefix}{key}" in catalogue()

    def error(self, error: Exception) -> str:
        """What went wrong: its kind in this language, then the sentence of the core as it is."""
        return f"{self(f'error.{kind_of(error)}')} {error}"

    def below(self, prefix: str) -> dict[str, str]:
        """All texts whose names begin so, by what follows."""
        return {
            key.removeprefix(prefix): texts[self.language]
            for key, texts in catalogue().items()
            if key.startswith(prefix)
        }
