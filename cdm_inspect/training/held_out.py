"""The DSM loss on parts that training never sees, the same crops and noise at every check."""

from __future__ import annotations

import torch

from cdm_inspect.diffusion import ConsistentDenoiser, dsm_weight, training_sigma
from cdm_inspect.training.crops import CropSampler


@torch.no_grad()
def dsm_on_crops(
    denoiser: ConsistentDenoiser, sampler: CropSampler, *, draws: int, batch: int
) -> float:
    """Weighted denoising error at stratified noise levels; 1 for a network that says nothing.

    Args:
        denoiser: in evaluation mode.
        sampler: of crops without augmentation.
        draws: crops a part.
        batch: crops at a time; does not change the result but for rounding.
    """
    device = sampler.images.device
    generator = torch.Generator(device=device).manual_seed(1)
    total, count = 0.0, draws * len(sampler.images)
    for start in range(0, count, batch):
        stop = min(count, start + batch)
        crops = sampler.draw(stop - start, generator)
        quantile = (torch.arange(start, stop, device=device) + 0.5) / count
        sigma = training_sigma(quantile, denoiser.sigma_data).view(-1, 1, 1, 1)
        noise = sigma * torch.randn(crops.images.shape, generator=generator, device=device)
        posterior = denoiser(crops.images + noise, sigma, position=crops.position)
        error = (posterior.displacement + noise).square()
        weighted = dsm_weight(sigma, denoiser.sigma_data) * error
        total += float(weighted.mean()) * (stop - start)
    return total / count
