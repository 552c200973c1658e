"""A denoiser whose answers several scorers share while they look at the same parts."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from torch import Tensor

from cdm_inspect.contracts import Denoiser, Posterior
from cdm_inspect.scoring.levels import level


class SharedEvaluations:
    """As the denoiser it wraps; remembers what it said of the very images it is `looking` at.

    Only answers about the images themselves, without noise, at one level for all are kept, and only
    while it looks: what was perturbed is nobody else's.
    """

    def __init__(self, denoiser: Denoiser) -> None:
        self.denoiser = denoiser
        self.channels, self.sigma_data = denoiser.channels, denoiser.sigma_data
        self.restores_cells, self.resolutions = denoiser.restores_cells, denoiser.resolutions
        self._images: Tensor | None = None
        self._said: dict[float, Posterior] = {}

    @contextlib.contextmanager
    def looking(self, images: Tensor) -> Iterator[None]:
        """Remember what is said of these images until the end of the block."""
        self._images = images
        try:
            yield
        finally:
            self._images = None
            self._said.clear()

    def __call__(self, noisy: Tensor, sigma: Tensor) -> Posterior:
        """Denoise; see `contracts.Denoiser`."""
        return self.denoiser(noisy, sigma)

    def at(self, images: Tensor, sigma: float) -> Posterior:
        """Denoise at one level for all; of the images looked at, say again what was said."""
        if images is not self._images:
            return self.denoiser(images, level(sigma, images))
        if sigma not in self._said:
            self._said[sigma] = self.denoiser(images, level(sigma, images))
        return self._said[sigma]

    def features(self, noisy: Tensor, sigma: Tensor) -> Sequence[Tensor]:
        """Activations, which nobody shares; see `contracts.Denoiser`."""
        return self.denoiser.features(noisy, sigma)


def evaluated(denoiser: Denoiser, images: Tensor, sigma: float) -> Posterior:
    """What a denoiser says of the images themselves at one level, shared where it can be."""
    if isinstance(denoiser, SharedEvaluations):
        return denoiser.at(images, sigma)
    return denoiser(images, level(sigma, images))
