"""The DSM loss on parts that training never sees, and the alarm that it rises."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from cdm_inspect.diffusion import ConsistentDenoiser, dsm_weight, training_sigma
from cdm_inspect.training.crops import CropSampler

_DRAWS = 2  # crops a part
# Multiple of its best above which the loss has clearly risen; noise between checks is smaller,
# since all see the same crops and noise.
_RISEN = 1.02


class HeldOutCheck:
    """Weighted denoising error on held-out parts: the same crops and noise at every check.

    They are drawn on the CPU, so that a run that goes on on another device sees them again.

    Args:
        sampler: of crops of these parts, on the CPU, without augmentation.
        batch: crops at a time; the draws follow from it.
    """

    def __init__(self, sampler: CropSampler, *, batch: int) -> None:
        self.sampler, self.batch = sampler, batch

    @torch.no_grad()
    def measure(self, denoiser: ConsistentDenoiser, device: torch.device) -> float:
        """The error at stratified noise levels; 1 for a network that says nothing.

        Args:
            denoiser: in evaluation mode.
            device: where it is.
        """
        generator = torch.Generator().manual_seed(1)
        total, count = 0.0, _DRAWS * len(self.sampler.images)
        for start in range(0, count, self.batch):
            stop = min(count, start + self.batch)
            crops = self.sampler.draw(stop - start, generator)
            quantile = (torch.arange(start, stop) + 0.5) / count
            sigma = training_sigma(quantile, denoiser.sigma_data).view(-1, 1, 1, 1)
            noise = sigma * torch.randn(crops.images.shape, generator=generator)
            images, position, level, noise = (
                part.to(device) for part in (crops.images, crops.position, sigma, noise)
            )
            posterior = denoiser(images + noise, level, position=position)
            error = (posterior.displacement + noise).square()
            weighted = dsm_weight(level, denoiser.sigma_data) * error
            total += float(weighted.mean()) * (stop - start)
        return total / count


@dataclass(kw_only=True)
class OverfitAlarm:
    """Counts checks in a row that find the loss clearly above its lowest.

    What was lowest before the objective changed, or before the learning rate rose again, says
    nothing of what comes after: then the watch starts afresh.

    Attributes:
        lowest: since the watch started.
        risen: checks in a row.
        weight: of the consistency term at the last check.
    """

    lowest: float = math.inf
    risen: int = 0
    weight: float = 0.0

    def note(self, loss: float, *, weight: float) -> None:
        """Tell it the loss of a check, and the weight of the consistency term at that time."""
        if weight != self.weight:
            self.restart()
        self.weight = weight
        self.risen = self.risen + 1 if loss > _RISEN * self.lowest else 0
        self.lowest = min(self.lowest, loss)

    def restart(self) -> None:
        """Forget what was lowest."""
        self.lowest, self.risen = math.inf, 0
