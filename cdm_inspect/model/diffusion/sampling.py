"""Samplers as plain functions over `(denoiser, x, sigmas)`.

Sources: Karras et al. 2022, arXiv:2206.00364 (Heun, Algorithm 1); Lu et al. 2022,
arXiv:2211.01095 (DPM-Solver++(2M), Algorithm 2, data prediction); Song et al. 2021,
arXiv:2011.13456 (Euler-Maruyama on the reverse SDE).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from cdm_inspect.model.diffusion.reverse import ancestral_step, euler_maruyama_step

MeanFunction = Callable[[Tensor, Tensor], Tensor]
"""`(x, sigma) -> E[x_0 | x]`, with `sigma` a scalar tensor."""

StepFunction = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]
"""`(x, mean, sigma, sigma_next, normal) -> x'`, one step of a stochastic reverse process."""


def sample_dpm_solver(
    denoiser: MeanFunction, x: Tensor, sigmas: Tensor | Sequence[float]
) -> Tensor:
    """Deterministic, second order, one evaluation a step.

    Args:
        denoiser: posterior mean.
        x: start at `sigmas[0]`, any shape.
        sigmas: (steps + 1,) falling; the last may be 0, where the mean itself is returned. Given as
            numbers, the steps can be traced.
    """
    former: Tensor | None = None
    former_step = 0.0
    levels = sigmas.tolist() if isinstance(sigmas, Tensor) else sigmas
    for sigma, sigma_next in pairwise(levels):
        mean = denoiser(x, torch.full((), sigma, dtype=x.dtype, device=x.device))
        if sigma_next == 0:
            return mean
        step = math.log(sigma / sigma_next)  # in half log signal-to-noise ratio
        if former is None:
            blended = mean
        else:
            weight = step / (2 * former_step)
            blended = (1 + weight) * mean - weight * former
        ratio = sigma_next / sigma
        x = ratio * x + (1 - ratio) * blended
        former, former_step = mean, step
    return x


def sample_heun(denoiser: MeanFunction, x: Tensor, sigmas: Tensor) -> Tensor:
    """Deterministic, second order, two evaluations a step but the last; see `sample_dpm_solver`."""
    for sigma, sigma_next in _steps(sigmas, x):
        slope = (x - denoiser(x, sigma)) / sigma
        euler = x + (sigma_next - sigma) * slope
        if sigma_next == 0:
            return euler
        slope_next = (euler - denoiser(euler, sigma_next)) / sigma_next
        x = x + (sigma_next - sigma) * (slope + slope_next) / 2
    return x


def sample_ancestral(
    denoiser: MeanFunction, x: Tensor, sigmas: Tensor, generator: torch.Generator
) -> Tensor:
    """Stochastic reverse process, one evaluation a step; see `sample_dpm_solver`."""
    return _sample_stochastic(ancestral_step, denoiser, x, sigmas, generator)


def sample_euler_maruyama(
    denoiser: MeanFunction, x: Tensor, sigmas: Tensor, generator: torch.Generator
) -> Tensor:
    """Reverse SDE to first order, one evaluation a step; see `sample_dpm_solver`."""
    return _sample_stochastic(euler_maruyama_step, denoiser, x, sigmas, generator)


def _sample_stochastic(
    step: StepFunction,
    denoiser: MeanFunction,
    x: Tensor,
    sigmas: Tensor,
    generator: torch.Generator,
) -> Tensor:
    for sigma, sigma_next in _steps(sigmas, x):
        mean = denoiser(x, sigma)
        if sigma_next == 0:
            return mean
        normal = torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)
        x = step(x, mean, sigma, sigma_next, normal)
    return x


def _steps(sigmas: Tensor, x: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    levels = sigmas.to(dtype=x.dtype, device=x.device)
    yield from pairwise(levels)


SAMPLERS: dict[str, Callable[[MeanFunction, Tensor, Tensor, torch.Generator], Tensor]] = {
    "heun": lambda denoiser, x, sigmas, _: sample_heun(denoiser, x, sigmas),
    "dpm-solver": lambda denoiser, x, sigmas, _: sample_dpm_solver(denoiser, x, sigmas),
    "ancestral": sample_ancestral,
    "euler-maruyama": sample_euler_maruyama,
}
"""All samplers by name; those that draw no noise ignore the generator."""
