"""What every table of the project file has in common."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cdm_inspect.errors import ConfigError, InvalidOption

PROJECT_FILE = "cdm-inspect.toml"

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
Cost = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Amount = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]


class Section(BaseModel):
    """A frozen table of the project file; unknown keys are refused."""

    # JSON has no infinity, which some limits may be.
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


def checked(parse: Callable[[str], float], text: str) -> str:
    """A text that `parse` understands, as Pydantic's validators want it.

    Raises:
        ValueError: with what `parse` expected.
    """
    try:
        parse(text)
    except InvalidOption as error:
        raise ValueError(str(error).rstrip(".")) from error
    return text


def read_toml(file: Path) -> dict[str, Any]:
    """A TOML file, with or without a byte-order mark.

    Raises:
        ConfigError: if it cannot be read or is none.
    """
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file} is not valid TOML: {error}.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read as UTF-8 text: {error}.") from error


def mistakes(error: ValidationError, where: str = "") -> list[str]:
    """What a model of Pydantic found wrong, a sentence each, with the key below `where`."""
    return [
        f"{'.'.join(filter(None, [where, *map(str, item['loc'])]))}: {item['msg']}; found "
        f"{item['input']!r}."
        for item in error.errors()
    ]


def describe_mistake(sources: Sequence[tuple[str, Mapping[str, Any]]], item: Any) -> str:
    """What Pydantic found wrong in a project file, as a sentence.

    Args:
        sources: name and content of each document that was merged, the later over the earlier.
        item: one of `ValidationError.errors()`, located from the top of the file.
    """
    # The last source that has the key has won; a key that none has is missing from the first.
    said = [name for name, document in sources if _has_key(document, item["loc"])]
    where = said[-1] if said else sources[0][0]
    key = ".".join(str(part) for part in item["loc"]) or "(top level)"
    if item["type"] == "extra_forbidden":
        return f"{where}: {key}: unknown key; remove it or correct its spelling."
    if item["type"] == "missing":
        return f"{where}: {key}: required key is missing."
    message = item["msg"].removeprefix("Value error, ")
    return f"{where}: {key}: {message[0].lower()}{message[1:]}; found {item['input']!r}."


def _has_key(document: Any, location: Sequence[str | int]) -> bool:
    for part in location:
        if not isinstance(document, Mapping):
            return isinstance(document, list)  # a place inside a list belongs to who wrote it
        if part not in document:
            return False
        document = document[part]
    return True
