"""Evidence at several noise levels, made comparable by statistics of held-out good parts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from cdm_inspect.contracts import Denoiser, ScoreBatch
from cdm_inspect.errors import NotCalibrated
from cdm_inspect.records import FloatArray
from cdm_inspect.scoring.density import EvidenceDensity, NeighbourDensity
from cdm_inspect.scoring.options import PoolingOptions

# Keeps the logarithm finite where a residual is exactly zero.
_FLOOR = 1e-12


class PixelStatistics:
    """Mean and spread that good parts have at each channel and pixel.

    Both are shrunk towards those of the whole map, as if `prior` more parts had been seen, so that
    few parts give sound statistics and registered parts keep their layout.

    Args:
        prior: parts that the whole map counts for.
        smooth_mean: side of the box over which the mean is averaged; 1 keeps every pixel's own.
        smooth_variance: side of the box over which the variance is averaged.
    """

    def __init__(self, *, prior: float, smooth_mean: int, smooth_variance: int) -> None:
        self.prior = prior
        self.smooth_mean, self.smooth_variance = smooth_mean, smooth_variance
        self._mean: Tensor | None = None
        self._scale: Tensor | None = None

    def fit(self, evidence: Tensor) -> None:
        """Learn from (count, channels, height, width)."""
        count, prior = evidence.shape[0], self.prior
        overall_mean = evidence.mean(dim=(0, 2, 3), keepdim=True)
        mean = (count * evidence.mean(dim=0, keepdim=True) + prior * overall_mean) / (count + prior)
        mean = box_blur(mean, self.smooth_mean)
        squares = (evidence - mean).square()
        overall_variance = squares.mean(dim=(0, 2, 3), keepdim=True)
        variance = squares.sum(dim=0, keepdim=True) + prior * overall_variance
        variance = box_blur(variance / (count + prior), self.smooth_variance)
        self._mean, self._scale = mean, variance.clamp(min=1e-8).sqrt()

    def standardise(self, evidence: Tensor) -> Tensor:
        """Evidence in standard deviations of good parts."""
        mean, scale = self._fitted()
        return (evidence - mean.to(evidence)) / scale.to(evidence)

    def state(self, prefix: str = "") -> dict[str, FloatArray]:
        """The statistics, by name."""
        mean, scale = self._fitted()
        return {f"{prefix}mean": mean.cpu().numpy(), f"{prefix}scale": scale.cpu().numpy()}

    def restore(self, state: Mapping[str, FloatArray], prefix: str = "") -> None:
        """Take back what `state` returned."""
        self._mean = torch.from_numpy(state[f"{prefix}mean"])
        self._scale = torch.from_numpy(state[f"{prefix}scale"])

    def _fitted(self) -> tuple[Tensor, Tensor]:
        if self._mean is None or self._scale is None:
            raise NotCalibrated("this scorer has not been fitted. Run `cdm-inspect calibrate`.")
        return self._mean, self._scale


class LevelScorer(ABC):
    """Common to the built-in scorers: subclasses say what they see, this says how odd that is.

    The logarithm of the evidence at each level and pixel is standardised by the statistics that
    held-out good parts have there. Levels are combined by their mean, and the image score is the
    mean of the highest pixels.
    """

    def __init__(self, denoiser: Denoiser, options: PoolingOptions) -> None:
        self.denoiser = denoiser
        self.pooling = options
        self.statistics = PixelStatistics(
            prior=options.prior, smooth_mean=options.blur, smooth_variance=options.blur
        )

    @property
    @abstractmethod
    def depth(self) -> int:
        """Size of the second dimension of what `observe` returns."""

    @abstractmethod
    def energy(self, images: Tensor, seeds: Sequence[int]) -> Tensor:
        """Evidence against each pixel, (batch, levels, height, width) float32, >= 0."""

    @torch.inference_mode()
    def observe(self, images: Tensor, *, seeds: Sequence[int]) -> Tensor:
        """Logarithm of the blurred evidence, (batch, levels, height, width) float32."""
        blurred = box_blur(self.energy(images, seeds), self.pooling.blur)
        return (blurred + _FLOOR).log()

    def fit(self, evidence: Tensor) -> None:
        """Learn the statistics of (count, levels, height, width)."""
        self.statistics.fit(evidence)

    def combine(self, evidence: Tensor) -> Tensor:
        """One map a part, (batch, height, width), from (batch, levels, height, width)."""
        return self.statistics.standardise(evidence).mean(dim=1)

    def judge(self, evidence: Tensor) -> ScoreBatch:
        """The combined map, and the mean of its highest pixels."""
        return pool(self.combine(evidence), self.pooling.top)

    def score(self, images: Tensor, *, seeds: Sequence[int]) -> ScoreBatch:
        """Scores and maps of a batch; see `contracts.Scorer`."""
        return self.judge(self.observe(images, seeds=seeds))

    def state(self) -> Mapping[str, FloatArray]:
        """The fitted statistics."""
        return self.statistics.state()

    def restore(self, state: Mapping[str, FloatArray]) -> None:
        """Take back what `state` returned."""
        self.statistics.restore(state)


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
        standardised = self.statistics.standardise(evidence)
        self.density.fit(standardised.transpose(0, 1).flatten(1).T)

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


def box_blur(maps: Tensor, side: int) -> Tensor:
    """Mean over a box of odd side about each pixel; the box is cut at the border."""
    if side <= 1:
        return maps
    side += 1 - side % 2
    return F.avg_pool2d(maps, side, stride=1, padding=side // 2, count_include_pad=False)


def pool(maps: Tensor, top: float) -> ScoreBatch:
    """Image scores: the mean of the highest share `top` of each map's pixels, at least one."""
    flat = maps.flatten(1)
    highest = flat.topk(max(1, round(top * flat.shape[1])), dim=1).values
    return ScoreBatch(scores=highest.mean(dim=1), maps=maps)


def seeded_noise(images: Tensor, seeds: Sequence[int]) -> Tensor:
    """Standard normal noise for each image from its own seed, the same on every device.

    Returns:
        As `images`; independent of the images beside each other.
    """
    shape = images.shape[1:]
    draws = [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return torch.stack(draws).to(images.device)


def level(sigma: float, images: Tensor) -> Tensor:
    """One noise level for a batch, (batch, 1, 1, 1) float32."""
    return torch.full((images.shape[0], 1, 1, 1), sigma, device=images.device)
