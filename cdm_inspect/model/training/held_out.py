"""What parts that training never sees say of a model, and the alarm that it gets worse."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from cdm_inspect.images import KINDS, battery
from cdm_inspect.model.diffusion import ConsistentDenoiser, dsm_weight, training_sigma
from cdm_inspect.model.training.crops import CropSampler

_DRAWS = 2  # crops a part
# Multiple of its best above which the loss has clearly risen; noise between checks is smaller,
# since all see the same crops and noise.
_RISEN = 1.02
# Synthetic defects of each kind: plain enough to be seen by a model that is any good, and not so
# plain that every model sees them.
_SIZES, _CONTRASTS = (0.12, 0.3), (0.7, 1.5)
_DEFECT_SIGMA = 0.25  # the middle of what one-step scorers look at


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
        """The error at stratified noise levels; 1 for a network that says nothing."""
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


class DefectCheck:
    """How far synthetic defects stand out: the same crops, damaged alike, at every check.

    A model that learns its parts by heart may still denoise others well and yet no longer tell a
    defect from a rare look of good parts.

    Args:
        sampler: of crops of held-out parts, on the CPU, without augmentation.
        batch: crops at a time.
    """

    def __init__(self, sampler: CropSampler, *, batch: int) -> None:
        self.batch = batch
        count = len(KINDS) * len(_SIZES) * len(_CONTRASTS)
        crops = sampler.draw(count, torch.Generator().manual_seed(2))
        parts = crops.images.numpy()
        copies = list(battery(parts, seed=2, sizes=_SIZES, contrasts=_CONTRASTS))
        damaged = torch.from_numpy(np.stack([copy.image for copy in copies]))
        self._pairs = torch.stack([crops.images, damaged])
        self._position = crops.position
        self._masks = torch.from_numpy(np.stack([copy.mask for copy in copies]))[:, None]

    @torch.no_grad()
    def measure(self, denoiser: ConsistentDenoiser, device: torch.device) -> list[float]:
        """|log| of the factor by which each defect changes the evidence at its place.

        The evidence is that of `residual`, noise-free: (x - D(x, sigma))^2 / V(x, sigma). Most
        defects raise it; what is too smooth lowers it.
        """
        pixels = self._masks.sum(dim=(1, 2, 3))
        before, after = (
            ((self._evidence(crops, denoiser, device) * self._masks).sum(dim=(1, 2, 3)) / pixels)
            .clamp(min=1e-12)
            .log()
            for crops in self._pairs
        )
        factors: list[float] = (after - before).abs().tolist()
        return factors

    def _evidence(
        self, crops: torch.Tensor, denoiser: ConsistentDenoiser, device: torch.device
    ) -> torch.Tensor:
        """Mean over channels of the standardised squares, (crops, 1, height, width)."""
        found = []
        for some, position in zip(
            *(torch.split(whole, self.batch) for whole in (crops, self._position)), strict=True
        ):
            level = torch.full((len(some), 1, 1, 1), _DEFECT_SIGMA, device=device)
            posterior = denoiser(some.to(device), level, position=position.to(device))
            evidence = posterior.displacement.square() * (-posterior.log_variance).exp()
            found.append(evidence.mean(dim=1, keepdim=True).cpu())
        return torch.cat(found)


@dataclass(kw_only=True)
class OverfitAlarm:
    """Counts checks in a row that find a model clearly worse than the best before it.

    Worse is a loss clearly above its lowest, or defects that stand out clearly less, by two
    standard errors over the defects. What was best before the objective changed, or before the
    learning rate rose again, says nothing of what comes after: then the watch starts afresh.

    Attributes:
        lowest: loss since the watch started.
        clearest: how far defects stood out where they did most; see `DefectCheck`.
        risen: checks in a row.
        is_dull: whether defects stood out clearly less at the last check.
        weight: of the consistency term at the last check.
    """

    lowest: float = math.inf
    clearest: Sequence[float] = ()
    risen: int = 0
    is_dull: bool = False
    weight: float = 0.0

    def note(self, loss: float, standing_out: Sequence[float] = (), *, weight: float) -> None:
        """Tell it what a check found, and the weight of the consistency term at that time.

        Args:
            loss: on held-out parts.
            standing_out: of each synthetic defect; empty where a check looks at none.
        """
        if weight != self.weight:
            self.restart()
        self.weight = weight
        self.is_dull = _is_clearly_less(standing_out, self.clearest)
        self.risen = self.risen + 1 if loss > _RISEN * self.lowest or self.is_dull else 0
        self.lowest = min(self.lowest, loss)
        if standing_out and sum(standing_out) > (
            sum(self.clearest) if self.clearest else -math.inf
        ):
            self.clearest = list(standing_out)

    def restart(self) -> None:
        """Forget what was best."""
        self.lowest, self.clearest, self.risen, self.is_dull = math.inf, (), 0, False


def _is_clearly_less(values: Sequence[float], others: Sequence[float]) -> bool:
    """Whether paired values are lower in the mean, by two standard errors."""
    if min(len(values), len(others)) < 2:
        return False
    fall = np.subtract(others, values)
    return bool(fall.mean() > 2 * fall.std(ddof=1) / math.sqrt(len(fall)))
