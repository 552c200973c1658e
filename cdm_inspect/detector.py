"""The whole method on arrays: learn from good images in memory, score others. For programs."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from pydantic import ValidationError

from cdm_inspect.calibration.record import conformal_p_value
from cdm_inspect.config import LineConfig, mistakes
from cdm_inspect.errors import CheckpointMismatch, ConfigError, ImageError, TooFewImages
from cdm_inspect.images import GoodParts, PartOrigin, Preparation, choose_held_out
from cdm_inspect.model.checkpoint import (
    ModelCard,
    TrainedModel,
    dump_tensors,
    load_model,
    parse_tensors,
)
from cdm_inspect.model.training import Training
from cdm_inspect.plugins import Registry, ScoreBatch
from cdm_inspect.records import FloatArray, JsonObject, Tick, TrainingTick, no_progress
from cdm_inspect.scoring.building import build_line_scorer, scorer_options
from cdm_inspect.scoring.fitting import fit_scorer

_FORMAT = 1
_MULTIPLE = 8


class Detector:
    """A trained model and a fitted scorer, without project, files and store.

    Make one with `Detector.learn` or `Detector.from_bytes`.

    Attributes:
        held_out_scores: what good images score that the model has not seen, ascending.
    """

    def __init__(self, model: TrainedModel, scorer: str, held_out_scores: list[float]) -> None:
        self.card, self.scorer_name = model.card, scorer
        self.held_out_scores = held_out_scores
        self._model, self._scorer = (
            model,
            build_line_scorer(Registry(), model.card.config, model, scorer),
        )

    @classmethod
    def learn(
        cls,
        images: FloatArray,
        *,
        settings: Mapping[str, Any] | None = None,
        scorer: str | None = None,
        device: str = "auto",
        tick: Callable[[TrainingTick], None] = lambda tick: None,
        tick_scores: Tick = no_progress,
    ) -> Detector:
        """Train on good images, hold some out, and fit the scorer on those.

        Args:
            images: (count, 1 or 3, height, width) float32 in [-1, 1]; height and width are
                multiples of 8. Images of the same content count once.
            settings: of the line, as in the project file; `{"training": {"budget": "5m"}}`.
            scorer: another than that of the settings.
            device: "auto", "cpu", "cuda" or "cuda:N".
            tick: called after every step of training.
            tick_scores: called with how many observations of how many are done.

        Raises:
            ConfigError: with every mistake in the settings.
            ImageError: if the images have another shape or range.
            TooFewImages: if there are too few.
            TrainingDiverged: if training does not get anywhere.
        """
        _check(images)
        given = {**(settings or {}), "normal": "(in memory)", "image_size": min(images.shape[2:])}
        config = _settings(given)
        scorer_options(
            Registry(), config, scorer or config.scorer
        )  # better now than after the training
        parts = _split(images, config)
        with tempfile.TemporaryDirectory(prefix="cdm-inspect-") as folder:
            training = Training("memory", config, parts, Path(folder), device=device)
            for progress in training.run():
                tick(progress)
            model = load_model(Path(folder), training.setup.fabric.device)
        found = cls(model, scorer or config.scorer, [])
        scores = fit_scorer(found._scorer, parts.held_out, trained_on=parts.train, tick=tick_scores)
        found.held_out_scores = sorted(scores)
        return found

    def score(self, images: FloatArray) -> ScoreBatch:
        """Scores (count,) and maps (count, height, width), float32 on the CPU; higher is odder.

        Args:
            images: as for `learn`, of the same channels and size.

        Raises:
            ImageError: if they are not.
        """
        _check(images)
        prepared = self.card.preparation
        expected = (prepared.channels, prepared.height, prepared.width)
        if images.shape[1:] != expected:
            raise ImageError(
                f"expected images of channels, height and width {expected}, found "
                f"{images.shape[1:]}. Prepare them as those that were learnt from."
            )
        # One by one: memory does not grow, and a score depends on its image alone.
        batches = [self._scorer.score(image[None]) for image in images]
        return ScoreBatch(
            scores=torch.cat([batch.scores for batch in batches]),
            maps=torch.cat([batch.maps for batch in batches]),
        )

    def p_value(self, score: float) -> float:
        """Share of good images that look at least as odd, in [1/(n+1), 1]."""
        return conformal_p_value(self.held_out_scores, score)

    def to(self, device: torch.device | str) -> Self:
        """Move the network; returns itself."""
        self._model.denoiser.to(device)
        self._scorer.device = torch.device(device)
        return self

    def to_bytes(self) -> bytes:
        """All of it as one safetensors file."""
        weights = {f"model/{k}": v for k, v in self._model.denoiser.state_dict().items()}
        learnt = {
            f"scorer/{k}": torch.from_numpy(np.array(v)) for k, v in self._scorer.state().items()
        }
        facts: JsonObject = {
            "format": _FORMAT,
            "model": self._model.id,
            "card": self.card.to_json(),
            "scorer": self.scorer_name,
            "held_out_scores": self.held_out_scores,
        }
        return dump_tensors({**weights, **learnt}, facts)

    @classmethod
    def from_bytes(cls, data: bytes, device: torch.device | str = "cpu") -> Detector:
        """Take back what `to_bytes` returned.

        Raises:
            CheckpointCorrupt: if the bytes are no safetensors.
            CheckpointMismatch: if they are something else, or of another version.
        """
        tensors, facts = parse_tensors(data, Path("(in memory)"))
        if facts.get("format") != _FORMAT:
            raise CheckpointMismatch(
                f"expected a detector of format {_FORMAT}, found {facts.get('format')!r}. Learn it "
                "anew, or use the version of cdm-inspect that has written it."
            )
        try:
            card = ModelCard.from_json(facts["card"])
            denoiser = card.build()
            denoiser.load_state_dict(_below(tensors, "model/"))
            denoiser.eval().requires_grad_(False).to(device)
            model = TrainedModel(id=facts["model"], card=card, denoiser=denoiser)
            found = cls(model, facts["scorer"], facts["held_out_scores"])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise CheckpointMismatch(
                f"the detector was written by another version ({type(error).__name__}: {error}). "
                "Learn it anew, or use that version of cdm-inspect."
            ) from error
        found._scorer.restore({k: v.numpy() for k, v in _below(tensors, "scorer/").items()})
        return found


def _settings(given: Mapping[str, Any]) -> LineConfig:
    try:
        return LineConfig.model_validate(given)
    except ValidationError as error:
        raise ConfigError("the settings cannot be used:", mistakes(error)) from error


def _below(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _check(images: FloatArray) -> None:
    is_sound = (
        images.ndim == 4
        and images.shape[1] in (1, 3)
        and images.dtype == np.float32
        and not images.shape[2] % _MULTIPLE
        and not images.shape[3] % _MULTIPLE
        and min(images.shape) > 0
    )
    if not is_sound:
        raise ImageError(
            "expected (count, 1 or 3, height, width) float32 with height and width divisible by "
            f"{_MULTIPLE}, found {images.shape} {images.dtype}."
        )
    low, high = float(images.min()), float(images.max())
    # Not so where there is a NaN either.
    if not (low >= -1 and high <= 1):
        raise ImageError(f"expected images in [-1, 1], found {low:g} to {high:g}.")


def _split(images: FloatArray, config: LineConfig) -> GoodParts:
    keys = {hashlib.sha256(np.ascontiguousarray(im).tobytes()).hexdigest(): im for im in images}
    if len(keys) < config.training.min_images:
        raise TooFewImages(
            f"expected at least {config.training.min_images} different good images, found "
            f"{len(keys)}. Add images, or lower training.min_images."
        )
    settings = config.training
    held_out = choose_held_out(dict(zip(keys, keys, strict=True)), settings.held_out, settings.seed)
    train = [key for key in keys if key not in held_out]
    kept = [key for key in keys if key in held_out]
    _, channels, height, width = images.shape
    nowhere = PartOrigin(path=Path("(in memory)"), sha256="")
    return GoodParts(
        preparation=Preparation(
            channels=channels,
            height=height,
            width=width,
            white=255,
            converts_to_grey=False,
            max_aspect_change=config.images.max_aspect_change,
            min_side=1,
        ),
        train=np.stack([keys[key] for key in train]),
        held_out=np.stack([keys[key] for key in kept]),
        train_origin=tuple(replace(nowhere, sha256=key) for key in train),
        held_out_origin=tuple(replace(nowhere, sha256=key) for key in kept),
        set_aside=(),
    )
