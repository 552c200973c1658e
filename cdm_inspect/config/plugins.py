"""The table `plugins` of a project file, which is read alone where commands are listed."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, ValidationError, field_validator

from cdm_inspect.config.plugin_allow_list import parse_allowed
from cdm_inspect.config.sections import PROJECT_FILE, Section, describe_mistake, read_toml
from cdm_inspect.errors import ConfigError


class PluginsConfig(Section):
    """Which installed plugins may load.

    Attributes:
        allow: distributions, each as in pip's requirements: by name, and, if wanted, version and
            which versions, `name==1.2`. None means all that are installed.
        required: distributions or entry points without which nothing runs.
        replaces: for a name that several offer, the distribution that counts.
    """

    allow: tuple[str, ...] | None = None
    required: tuple[str, ...] = ()
    replaces: dict[str, str] = Field(default_factory=dict)

    @field_validator("allow")
    @classmethod
    def _allowed_are_requirements(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for entry in value or ():
            parse_allowed(entry)
        return value


def load_plugins_table(root: Path) -> PluginsConfig:
    """What the project file under `root` says of plugins; the rest of it is not looked at.

    Raises:
        ConfigError: if it cannot be read, or the table is not right.
    """
    document = read_toml(root / PROJECT_FILE)
    try:
        return PluginsConfig.model_validate(document.get("plugins", {}))
    except ValidationError as error:
        found = [{**item, "loc": ("plugins", *item["loc"])} for item in error.errors()]
        raise ConfigError(
            f"the configuration of {root} cannot be used:",
            [describe_mistake([(PROJECT_FILE, document)], item) for item in found],
        ) from error
