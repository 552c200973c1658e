"""The DSM loss on parts that training never sees, and the alarm that it rises."""

from __future__ import annotations

import torch
from torch import Tensor

from cdm_inspect.diffusion import ConsistentDenoiser, dsm_weight, training_sigma
from cdm_inspect.training.crops import CropSampler

_DRAWS = 2  # crops a part
# Multiple of its best above which the loss has clearly risen; noise between checks is smaller,
# since all see the same crops and noise.
_RISEN = 1.02


class HeldOutCheck:
    """Weighted denoising error on held-out parts: the same crops and noise at every check.

    Args:
        sampler: of crops of these parts, without augmentation.
        batch: crops at a time; does not change the result but for rounding.
    """

    def __init__(self, sampler: CropSampler, *, batch: int) -> None:
        self.sampler, self.batch = sampler, batch

    @torch.no_grad()
    def measure(self, denoiser: ConsistentDenoiser) -> float:
        """The error at stratified noise levels; 1 for a network that says nothing.

        Args:
            denoiser: in evaluation mode.
        """
        images: Tensor = self.sampler.images
        device = images.device
        generator = torch.Generator(device=device).manual_seed(1)
        total, count = 0.0, _DRAWS * len(images)
        for start in range(0, count, self.batch):
            stop = min(count, start + self.batch)
            crops = self.sampler.draw(stop - start, generator)
            quantile = (torch.arange(start, stop, device=device) + 0.5) / count
            sigma = training_sigma(quantile, denoiser.sigma_data).view(-1, 1, 1, 1)
            noise = sigma * torch.randn(crops.images.shape, generator=generator, device=device)
            posterior = denoiser(crops.images + noise, sigma, position=crops.position)
            error = (posterior.displacement + noise).square()
            weighted = dsm_weight(sigma, denoiser.sigma_data) * error
            total += float(weighted.mean()) * (stop - start)
        return total / count


def checks_since_risen(checks: int, loss: float, best: float) -> int:
    """How many checks in a row, with this one, have found the loss clearly above its best."""
    return checks + 1 if loss > _RISEN * best else 0
