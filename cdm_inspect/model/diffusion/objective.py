"""What training minimises: denoising score matching, a variance likelihood, and consistency.

Source: Daras, Dagan, Dimakis, Daskalakis 2023, arXiv:2302.09057 (the consistency property: the
denoiser is a martingale along its own reverse trajectories); Karras et al. 2022, arXiv:2206.00364
(DSM and its weights). The form of the consistency term - one exact ancestral step from the
prediction that DSM has already made - is this project's own.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from cdm_inspect.model.diffusion.denoiser import ConsistentDenoiser
from cdm_inspect.model.diffusion.diagnostics import jacobian_asymmetry
from cdm_inspect.model.diffusion.masking import draw_masked_sigma
from cdm_inspect.model.diffusion.noise import SIGMA_MIN, draw_sigma, dsm_weight
from cdm_inspect.model.diffusion.reverse import ancestral_step
from cdm_inspect.plugins import Posterior

# Cells from the size of a fine scratch to that of a stain, and noise that hides them for good.
MASKED_CELLS = (2, 4, 8, 16)
MASKED_SIGMAS = (1.0, 4.0)


class Losses(NamedTuple):
    """Means over samples; scalars that carry gradients.

    Attributes:
        dsm: weighted denoising error; 1 for a network that says nothing.
        variance: negative log likelihood of the detached residual.
        consistency: the signed two-sample product; 0 in expectation for a consistent denoiser.
        asymmetry: of the Jacobian, a pixel; 0 where it is not penalised.
    """

    total: Tensor
    dsm: Tensor
    variance: Tensor
    consistency: Tensor
    asymmetry: Tensor


class Objective(nn.Module):
    """All terms in one forward pass, so that data-parallel wrappers see one call a step.

    Args:
        variance_weight: of the likelihood of the learnt variance.
        max_jump: of the noise level in the reverse step of the consistency term.
        is_flat: weigh the consistency term alike at all noise levels, by 1 / sigma_data^2, which
            is what the DSM weight tends to at high noise.
        is_bootstrapped: no gradient of the consistency term through the lower ends of its steps.
        is_antithetic: each sample of the consistency term is a pair of steps with opposite noise.
        masked_count: crops of the batch, from its end, that learn to restore hidden cells.
        conservativity_weight: of the penalty on the Jacobian's asymmetry.
        conservativity_count: crops of the batch on which it is computed.
    """

    def __init__(
        self,
        denoiser: ConsistentDenoiser,
        *,
        variance_weight: float,
        max_jump: float,
        is_flat: bool = False,
        is_bootstrapped: bool = False,
        is_antithetic: bool = False,
        masked_count: int = 0,
        conservativity_weight: float = 0.0,
        conservativity_count: int = 0,
    ) -> None:
        super().__init__()
        self.denoiser = denoiser
        self.variance_weight = variance_weight
        self.max_jump = max_jump
        self.is_flat = is_flat
        self.is_bootstrapped = is_bootstrapped
        self.is_antithetic = is_antithetic
        self.masked_count = masked_count
        self.conservativity_weight = conservativity_weight
        self.conservativity_count = conservativity_count

    def forward(
        self,
        clean: Tensor,
        position: Tensor,
        labels: Tensor | None,
        generator: torch.Generator,
        consistency_weight: float = 0.0,
        consistency_count: int = 0,
    ) -> Losses:
        """Losses of one batch.

        Args:
            clean: (batch, channels, height, width) float32 crops of good parts.
            position: (batch, 2, height, width) coordinates of the crops.
            labels: (batch, 9) of the augmentation.
            generator: on the device of `clean`; the only source of randomness.
            consistency_count: crops of the batch on which it is computed.
        """
        denoiser, batch = self.denoiser, clean.shape[0]
        open_count = batch - self.masked_count  # the crops whose noise is the same everywhere
        even = sigma = draw_sigma(batch, denoiser.sigma_data, generator)
        if self.masked_count > 0:
            sigma = self._hide_cells(sigma, clean, generator)
        noise = sigma * _normal_like(clean, generator)
        dropout = denoiser.network.draw_dropout(batch, generator) if self.training else None
        posterior = denoiser(
            clean + noise, sigma, position=position, labels=labels, dropout=dropout
        )

        weight = dsm_weight(sigma, denoiser.sigma_data)
        error = posterior.displacement + noise  # D - x_0
        dsm = (weight * error.square()).mean()
        variance = gaussian_nll(error.detach(), posterior.log_variance).mean()
        total = dsm + self.variance_weight * variance
        rest = _Crops(clean + noise, even, position, labels, dropout)
        consistency = asymmetry = torch.zeros((), device=clean.device)
        if consistency_count > 0 and consistency_weight > 0:
            part = rest.first(min(consistency_count, open_count))
            consistency = self._consistency(part, posterior.mean, weight, generator)
            total = total + consistency_weight * consistency
        if self.conservativity_weight > 0:
            part = rest.first(min(self.conservativity_count, open_count))
            asymmetry = self._asymmetry(
                part.noisy,
                part.sigma,
                generator,
                position=part.position,
                labels=part.labels,
                dropout=part.dropout,
            )
            total = total + self.conservativity_weight * asymmetry
        return Losses(total, dsm, variance, consistency, asymmetry)

    def _consistency(
        self, part: _Crops, mean: Tensor, weight: Tensor, generator: torch.Generator
    ) -> Tensor:
        """The consistency term of some crops, the first of those with `mean` and `weight`."""
        count = len(part.noisy)
        product = consistency_product(
            self.denoiser,
            noisy=part.noisy,
            sigma=part.sigma,
            mean=mean[:count],
            generator=generator,
            max_jump=self.max_jump,
            is_bootstrapped=self.is_bootstrapped,
            is_antithetic=self.is_antithetic,
            position=part.position,
            labels=part.labels,
            dropout=part.dropout,
        )
        if self.is_flat:
            return product.mean() / self.denoiser.sigma_data**2
        return (weight[:count] * product).mean()

    def _hide_cells(self, sigma: Tensor, clean: Tensor, generator: torch.Generator) -> Tensor:
        """Noise levels of a batch, (batch, 1, height, width), the last crops' by cells."""
        height, width = clean.shape[-2:]
        masked = draw_masked_sigma(
            self.masked_count,
            height,
            width,
            cells=MASKED_CELLS,
            sigmas=MASKED_SIGMAS,
            generator=generator,
        )
        return torch.cat([sigma.expand(-1, -1, height, width)[: -self.masked_count], masked])

    def _asymmetry(
        self, noisy: Tensor, sigma: Tensor, generator: torch.Generator, **conditions: Any
    ) -> Tensor:
        """Asymmetry of the denoiser's Jacobian with one probe, a pixel."""

        def mean(x: Tensor, level: Tensor) -> Tensor:
            posterior: Posterior = self.denoiser(x, level, **conditions)
            return posterior.mean

        found = jacobian_asymmetry(mean, noisy, sigma, probes=1, generator=generator)
        return found.asymmetry.mean() / noisy[0].numel()


def gaussian_nll(error: Tensor, log_variance: Tensor) -> Tensor:
    """Negative log likelihood of each error, up to a constant, in nats."""
    return 0.5 * (error.square() * (-log_variance).exp() + log_variance)


class _Crops(NamedTuple):
    """Noisy crops and what the network is given of each."""

    noisy: Tensor
    sigma: Tensor
    position: Tensor
    labels: Tensor | None
    dropout: list[Tensor] | None

    def first(self, count: int) -> _Crops:
        """Only so many of them."""
        return _Crops(
            self.noisy[:count],
            self.sigma[:count],
            self.position[:count],
            None if self.labels is None else self.labels[:count],
            None if self.dropout is None else [mask[:count] for mask in self.dropout],
        )


def consistency_product(
    denoiser: ConsistentDenoiser,
    *,
    noisy: Tensor,
    sigma: Tensor,
    mean: Tensor,
    generator: torch.Generator,
    max_jump: float,
    is_bootstrapped: bool = False,
    is_antithetic: bool = False,
    position: Tensor | None = None,
    labels: Tensor | None = None,
    dropout: list[Tensor] | None = None,
) -> Tensor:
    """Two-sample estimate of ||E[D(x', sigma')] - D(x, sigma)||^2, elementwise and signed.

    Two independent steps leave `noisy`; the product of their differences from `mean` has the
    square of the expected difference as its mean, without the bias a single square would have.
    Gradients flow through `mean` and both end points, none through the steps. All calls share
    coordinates, augmentation labels and dropout masks.

    If `is_bootstrapped`, none flow through the end points either: the value is the same, and its
    gradient, -(d1 + d2) dD, draws the prediction at the higher noise towards the mean of those at
    the lower, which is more exact and far less noisy than the clean image DSM draws it to (in the
    language of reinforcement learning, temporal differences instead of the residual gradient).
    The fixed point is the same; without a backward pass at the end points the cost is a third.

    If `is_antithetic`, each of the two differences is the mean over a pair of steps with opposite
    noise. The pairs are independent of each other, so that the product stays unbiased (the two
    members of one pair must never be multiplied); what is linear in the noise, by far the most
    of a short step's difference, cancels within each pair.

    Args:
        denoiser: evaluated once on both end points together.
        noisy: (batch, channels, height, width), x at `sigma`.
        sigma: (batch, 1, 1, 1).
        mean: D(noisy, sigma), with its graph: the DSM forward pass, reused.
        generator: on the device of `noisy`.
        max_jump: sigma' / sigma is uniform on [1 - max_jump, 1].
        position: coordinates of crops.
        dropout: masks of `UNet.draw_dropout`, those used for `mean`.

    Returns:
        (batch, channels, height, width), squared image units.
    """
    ends, next_level = _end_points(noisy, sigma, mean, generator, max_jump, is_antithetic)
    count = len(ends) // len(noisy)
    with torch.set_grad_enabled(torch.is_grad_enabled() and not is_bootstrapped):
        posterior: Posterior = denoiser(
            ends,
            next_level,
            position=None if position is None else _times(position, count),
            labels=None if labels is None else _times(labels, count),
            dropout=None if dropout is None else [_times(mask, count) for mask in dropout],
        )
    # (members of a pair, independent samples, batch, ...)
    samples = posterior.mean.reshape(count // 2, 2, *noisy.shape).mean(dim=0)
    product: Tensor = (samples[0] - mean) * (samples[1] - mean)
    return product


@torch.no_grad()
def _end_points(
    noisy: Tensor,
    sigma: Tensor,
    mean: Tensor,
    generator: torch.Generator,
    max_jump: float,
    is_antithetic: bool,
) -> tuple[Tensor, Tensor]:
    """Where ancestral steps from `noisy` end, 2 or 4 for each crop, and the noise levels there."""
    uniform = torch.rand(sigma.shape, generator=generator, device=noisy.device)
    # Never above sigma, also where sigma is already the smallest.
    sigma_next = torch.minimum((sigma * (1 - max_jump * uniform)).clamp(min=SIGMA_MIN), sigma)
    normal = _normal_like(_times(noisy, 2), generator)
    if is_antithetic:
        normal = torch.cat([normal, -normal])
    count = len(normal) // len(noisy)
    start, guess, level, next_level = (
        _times(values, count) for values in (noisy, mean, sigma, sigma_next)
    )
    return ancestral_step(start, guess, level, next_level, normal), next_level


def _times(values: Tensor, count: int) -> Tensor:
    return torch.cat([values] * count)


def _normal_like(values: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(values.shape, generator=generator, device=values.device)
