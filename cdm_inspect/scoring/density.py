"""How likely a vector of evidence is on good parts: a small mixture of shrunk Gaussians."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from sklearn.covariance import LedoitWolf
from sklearn.mixture import GaussianMixture
from torch import Tensor

from cdm_inspect.errors import NotCalibrated
from cdm_inspect.records import FloatArray

# Vectors that are enough to learn a density of a few hundred numbers; more only cost time.
_ENOUGH = 20_000
# Vectors that are compared with the memory at once: bounds the table of distances.
_AT_ONCE = 4096
# Vectors a component and dimension below which a mixture would learn the noise.
_FEW = 50


class EvidenceDensity:
    """A density of vectors, and the distance from its mode.

    With one component the covariance is that of Ledoit and Wolf and the distance that of
    Mahalanobis over the square root of the dimension: about 1 on what it was fitted on.

    Args:
        components: of the mixture, at most; one where there are few vectors.
        ridge: added to each variance, in the unit of the vectors squared.

    Source: Ledoit and Wolf 2004; Mahmood et al. 2021, MSMA, arXiv:2010.13132 (mixtures of score
    norms).
    """

    def __init__(self, *, components: int, ridge: float) -> None:
        self.components, self.ridge = components, ridge
        self._weights: Tensor | None = None
        self._means = self._factors = self._heights = torch.empty(0)

    def fit(self, vectors: Tensor) -> None:
        """Learn from (count, dimensions)."""
        sample = _thin(vectors).double().numpy()
        count, size = sample.shape
        components = max(1, min(self.components, count // (_FEW * size)))
        if components == 1:
            weights, means = np.ones(1), sample.mean(axis=0, keepdims=True)
            covariances = LedoitWolf().fit(sample).covariance_[None]
        else:
            mixture = GaussianMixture(components, reg_covar=1e-3, random_state=0).fit(sample)
            weights, means, covariances = mixture.weights_, mixture.means_, mixture.covariances_
        precisions = np.linalg.inv(covariances + self.ridge * np.eye(size))
        self._weights = torch.from_numpy(weights).float()
        self._means = torch.from_numpy(means).float()
        self._factors = torch.from_numpy(np.linalg.cholesky(precisions)).float()
        self._measure()

    def distance(self, vectors: Tensor) -> Tensor:
        """(...,) >= 0 from (..., dimensions): sqrt(2 (log p(mode) - log p(v)) / dimensions)."""
        _, means, factors = (value.to(vectors) for value in self._fitted())
        heights = self._heights.to(vectors)
        terms = []
        for height, mean, factor in zip(heights, means, factors, strict=True):
            terms.append(height - 0.5 * ((vectors - mean) @ factor).square().sum(dim=-1))
        fall = heights.max() - torch.logsumexp(torch.stack(terms), dim=0)
        return (2 * fall.clamp(min=0) / vectors.shape[-1]).sqrt()

    def state(self) -> dict[str, FloatArray]:
        """What was fitted, by name."""
        weights, means, factors = self._fitted()
        return {
            "weights": weights.numpy(),
            "means": means.numpy(),
            "factors": factors.numpy(),
        }

    def restore(self, state: Mapping[str, FloatArray]) -> None:
        """Take back what `state` returned."""
        self._weights, self._means, self._factors = (
            torch.from_numpy(state[name]) for name in ("weights", "means", "factors")
        )
        self._measure()

    def _measure(self) -> None:
        """The height of each component, less a common constant: log w - log det(covariance) / 2."""
        weights, _, factors = self._fitted()
        self._heights = weights.log() + factors.diagonal(dim1=1, dim2=2).log().sum(dim=1)

    def _fitted(self) -> tuple[Tensor, Tensor, Tensor]:
        if self._weights is None:
            raise NotCalibrated("this scorer has not been fitted. Run `cdm-inspect calibrate`.")
        return self._weights, self._means, self._factors


class NeighbourDensity:
    """Distance to the nearest of a bounded number of vectors that good parts have.

    The kept vectors are chosen greedily, each as far as can be from those before it, so that rare
    looks of good parts are kept as well as common ones.

    Args:
        memory: vectors to keep.

    Source: Roth et al. 2022, PatchCore, arXiv:2106.08265 (there with pretrained features).
    """

    def __init__(self, *, memory: int) -> None:
        self.memory = memory
        self._kept: Tensor | None = None
        self._scale = torch.ones(1)

    def fit(self, vectors: Tensor) -> None:
        """Learn from (count, dimensions)."""
        vectors = _thin(vectors).float()
        chosen = [0]
        nearest = torch.full((len(vectors),), math.inf)
        for _ in range(min(self.memory, len(vectors)) - 1):
            nearest = torch.minimum(nearest, (vectors - vectors[chosen[-1]]).square().sum(dim=1))
            chosen.append(int(nearest.argmax()))
        self._kept = vectors[chosen]
        others = torch.cdist(self._kept, self._kept).fill_diagonal_(math.inf).amin(dim=1)
        apart = others[torch.isfinite(others) & (others > 0)]
        self._scale = (apart.median() if len(apart) else torch.tensor(1.0))[None]

    def distance(self, vectors: Tensor) -> Tensor:
        """(...,) >= 0 from (..., dimensions), in typical distances between kept vectors."""
        if self._kept is None:
            raise NotCalibrated("this scorer has not been fitted. Run `cdm-inspect calibrate`.")
        flat = vectors.reshape(-1, vectors.shape[-1])
        kept = self._kept.to(flat)
        # By matrix products small distances would be rounding, and would depend on the batch.
        nearest = torch.cat(
            [
                torch.cdist(some, kept, compute_mode="donot_use_mm_for_euclid_dist").amin(dim=1)
                for some in torch.split(flat, _AT_ONCE)
            ]
        )
        return nearest.view(vectors.shape[:-1]) / self._scale.to(flat)

    def state(self) -> dict[str, FloatArray]:
        """What was fitted, by name."""
        if self._kept is None:
            raise NotCalibrated("this scorer has not been fitted. Run `cdm-inspect calibrate`.")
        return {"kept": self._kept.numpy(), "scale": self._scale.numpy()}

    def restore(self, state: Mapping[str, FloatArray]) -> None:
        """Take back what `state` returned."""
        self._kept, self._scale = (torch.from_numpy(state[name]) for name in ("kept", "scale"))


def _thin(vectors: Tensor) -> Tensor:
    """At most `_ENOUGH` of the vectors, at random, the same in every process."""
    chosen = torch.randperm(len(vectors), generator=torch.Generator().manual_seed(0))
    return vectors[chosen[:_ENOUGH].to(vectors.device)].cpu()
