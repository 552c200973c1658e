"""An exponential moving average of weights whose half-life grows with the run."""

from __future__ import annotations

import copy
import math
from typing import Generic, TypeVar

import torch
from torch import nn

_SMOOTHING = 0.98
M = TypeVar("M", bound=nn.Module)


class MovingAverage(Generic[M]):
    """Averages the weights of a module; `module` holds the average and is ready to use.

    The half-life is a fixed share of the images seen so far, so the average forgets the start of a
    short run as it does that of a long one, and needs no knowledge of when the run will end.

    Source: the ramp-up of the EMA half-life in Karras et al. 2022, arXiv:2206.00364, Appendix F.
    """

    def __init__(self, module: M, half_life_share: float) -> None:
        self.module: M = copy.deepcopy(module).eval().requires_grad_(False)
        self.half_life_share = half_life_share

    @torch.no_grad()
    def update(self, module: nn.Module, *, images_seen: int, batch: int) -> None:
        """Move towards the weights of `module` after a step on `batch` images.

        Args:
            module: of the same shape as the averaged one.
            images_seen: in the whole run, the batch included.
            batch: images in this step.
        """
        half_life = self.half_life_share * images_seen
        keep = 0.5 ** (batch / half_life) if half_life > 0 else 0.0
        averaged = [parameter.detach() for parameter in self.module.parameters()]
        current = [parameter.detach() for parameter in module.parameters()]
        torch._foreach_lerp_(averaged, current, 1.0 - keep)


def smoothed(former: float, value: float) -> float:
    """A running mean of losses over about fifty steps; `former` is NaN before the first."""
    return value if math.isnan(former) else _SMOOTHING * former + (1 - _SMOOTHING) * value
