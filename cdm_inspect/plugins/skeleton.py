"""Skeletons of plugins."""

from __future__ import annotations

import json
import keyword
import re
from pathlib import Path

from cdm_inspect.errors import ConfigError, InvalidOption

_TEMPLATE = Path(__file__).with_name("template")
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


def write_skeleton(name: str, kind: str, directory: Path) -> Path:
    """Write a plugin that works and has tests.

    Args:
        name: kebab-case, of what it offers.
        kind: "scorer", "sink", "reader", "page" or "command".
        directory: where its folder is made.

    Returns:
        The folder.

    Raises:
        InvalidOption: if name or kind is none.
        ConfigError: if the folder is there already, or Cookiecutter is not installed.
    """
    kinds = json.loads((_TEMPLATE / "cookiecutter.json").read_text())["kind"]
    if kind not in kinds:
        raise InvalidOption(f"expected --kind to be one of {', '.join(kinds)}, found {kind!r}.")
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        raise InvalidOption(f"expected a kebab-case name such as edges, found {name!r}.")
    try:
        from cookiecutter.generate import generate_context, generate_files
        from cookiecutter.prompt import prompt_for_config
    except ModuleNotFoundError as error:
        raise ConfigError(
            "skeletons are written with Cookiecutter, which is not installed. Run: "
            "pip install 'cdm-inspect[authoring]'."
        ) from error
    folder = directory / f"cdm-inspect-{name}"
    if folder.exists():
        raise ConfigError(f"{folder} is there already; remove it, or choose another name.")
    context = generate_context(
        str(_TEMPLATE / "cookiecutter.json"), extra_context={"name": name, "kind": kind}
    )
    directory.mkdir(parents=True, exist_ok=True)
    generate_files(
        str(_TEMPLATE),
        {"cookiecutter": prompt_for_config(context, no_input=True)},
        output_dir=str(directory),
    )
    return folder
