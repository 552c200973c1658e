"""Evidence at several noise levels, made comparable by statistics of held-out good parts."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from cdm_inspect.plugins import DamagedParts, Denoiser, ScoreBatch
from cdm_inspect.records import FloatArray
from cdm_inspect.scoring.density import EvidenceDensity, NeighbourDensity
from cdm_inspect.scoring.options import PoolingOptions
from cdm_inspect.scoring.pixel_statistics import PixelStatistics, box_blur
from cdm_inspect.scoring.pooling import Area, Pooling, choose_pooling, region_at
from cdm_inspect.scoring.shared_evaluations import SharedEvaluations

# Far below it the defect stays in the picture, far above it the part goes as well.
_RESTORING_SIGMA = 0.5
# Keeps the logarithm finite where a residual is exactly zero. A bound, not a summand: optimisers of
# graphs take the addition of so little for none.
_FLOOR = 1e-12


class LevelScorer(ABC):
    """Common to the built-in scorers: subclasses say what they see, this says how odd that is.

    The logarithm of the evidence at each level and pixel is standardised by the statistics that
    held-out good parts have there. Levels are combined by their mean, and the image score is the
    mean of the highest pixels.
    """

    def __init__(self, denoiser: Denoiser, options: PoolingOptions) -> None:
        self.denoiser = SharedEvaluations.of(denoiser)
        self.common = options
        self.pooling = Pooling(smooth=1, top=options.top)
        self.area: Area | None = None
        self._inside: Tensor | None = None
        self.statistics = PixelStatistics(
            prior=options.prior, smooth_mean=options.blur, smooth_variance=options.blur
        )

    @property
    @abstractmethod
    def depth(self) -> int:
        """Size of the second dimension of what `observe` returns."""

    @abstractmethod
    def energy(self, images: Tensor) -> Tensor:
        """Evidence against each pixel, (batch, levels, height, width) float32, >= 0."""

    @property
    def stride(self) -> int:
        """Pixels of the image along a side of a pixel of the evidence."""
        return 1

    def restrict(self, region: Tensor) -> None:
        """Heed only these pixels; see `contracts.RegionalScorer`."""
        self.area, self._inside = Area.of(region), region_at(region, self.stride)

    @torch.inference_mode()
    def observe(self, images: Tensor, *, seeds: Sequence[int]) -> Tensor:
        """Logarithm of the blurred evidence, (batch, levels, height, width) float32."""
        return self.blurred(self.energy(images)).clamp(min=_FLOOR).log()

    def blurred(self, energy: Tensor) -> Tensor:
        """Energy averaged over its neighbourhood inside the region."""
        return box_blur(energy, self.common.blur, self._inside)

    def fit(self, evidence: Tensor) -> None:
        """Learn the statistics of (count, levels, height, width)."""
        self.statistics.fit(evidence, self._inside)

    def combine(self, evidence: Tensor) -> Tensor:
        """One map a part, (batch, height, width), from (batch, levels, height, width)."""
        return self.statistics.standardise(evidence).mean(dim=1)

    def tune(self, good: Tensor, damaged: DamagedParts) -> None:
        """Choose the pooling; see `contracts.TunedScorer`."""
        self.pooling = choose_pooling(good, damaged.layers, default=self.common.top, area=self.area)

    def pool(self, layers: Tensor) -> ScoreBatch:
        """The combined map, and the mean of its highest pixels."""
        return self.pooling(layers, self.area)

    def judge(self, evidence: Tensor) -> ScoreBatch:
        """The same, from evidence."""
        return self.pool(self.combine(evidence))

    def score(self, images: Tensor, *, seeds: Sequence[int]) -> ScoreBatch:
        """Scores, maps and restorations of a batch; see `contracts.Scorer`."""
        with self.denoiser.looking(images):
            batch = self.judge(self.observe(images, seeds=seeds))
            return batch._replace(restored=self.restored(images))

    def restored(self, images: Tensor) -> Tensor | None:
        """What the model makes of images, shaped like them, by what `observe` has asked it anyway.

        None from a scorer that asks nothing whose answer a person could use.
        """
        return None

    def describe(self) -> Mapping[str, object]:
        """The pooling, and whether places say something of good parts."""
        return {**self.pooling.describe(), **self.statistics.describe()}

    def state(self) -> Mapping[str, FloatArray]:
        """The fitted statistics and the pooling."""
        return {**self.statistics.state(), **self.pooling.state()}

    def restore(self, state: Mapping[str, FloatArray]) -> None:
        """Take back what `state` returned."""
        self.statistics.restore(state)
        self.pooling = Pooling.restored(state)


class DensityScorer(LevelScorer):
    """A scorer whose levels are judged together: how unlikely they are side by side.

    Args:
        density: of the standardised evidence at a pixel, one for the whole map.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        options: PoolingOptions,
        density: EvidenceDensity | NeighbourDensity,
    ) -> None:
        super().__init__(denoiser, options)
        self.density = density

    def fit(self, evidence: Tensor) -> None:
        """Learn mean, variance, and the density of what they leave."""
        super().fit(evidence)
        vectors = self.statistics.standardise(evidence).movedim(1, -1)
        inside = vectors if self._inside is None else vectors[:, self._inside]
        self.density.fit(inside.flatten(0, -2))

    def combine(self, evidence: Tensor) -> Tensor:
        """Distance from the mode of the density at each pixel."""
        return self.density.distance(self.statistics.standardise(evidence).movedim(1, -1))

    def state(self) -> Mapping[str, FloatArray]:
        """The fitted statistics."""
        own = {f"density_{name}": value for name, value in self.density.state().items()}
        return {**super().state(), **own}

    def restore(self, state: Mapping[str, FloatArray]) -> None:
        """Take back what `state` returned."""
        super().restore(state)
        prefix = "density_"
        self.density.restore(
            {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        )


def restoring_level(sigmas: Sequence[float]) -> float:
    """The noise level, of some, at which what the model makes of a part tells a person most."""
    return min(sigmas, key=lambda sigma: abs(math.log(sigma / _RESTORING_SIGMA)))


def noise_bank(images: Tensor, draw: int = 0) -> Tensor:
    """Standard normal noise, the same for every image, process and device: (1, ...) as `images`.

    Common random numbers: parts differ by what they are, not by what was drawn for them, and an
    exported graph holds the noise as a constant.

    Args:
        draw: number of the draw.
    """
    return _drawn(draw, *images.shape[1:]).to(images.device)


@lru_cache(maxsize=32)
def _drawn(draw: int, channels: int, height: int, width: int) -> Tensor:
    # NumPy keeps this generator's stream as it is for good; that of others may change.
    normal = np.random.RandomState(draw).standard_normal((1, channels, height, width))
    return torch.from_numpy(normal.astype(np.float32))
