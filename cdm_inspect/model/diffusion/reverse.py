"""Single steps of the stochastic reverse process, from one noise level to a lower one."""

from __future__ import annotations

from torch import Tensor


def ancestral_step(
    noisy: Tensor, mean: Tensor, sigma: Tensor, sigma_next: Tensor, normal: Tensor
) -> Tensor:
    """One step of the reverse process from `sigma` to `sigma_next`.

    x' = r x + (1 - r) D + sigma' sqrt(1 - r) z with r = (sigma' / sigma)^2. Its mean is exact for
    any law of the data, so a denoiser that is consistent has residual zero for any step length
    whose posterior is Gaussian, and to second order in the step otherwise.
    """
    ratio = (sigma_next / sigma).square()
    return ratio * noisy + (1 - ratio) * mean + sigma_next * (1 - ratio).sqrt() * normal


def euler_maruyama_step(
    noisy: Tensor, mean: Tensor, sigma: Tensor, sigma_next: Tensor, normal: Tensor
) -> Tensor:
    """One first-order step of the reverse SDE, dx = 2 (x - D) / s ds + sqrt(2 s) dW.

    Its mean is exact only as the step goes to 0, so even a perfect denoiser shows a residual of
    the order of the step. The published code trains on five of these; this project compares with
    them and trains on `ancestral_step`.
    """
    step = sigma_next - sigma
    drift = 2 * step * (noisy - mean) / sigma
    return noisy + drift + (2 * sigma * -step).sqrt() * normal
