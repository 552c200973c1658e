"""The whole of a project file."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator, model_validator

from cdm_inspect.config.line import ImagesConfig, LineConfig
from cdm_inspect.config.plugins import PluginsConfig
from cdm_inspect.config.review import ReviewConfig
from cdm_inspect.config.sections import PROJECT_FILE, Section, checked
from cdm_inspect.config.units import parse_duration
from cdm_inspect.errors import UnknownLine


class RetentionConfig(Section):
    """How long `store prune` leaves what it may delete; "" means for ever.

    Parts that wait for a person, and those under a legal hold, stay in any case, and so does the
    audit chain.

    Attributes:
        passed: parts that passed and that nobody has decided.
        decided: parts that a person has decided.
    """

    passed: str = ""
    decided: str = ""

    @field_validator("passed", "decided")
    @classmethod
    def _age_is_a_duration(cls, value: str) -> str:
        return checked(parse_duration, value) if value else ""


class StoreConfig(Section):
    """Where inspections and images are kept.

    Attributes:
        backend: name of a store, built in or a plugin's.
        url: of its database.
        images: folder of image and heat-map files, or an address of fsspec such as
            s3://bucket/folder.
        anchor: file outside the database that tells, once a day, where the audit chain stands.
        retention: how long what is kept.
        options: what else a plugin's store wants to know, under names of its own.
    """

    backend: str = "sql"
    url: str = "sqlite:///cdm-inspect.db"
    images: str = "images/"
    anchor: str = "audit-anchors.jsonl"
    retention: RetentionConfig = RetentionConfig()
    options: dict[str, Any] = Field(default_factory=dict)


class SinkConfig(Section):
    """Somebody else who receives verdicts.

    Attributes:
        sink: name of a plugin's sink; None means that of the table.
        lines: whose verdicts; None means all.
    """

    sink: str | None = None
    lines: tuple[str, ...] | None = None
    options: dict[str, Any] = Field(default_factory=dict)


class ProjectConfig(Section):
    """The whole of `cdm-inspect.toml`."""

    store: StoreConfig = StoreConfig()
    plugins: PluginsConfig = PluginsConfig()
    review: ReviewConfig = ReviewConfig()
    sinks: dict[str, SinkConfig] = Field(default_factory=dict)
    lines: dict[str, LineConfig] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _line_names_are_plain(self) -> ProjectConfig:
        for name in self.lines:
            if not name.replace("-", "").replace("_", "").isalnum():
                raise ValueError(f"line name {name!r} may hold letters, digits, '-' and '_' only")
        return self

    @model_validator(mode="after")
    def _sinks_hear_of_lines_that_are(self) -> ProjectConfig:
        for name, sink in self.sinks.items():
            if unknown := set(sink.lines or ()) - set(self.lines):
                raise ValueError(
                    f"sinks.{name}.lines names {', '.join(sorted(unknown))}, which no table "
                    "[lines.NAME] describes"
                )
            if not name.replace("-", "").replace("_", "").isalnum():
                raise ValueError(f"sink name {name!r} may hold letters, digits, '-' and '_' only")
        return self

    @property
    def most_pixels(self) -> int:
        """Of the largest photograph that any of the lines takes."""
        usual = ImagesConfig().max_pixels
        return max([usual, *(line.images.max_pixels for line in self.lines.values())])

    def line(self, name: str) -> LineConfig:
        """The configuration of one line.

        Raises:
            UnknownLine: if no line of that name is described.
        """
        try:
            return self.lines[name]
        except KeyError:
            known = ", ".join(sorted(self.lines)) or "none"
            raise UnknownLine(
                f"no line {name!r} in {PROJECT_FILE}; known lines: {known}. "
                f"Add a table [lines.{name}], or write one with `cdm-inspect init --line {name}`."
            ) from None
