"""A scorer as one line uses it: with the line's region and the image's own seed, and checked."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cdm_inspect.errors import PluginFailed, attribute_to_plugin
from cdm_inspect.plugins import (
    DamagedParts,
    FittedScorer,
    RegionalScorer,
    ScaledScorer,
    ScoreBatch,
    Scorer,
    TrainedScorer,
    TunedScorer,
)
from cdm_inspect.records import FloatArray, JsonObject


class LineScorer:
    """What everything that judges prepared images of a line goes through.

    Pixels outside the region are levelled before the scorer or the seed of its noise sees them, so
    that no scorer, ours or a plugin's, can let them into a score.

    Args:
        scorer: built in or a plugin's.
        options: of the scorer, resolved.
        model_id: of the model, which the noise depends on.
        device: the model's.
        region: (height, width), true where the line looks; None means everywhere.
        level: (channels,) image units; what pixels outside the region become.
        view: what else fixes the scores beside the scorer's own options, as JSON.
    """

    def __init__(
        self,
        scorer: Scorer,
        *,
        options: JsonObject,
        model_id: str,
        device: torch.device,
        region: npt.NDArray[np.bool_] | None = None,
        level: Sequence[float] = (),
        view: JsonObject | None = None,
    ) -> None:
        self.scorer, self.options, self.view = scorer, options, view or {}
        self.model_id, self.device = model_id, device
        self.region = region
        self._inside = None if region is None else torch.from_numpy(region).to(device)
        self._level = torch.tensor(level, dtype=torch.float32, device=device)[:, None, None]
        if region is not None and isinstance(scorer, RegionalScorer):
            with attribute_to_plugin():
                scorer.restrict(torch.from_numpy(region))

    @property
    def level(self) -> tuple[float, ...]:
        """(channels,) image units; what pixels outside the region become."""
        return tuple(self._level.flatten().tolist())

    @property
    def fitted(self) -> FittedScorer | None:
        """The scorer, if it is of the kind that learns from held-out good parts."""
        return self.scorer if isinstance(self.scorer, FittedScorer) else None

    @property
    def tuned(self) -> TunedScorer | None:
        """The scorer, if it also chooses how its evidence becomes a score."""
        return self.scorer if isinstance(self.scorer, TunedScorer) else None

    def seen(self, prepared: FloatArray) -> FloatArray:
        """Prepared images, (..., channels, height, width), without what lies outside the region."""
        if self.region is None:
            return prepared
        images = torch.from_numpy(prepared).to(self.device)
        found: FloatArray = self.level_outside(images).cpu().numpy()
        return found

    def level_outside(self, images: Tensor) -> Tensor:
        """The same of tensors; it can be traced."""
        return images if self._inside is None else torch.where(self._inside, images, self._level)

    def floor_outside(self, batch: ScoreBatch) -> ScoreBatch:
        """The batch, outside the region its maps lowest and what it restores level; traceable."""
        if self._inside is None:
            return batch
        inside = self._inside.to(batch.maps.device)
        lowest = batch.maps.masked_fill(~inside, math.inf).amin(dim=(1, 2), keepdim=True)
        restored = batch.restored
        if restored is not None:
            restored = torch.where(inside, restored, self._level.to(restored.device))
        return batch._replace(maps=torch.where(inside, batch.maps, lowest), restored=restored)

    def observe(self, prepared: FloatArray, *, shape: Sequence[int] | None = None) -> Tensor:
        """Evidence in one prepared image, (channels, height, width): (1, ...) float32 on the CPU.

        Args:
            shape: that the evidence of other parts had; None where there are none yet.

        Raises:
            PluginFailed: if the scorer raises, learns nothing from parts, or gives no such thing.
        """
        image = self.seen(prepared)
        batch = torch.from_numpy(image[None]).to(self.device)
        with self._attributed() as scorer:
            evidence: Tensor = (
                scorer.observe(batch, seeds=[image_seed(self.model_id, image)]).float().cpu()
            )
            found = tuple(evidence.shape)
            if found[:1] != (1,) or not torch.isfinite(evidence).all():
                raise ValueError(f"expected finite evidence of 1 part, found shape {found}")
            if shape is not None and found != tuple(shape):
                raise ValueError(f"expected evidence of shape {tuple(shape)}, found {found}")
            return evidence

    def learn(self, prepared: FloatArray | None) -> None:
        """Let a scorer that trains do so; others need not.

        Args:
            prepared: (count, channels, height, width), images that the line's model has trained on.

        Raises:
            PluginFailed: if there are none, or the scorer raises.
        """
        if isinstance(self.scorer, TrainedScorer):
            with attribute_to_plugin():
                if prepared is None or not len(prepared):
                    raise ValueError("it must train, and no part that the model trained on is left")
                self.scorer.learn(torch.from_numpy(self.seen(prepared)))

    def fit(self, evidence: Tensor) -> None:
        """Learn from the evidence of good parts, (count, ...)."""
        with self._attributed() as scorer:
            scorer.fit(evidence)

    def judge(self, evidence: Tensor, size: Sequence[int]) -> ScoreBatch:
        """Scores and maps from evidence; `size` is the height and width of a prepared image."""
        with self._attributed() as scorer:
            return self._checked(scorer.judge(evidence), len(evidence), size)

    def combine(self, evidence: Tensor) -> Tensor:
        """Layers of a tuned scorer from the evidence of one part; see `contracts.TunedScorer`."""
        with self._attributed():
            assert self.tuned is not None
            layers = self.tuned.combine(evidence).float().cpu()
            if layers.shape[:1] != (1,):
                raise ValueError(f"expected layers of 1 part, found shape {tuple(layers.shape)}")
            return layers

    def tune(self, good: Tensor, damaged: DamagedParts) -> None:
        """Let a tuned scorer choose; see `contracts.TunedScorer`."""
        with self._attributed():
            assert self.tuned is not None
            self.tuned.tune(good, damaged)

    def scale(self, good: Tensor) -> None:
        """Let a scorer that adds several things put them on one scale; others need none."""
        if isinstance(self.scorer, ScaledScorer):
            with attribute_to_plugin():
                self.scorer.scale(good)

    def pool(self, layers: Tensor, size: Sequence[int]) -> ScoreBatch:
        """Scores and maps from layers of a tuned scorer."""
        with self._attributed():
            assert self.tuned is not None
            return self._checked(self.tuned.pool(layers), len(layers), size)

    def describe(self) -> JsonObject:
        """What the scorer says of the parts and of its choices; empty if it says nothing."""
        if self.tuned is None:
            return {}
        with self._attributed():
            found: JsonObject = json.loads(json.dumps(dict(self.tuned.describe())))
            return found

    def score(self, prepared: FloatArray) -> ScoreBatch:
        """Scores, maps and restorations of prepared images, on the CPU.

        Args:
            prepared: (count, channels, height, width) float32 in [-1, 1].

        Raises:
            PluginFailed: if the scorer raises, or what it says has the wrong shape or is not
                finite.
        """
        images = self.seen(prepared)
        seeds = [image_seed(self.model_id, image) for image in images]
        with attribute_to_plugin():
            batch = self.scorer.score(torch.from_numpy(images).to(self.device), seeds=seeds)
            return self._checked(batch, len(images), images.shape[2:])

    def state(self) -> Mapping[str, FloatArray]:
        """What the scorer has learnt; empty if it learns nothing."""
        if not isinstance(self.scorer, FittedScorer | TrainedScorer):
            return {}
        with attribute_to_plugin():
            return dict(self.scorer.state())

    def restore(self, state: Mapping[str, FloatArray]) -> None:
        """Take back what `state` returned."""
        if isinstance(self.scorer, FittedScorer | TrainedScorer):
            with attribute_to_plugin():
                self.scorer.restore(state)

    @contextlib.contextmanager
    def _attributed(self) -> Iterator[FittedScorer]:
        with attribute_to_plugin():
            if self.fitted is None:
                raise TypeError("this scorer learns nothing from good parts")
            yield self.fitted

    def _checked(self, batch: ScoreBatch, count: int, size: Sequence[int]) -> ScoreBatch:
        return self.floor_outside(check_scores(batch, count=count, size=size))


def check_scores(batch: ScoreBatch, *, count: int, size: Sequence[int]) -> ScoreBatch:
    """The batch on the CPU in float32, if it keeps its contract.

    Raises:
        PluginFailed: if it does not.
    """
    scores, maps = batch.scores.detach().float().cpu(), batch.maps.detach().float().cpu()
    expected = (count, *size)
    if scores.shape != (count,) or maps.shape != expected:
        raise PluginFailed(
            f"expected scores ({count},) and maps {expected}, found {tuple(scores.shape)} and "
            f"{tuple(maps.shape)}."
        )
    if not (torch.isfinite(scores).all() and torch.isfinite(maps).all()):
        raise PluginFailed("expected finite scores and maps, found NaN or infinity.")
    return ScoreBatch(scores=scores, maps=maps, restored=_check_restored(batch.restored, expected))


def _check_restored(restored: Tensor | None, maps: tuple[int, ...]) -> Tensor | None:
    """What was restored on the CPU in float32, if it is pictures as large as the maps."""
    if restored is None:
        return None
    restored = restored.detach().float().cpu()
    shapes = [(maps[0], channels, *maps[1:]) for channels in (1, 3)]
    if restored.shape not in shapes:
        raise PluginFailed(
            f"expected restorations {shapes[0]} or {shapes[1]}, found {tuple(restored.shape)}."
        )
    if not torch.isfinite(restored).all():
        raise PluginFailed("expected finite restorations, found NaN or infinity.")
    return restored


def image_seed(model: str, prepared: FloatArray) -> int:
    """Seed of an image's noise: it follows from the model and the image's content alone."""
    digest = hashlib.sha256(model.encode() + np.ascontiguousarray(prepared).tobytes()).digest()
    return int.from_bytes(digest[:7], "big")
