"""Noise levels that differ from pixel to pixel: cells that are hidden among pixels that are not.

A network that has seen such noise restores a cell from its surroundings alone. The two phases of a
checkerboard hide every pixel once.
"""

from __future__ import annotations

import torch
from torch import Tensor

# About one step of an 8-bit camera (2/255): the surroundings are as good as known.
OPEN_SIGMA = 0.01


def checkerboard(
    height: int, width: int, cell: int, *, phase: int, device: torch.device | str = "cpu"
) -> Tensor:
    """Cells of one colour, counted from the upper left corner: (1, 1, height, width), boolean.

    Args:
        height: of the board, pixels.
        width: of the board, pixels.
        cell: side of a cell, pixels.
        phase: 0 or 1; the two colours.
    """
    rows, columns = (torch.arange(side, device=device) // cell for side in (height, width))
    return ((rows[:, None] + columns[None]) % 2 == phase)[None, None]


def masked_sigma(hidden: Tensor, sigma: Tensor | float) -> Tensor:
    """`sigma` where a pixel is hidden and `OPEN_SIGMA` elsewhere, float32."""
    level = torch.as_tensor(sigma, dtype=torch.float32, device=hidden.device)
    return torch.where(hidden, level, torch.tensor(OPEN_SIGMA, device=hidden.device))


def draw_masked_sigma(
    count: int,
    height: int,
    width: int,
    *,
    cells: tuple[int, ...],
    sigmas: tuple[float, float],
    generator: torch.Generator,
) -> Tensor:
    """Training draws: boards of a random cell size, phase and offset, log-uniform in their noise.

    Args:
        count: boards.
        height: of each, pixels.
        width: of each, pixels.
        cells: sides to choose from.
        sigmas: lowest and highest noise of hidden cells.
        generator: of the draws; the result is on its device.

    Returns:
        (count, 1, height, width) float32.
    """
    device = generator.device
    largest = max(cells)
    low, high = (torch.tensor(sigma).log() for sigma in sigmas)
    maps = []
    for _ in range(count):
        chosen, phase, down, right = (
            int(torch.randint(limit, (), generator=generator, device=device))
            for limit in (len(cells), 2, largest, largest)
        )
        uniform = torch.rand((), generator=generator, device=device)
        sigma = (low + uniform * (high - low)).exp()
        board = checkerboard(
            height + down, width + right, cells[chosen], phase=phase, device=device
        )
        maps.append(masked_sigma(board[..., down:, right:], sigma))
    return torch.cat(maps)
