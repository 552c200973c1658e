"""`inpainting`: what the surroundings of a cell do not lead one to expect.

    z^2 = (x - D(y, sigma))^2 / V(y, sigma)   at hidden pixels

where y hides every other cell of a checkerboard under strong noise and leaves the rest open. Two
evaluations, one a phase, hide each pixel once; several cell sizes see defects of several sizes. The
model must have been trained with `training.masked_share` above 0.

Sources: restoring a checkerboard: LMD, Liu et al. 2023, arXiv:2302.10326 (many steps there, one
here); the learnt variance is this project's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from cdm_inspect.errors import CheckpointMismatch
from cdm_inspect.model.diffusion import checkerboard, masked_sigma
from cdm_inspect.plugins import Denoiser, Posterior
from cdm_inspect.scoring.level_scorer import LevelScorer, noise_bank
from cdm_inspect.scoring.options import InpaintingOptions


class InpaintingScorer(LevelScorer):
    """Two evaluations a cell size.

    Raises:
        CheckpointMismatch: if the model has never restored hidden cells.
    """

    def __init__(self, denoiser: Denoiser, options: InpaintingOptions) -> None:
        super().__init__(denoiser, options)
        self.options = options
        if not denoiser.restores_cells:
            raise CheckpointMismatch(
                "expected a model that restores hidden cells, found one that has never seen any. "
                "Set training.masked_share = 0.3 and train again."
            )

    @property
    def depth(self) -> int:
        """Cell sizes."""
        return len(self.options.cells)

    def energy(self, images: Tensor) -> Tensor:
        """Mean over channels of z^2 for each cell size; see `LevelScorer.energy`."""
        noise = noise_bank(images)
        return torch.stack([self._at(cell, images, noise) for cell in self.options.cells], dim=1)

    def restored(self, images: Tensor) -> Tensor:
        """Each pixel as its surroundings lead the model to expect it, in the largest cells."""
        found, noise = images, noise_bank(images)
        for hidden, posterior, _ in self._hidden(max(self.options.cells), images, noise):
            found = torch.where(hidden, posterior.mean, found)
        return found

    def _at(self, cell: int, images: Tensor, noise: Tensor) -> Tensor:
        found = torch.zeros_like(images[:, 0])
        for hidden, posterior, perturbation in self._hidden(cell, images, noise):
            square = (posterior.displacement + perturbation).square()
            standardised = (square * (-posterior.log_variance).exp()).mean(dim=1)
            found = torch.where(hidden[:, 0], standardised, found)
        return found

    def _hidden(
        self, cell: int, images: Tensor, noise: Tensor
    ) -> Iterator[tuple[Tensor, Posterior, Tensor]]:
        """Each phase: which pixels it hides, what the denoiser then says, and the noise added."""
        height, width = images.shape[-2:]
        for phase in (0, 1):
            hidden = checkerboard(height, width, cell, phase=phase, device=images.device)
            sigma = masked_sigma(hidden, self.options.sigma).expand(images.shape[0], -1, -1, -1)
            perturbation = sigma * noise
            ask = partial(self.denoiser, images + perturbation, sigma)
            question = ("hidden", cell, phase, self.options.sigma)
            yield hidden, self.denoiser.remembered(images, question, ask), perturbation
