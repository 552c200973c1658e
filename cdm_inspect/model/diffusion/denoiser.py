"""The denoiser D: preconditioning in float32 around a network of any precision."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cdm_inspect.model.diffusion.network import NetworkSize, UNet
from cdm_inspect.model.diffusion.noise import Preconditioning
from cdm_inspect.plugins import Posterior


class ConsistentDenoiser(nn.Module):
    """D(y, sigma) = E[x_0 | y] and the variance of x_0 about it, for noisy images y.

    Images are centred by the mean of the training set before they are scaled, so that the unit
    variance the preconditioning promises holds for bright and dark lines alike.

    Attributes:
        sigma_data: standard deviation of the training images about `centre`, in image units.
        restores_cells: whether training has shown it noise that differs from pixel to pixel.
        resolutions: that the network works at.
    """

    def __init__(
        self,
        *,
        size: NetworkSize,
        centre: tuple[float, ...],
        sigma_data: float,
        restores_cells: bool = False,
    ) -> None:
        super().__init__()
        self.restores_cells = restores_cells
        self.channels = len(centre)
        self.resolutions = len(size.multipliers)
        self.sigma_data = float(sigma_data)
        self.network = UNet(self.channels, size)
        centre_image = torch.tensor(centre, dtype=torch.float32).view(1, -1, 1, 1)
        self.centre: Tensor
        self.register_buffer("centre", centre_image, persistent=False)
        self.to(memory_format=torch.channels_last)

    def forward(
        self,
        noisy: Tensor,
        sigma: Tensor,
        *,
        position: Tensor | None = None,
        labels: Tensor | None = None,
        dropout: list[Tensor] | None = None,
    ) -> Posterior:
        """Denoise; see `contracts.Denoiser` for shapes.

        Args:
            noisy: (batch, channels, height, width).
            sigma: (batch, 1, 1, 1) or (batch, 1, height, width), positive.
            position: (batch, 2, height, width) coordinates of a crop; None for whole images.
            labels: (batch, 9) of the augmentation; None is the same as zeros.
            dropout: masks of `UNet.draw_dropout`.
        """
        noisy, sigma = noisy.float(), sigma.float()
        height, width = noisy.shape[-2:]
        centred = noisy - self.centre
        scale = Preconditioning.at(sigma, self.sigma_data)
        output = self.network(*self._entering(centred, scale, position), labels, dropout)
        mean_output = output.mean[..., :height, :width]
        log_variance = output.log_variance[..., :height, :width]
        # skip - 1 = -sigma^2 / (sigma^2 + sd^2), written so that small sigma does not cancel.
        shrink = (sigma * scale.into).square()
        displacement = scale.out * mean_output - shrink * centred
        return Posterior(
            mean=noisy + displacement,
            displacement=displacement,
            log_variance=log_variance + 2 * scale.out.log(),
        )

    def features(
        self, noisy: Tensor, sigma: Tensor, *, position: Tensor | None = None
    ) -> list[Tensor]:
        """What the network makes of images on its way up; see `contracts.Denoiser`."""
        scale = Preconditioning.at(sigma.float(), self.sigma_data)
        entering = self._entering(noisy.float() - self.centre, scale, position)
        return [features.float() for features in self.network.activations(*entering)]

    def _entering(
        self, centred: Tensor, scale: Preconditioning, position: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Scaled images, noise and position, padded to the network's stride."""
        height, width = centred.shape[-2:]
        if position is None:
            grid = pixel_grid(height, width, centred.device)
            position = grid.expand(centred.shape[0], -1, -1, -1)
        bottom, right = -height % self.network.stride, -width % self.network.stride
        return (
            F.pad(scale.into * centred, (0, right, 0, bottom), mode="replicate"),
            _pad_map(scale.noise, right, bottom),
            F.pad(position, (0, right, 0, bottom), mode="replicate"),
        )


def pixel_grid(height: int, width: int, device: torch.device | str = "cpu") -> Tensor:
    """Coordinates of pixel centres: (1, 2, height, width), y then x, within (-1, 1)."""
    y = (torch.arange(height, device=device) + 0.5) * (2 / height) - 1
    x = (torch.arange(width, device=device) + 0.5) * (2 / width) - 1
    return torch.stack(torch.meshgrid(y, x, indexing="ij"))[None]


def count_parameters(module: nn.Module) -> int:
    """Numbers that training changes."""
    return sum(math.prod(parameter.shape) for parameter in module.parameters())


def _pad_map(values: Tensor, right: int, bottom: int) -> Tensor:
    if values.shape[-1] == 1:
        return values
    return F.pad(values, (0, right, 0, bottom), mode="replicate")
