"""Estimators that say how far a denoiser is from consistent, from conservative, from exact.

All take a `MeanFunction`, `(x, sigma) -> E[x_0 | x]`, so that networks and closed-form oracles are
measured by the same code.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from cdm_inspect.model.diffusion.reverse import ancestral_step
from cdm_inspect.model.diffusion.sampling import MeanFunction


def u_statistic(differences: Tensor) -> Tensor:
    """Unbiased estimate of ||E d||^2, elementwise, from independent draws of d.

    ((sum d)^2 - sum d^2) / (K (K - 1)): the mean of all products of two different draws. Signed,
    since an estimate of zero must be able to fall below it.

    Args:
        differences: (draws, ...), at least two draws.

    Returns:
        (...), the squared unit of `differences`.
    """
    draws = differences.shape[0]
    total = differences.sum(dim=0)
    return (total.square() - differences.square().sum(dim=0)) / (draws * (draws - 1))


@torch.no_grad()
def martingale_gap(
    denoiser: MeanFunction,
    noisy: Tensor,
    sigmas: Tensor,
    *,
    paths: int,
    generator: torch.Generator,
) -> Tensor:
    """How far predictions drift along the model's own reverse trajectories, squared.

    ||E[h(x', s') | x] - h(x, s)||^2 where x' follows from x by ancestral steps through `sigmas`.
    Zero for an exact denoiser, whatever x is. Where the last level is 0, h(x', 0) = x': the mean
    of what is restored in many steps, against what one step had promised.

    Source: Daras et al. 2023, arXiv:2302.09057 (the property); the estimator is a U-statistic.

    Args:
        denoiser: posterior mean.
        noisy: (batch, ...) at `sigmas[0]`.
        sigmas: (steps + 1,) falling; the last may be 0.
        paths: independent trajectories, at least 2; one evaluation a path and step.
        generator: on the device of `noisy`.

    Returns:
        As `noisy`: elementwise, signed, in squared image units.
    """
    levels = sigmas.to(noisy)
    first = denoiser(noisy, levels[0])
    differences = []
    for _ in range(paths):
        x, mean = noisy, first
        for sigma, sigma_next in pairwise(levels):
            if sigma_next == 0:
                break  # h(x, 0) = x, and the mean of the last step is the prediction itself
            normal = torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)
            x = ancestral_step(x, mean, sigma, sigma_next, normal)
            mean = denoiser(x, sigma_next)
        differences.append(mean - first)
    return u_statistic(torch.stack(differences))


class Asymmetry(NamedTuple):
    """Of the Jacobian J of a denoiser, by sample; both (batch,).

    Attributes:
        asymmetry: ||J - J'||_F^2 / 2, estimated; 0 for a conservative field.
        norm: ||J||_F^2, estimated.
    """

    asymmetry: Tensor
    norm: Tensor

    @property
    def normalised(self) -> Tensor:
        """Asymmetry / (2 norm), of the means over the batch: in [0, 1], 0 for a gradient field."""
        return (self.asymmetry.mean() / (2 * self.norm.mean())).detach()


def jacobian_asymmetry(
    denoiser: MeanFunction, x: Tensor, sigma: Tensor, *, probes: int, generator: torch.Generator
) -> Asymmetry:
    """Hutchinson's estimate of how far the field is from conservative, with its graph.

    E_v[v'JJ'v - v'JJv] = ||J - J'||_F^2 / 2 for Rademacher v. The score's Jacobian is
    (J - I) / sigma^2, so its asymmetry is this over sigma^4.

    Source: Chao et al. 2023, QCSBM.

    Args:
        denoiser: posterior mean; twice differentiable if the estimate is to be minimised.
        x: (batch, ...).
        sigma: as the denoiser takes it.
        probes: draws of v; each costs two vector-Jacobian products and a Jacobian-vector product.
        generator: on the device of `x`.
    """
    x = x.detach().requires_grad_()
    dims = tuple(range(1, x.ndim))
    asymmetry = norm = torch.zeros(())
    with torch.enable_grad():
        mean = denoiser(x, sigma)
        for _ in range(probes):
            signs = torch.randint(2, x.shape, generator=generator, device=x.device)
            probe = (2 * signs - 1).to(x.dtype)
            dual = torch.zeros_like(mean, requires_grad=True)
            # J'u is linear in u, so its own product with v is Jv: forward mode by two backwards.
            (transposed,) = torch.autograd.grad(mean, x, dual, create_graph=True)
            (forward,) = torch.autograd.grad(transposed, dual, probe, create_graph=True)
            (backward,) = torch.autograd.grad(mean, x, probe, create_graph=True)
            squared = backward.square().sum(dim=dims)
            asymmetry = asymmetry + (squared - (backward * forward).sum(dim=dims)) / probes
            norm = norm + squared / probes
    return Asymmetry(asymmetry, norm)


def flow_log_likelihood(
    denoiser: MeanFunction,
    x: Tensor,
    sigmas: Tensor,
    *,
    probes: int | None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Log density of x at the lowest noise level, by the probability-flow ODE.

    log p(x) = log N(x_T; 0, T^2 I) + int tr(I - J_h) / s ds from the lowest level to T, integrated
    by Heun's method along the flow. The data are taken to be centred and small beside T.

    Source: Song et al. 2021, arXiv:2011.13456, Appendix D.2, in the EDM parametrisation.

    Args:
        denoiser: posterior mean.
        x: (batch, dimensions).
        sigmas: (steps + 1,), rising; from the level x is at to T.
        probes: Rademacher draws of Hutchinson's trace; None for the exact trace, which costs one
            vector-Jacobian product a dimension. A single probe is too noisy to rank parts by.
        generator: of the probes, held fixed along the path.

    Returns:
        (batch,), nats.
    """
    size = x.shape[1]
    if probes is None:
        directions = torch.eye(size, dtype=x.dtype, device=x.device)[:, None].expand(-1, len(x), -1)
        scale = 1.0
    else:
        shape = (probes, *x.shape)
        signs = torch.randint(2, shape, generator=generator, device=x.device)
        directions, scale = (2 * signs - 1).to(x.dtype), 1 / probes

    def slope(at: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        at = at.detach().requires_grad_()
        with torch.enable_grad():
            mean = denoiser(at, sigma)
            products = [
                (torch.autograd.grad(mean, at, v, retain_graph=True)[0] * v).sum(dim=1)
                for v in directions
            ]
        trace = scale * torch.stack(products).sum(dim=0)
        return ((at - mean) / sigma).detach(), (size - trace) / sigma

    total = torch.zeros(len(x), dtype=x.dtype, device=x.device)
    levels = sigmas.to(x)
    for sigma, sigma_next in pairwise(levels):
        step = sigma_next - sigma
        move, growth = slope(x, sigma)
        move_next, growth_next = slope(x + step * move, sigma_next)
        x = x + step * (move + move_next) / 2
        total += step * (growth + growth_next) / 2
    top = float(levels[-1])
    prior = -0.5 * (x / top).square().sum(dim=1) - size * (
        math.log(top) + math.log(2 * math.pi) / 2
    )
    return prior + total
