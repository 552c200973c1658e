"""`martingale` (experimental): how far the model drifts from its own prediction at each pixel.

    m = E[h(x', s') | x_s] - h(x_s, s),   x_s = x + s eps, x' one ancestral step below it

and the map is m^2 by its U-statistic over a few steps. For an exact denoiser m is 0 on any part,
good or not: what it shows is where the network errs. Consistency training takes away just that
error, so a model trained without it may show more. It is a diagnostic first.

Source: the property is that of Daras et al. 2023, arXiv:2302.09057; the score is this project's.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from cdm_inspect.model.diffusion import ancestral_step, u_statistic
from cdm_inspect.plugins import Denoiser
from cdm_inspect.scoring.level_scorer import LevelScorer, noise_bank
from cdm_inspect.scoring.options import MartingaleOptions
from cdm_inspect.scoring.shared_evaluations import level

# Of m^2 / sigma^2 on good parts, by order of magnitude: above it the scale is logarithmic.
_USUAL = 1e-3


class MartingaleScorer(LevelScorer):
    """1 + `paths` evaluations a level."""

    def __init__(self, denoiser: Denoiser, options: MartingaleOptions) -> None:
        super().__init__(denoiser, options)
        self.options = options

    @property
    def depth(self) -> int:
        """Noise levels."""
        return len(self.options.sigmas)

    def energy(self, images: Tensor) -> Tensor:
        """m^2 over sigma^2 at each level, mean over channels: an estimate, of either sign."""
        return torch.stack([self._at(sigma, images) for sigma in self.options.sigmas], dim=1)

    @torch.inference_mode()
    def observe(self, images: Tensor, *, seeds: Sequence[int]) -> Tensor:
        """The estimates, averaged over their neighbourhood, on a scale that is linear near zero."""
        return torch.asinh(self.blurred(self.energy(images)) / _USUAL)

    def _at(self, sigma: float, images: Tensor) -> Tensor:
        upper, lower = level(sigma, images), level((1 - self.options.fall) * sigma, images)
        x = images + upper * noise_bank(images)
        first = self.denoiser(x, upper).mean
        differences = []
        for path in range(1, self.options.paths + 1):
            below = ancestral_step(x, first, upper, lower, noise_bank(images, path))
            differences.append(self.denoiser(below, lower).mean - first)
        return u_statistic(torch.stack(differences)).mean(dim=1) / sigma**2
