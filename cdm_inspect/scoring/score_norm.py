"""`score-norm`: the norm of the score at several noise levels, against its law on good parts.

    g_i = sigma_i ||score(x, sigma_i)||,  score(x, sigma) = (D(x, sigma) - x) / sigma^2

at each pixel; the map is the distance of (log g_1^2, ..., log g_L^2) from held-out good parts, by
one density between levels for the whole map: a shrunk Gaussian, or a small mixture. Unlike a
residual it also notices what is too smooth.

Source: Mahmood et al. 2021, MSMA, arXiv:2010.13132 (per image; per pixel here).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from cdm_inspect.contracts import Denoiser
from cdm_inspect.scoring.density import EvidenceDensity
from cdm_inspect.scoring.levels import DensityScorer, level
from cdm_inspect.scoring.options import ScoreNormOptions

# Added to the standardised variances: neighbouring levels say nearly the same.
_RIDGE = 0.1


class ScoreNormScorer(DensityScorer):
    """One evaluation a level, without noise."""

    def __init__(self, denoiser: Denoiser, options: ScoreNormOptions) -> None:
        super().__init__(
            denoiser, options, EvidenceDensity(components=options.components, ridge=_RIDGE)
        )
        self.options = options

    @property
    def depth(self) -> int:
        """Noise levels."""
        return len(self.options.sigmas)

    def energy(self, images: Tensor, seeds: Sequence[int]) -> Tensor:
        """Mean over channels of (sigma score)^2 at each level; see `LevelScorer.energy`."""
        norms = [
            (self.denoiser(images, level(sigma, images)).displacement / sigma).square().mean(dim=1)
            for sigma in self.options.sigmas
        ]
        return torch.stack(norms, dim=1)
