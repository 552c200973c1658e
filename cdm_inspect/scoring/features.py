"""`features`: how usual what the network itself makes of each place is, without pretrained weights.

Features of the denoiser's way up, all resolutions side by side at a quarter of the image's, each
projected at random to a few dimensions; the map is their distance from what good parts have there.

Sources: Defard et al. 2020, PaDiM, arXiv:2011.08785 (a Gaussian of randomly chosen features) and
Roth et al. 2022, PatchCore, arXiv:2106.08265 (nearest neighbours), both on pretrained features;
Baranchuk et al. 2022, arXiv:2112.03126 (a denoiser's features describe what a pixel shows).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cdm_inspect.plugins import Denoiser
from cdm_inspect.scoring.density import EvidenceDensity, NeighbourDensity
from cdm_inspect.scoring.level_scorer import DensityScorer
from cdm_inspect.scoring.options import FeaturesOptions
from cdm_inspect.scoring.shared_evaluations import level

_STRIDE = 4
_RIDGE = 0.1


class FeaturesScorer(DensityScorer):
    """One evaluation a level, without noise."""

    def __init__(self, denoiser: Denoiser, options: FeaturesOptions) -> None:
        super().__init__(
            denoiser,
            options,
            NeighbourDensity(memory=options.memory)
            if options.density == "neighbours"
            else EvidenceDensity(components=1, ridge=_RIDGE),
        )
        self.options = options

    @property
    def depth(self) -> int:
        """Projected features."""
        return len(self.options.sigmas) * self.denoiser.resolutions * self.options.dimensions

    @property
    def stride(self) -> int:
        """Of the evidence."""
        return _STRIDE

    def energy(self, images: Tensor) -> Tensor:
        """Projected features, (batch, depth, height / 4, width / 4), of either sign."""
        size = (images.shape[-2] // _STRIDE, images.shape[-1] // _STRIDE)
        found = []
        for sigma in self.options.sigmas:
            for features in self.denoiser.features(images, level(sigma, images)):
                placed = F.interpolate(features, size, mode="bilinear", antialias=True)
                projected = torch.einsum("bchw,cd->bdhw", placed, self._projection(placed))
                found.append(projected)
        return torch.cat(found, dim=1)

    @torch.inference_mode()
    def observe(self, images: Tensor, *, seeds: Sequence[int]) -> Tensor:
        """The features themselves, averaged over their neighbourhood."""
        return self.blurred(self.energy(images))

    def combine(self, evidence: Tensor) -> Tensor:
        """Distance from good parts, as large as the image."""
        size = [_STRIDE * side for side in evidence.shape[-2:]]
        distance = super().combine(evidence)[:, None]
        return F.interpolate(distance, size, mode="bilinear")[:, 0]

    def _projection(self, features: Tensor) -> Tensor:
        return _drawn(features.shape[1], self.options.dimensions).to(features)


@lru_cache(maxsize=32)
def _drawn(depth: int, dimensions: int) -> Tensor:
    """A random projection, (depth, dimensions), the same in every process."""
    normal = np.random.RandomState(depth).standard_normal((depth, dimensions))
    return torch.from_numpy((normal / math.sqrt(depth)).astype(np.float32))
