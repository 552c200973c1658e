"""One inspection line: its parts, its model, how it is trained and judged."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from cdm_inspect.config.review import LineReviewConfig
from cdm_inspect.config.sections import Amount, Cost, Positive, Section, Share, checked
from cdm_inspect.config.units import parse_count, parse_duration


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
        return checked(parse_duration, value)

    @field_validator("images")
    @classmethod
    def _images_is_a_count(cls, value: str | None) -> str | None:
        # TOML has no null: an empty text takes back what a file below has said.
        return checked(parse_count, value) if value else None


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
        return _one_group(value)


class IdentityConfig(Section):
    """Which part a photograph shows; stored with its verdict, and searched by.

    Attributes:
        serial: regular expression with one group in brackets that finds, in a file's path, the
            number of the part.
        lot: likewise its lot.
        camera: likewise the camera.
        station: name of the place where these parts are inspected.
    """

    serial: str | None = None
    lot: str | None = None
    camera: str | None = None
    station: Annotated[str, Field(max_length=128)] = ""

    @field_validator("serial", "lot", "camera")
    @classmethod
    def _expression_finds_one_thing(cls, value: str | None) -> str | None:
        return _one_group(value)

    def of(self, path: str) -> dict[str, str]:
        """What a file's path says of the part, by name; empty where it says nothing."""
        found = {"station": self.station}
        for name in ("serial", "lot", "camera"):
            expression = getattr(self, name)
            match = re.search(expression, path) if expression else None
            found[name] = (match.group(1) or "")[:128] if match else ""
        return found


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
    identity: IdentityConfig = IdentityConfig()
    training: TrainingConfig = TrainingConfig()
    consistency: ConsistencyConfig = ConsistencyConfig()
    conservativity: ConservativityConfig = ConservativityConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    costs: CostsConfig = CostsConfig()
    expiry: ExpiryConfig = ExpiryConfig()
    review: LineReviewConfig = LineReviewConfig()
    scorers: dict[str, dict[str, Any]] = Field(default_factory=dict)
    exporters: dict[str, dict[str, Any]] = Field(default_factory=dict)

    @field_validator("time_limit")
    @classmethod
    def _time_limit_is_a_duration(cls, value: str) -> str:
        return checked(parse_duration, value)

    @property
    def digest(self) -> str:
        """SHA-256 of what fixes a model, in canonical JSON, lower-case hexadecimal."""
        facts = self.model_dump(mode="json", exclude={"exporters", "identity", "review"})
        text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def _one_group(value: str | None) -> str | None:
    """A regular expression with one group in brackets."""
    if value is None:
        return None
    try:
        found = re.compile(value).groups
    except re.error as error:
        raise ValueError(f"no regular expression: {error}") from error
    if found != 1:
        raise ValueError(f"expected one group in brackets, found {found}")
    return value
