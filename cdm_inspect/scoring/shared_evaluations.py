"""A denoiser whose answers are shared by whoever looks at the same parts."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from cdm_inspect.plugins import Denoiser, Posterior

T = TypeVar("T")


class SharedEvaluations:
    """As the denoiser it wraps; remembers what it said of the very images it is `looking` at.

    Several scorers ask the same of a part, and what was asked for its score is also what the model
    makes of it. Answers are kept only while it looks, and only to questions that have a name.
    """

    def __init__(self, denoiser: Denoiser) -> None:
        self.denoiser = denoiser
        self.channels, self.sigma_data = denoiser.channels, denoiser.sigma_data
        self.restores_cells, self.resolutions = denoiser.restores_cells, denoiser.resolutions
        self._images: Tensor | None = None
        self._said: dict[Hashable, Any] = {}

    @classmethod
    def of(cls, denoiser: Denoiser) -> SharedEvaluations:
        """It, if it shares already, or around it."""
        return denoiser if isinstance(denoiser, cls) else cls(denoiser)

    @contextlib.contextmanager
    def looking(self, images: Tensor) -> Iterator[None]:
        """Remember what is said of these images until the end of the outermost such block."""
        if images is self._images:
            yield
            return
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
        """What is said of images themselves, without noise, at one level for all."""
        return self.remembered(
            images, ("plain", sigma), lambda: self.denoiser(images, level(sigma, images))
        )

    def remembered(self, images: Tensor, question: Hashable, ask: Callable[[], T]) -> T:
        """The answer to a question about images; of those looked at, the one given before."""
        if images is not self._images:
            return ask()
        if question not in self._said:
            self._said[question] = ask()
        answer: T = self._said[question]
        return answer

    def features(self, noisy: Tensor, sigma: Tensor) -> Sequence[Tensor]:
        """Activations, which nobody shares; see `contracts.Denoiser`."""
        return self.denoiser.features(noisy, sigma)


def level(sigma: float, images: Tensor) -> Tensor:
    """One noise level for a batch, (batch, 1, 1, 1) float32."""
    return torch.full((images.shape[0], 1, 1, 1), sigma, device=images.device)
