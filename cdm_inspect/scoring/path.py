"""`path`: how a part travels when the probability flow carries it towards noise.

    dx / ds = (x - D(x, s)) / s =: e(x, s)

is followed in a few Euler steps. Good parts travel alike; the map is the distance of the sums of
e, e^2, e^3 along the way, and of the same of its change de / d ln s, from those of held-out good
parts.

Source: Heng et al. 2024, DiffPath, arXiv:2406.11881 (per image; per pixel here).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from cdm_inspect.plugins import Denoiser
from cdm_inspect.scoring.density import EvidenceDensity
from cdm_inspect.scoring.level_scorer import DensityScorer
from cdm_inspect.scoring.options import PathOptions
from cdm_inspect.scoring.shared_evaluations import level

_RIDGE = 0.1
_FLOOR = 1e-6


class PathScorer(DensityScorer):
    """`steps` evaluations, without noise."""

    def __init__(self, denoiser: Denoiser, options: PathOptions) -> None:
        super().__init__(denoiser, options, EvidenceDensity(components=1, ridge=_RIDGE))
        self.options = options

    @property
    def depth(self) -> int:
        """Three powers of two quantities."""
        return 6

    def energy(self, images: Tensor) -> Tensor:
        """Means along the path of e, e^2, e^3 and of the powers of its change, of either sign."""
        lowest, highest = self.options.lowest, self.options.highest
        sigmas = np.geomspace(lowest, highest, self.options.steps).tolist()
        x, former = images, None
        slopes, changes = [], []
        for sigma, following in pairwise([*sigmas, sigmas[-1]]):
            slope = -self.denoiser(x, level(sigma, x)).displacement / sigma
            slopes.append(slope)
            if former is not None:
                changes.append(slope - former)
            x, former = x + (following - sigma) * slope, slope
        return torch.cat([*_powers(slopes), *_powers(changes)], dim=1)

    @torch.inference_mode()
    def observe(self, images: Tensor, *, seeds: Sequence[int]) -> Tensor:
        """Squares by their logarithm, odd powers as they are."""
        first, *others = self.blurred(self.energy(images)).unbind(dim=1)
        scaled = [first]
        for number, values in enumerate(others, start=1):
            scaled.append(values.clamp(min=_FLOOR).log() if number % 3 == 1 else values)
        return torch.stack(scaled, dim=1)


def _powers(values: list[Tensor]) -> list[Tensor]:
    """Means over steps and channels of the first three powers, each (batch, 1, height, width)."""
    stacked = torch.stack(values)
    return [stacked.pow(power).mean(dim=(0, 2))[:, None] for power in (1, 2, 3)]
