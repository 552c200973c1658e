"""`residual`: what the model cannot restore in one step, over what it knows it cannot know.

    z^2 = (x - D(y, sigma))^2 / V(y, sigma)

with y = x (noise-free) or y = x +- sigma eps (K antithetic draws), and V the posterior variance
that the network has learnt. For an exact model the mean of z^2 over noisy good parts is 1.

One-step residuals do not see what is missing without a trace: a plate without its hole is, at any
noise level that leaves the steel visible, a plausible plate. As sigma grows without bound D becomes
the mean of good parts at each position and V their variance there. That last level, the `layout`,
needs no network; it is estimated from held-out good parts, and speaks only where it is louder than
the others. On parts that are not registered it knows nothing, and is silent.

Sources: one-step denoising residual: Lee et al., SPR, ICCV 2023; the posterior variance by
second-order Tweedie, Cov[x_0|y] = sigma^2 dD/dy. Standardising by a learnt variance is this
project's own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from cdm_inspect.plugins import Denoiser, Posterior
from cdm_inspect.records import FloatArray
from cdm_inspect.scoring.level_scorer import LevelScorer, noise_bank, restoring_level
from cdm_inspect.scoring.options import ResidualOptions
from cdm_inspect.scoring.pixel_statistics import PixelStatistics
from cdm_inspect.scoring.shared_evaluations import level

# Mean and standard deviation of |z| for standard normal z.
_HALF_NORMAL_MEAN = math.sqrt(2 / math.pi)
_HALF_NORMAL_STD = math.sqrt(1 - 2 / math.pi)


class ResidualScorer(LevelScorer):
    """One evaluation a level without noise, K with."""

    def __init__(self, denoiser: Denoiser, options: ResidualOptions) -> None:
        super().__init__(denoiser, options)
        self.options = options
        # The mean keeps its edges; the variance is smoothed, since few parts estimate it badly.
        self.layout = PixelStatistics(
            prior=options.prior, smooth_mean=1, smooth_variance=options.blur
        )

    @property
    def depth(self) -> int:
        """Levels, and the image itself for the layout."""
        return len(self.options.sigmas) + self.denoiser.channels

    @torch.inference_mode()
    def observe(self, images: Tensor, *, seeds: Sequence[int]) -> Tensor:
        """Evidence of the levels, then the blurred image itself as that of the layout."""
        levels = super().observe(images, seeds=seeds)
        return torch.cat([levels, self.blurred(images)], dim=1)

    def fit(self, evidence: Tensor) -> None:
        """Learn the statistics of the levels and of the layout."""
        levels, image = self._split(evidence)
        super().fit(levels)
        self.layout.fit(image, self._inside)

    def combine(self, evidence: Tensor) -> Tensor:
        """The mean over levels, or the weighted layout where that is higher."""
        levels, image = self._split(evidence)
        combined = super().combine(levels)
        if self.options.layout == 0 or not self.layout.is_aligned:
            return combined
        distance = (self.layout.standardise(image).abs() - _HALF_NORMAL_MEAN) / _HALF_NORMAL_STD
        return torch.maximum(combined, self.options.layout * distance.mean(dim=1))

    def describe(self) -> Mapping[str, object]:
        """The pooling, and whether parts are registered: by the evidence, and by the images."""
        return {**super().describe(), "images": self.layout.describe()}

    def state(self) -> Mapping[str, FloatArray]:
        """The fitted statistics and the pooling."""
        return {**super().state(), **self.layout.state("layout_")}

    def restore(self, state: Mapping[str, FloatArray]) -> None:
        """Take back what `state` returned."""
        super().restore(state)
        self.layout.restore(state, "layout_")

    def _split(self, evidence: Tensor) -> tuple[Tensor, Tensor]:
        count = len(self.options.sigmas)
        return evidence[:, :count], evidence[:, count:]

    def energy(self, images: Tensor) -> Tensor:
        """Mean over channels and draws of z^2 at each level; see `LevelScorer.energy`."""
        return torch.stack([self._at(sigma, images) for sigma in self.options.sigmas], dim=1)

    def restored(self, images: Tensor) -> Tensor:
        """The mean over draws of D at the level where parts are plain and defects are not."""
        seen = self._seen(restoring_level(self.options.sigmas), images)
        return torch.stack([posterior.mean for posterior, _ in seen]).mean(dim=0)

    def _at(self, sigma: float, images: Tensor) -> Tensor:
        total = torch.zeros_like(images[:, 0])
        for posterior, residual in self._seen(sigma, images):
            square = residual.square()
            if self.options.standardise:
                square = square * (-posterior.log_variance).exp()
            total += square.mean(dim=1)
        return total / max(1, self.options.draws)

    def _seen(self, sigma: float, images: Tensor) -> Iterator[tuple[Posterior, Tensor]]:
        """What the denoiser says, once a draw, and how far that is from the parts: D - x."""
        if not self.options.draws:
            posterior = self.denoiser.at(images, sigma)
            yield posterior, posterior.displacement
        for draw in range(self.options.draws):
            noise = sigma * noise_bank(images, draw // 2) * (-1) ** draw
            ask = partial(self.denoiser, images + noise, level(sigma, images))
            posterior = self.denoiser.remembered(images, ("noised", sigma, draw), ask)
            # D - x, from parts that are each of the size of sigma: nothing cancels.
            yield posterior, posterior.displacement + noise
