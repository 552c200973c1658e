"""Resampling as a product of matrices, written once for NumPy and for torch.

The product prepares photographs with NumPy, also where torch is not installed; exported graphs
prepare them with the operations that torch traces from the very same lines. Weights follow from
closed formulas, so that one graph holds for photographs of any size.
"""

from __future__ import annotations

from typing import Any


def resampled(values: Any, height: int, width: int, xp: Any) -> Any:
    """Images at another size.

    Args:
        values: (..., height, width) float32, an array of `xp`.
        height: wanted, pixels.
        width: wanted, pixels.
        xp: the library, `numpy` or `torch`.
    """
    rows, columns = values.shape[-2:]
    if not _is_the_same(columns, width):
        values = values @ weights(columns, width, xp).T
    if not _is_the_same(rows, height):
        values = weights(rows, height, xp) @ values
    return values


def weights(source: int, target: int, xp: Any) -> Any:
    """What each source pixel counts for in each target pixel: (target, source) float32.

    On the way down this is area averaging, which neither rings nor skips pixels; on the way up it
    is linear interpolation. Both are the overlap of a source pixel with a box about the centre of
    the target pixel, as wide as the larger of the two pixels.

    Args:
        source: pixels along the side; symbolic while torch traces.
        target: pixels wanted.
    """
    # In float64: of a camera with 10,000 columns, float32 would misplace borders by 1/1000 px.
    scale = (xp.zeros(1, dtype=xp.float64) + source) / target
    centre = ((xp.arange(target, dtype=xp.float64) + 0.5) * scale)[:, None]
    half = 0.5 * xp.clip(scale, 1.0, float("inf"))
    left = xp.arange(source, dtype=xp.float64)[None]
    overlap = xp.minimum(centre + half, left + 1) - xp.maximum(centre - half, left)
    overlap = xp.clip(overlap, 0.0, float("inf"))
    # A box that reaches beyond the border counts what lies inside.
    return xp.asarray(overlap / overlap.sum(1)[:, None], dtype=xp.float32)


def _is_the_same(source: int, target: int) -> bool:
    """Whether nothing is to be done; a symbolic size could be any."""
    return isinstance(source, int) and source == target
