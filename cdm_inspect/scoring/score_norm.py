"""`score-norm`: the norm of the score at several noise levels, against its law on good parts.

    g_i = sigma_i ||score(x, sigma_i)||,  score(x, sigma) = (D(x, sigma) - x) / sigma^2

at each pixel; the map is the Mahalanobis distance of (log g_1^2, ..., log g_L^2) from held-out good
parts, with one covariance between levels for the whole map. Unlike a residual it also notices
what is too smooth.

Source: Mahmood et al. 2021, MSMA, arXiv:2010.13132 (per image; per pixel here).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from cdm_inspect.contracts import Denoiser
from cdm_inspect.records import FloatArray
from cdm_inspect.scoring.levels import LevelScorer, level
from cdm_inspect.scoring.options import ScoreNormOptions

# Added to the correlations' diagonal: neighbouring levels say nearly the same.
_SHRINKAGE = 0.1


class ScoreNormScorer(LevelScorer):
    """One evaluation a level, without noise."""

    def __init__(self, denoiser: Denoiser, options: ScoreNormOptions) -> None:
        super().__init__(denoiser, options)
        self.options = options
        self._precision = torch.eye(len(options.sigmas))

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

    def fit(self, evidence: Tensor) -> None:
        """Learn mean, variance, and the correlation between levels."""
        super().fit(evidence)
        vectors = self.statistics.standardise(evidence).transpose(0, 1).flatten(1)
        correlation = torch.cov(vectors) if len(vectors) > 1 else torch.ones(1, 1)
        shrunk = correlation.double() + _SHRINKAGE * torch.eye(len(vectors)).to(correlation)
        self._precision = torch.linalg.inv(shrunk).float()

    def combine(self, evidence: Tensor) -> Tensor:
        """Mahalanobis distance over the square root of the number of levels, at each pixel."""
        standardised = self.statistics.standardise(evidence)
        precision = self._precision.to(standardised)
        square = torch.einsum("blhw,lm,bmhw->bhw", standardised, precision, standardised)
        return (square.clamp(min=0) / standardised.shape[1]).sqrt()

    def state(self) -> Mapping[str, FloatArray]:
        """The fitted statistics."""
        return {**super().state(), "precision": self._precision.numpy().astype(np.float32)}

    def restore(self, state: Mapping[str, FloatArray]) -> None:
        """Take back what `state` returned."""
        super().restore(state)
        self._precision = torch.from_numpy(state["precision"])
