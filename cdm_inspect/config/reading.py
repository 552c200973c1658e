"""Reading a project file and what lies over it, and how its mistakes are reported.

Later wins: defaults, `cdm-inspect.toml`, the line's own file, `--set KEY=VALUE`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from cdm_inspect.config.project import ProjectConfig
from cdm_inspect.config.sections import PROJECT_FILE, describe_mistake, read_toml
from cdm_inspect.errors import ConfigError, InvalidOption


def load_project(
    root: Path,
    *,
    line_files: Mapping[str, Path] | None = None,
    overrides: Sequence[str] = (),
    line: str | None = None,
) -> ProjectConfig:
    """Read the project file under `root`, merge what lies over it, and check the result.

    Args:
        line_files: files of their own for some lines; their tables are merged over `[lines.NAME]`.
        overrides: `KEY=VALUE`, the key dotted, the value as in TOML (a bare word is a string). A
            key that does not start with `store`, `plugins` or `lines` belongs to `line`.
        line: the line that short override keys belong to.

    Raises:
        ConfigError: with every mistake found, each with file, key and what was expected.
    """
    file = root / PROJECT_FILE
    if not file.is_file():
        raise ConfigError(
            f"expected a project file {file}, found none. Run `cdm-inspect init` there, "
            "or name the project with --project DIR."
        )
    sources = [(file.name, read_toml(file))]
    for name, path in (line_files or {}).items():
        sources.append((str(path.relative_to(root)), {"lines": {name: read_toml(path)}}))
    sources += [(f"--set {text}", _parse_override(text, line)) for text in overrides]
    document: dict[str, Any] = {}
    for _, part in sources:
        _merge(document, part)
    try:
        return ProjectConfig.model_validate(document)
    except ValidationError as error:
        raise ConfigError(
            f"the configuration of {root} cannot be used:",
            [describe_mistake(sources, item) for item in error.errors()],
        ) from error


def _parse_override(override: str, line: str | None) -> dict[str, Any]:
    key, separator, text = override.partition("=")
    parts = [part.strip() for part in key.split(".")]
    if not separator or not all(parts):
        raise InvalidOption(
            f"expected --set KEY=VALUE, such as training.batch_size=32, found {override!r}."
        )
    if parts[0] not in ProjectConfig.model_fields:
        if line is None:
            raise InvalidOption(f"--set {key}: name the line as lines.NAME.{key}.")
        parts = ["lines", line, *parts]
    try:
        value: Any = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    for part in reversed(parts):
        value = {part: value}
    return dict(value)


def _merge(base: dict[str, Any], over: Mapping[str, Any]) -> None:
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(base.get(key), dict):
            _merge(base[key], value)
        else:
            base[key] = dict(value) if isinstance(value, Mapping) else value
