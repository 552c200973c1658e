"""`score-norm`: the norm of the score at several noise levels, against its law on good parts.

    g_i = sigma_i ||score(x, sigma_i)||,  score(x, sigma) = (D(x, sigma) - x) / sigma^2

at each pixel; the map is the distance of (log g_1^2, ..., log g_L^2) from held-out good parts, by
one density between levels for the whole map: a shrunk Gaussian, or a small mixture. Unlike a
residual it also notices what is too smooth. The score is that of the oddest pixels, or (`scope =
"image"`) the distance of the norms over the whole image from those of held-out good parts.

Source: Mahmood et al. 2021, MSMA, arXiv:2010.13132 (per image; per pixel is this project's own).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from cdm_inspect.plugins import DamagedParts, Denoiser, ScoreBatch
from cdm_inspect.records import FloatArray
from cdm_inspect.scoring.density import EvidenceDensity
from cdm_inspect.scoring.level_scorer import DensityScorer, restoring_level
from cdm_inspect.scoring.options import ScoreNormOptions
from cdm_inspect.scoring.pixel_statistics import ValueScale
from cdm_inspect.scoring.pooling import with_peaks

# Added to the standardised variances: neighbouring levels say nearly the same.
_RIDGE = 0.1


class ScoreNormScorer(DensityScorer):
    """One evaluation a level, without noise."""

    def __init__(self, denoiser: Denoiser, options: ScoreNormOptions) -> None:
        def density() -> EvidenceDensity:
            return EvidenceDensity(components=options.components, ridge=_RIDGE)

        super().__init__(denoiser, options, density())
        self.options = options
        self._image_scale, self._image_density = ValueScale(), density()

    @property
    def depth(self) -> int:
        """Noise levels."""
        return len(self.options.sigmas)

    @property
    def is_of_images(self) -> bool:
        """Whether the score is that of the norms over the whole image."""
        return self.options.scope == "image"

    def energy(self, images: Tensor) -> Tensor:
        """Mean over channels of (sigma score)^2 at each level; see `LevelScorer.energy`."""
        norms = [
            (self.denoiser.at(images, sigma).displacement / sigma).square().mean(dim=1)
            for sigma in self.options.sigmas
        ]
        return torch.stack(norms, dim=1)

    def restored(self, images: Tensor) -> Tensor:
        """D at the level where parts are plain and defects are not."""
        return self.denoiser.at(images, restoring_level(self.options.sigmas)).mean

    def fit(self, evidence: Tensor) -> None:
        """Learn what good parts have at a pixel, and over the whole image."""
        super().fit(evidence)
        if self.is_of_images:
            norms = self._norms(evidence)
            self._image_scale.fit(norms)
            self._image_density.fit(self._image_scale(norms))

    def combine(self, evidence: Tensor) -> Tensor:
        """The map; of images a second one, the same everywhere: the distance of the whole."""
        maps = super().combine(evidence)
        if not self.is_of_images:
            return maps
        whole = self._image_density.distance(self._image_scale(self._norms(evidence)))
        return torch.stack([maps, whole[:, None, None].expand_as(maps)], dim=1)

    def tune(self, good: Tensor, damaged: DamagedParts) -> None:
        """Choose the pooling, where there is something to pool."""
        if not self.is_of_images:
            super().tune(good, damaged)

    def pool(self, layers: Tensor) -> ScoreBatch:
        """The map, and the mean of its highest pixels or the distance of the whole."""
        if not self.is_of_images:
            return super().pool(layers)
        maps, scores = layers[:, 0], layers[:, 1, 0, 0]
        return ScoreBatch(scores=scores, maps=with_peaks(maps, scores, self.area))

    def describe(self) -> Mapping[str, object]:
        """The pooling, where something is pooled, and whether places say something."""
        return self.statistics.describe() if self.is_of_images else super().describe()

    def state(self) -> Mapping[str, FloatArray]:
        """The fitted statistics and the pooling."""
        if not self.is_of_images:
            return super().state()
        own = {f"image_{name}": value for name, value in self._image_density.state().items()}
        return {**super().state(), **self._image_scale.state("image_scale"), **own}

    def restore(self, state: Mapping[str, FloatArray]) -> None:
        """Take back what `state` returned."""
        super().restore(state)
        if self.is_of_images:
            self._image_scale.restore(state, "image_scale")
            names = ("weights", "means", "factors")
            self._image_density.restore({name: state[f"image_{name}"] for name in names})

    def _norms(self, evidence: Tensor) -> Tensor:
        """Logarithm of each level's mean over the image, (batch, levels)."""
        norms = evidence.exp()
        if self._inside is None:
            return norms.mean(dim=(2, 3)).log()
        inside = self._inside.to(norms)
        return ((norms * inside).sum(dim=(2, 3)) / inside.sum()).log()
