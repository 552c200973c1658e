"""`bias`: what the model gets wrong in the same direction over a whole neighbourhood.

    b = mean over a box of (x - D(x, sigma)) / sqrt(V(x, sigma))

for each channel, several noise levels and several boxes; the map is the distance of all of them
side by side from what good parts have. Squares forget the sign: a stain that is a little too dark
everywhere changes them less than the grain of the surface does, and its mean by far more.

Source: this project's own; boxes of several sizes as in scale-space theory (Lindeberg 1994).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from cdm_inspect.plugins import Denoiser
from cdm_inspect.scoring.density import EvidenceDensity
from cdm_inspect.scoring.level_scorer import DensityScorer, restoring_level
from cdm_inspect.scoring.options import BiasOptions
from cdm_inspect.scoring.pixel_statistics import PixelStatistics, box_blur

_RIDGE = 0.1
# Means over hundreds of pixels are small: a hundredth would already be a large one.
_LEAST = 1e-4


class BiasScorer(DensityScorer):
    """One evaluation a level, without noise."""

    def __init__(self, denoiser: Denoiser, options: BiasOptions) -> None:
        super().__init__(denoiser, options, EvidenceDensity(components=1, ridge=_RIDGE))
        self.options = options
        self.statistics = PixelStatistics(
            prior=options.prior,
            smooth_mean=options.blur,
            smooth_variance=options.blur,
            least=_LEAST,
        )

    @property
    def depth(self) -> int:
        """Boxes, levels and channels."""
        return len(self.options.boxes) * len(self.options.sigmas) * self.denoiser.channels

    def energy(self, images: Tensor) -> Tensor:
        """Standardised residuals, (batch, levels x channels, height, width), of either sign."""
        found = []
        for sigma in self.options.sigmas:
            posterior = self.denoiser.at(images, sigma)
            found.append(posterior.displacement * (-0.5 * posterior.log_variance).exp())
        return torch.cat(found, dim=1)

    def restored(self, images: Tensor) -> Tensor:
        """D at the level where parts are plain and defects are not."""
        return self.denoiser.at(images, restoring_level(self.options.sigmas)).mean

    @torch.inference_mode()
    def observe(self, images: Tensor, *, seeds: Sequence[int]) -> Tensor:
        """Their means over each box inside the region."""
        residuals = self.energy(images)
        boxes = self.options.boxes
        return torch.cat([box_blur(residuals, box, self._inside) for box in boxes], dim=1)
