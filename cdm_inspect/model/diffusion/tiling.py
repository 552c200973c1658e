"""A denoiser that looks at a large image tile by tile, and whose answers show no seam.

Tiles overlap by half. Each is weighted by a raised cosine that falls to nearly nothing at its
edges, and the weights of all tiles at a pixel sum to 1. What the network needs while it works
follows the tile; what it returns is as large as the image.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from cdm_inspect.model.diffusion.denoiser import ConsistentDenoiser, pixel_grid
from cdm_inspect.plugins import Posterior

# Keeps a pixel at the very corner of the image, which one tile sees alone, from dividing by zero.
_LEAST_WEIGHT = 1e-3


class TiledDenoiser:
    """As the denoiser it wraps, one tile at a time; images no larger than a tile pass as they are.

    Args:
        tile: side of a tile in pixels; a multiple of twice the network's stride.

    Raises:
        ValueError: if it is not.
    """

    def __init__(self, denoiser: ConsistentDenoiser, tile: int) -> None:
        if tile % (2 * denoiser.network.stride):
            raise ValueError(f"expected tiles of a multiple of {2 * denoiser.network.stride} px.")
        self.denoiser, self.tile = denoiser, tile
        self.channels, self.sigma_data = denoiser.channels, denoiser.sigma_data
        self.restores_cells, self.resolutions = denoiser.restores_cells, denoiser.resolutions

    def __call__(self, noisy: Tensor, sigma: Tensor) -> Posterior:
        """Denoise; see `contracts.Denoiser`."""
        height, width = noisy.shape[-2:]
        if max(height, width) <= self.tile:
            return self.denoiser(noisy, sigma)  # type: ignore[no-any-return]
        displacement, log_variance = torch.zeros_like(noisy), torch.zeros_like(noisy)
        for (rows, columns, weights), part_of, sigma_of, position in self._looks(noisy, sigma):
            weight = weights.to(noisy)
            seen = self.denoiser(part_of, sigma_of, position=position)
            displacement[..., rows, columns] += weight * seen.displacement
            log_variance[..., rows, columns] += weight * seen.log_variance
        return Posterior(noisy + displacement, displacement, log_variance)

    def features(self, noisy: Tensor, sigma: Tensor) -> list[Tensor]:
        """Blended features; see `contracts.Denoiser`."""
        height, width = noisy.shape[-2:]
        if max(height, width) <= self.tile:
            return self.denoiser.features(noisy, sigma)
        found: list[Tensor] = []
        for (rows, columns, weights), part_of, sigma_of, position in self._looks(noisy, sigma):
            seen = self.denoiser.features(part_of, sigma_of, position=position)
            strides = [2**level for level in reversed(range(len(seen)))]
            if not found:
                found = [
                    part.new_zeros(len(noisy), part.shape[1], height // by, width // by)
                    for part, by in zip(seen, strides, strict=True)
                ]
            for whole, part, by in zip(found, seen, strides, strict=True):
                down, right = (slice(s.start // by, s.stop // by) for s in (rows, columns))
                whole[..., down, right] += F.avg_pool2d(weights.to(part)[None, None], by) * part
        return found

    def _looks(self, noisy: Tensor, sigma: Tensor) -> Iterator[tuple[Tile, Tensor, Tensor, Tensor]]:
        """Each tile with what the network is shown there: image, noise level, coordinates."""
        height, width = noisy.shape[-2:]
        position = pixel_grid(height, width, noisy.device).expand(len(noisy), -1, -1, -1)
        for tile in tiles(height, width, self.tile):
            place = (..., tile.rows, tile.columns)
            yield (
                tile,
                noisy[place],
                sigma[place] if sigma.shape[-1] > 1 else sigma,
                position[place],
            )


class Tile(NamedTuple):
    """A place in a large image.

    Attributes:
        weight: (rows, columns) float32; at each pixel those of all tiles sum to 1.
    """

    rows: slice
    columns: slice
    weight: Tensor


def tiles(height: int, width: int, tile: int) -> Iterator[Tile]:
    """Tiles that cover an image, half a tile apart; the last ends with the image.

    Args:
        height: of the image, pixels.
        width: of the image, pixels.
        tile: side of a tile, even.
    """
    across = _shares(width, tile)
    for rows, down in _shares(height, tile):
        for columns, right in across:
            yield Tile(rows, columns, down[:, None] * right[None])


def _shares(length: int, tile: int) -> list[tuple[slice, Tensor]]:
    """Along one side: the span of each tile, and its weights."""
    starts = [*range(0, length - tile, tile // 2), max(0, length - tile)]
    spans = [slice(start, min(start + tile, length)) for start in starts]
    total = torch.zeros(length)
    for span in spans:
        total[span] += _window(span.stop - span.start)
    return [(span, _window(span.stop - span.start) / total[span]) for span in spans]


def _window(length: int) -> Tensor:
    return torch.hann_window(length + 2, periodic=False)[1:-1] + _LEAST_WEIGHT
