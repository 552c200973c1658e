"""What a project file may say, and how its mistakes are reported.

Later wins: defaults, `cdm-inspect.toml`, the line's own file, `--set KEY=VALUE`.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from cdm_inspect.admission import Allowed
from cdm_inspect.errors import ConfigError, InvalidOption, UnknownLine
from cdm_inspect.quantities import parse_count, parse_duration

PROJECT_FILE = "cdm-inspect.toml"

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
Cost = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Amount = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]


class Section(BaseModel):
    """A frozen table of the project file; unknown keys are refused."""

    # JSON has no infinity, which some limits may be.
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class StoreConfig(Section):
    """Where inspections and images are kept.

    Attributes:
        backend: name of a store, built in or a plugin's.
        url: of its database.
        images: folder of image and heat-map files.
        options: what else a plugin's store wants to know, under names of its own.
    """

    backend: str = "sql"
    url: str = "sqlite:///cdm-inspect.db"
    images: str = "images/"
    options: dict[str, Any] = Field(default_factory=dict)


class ConsistencyConfig(Section):
    """The consistency term (Daras et al. 2023, arXiv:2302.09057).

    Attributes:
        weight: of the term beside the DSM loss; 0 switches it off.
        weighting: across noise levels: "dsm" as the DSM loss, "flat" the same at all.
        gradient: "both" ends of the step, as published, or "upper": through the prediction at the
            higher noise alone, which then follows the one at the lower. That costs a third, so
            that three times the share fits the same budget.
        antithetic: each of the two samples is the mean of two steps with opposite noise, which
            takes away most of the noise of short steps for twice the evaluations.
        share: of a batch on which a step computes it.
        budget: highest wall-clock ratio of training with the term to training without, once it is
            on; steps leave the term out so that the measured ratio stays below. `inf` lets every
            step compute it, and makes a run that counts images repeat exactly.
        schedule: "constant" from the first step, "ramp" after `warmup`, "staged" once DSM has
            converged on held-out parts, "fine-tune" from the weights of `checkpoint`.
        warmup: share of the training budget that "ramp" trains by DSM alone.
        ramp: share of the training budget over which the weight then rises; not for "constant".
        tolerance: relative gain between held-out checks below which "staged" calls DSM converged.
        latest: share of the training budget after which "staged" waits no longer.
        max_jump: largest relative fall of the noise level in one reverse step.
        checkpoint: model folder that "fine-tune" starts from.
    """

    weight: Annotated[float, Field(ge=0.0)] = 1.0
    weighting: Literal["dsm", "flat"] = "dsm"
    gradient: Literal["both", "upper"] = "both"
    antithetic: bool = True
    share: Share = 0.125
    budget: Annotated[float, Field(ge=1.05)] = 1.25
    schedule: Literal["constant", "ramp", "staged", "fine-tune"] = "ramp"
    warmup: Share = 0.2
    ramp: Share = 0.1
    tolerance: Share = 0.01
    latest: Share = 0.6
    max_jump: Annotated[float, Field(gt=0.0, le=0.5)] = 0.2
    checkpoint: str | None = None

    @model_validator(mode="after")
    def _fine_tuning_starts_somewhere(self) -> ConsistencyConfig:
        if (self.schedule == "fine-tune") != (self.checkpoint is not None):
            raise ValueError('schedule "fine-tune" and a checkpoint need each other')
        return self


class ConservativityConfig(Section):
    """A penalty on the asymmetry of the denoiser's Jacobian (Chao et al. 2023, QCSBM).

    Attributes:
        weight: of the penalty; 0, the default, leaves it out.
        share: of a batch on which it is computed, with one probe.
    """

    weight: Annotated[float, Field(ge=0.0)] = 0.0
    share: Share = 0.0625


class AugmentationConfig(Section):
    """Non-leaky augmentation: what was done enters the network as a label that is 0 in scoring.

    Attributes:
        probability: of each transform, for each crop.
        flips: mirror images that are as good as the original; these carry no label.
    """

    probability: Share = 0.12
    x_flip: bool = True
    y_flip: bool = True
    scale: bool = True
    rotation: bool = True
    anisotropy: bool = True
    translation: bool = True
    flips: Literal["none", "horizontal", "vertical", "both"] = "none"


class TrainingConfig(Section):
    """How a line is trained; None means what the preset says.

    Attributes:
        budget: wall-clock time, such as 90s, 20m or 1.5h; a bare number is seconds.
        images: crops to see, such as 200k; where given, it counts instead of `budget`.
        masked_share: of each batch that learns to restore hidden cells from their surroundings,
            which the scorer `inpainting` needs.
        patience: held-out checks in a row, of at most twenty in a run, that may find the error
            clearly above its lowest, or synthetic defects less plain than before, until training
            stops; 0 never stops it.
    """

    model_config = ConfigDict(coerce_numbers_to_str=True)

    crop_size: Annotated[int, Field(ge=16)] | None = None
    batch_size: Annotated[int, Field(ge=1)] | None = None
    learning_rate: Positive | None = None
    lr_warmup: Share = 0.02
    weight_decay: Annotated[float, Field(ge=0.0)] = 1e-3
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] | None = None
    ema_half_life: Share = 0.05
    variance_weight: Annotated[float, Field(ge=0.0)] = 0.2
    masked_share: Annotated[float, Field(ge=0.0, le=0.75)] = 0.3
    held_out: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.2
    min_images: Annotated[int, Field(ge=4)] = 8
    patience: Annotated[int, Field(ge=0, le=20)] = 5
    budget: str = "20m"
    images: str | None = None
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = "auto"
    seed: int = 0

    @field_validator("budget")
    @classmethod
    def _budget_is_a_duration(cls, value: str) -> str:
        return _checked(parse_duration, value)

    @field_validator("images")
    @classmethod
    def _images_is_a_count(cls, value: str | None) -> str | None:
        # TOML has no null: an empty text takes back what a file below has said.
        return _checked(parse_count, value) if value else None


class ImagesConfig(Section):
    """Which files count as photographs of this line.

    Attributes:
        channels: "auto" takes what most good parts have; 1 turns colour to grey.
        max_pixels: larger images are refused before they are decoded.
        max_aspect_change: relative difference in aspect ratio above which a part is set aside.
        group: regular expression with one group in brackets that finds, in a file's path below the
            folder, the lot or session it belongs to; lots are never split between training and
            held-out parts.
        region: picture of where the line looks, as large as the photographs: white is judged, black
            is ignored. Calibrate again after changing it; no training is needed.
    """

    channels: Literal["auto", 1, 3] = "auto"
    max_pixels: Annotated[int, Field(ge=1024)] = 64_000_000
    max_aspect_change: Positive = 0.1
    group: str | None = None
    region: str | None = None

    @field_validator("group")
    @classmethod
    def _group_finds_one_thing(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            found = re.compile(value).groups
        except re.error as error:
            raise ValueError(f"no regular expression: {error}") from error
        if found != 1:
            raise ValueError(f"expected one group in brackets, found {found}")
        return value


class CostsConfig(Section):
    """What misjudging a part costs, in any one currency; only ratios matter.

    Attributes:
        escape: of a defective part that passes.
        false_reject: of a good part that is rejected.
        review_minute: of a minute of a person who looks at flagged parts.
        minutes_per_review: that one part takes.
        defect_share: of all parts that are defective.
        parts_per_hour: that the line makes; needed where `reviews_per_hour` is given.
        reviews_per_hour: that people have time for; None means as many as pay.
    """

    escape: Cost = 100.0
    false_reject: Cost = 1.0
    review_minute: Cost = 0.5
    minutes_per_review: Amount = 0.5
    defect_share: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.01
    parts_per_hour: Amount | None = None
    reviews_per_hour: Cost | None = None

    @model_validator(mode="after")
    def _capacity_needs_a_pace(self) -> CostsConfig:
        if self.reviews_per_hour is not None and self.parts_per_hour is None:
            raise ValueError("reviews_per_hour needs parts_per_hour beside it")
        return self

    @property
    def review(self) -> float:
        """What it costs to show one part to a person."""
        return self.review_minute * self.minutes_per_review

    @property
    def review_share(self) -> float:
        """Share of all parts that people have time for."""
        if self.reviews_per_hour is None or self.parts_per_hour is None:
            return 1.0
        return min(1.0, self.reviews_per_hour / self.parts_per_hour)


class ExpiryConfig(Section):
    """When a calibration must be renewed; past it parts are reviewed that would have passed.

    Attributes:
        days: since it was made; `inf` means never.
        parts: inspected since; None means never.
        drift: whether an alarm of a control chart ends it.
    """

    days: Positive = 365.0
    parts: Annotated[int, Field(ge=1)] | None = None
    drift: bool = False


class LineConfig(Section):
    """One inspection line.

    Attributes:
        image_size: short side of the prepared image, pixels.
        tile: side of the tiles, overlapping by half, that the network looks at one by one, so that
            memory does not grow with the image. Images no larger are looked at whole.
        time_limit: for scoring one part at inspection; past it the part is `undecided`.
        rule: how `calibrate` sets the thresholds: by `max_false_reject`, kept with `confidence`, or
            so that `costs` are lowest.
    """

    normal: str
    image_size: Annotated[int, Field(ge=32, le=4096)] = 128
    tile: Annotated[int, Field(ge=32, le=4096, multiple_of=16)] = 512
    preset: Literal["tiny", "small", "base"] = "small"
    scorer: str = "fused"
    time_limit: str = "2m"
    rule: Literal["false-reject", "cost"] = "false-reject"
    max_false_reject: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.005
    confidence: Annotated[float, Field(ge=0.5, lt=1.0)] = 0.95
    images: ImagesConfig = ImagesConfig()
    training: TrainingConfig = TrainingConfig()
    consistency: ConsistencyConfig = ConsistencyConfig()
    conservativity: ConservativityConfig = ConservativityConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    costs: CostsConfig = CostsConfig()
    expiry: ExpiryConfig = ExpiryConfig()
    scorers: dict[str, dict[str, Any]] = Field(default_factory=dict)
    exporters: dict[str, dict[str, Any]] = Field(default_factory=dict)

    @field_validator("time_limit")
    @classmethod
    def _time_limit_is_a_duration(cls, value: str) -> str:
        return _checked(parse_duration, value)

    @property
    def digest(self) -> str:
        """SHA-256 of what fixes a model, in canonical JSON, lower-case hexadecimal."""
        facts = self.model_dump(mode="json", exclude={"exporters"})
        text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


class PluginsConfig(Section):
    """Which installed plugins may load.

    Attributes:
        allow: distributions, each as in pip's requirements: by name, and, if wanted, version and
            hash, `name==1.2 --hash=sha256:...`. None means all that are installed.
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
            Allowed.parse(entry)
        return value


class SinkConfig(Section):
    """Somebody else who is told of verdicts.

    Attributes:
        sink: name of a plugin's sink; None means that of the table.
        lines: whose verdicts; None means all.
        options: of the sink.
    """

    sink: str | None = None
    lines: tuple[str, ...] | None = None
    options: dict[str, Any] = Field(default_factory=dict)


class ProjectConfig(Section):
    """The whole of `cdm-inspect.toml`."""

    store: StoreConfig = StoreConfig()
    plugins: PluginsConfig = PluginsConfig()
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


def load_project(
    root: Path,
    *,
    line_files: Mapping[str, Path] | None = None,
    overrides: Sequence[str] = (),
    line: str | None = None,
) -> ProjectConfig:
    """Read the project file under `root`, merge what lies over it, and check the result.

    Args:
        root: the project directory.
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
    sources = [(file.name, _read_toml(file))]
    for name, path in (line_files or {}).items():
        sources.append((str(path.relative_to(root)), {"lines": {name: _read_toml(path)}}))
    sources += [(f"--set {text}", _parse_override(text, line)) for text in overrides]
    document: dict[str, Any] = {}
    for _, part in sources:
        _merge(document, part)
    try:
        return ProjectConfig.model_validate(document)
    except ValidationError as error:
        raise ConfigError(
            f"the configuration of {root} cannot be used:",
            [_describe(sources, item) for item in error.errors()],
        ) from error


def mistakes(error: ValidationError, where: str = "") -> list[str]:
    """What a model of Pydantic found wrong, a sentence each, with the key below `where`."""
    return [
        f"{'.'.join(filter(None, [where, *map(str, item['loc'])]))}: {item['msg']}; found "
        f"{item['input']!r}."
        for item in error.errors()
    ]


def _checked(parse: Callable[[str], float], text: str) -> str:
    try:
        parse(text)
    except InvalidOption as error:
        raise ValueError(str(error).rstrip(".")) from error
    return text


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file} is not valid TOML: {error}.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read as UTF-8 text: {error}.") from error


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


def _describe(sources: Sequence[tuple[str, Mapping[str, Any]]], item: Any) -> str:
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
