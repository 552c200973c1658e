"""Denoisers known in closed form: what a perfect network would say of Gaussian and mixture data.

They are how this package is tested, and the quickest way to learn what the method promises.
"""

from __future__ import annotations

import torch
from torch import Tensor


class GaussianOracle:
    """The exact denoiser of N(mean, covariance): h(x, s) = mean + A (x - mean).

    With A = S (S + s^2 I)^-1 for covariance S. The gain A need not be symmetric here: a matrix
    that is no covariance gives a field that is consistent and yet no denoiser of any data.

    Args:
        mean: (dimensions,) float64.
        covariance: (dimensions, dimensions) float64.
    """

    def __init__(self, mean: Tensor, covariance: Tensor) -> None:
        self.mean, self.covariance = mean, covariance

    def gain(self, sigma: Tensor | float) -> Tensor:
        """A, the Jacobian of h at every x, (dimensions, dimensions)."""
        eye = torch.eye(len(self.mean)).to(self.covariance)
        gain: Tensor = self.covariance @ torch.linalg.inv(self.covariance + sigma**2 * eye)
        return gain

    def __call__(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """E[x_0 | x] for x of (..., dimensions)."""
        return self.mean + (x - self.mean) @ self.gain(sigma).T

    def posterior_covariance(self, sigma: Tensor | float) -> Tensor:
        """Cov[x_0 | x], the same for every x: s^2 A."""
        return sigma**2 * self.gain(sigma)

    def flow(self, x: Tensor, sigma: float, sigma_next: float) -> Tensor:
        """Where the probability-flow ODE carries x from one noise level to another.

        Along each eigenvector, with eigenvalue l: (x - mean) sqrt((l + s'^2) / (l + s^2)).
        """
        values, vectors = torch.linalg.eigh(self.covariance)
        scale = ((values + sigma_next**2) / (values + sigma**2)).sqrt()
        moved: Tensor = (x - self.mean) @ vectors @ torch.diag(scale) @ vectors.T
        return self.mean + moved

    def log_density(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """Of x noised to `sigma`, (...,), in nats."""
        eye = torch.eye(len(self.mean)).to(self.covariance)
        law = torch.distributions.MultivariateNormal(self.mean, self.covariance + sigma**2 * eye)
        density: Tensor = law.log_prob(x)  # type: ignore[no-untyped-call]
        return density


class MixtureOracle:
    """The exact denoiser of a mixture of Gaussians.

    Args:
        weights: (components,) float64, summing to 1.
        parts: one oracle a component.
    """

    def __init__(self, weights: Tensor, parts: list[GaussianOracle]) -> None:
        self.weights, self.parts = weights, parts

    def log_density(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """Of x noised to `sigma`, (...,), in nats."""
        return torch.logsumexp(self._joint(x, sigma), dim=-1)

    def __call__(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """E[x_0 | x] for x of (..., dimensions)."""
        share = self._joint(x, sigma).softmax(dim=-1)
        means = torch.stack([part(x, sigma) for part in self.parts], dim=-1)
        return (means * share[..., None, :]).sum(dim=-1)

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Draws of x_0, (count, dimensions)."""
        chosen = torch.multinomial(self.weights, count, replacement=True, generator=generator)
        means = torch.stack([part.mean for part in self.parts])[chosen]
        roots = torch.stack([torch.linalg.cholesky(p.covariance) for p in self.parts])[chosen]
        normal = torch.randn(means.shape, generator=generator, dtype=means.dtype)
        return means + torch.einsum("nij,nj->ni", roots, normal)

    def _joint(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        logs = [part.log_density(x, sigma) for part in self.parts]
        return torch.stack(logs, dim=-1) + self.weights.log()
