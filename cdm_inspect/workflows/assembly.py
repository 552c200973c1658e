"""From names to working objects: the model of a line, its good parts, its scorer, its inspector."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import compress

import numpy as np
import numpy.typing as npt

from cdm_inspect.calibration.record import Calibration, load_calibration
from cdm_inspect.config import LineConfig
from cdm_inspect.config.units import parse_duration
from cdm_inspect.errors import (
    CheckpointMismatch,
    ConfigError,
    UnreadableImage,
)
from cdm_inspect.images import Preparation, find_parts, load_manifest, read_region
from cdm_inspect.inspection.inspector import Inspector, Look, Scored
from cdm_inspect.model.checkpoint import TrainedModel, load_model
from cdm_inspect.model.training import choose_hardware, masked_count
from cdm_inspect.project import Project
from cdm_inspect.records import FloatArray, JsonObject, PartImage
from cdm_inspect.scoring.building import build_line_scorer, scorer_options
from cdm_inspect.scoring.line_scorer import LineScorer


@dataclass(frozen=True)
class ModelScorer:
    """A trained model and its scorer; see `inspection.PartScorer`."""

    model: TrainedModel
    line: LineScorer

    @property
    def model_id(self) -> str:
        """Of the model."""
        return self.model.id

    @property
    def model_record(self) -> JsonObject:
        """What is known of the model."""
        return self.model.card.to_json()

    @property
    def preparation(self) -> Preparation:
        """Of photographs."""
        return self.model.card.preparation

    @property
    def region(self) -> npt.NDArray[np.bool_] | None:
        """Where the line looks."""
        return self.line.region

    def look(self, part: PartImage) -> Look:
        """Prepare a photograph."""
        return self.look_at(self.model.card.preparation(part))

    def look_at(self, prepared: FloatArray) -> Look:
        """The same of a prepared image, (channels, height, width)."""
        seen = self.line.seen(prepared)
        return Look(seen, lambda: self._appraise(seen))

    def _appraise(self, seen: FloatArray) -> Scored:
        batch = self.line.score(seen[None])
        restored = None if batch.restored is None else batch.restored[0].numpy()
        return Scored(float(batch.scores[0]), batch.maps[0].numpy(), restored)


TrainedInspector = Inspector[ModelScorer]


@dataclass(frozen=True)
class PreparedParts:
    """Good parts, ready for a model.

    Attributes:
        images: (count, channels, height, width) float32 in [-1, 1].
        hashes: SHA-256 of each photograph.
    """

    images: FloatArray
    hashes: tuple[str, ...]


def good_parts_of(
    project: Project, config: LineConfig, *models: TrainedModel
) -> tuple[PreparedParts, PreparedParts]:
    """The good parts that all of some models have trained on, and those held out from all.

    Parts that came into the folder after a model was trained are neither.

    Args:
        config: of the line, whose folder the parts are in.
        models: at least one; all prepare images as the first.

    Raises:
        CheckpointMismatch: if fewer than two of the held-out parts are still there.
    """
    card = models[0].card
    parts = find_parts(
        project.path(config.normal),
        card.config,
        preparation=card.preparation,
        manifest=load_manifest(project.manifest_file(card.line)),
    )
    images = np.array(list(parts.prepared.values()))
    found = [origin.sha256 for origin in parts.origin.values()]
    known, fresh = (
        np.array([all(sha256 in side for side in sides) for sha256 in found], bool)
        for sides in (
            [set(model.card.trained_on) for model in models],
            [set(model.card.held_out) for model in models],
        )
    )
    if fresh.sum() < 2:
        raise CheckpointMismatch(
            f"expected at least 2 good parts that were held out from "
            f"{' and from '.join(model.id for model in models)} in {config.normal}, found "
            f"{fresh.sum()} (line {card.line!r} held out {len(card.held_out)}). Restore the "
            "images, or train again."
        )
    return (
        PreparedParts(images[known], tuple(compress(found, known))),
        PreparedParts(images[fresh], tuple(compress(found, fresh))),
    )


def load_line_model(project: Project, line: str, device: str = "auto") -> TrainedModel:
    """The model in force for a line, on the device asked for.

    Raises:
        CheckpointMismatch: if there is none, or it belongs to another line.
    """
    accelerator, _ = choose_hardware(device, "32-true")
    target = device if ":" in device else accelerator
    model = load_model(project.model_folder(line), target)
    if model.card.line != line:
        raise CheckpointMismatch(
            f"expected the model of line {line!r} in {project.model_folder(line)}, found that of "
            f"{model.card.line!r}. Restore the folder, or train again."
        )
    return model


def build_scorer(
    project: Project, config: LineConfig, model: TrainedModel, name: str
) -> LineScorer:
    """A scorer by name, with the options, the tiles and the region that the project file gives it.

    Raises:
        PluginUnavailable: if nobody offers it.
        ConfigError: with every mistake in the options; if the region cannot be read.
        PluginFailed: if it cannot be built.
    """
    region = load_region(project, config, model)
    return build_line_scorer(project.registry, config, model, name, region=region)


def check_region(project: Project, config: LineConfig) -> None:
    """Refuse to begin where the line's region could not be read in the end.

    Raises:
        ConfigError: if there is no such picture.
    """
    region = config.images.region
    if region is not None and not project.path(region).is_file():
        raise ConfigError(
            "images.region: expected a picture, white where the line looks, found no file "
            f"{project.path(region)}."
        )


def load_region(
    project: Project, config: LineConfig, model: TrainedModel
) -> npt.NDArray[np.bool_] | None:
    """Where the line looks, at the size of prepared images: (height, width); None is everywhere.

    Raises:
        ConfigError: if the picture cannot be read, or leaves nothing to look at.
    """
    if config.images.region is None:
        return None
    path = project.path(config.images.region)
    try:
        region = read_region(path, model.card.preparation, max_pixels=config.images.max_pixels)
    except UnreadableImage as error:
        raise ConfigError(
            f"images.region: expected a picture, white where the line looks: {error}"
        ) from error
    if not region.any():
        raise ConfigError(
            f"images.region: {path} is black all over: nothing would be judged. Paint white what "
            "the line looks at."
        )
    return region


def check_scorer_fits(project: Project, config: LineConfig) -> None:
    """Refuse to train a model that the line's own scorer could not use.

    Raises:
        PluginUnavailable: if nobody offers it.
        ConfigError: if its options have mistakes, or it needs hidden cells and the training shows
            none.
    """
    offer, _ = scorer_options(project.registry, config, config.scorer)
    if offer.needs_cells and not masked_count(config):
        raise ConfigError(
            f"scorer {config.scorer!r} needs a model that has learnt to restore hidden cells, "
            f"found training.masked_share = {config.training.masked_share:g}. Set it to 0.3, "
            "or name another scorer."
        )


def open_inspector(
    project: Project,
    line: str,
    *,
    scorer: str | None = None,
    device: str = "auto",
    calibration: Calibration | None = None,
) -> TrainedInspector:
    """Everything that judges parts of a line, with calibration and options checked together.

    Args:
        device: "auto", "cpu" or "cuda".
        calibration: instead of the one in force.

    Raises:
        NotCalibrated: if there is none.
        ConfigError: if options, tile or region are others than it was made with.
    """
    config = project.config.line(line)
    model = load_line_model(project, line, device)
    name = scorer or config.scorer
    built = build_scorer(project, config, model, name)
    if calibration is None:
        calibration = load_calibration(project.calibration_folder(line), name, model.id)
    if calibration.options != built.options:
        raise ConfigError(
            f"the options of scorer {name!r} changed since the line was calibrated. "
            "Run `cdm-inspect calibrate`, or restore them."
        )
    if calibration.view != built.view:
        raise ConfigError(
            "the line's `tile` or `images.region` changed since it was calibrated. "
            "Run `cdm-inspect calibrate`, or restore them."
        )
    built.restore(calibration.state)
    return Inspector(
        line,
        ModelScorer(model, built),
        calibration,
        max_pixels=config.images.max_pixels,
        time_limit=parse_duration(config.time_limit),
    )
