"""Heat maps as 16-bit grey PNG files, and as pictures for people."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from cdm_inspect.errors import ImageError
from cdm_inspect.records import FloatArray

_STEPS = 65535  # of a 16-bit PNG


def encode_heatmap(heatmap: FloatArray) -> tuple[bytes, float, float]:
    """A heat map as 16-bit grey PNG, with the scale and offset that give its units back."""
    low, high = float(heatmap.min()), float(heatmap.max())
    scale = max(high - low, 1e-6) / _STEPS
    steps = np.rint((heatmap - low) / scale).astype(np.uint16)
    is_done, data = cv2.imencode(".png", steps)
    assert is_done
    return data.tobytes(), scale, low


def encode_picture(pixels: npt.NDArray[np.uint8]) -> bytes:
    """A picture, (height, width, 3) RGB, as 8-bit PNG."""
    is_done, data = cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    assert is_done
    return data.tobytes()


def decode_heatmap(data: bytes, scale: float, offset: float) -> FloatArray:
    """Take back what `encode_heatmap` wrote, within half a step."""
    steps = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if steps is None:
        raise ImageError("expected a 16-bit PNG as heat map, found something else.")
    return np.asarray(steps, np.float32) * np.float32(scale) + np.float32(offset)


def overlay_heatmap(
    pixels: npt.NDArray[np.uint8], heatmap: FloatArray, threshold: float, opacity: float
) -> npt.NDArray[np.uint8]:
    """A part with its heat map laid over it, and the contour of the threshold.

    The colours (cividis) run from 0 to twice the threshold for every part, so that two parts
    compare. What lies below half the threshold stays clear. The contour is white with a black
    edge, since no fill colour shows on every surface.

    Args:
        pixels: (height, width, 3) RGB.
        heatmap: of any size, in calibrated units.
        threshold: in the same units.
        opacity: of the fill, 0 to 1.
    """
    height, width = pixels.shape[:2]
    values = cv2.resize(heatmap, (width, height), interpolation=cv2.INTER_LINEAR)
    share = np.clip(values / (2 * max(threshold, 1e-6)), 0.0, 1.0)
    colours = cv2.applyColorMap(np.rint(share * 255).astype(np.uint8), cv2.COLORMAP_CIVIDIS)
    alpha = (opacity * np.clip((share - 0.25) / 0.25, 0.0, 1.0))[:, :, None]
    mixed = pixels * (1 - alpha) + colours[:, :, ::-1] * alpha
    picture = np.ascontiguousarray(np.rint(mixed).astype(np.uint8))
    contours, _ = cv2.findContours(
        (values >= threshold).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE
    )
    stroke = max(1, round(min(height, width) / 256))
    cv2.drawContours(picture, contours, -1, (0, 0, 0), 3 * stroke)
    cv2.drawContours(picture, contours, -1, (255, 255, 255), stroke)
    return np.asarray(picture, np.uint8)


def to_display(
    pixels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16],
) -> npt.NDArray[np.uint8]:
    """A photograph as 8-bit RGB for a screen; 16-bit samples are stretched to their own range."""
    if pixels.dtype == np.uint16:
        low, high = float(pixels.min()), float(pixels.max())
        stretched = (pixels.astype(np.float32) - low) * (255.0 / max(high - low, 1.0))
        pixels = np.rint(stretched).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)), dtype=np.uint8)
