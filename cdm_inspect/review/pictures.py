"""Photographs and heat maps as a browser can show them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import ExifTags, Image

from cdm_inspect.errors import ImageError
from cdm_inspect.images import FORMATS, decode_heatmap, decode_image, encode_picture, to_display

PREVIEW_SIDE = 2048
"""Longest side, pixels, that is shown without zooming in."""

_MAP_STEPS = 255
# Of a PNG: the byte in its header that says how many bits a sample has.
_PNG_DEPTH = 24
# Values of the Exif orientation that swap width and height.
_ON_ITS_SIDE = (5, 6, 7, 8)
_BROWSER = ("image/jpeg", "image/png", "image/bmp")


class Picture(NamedTuple):
    """An image file as it goes to a browser; the type is what its bytes are, never a guess."""

    data: bytes
    media_type: str


def photograph_picture(data: bytes, *, max_pixels: int, is_preview: bool = False) -> Picture:
    """A photograph for the screen, with its own pixels.

    What a browser shows by itself goes out byte by byte. TIFF and 16-bit files become PNG, without
    loss of what a screen can show. Only a preview of a large photograph has fewer pixels.

    Args:
        max_pixels: larger ones are not decoded.
        is_preview: at most `PREVIEW_SIDE` pixels a side.

    Raises:
        ImageError: if it cannot be read.
    """
    media_type, size = _peek(data)
    is_small = not is_preview or max(size) <= PREVIEW_SIDE
    if media_type in _BROWSER and not _is_deep(data, media_type) and is_small:
        return Picture(data, media_type)
    pixels = to_display(decode_image(data, Path("photograph"), max_pixels=max_pixels).pixels)
    longest = max(pixels.shape[:2])
    if not is_preview or longest <= PREVIEW_SIDE:
        return Picture(encode_picture(pixels), "image/png")
    scale = PREVIEW_SIDE / longest
    small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    _, encoded = cv2.imencode(
        ".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 92]
    )
    return Picture(encoded.tobytes(), "image/jpeg")


def heatmap_picture(data: bytes, scale: float, offset: float, threshold: float) -> Picture:
    """A heat map as 8-bit grey PNG, 0 to twice the threshold, so that all parts compare.

    The threshold itself is the step from 127 to 128.

    Args:
        scale: units of a step.
        offset: units at 0.
        threshold: in the same units.

    Raises:
        ImageError: if it cannot be read.
    """
    heat = decode_heatmap(data, scale, offset)
    share = np.clip(heat / (2 * max(threshold, 1e-6)), 0.0, 1.0)
    steps = np.minimum(np.floor(share * (_MAP_STEPS + 1)), _MAP_STEPS).astype(np.uint8)
    _, encoded = cv2.imencode(".png", steps)
    return Picture(encoded.tobytes(), "image/png")


def photograph_size(data: bytes) -> tuple[int, int]:
    """Width and height of a photograph as it is shown, pixels; nothing is decoded.

    Raises:
        ImageError: if it cannot be read.
    """
    return _peek(data)[1]


def _peek(data: bytes) -> tuple[str, tuple[int, int]]:
    """Media type, and size when turned as the camera says, by the header."""
    try:
        with Image.open(io.BytesIO(data), formats=(*FORMATS, "MPO")) as image:
            kind = "JPEG" if image.format == "MPO" else image.format or ""
            is_turned = image.getexif().get(ExifTags.Base.Orientation, 1) in _ON_ITS_SIDE
            width, height = image.size
            return FORMATS[kind], (height, width) if is_turned else (width, height)
    # Decoders report damage in many ways.
    except Exception as error:
        raise ImageError(f"the photograph cannot be shown: {error}.") from error


def _is_deep(data: bytes, media_type: str) -> bool:
    return media_type == "image/png" and data[_PNG_DEPTH : _PNG_DEPTH + 1] == b"\x10"
