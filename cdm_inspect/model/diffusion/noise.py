"""Noise levels and preconditioning in the EDM parametrisation (sigma is time).

Source: Karras et al. 2022, arXiv:2206.00364, Table 1 and Section 5.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

SIGMA_MIN = 0.002
SIGMA_MAX = 80.0
RHO = 7.0

# ln sigma ~ N(-1.2, 1.2^2) at sigma_data 0.5 (Table 1); the mean moves with sigma_data.
_LOG_MEAN = -1.2
_LOG_STD = 1.2
_REFERENCE_SIGMA_DATA = 0.5


class Preconditioning(NamedTuple):
    """Scalings with which the network sees unit variance in and out, at every noise level."""

    skip: Tensor
    out: Tensor
    into: Tensor
    noise: Tensor

    @classmethod
    def at(cls, sigma: Tensor, sigma_data: float) -> Preconditioning:
        """D(y) = skip * y + out * F(into * y, noise), in the dtype of `sigma`.

        Source: Karras et al. 2022, Table 1, "Network and preconditioning".
        """
        total = sigma.square() + sigma_data**2
        return cls(
            skip=sigma_data**2 / total,
            out=sigma * sigma_data / total.sqrt(),
            into=total.rsqrt(),
            noise=sigma.log() / 4,
        )


def dsm_weight(sigma: Tensor, sigma_data: float) -> Tensor:
    """lambda(sigma) = (sigma^2 + sd^2) / (sigma sd)^2, so that lambda * out^2 = 1."""
    return (sigma.square() + sigma_data**2) / (sigma * sigma_data).square()


def draw_sigma(count: int, sigma_data: float, generator: torch.Generator) -> Tensor:
    """Training noise levels: stratified draws of the log-normal law, in random order.

    Stratification leaves each draw's law unchanged and lowers the variance of a batch's mean loss.

    Returns:
        (count, 1, 1, 1) float32, within [SIGMA_MIN, SIGMA_MAX].
    """
    device = generator.device
    order = torch.randperm(count, generator=generator, device=device)
    uniform = (order + torch.rand(count, generator=generator, device=device)) / count
    return training_sigma(uniform, sigma_data).view(count, 1, 1, 1)


def training_sigma(quantile: Tensor, sigma_data: float) -> Tensor:
    """Noise level at given quantiles in [0, 1] of the training law."""
    mean = _LOG_MEAN + math.log(sigma_data / _REFERENCE_SIGMA_DATA)
    normal: Tensor = torch.special.ndtri(quantile.clamp(1e-6, 1 - 1e-6))
    return (mean + _LOG_STD * normal).exp().clamp(SIGMA_MIN, SIGMA_MAX)


def karras_sigmas(
    steps: int, *, sigma_max: float = SIGMA_MAX, sigma_min: float = SIGMA_MIN, rho: float = RHO
) -> Tensor:
    """Sampling noise levels from `sigma_max` down to `sigma_min`, then 0.

    Source: Karras et al. 2022, Eq. 5.

    Returns:
        (steps + 1,) float64, strictly falling.
    """
    ramp = torch.linspace(0, 1, steps, dtype=torch.float64)
    high, low = sigma_max ** (1 / rho), sigma_min ** (1 / rho)
    return torch.cat([(high + ramp * (low - high)) ** rho, torch.zeros(1, dtype=torch.float64)])
