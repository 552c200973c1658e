"""Random crops of good parts, with non-leaky augmentation.

Source: Karras et al. 2020, arXiv:2006.06676 (which transforms do not leak, and the labels that
tell the network what was done); Karras et al. 2022, arXiv:2206.00364, Appendix F.2.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from cdm_inspect.config import AugmentationConfig
from cdm_inspect.model.diffusion import LABEL_SIZE

_SCALE_STD = 0.2  # of log2
_ANISOTROPY_STD = 0.2  # of log2
_TRANSLATION_STD = 0.125  # of the crop


class CropBatch(NamedTuple):
    """What one training step sees.

    Attributes:
        images: (batch, channels, size, size) float32 in [-1, 1].
        position: (batch, 2, size, size), nominal y and x of each pixel in the whole image.
        labels: (batch, 9) of the augmentation.
    """

    images: Tensor
    position: Tensor
    labels: Tensor


class CropSampler:
    """Draws crops of whole images held in memory; the same generator state gives the same crops.

    Crops and transforms are one resampling. Where nothing is transformed it falls on pixel
    centres, and a crop is a copy. What a transform pulls in from beyond the border is mirrored.
    """

    def __init__(self, images: Tensor, *, crop_size: int, augmentation: AugmentationConfig) -> None:
        self.images = images
        self.height = min(crop_size, images.shape[2])
        self.width = min(crop_size, images.shape[3])
        self.augmentation = augmentation

    def draw(self, batch: int, generator: torch.Generator) -> CropBatch:
        """A batch of crops; `generator` lives on the device of the images."""
        device = self.images.device
        count, _, height, width = self.images.shape
        index = torch.randint(count, (batch,), generator=generator, device=device)
        top = _randint_below(height - self.height + 1, batch, generator)
        left = _randint_below(width - self.width + 1, batch, generator)
        matrix, shift, labels = self._draw_transforms(batch, generator)

        # Pixel offsets from the crop's centre, transformed, then back to whole-image coordinates.
        y = torch.arange(self.height, device=device) - (self.height - 1) / 2
        x = torch.arange(self.width, device=device) - (self.width - 1) / 2
        offsets = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)  # (h, w, 2), x then y
        centre = torch.stack([left + (self.width - 1) / 2, top + (self.height - 1) / 2], dim=-1)
        extent = torch.tensor([width, height], device=device)
        nominal = offsets + centre[:, None, None]
        moved = torch.einsum("bij,hwj->bhwi", matrix, offsets) + shift[:, None, None]
        sampled = moved + centre[:, None, None]
        crops = F.grid_sample(
            self.images[index],
            (2 * sampled + 1) / extent - 1,
            mode="bilinear",
            padding_mode="reflection",
            align_corners=False,
        )
        position = ((2 * nominal + 1) / extent - 1).flip(-1).permute(0, 3, 1, 2)
        return CropBatch(crops, position, labels)

    def _draw_transforms(
        self, batch: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Matrices (batch, 2, 2) and shifts (batch, 2) in pixels, x then y; labels (batch, 9)."""
        device, switches = self.images.device, self.augmentation

        def chosen(is_on: bool) -> Tensor:
            probability = switches.probability if is_on else 0.0
            return (_rand(batch, generator) < probability).float()

        labels = torch.zeros(batch, LABEL_SIZE, device=device)
        labels[:, 0] = chosen(switches.x_flip)
        labels[:, 1] = chosen(switches.y_flip)
        labels[:, 2] = chosen(switches.scale) * _randn(batch, generator)
        angle = chosen(switches.rotation) * (2 * _rand(batch, generator) - 1) * math.pi
        labels[:, 3], labels[:, 4] = angle.cos() - 1, angle.sin()
        stretch = chosen(switches.anisotropy) * _randn(batch, generator)
        axis = 2 * math.pi * _rand(batch, generator)
        labels[:, 5], labels[:, 6] = stretch * axis.cos(), stretch * axis.sin()
        moves = chosen(switches.translation)
        labels[:, 7] = moves * _randn(batch, generator)
        labels[:, 8] = moves * _randn(batch, generator)

        mirror_x, mirror_y = 1 - 2 * labels[:, 0], 1 - 2 * labels[:, 1]
        if switches.flips in ("horizontal", "both"):
            mirror_x = mirror_x * _random_sign(batch, generator)
        if switches.flips in ("vertical", "both"):
            mirror_y = mirror_y * _random_sign(batch, generator)
        half = axis / 2
        narrow = torch.exp2(_ANISOTROPY_STD * stretch)
        matrix = (
            _rotation(half)
            @ _diagonal(narrow, 1 / narrow)
            @ _rotation(-half)
            @ _rotation(angle)
            @ _diagonal(mirror_x, mirror_y)
        ) * torch.exp2(_SCALE_STD * labels[:, 2])[:, None, None]
        extent = torch.tensor([self.width, self.height], device=device)
        return matrix, labels[:, 7:9] * _TRANSLATION_STD * extent, labels


def _rotation(angle: Tensor) -> Tensor:
    rows = [
        torch.stack([angle.cos(), -angle.sin()], -1),
        torch.stack([angle.sin(), angle.cos()], -1),
    ]
    return torch.stack(rows, dim=1)


def _diagonal(x: Tensor, y: Tensor) -> Tensor:
    return torch.diag_embed(torch.stack([x, y], dim=-1))


def _rand(batch: int, generator: torch.Generator) -> Tensor:
    return torch.rand(batch, generator=generator, device=generator.device)


def _randn(batch: int, generator: torch.Generator) -> Tensor:
    return torch.randn(batch, generator=generator, device=generator.device)


def _random_sign(batch: int, generator: torch.Generator) -> Tensor:
    return 1 - 2 * (_rand(batch, generator) < 0.5).float()


def _randint_below(bound: int, batch: int, generator: torch.Generator) -> Tensor:
    return torch.randint(bound, (batch,), generator=generator, device=generator.device)


def centre_and_spread(images: Tensor) -> tuple[tuple[float, ...], float]:
    """Mean of each channel, and the standard deviation about it over all: what scales the model.

    Args:
        images: (count, channels, height, width).
    """
    centre = images.mean(dim=(0, 2, 3), dtype=torch.float64)
    spread = (images.double() - centre.view(1, -1, 1, 1)).square().mean().sqrt()
    # An all-black line has no spread; the smallest 8-bit step keeps the scalings finite.
    return tuple(centre.tolist()), max(float(spread), 2 / 255)
