"""Every text on the screen, in English and Japanese, from one catalogue: `words.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

LANGUAGES = {"en": "English", "ja": "日本語"}


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, dict[str, str]]]:
    for name, value in table.items():
        if "en" in value and isinstance(value["en"], str):
            yield f"{prefix}{name}", value
        else:
            yield from _flat(value, f"{prefix}{name}.")


WORDS = dict(_flat(tomllib.loads(Path(__file__).with_name("words.toml").read_text("utf-8"))))


class Speech:
    """Texts in one language.

    Args:
        language: "en" or "ja".
    """

    def __init__(self, language: str) -> None:
        self.language = language

    def __call__(self, key: str, **values: Any) -> str:
        """The text under a name, with values put in."""
        text = WORDS[key][self.language]
        return text.format(**values) if values else text

    def below(self, prefix: str) -> dict[str, str]:
        """All texts whose names begin so, by what follows."""
        return {
            key.removeprefix(prefix): texts[self.language]
            for key, texts in WORDS.items()
            if key.startswith(prefix)
        }
