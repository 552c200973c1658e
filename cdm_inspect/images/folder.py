"""Photographs on disk: finding them, reading them strictly, and setting the bad ones aside."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from cdm_inspect.errors import ImageError, UnreadableImage
from cdm_inspect.records import ImageProblem, PartImage

# By default Pillow opens all it has a decoder for, EPS through Ghostscript included.
FORMATS = {"PNG": "image/png", "JPEG": "image/jpeg", "BMP": "image/bmp", "TIFF": "image/tiff"}
# A JPEG with a preview or gain map behind the photograph, as telephones write it.
_JPEG_WITH_MORE = "MPO"
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})
DEFAULT_MAX_PIXELS = 64_000_000
MAX_FILE_BYTES = 1 << 30
_TIFF_BITS_PER_SAMPLE = 258


def find_images(folder: Path) -> list[Path]:
    """All files below a folder whose names end like an image, sorted by path.

    Hidden files and folders are passed over.

    Raises:
        ImageError: if the folder is missing, is not a folder, or cannot be listed.
    """
    return [path for path in _visible(folder) if path.suffix.lower() in SUFFIXES]


def find_others(folder: Path) -> list[Path]:
    """All other files below a folder, which nothing here will read; see `find_images`."""
    return [
        path for path in _visible(folder) if path.suffix.lower() not in SUFFIXES and path.is_file()
    ]


def _visible(folder: Path) -> list[Path]:
    if not os.path.isdir(folder):
        found = "a file" if os.path.exists(folder) else "nothing"
        raise ImageError(f"expected a folder of images at {folder}, found {found}.")
    try:
        return sorted(
            path
            for path in folder.rglob("*")
            if not any(part.startswith(".") for part in path.relative_to(folder).parts)
        )
    except OSError as error:
        raise ImageError(f"{folder} cannot be listed: {error}.") from error


def read_image(path: Path, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> PartImage:
    """Read one photograph, or say exactly why it cannot be judged.

    The header is checked before anything is decoded. Grey stays one channel; palettes become
    colour (grey if all their entries are grey); alpha is dropped, since it is no measurement;
    EXIF orientation is applied; 16-bit samples stay 16-bit.

    Raises:
        UnreadableImage: reason `missing`, `not_a_file`, `empty`, `too_large`, `unknown_format`,
            `truncated`, `many_frames` or `wrong_mode`.
    """
    return decode_image(read_bytes(path), path, max_pixels=max_pixels)


def decode_image(data: bytes, path: Path, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> PartImage:
    """Decode the bytes of an image file; `path` is only for messages. See `read_image`."""
    try:
        pixels, media_type = _decode(path, data, max_pixels)
    except UnreadableImage:
        raise
    except UnidentifiedImageError as error:
        raise UnreadableImage(
            f"{path}: expected PNG, JPEG, BMP or TIFF, found something else "
            f"(first bytes {data[:8].hex(' ')}).",
            reason="unknown_format",
        ) from error
    except Image.DecompressionBombError as error:
        raise _too_large(path, str(error)) from error
    # Decoders report damage in many ways; whatever the way, the part cannot be judged.
    except Exception as error:
        raise UnreadableImage(
            f"{path}: the image data is damaged or cut short ({error}). Copy the file again.",
            reason="truncated",
        ) from error
    return PartImage(
        path=path, sha256=hashlib.sha256(data).hexdigest(), pixels=pixels, media_type=media_type
    )


def read_images(
    paths: Iterable[Path], *, max_pixels: int = DEFAULT_MAX_PIXELS
) -> Iterator[PartImage | ImageProblem]:
    """Read photographs one by one; a bad file yields an `ImageProblem` instead of raising."""
    for path in paths:
        try:
            yield read_image(path, max_pixels=max_pixels)
        except UnreadableImage as error:
            yield ImageProblem(path=path, reason=error.reason, detail=str(error))


def read_bytes(path: Path) -> bytes:
    """The bytes of a regular file.

    Raises:
        UnreadableImage: reason `missing`, `not_a_file`, `empty` or `too_large`.
    """
    try:
        # O_NONBLOCK so that a pipe with an image's name cannot hang the line.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise IsADirectoryError
            if status.st_size > MAX_FILE_BYTES:
                raise _too_large(path, f"{status.st_size:,} bytes")
            data = file.read()
    except FileNotFoundError as error:
        raise UnreadableImage(f"{path}: no such file.", reason="missing") from error
    except IsADirectoryError as error:
        raise UnreadableImage(
            f"{path}: expected a regular file, found a folder, pipe or device.",
            reason="not_a_file",
        ) from error
    except OSError as error:
        raise UnreadableImage(f"{path}: cannot be read: {error}.", reason="missing") from error
    if not data:
        raise UnreadableImage(
            f"{path}: the file is empty (0 bytes). Copy it again.", reason="empty"
        )
    return data


def _decode(path: Path, data: bytes, max_pixels: int) -> tuple[Any, str]:
    with warnings.catch_warnings():
        # Our own limit decides, below Pillow's highest; nothing is decoded before it has.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        image = Image.open(io.BytesIO(data), formats=tuple(FORMATS))
    with image:
        has_more = image.format == _JPEG_WITH_MORE
        media_type = FORMATS["JPEG" if has_more else image.format or ""]
        if image.width * image.height > max_pixels:
            raise _too_large(
                path, f"{image.width} x {image.height}, allowed are {max_pixels:,} pixels"
            )
        if not has_more and getattr(image, "n_frames", 1) > 1:
            raise UnreadableImage(
                f"{path}: expected one picture, found {image.n_frames} pages or frames. "  # type: ignore[attr-defined]
                "Save the one to inspect as a file of its own.",
                reason="many_frames",
            )
        orientation = image.getexif().get(0x0112, 1)
        # A switch for the whole process, which libraries turn on at import (WeasyPrint does):
        # Pillow would then fill what is missing with grey.
        ImageFile.LOAD_TRUNCATED_IMAGES = False
        image.load()
        if image.mode in ("RGB", "RGBA", "LA", "L") and _has_deep_samples(image, data):
            # Pillow has no mode for 16-bit colour and would cut it to 8 bits without a word.
            return _orient(_decode_deep(path, data), orientation), media_type
        return _to_pixels(path, ImageOps.exif_transpose(image)), media_type


def _to_pixels(path: Path, image: Image.Image) -> Any:
    mode = image.mode
    if mode in ("1", "LA", "La"):
        image = image.convert("L")
    elif mode == "P":
        image = image.convert("RGB")
        colours = np.asarray(image)
        if (colours == colours[:, :, :1]).all():
            image = image.convert("L")
    elif mode in ("RGBA", "RGBX", "PA"):
        image = image.convert("RGB")
    elif mode.startswith("I;16"):
        # np.asarray keeps the file's byte order; ours is the machine's.
        return np.asarray(image).astype(np.uint16)[:, :, None]
    if image.mode not in ("L", "RGB"):
        raise UnreadableImage(
            f"{path}: expected grey, RGB, RGBA or palette samples of 8 or 16 bits, found Pillow "
            f"mode {mode!r}. Set the camera's output format.",
            reason="wrong_mode",
        )
    pixels = np.asarray(image)
    return np.ascontiguousarray(pixels[:, :, None] if pixels.ndim == 2 else pixels)


def _has_deep_samples(image: Image.Image, data: bytes) -> bool:
    if image.format == "PNG":
        return data[24] == 16  # bit depth in the IHDR chunk, which always comes first
    if image.format == "TIFF":
        bits = image.tag_v2.get(_TIFF_BITS_PER_SAMPLE, (8,))  # type: ignore[attr-defined]
        return bool(np.max(bits) == 16)
    return False


def _decode_deep(path: Path, data: bytes) -> Any:
    # Pillow has decoded the same bytes already, so that damage has been found.
    pixels = cv2.imdecode(
        np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
    )
    if pixels is None or pixels.dtype != np.uint16:
        raise UnreadableImage(
            f"{path}: these 16-bit samples cannot be decoded. Save them as 16-bit PNG.",
            reason="wrong_mode",
        )
    if pixels.ndim == 2:
        return pixels[:, :, None]
    blue_green_red = pixels[:, :, :3]
    if (blue_green_red == blue_green_red[:, :, :1]).all() and pixels.shape[2] != 3:
        return np.ascontiguousarray(blue_green_red[:, :, :1])
    return np.ascontiguousarray(blue_green_red[:, :, ::-1])


def _orient(pixels: Any, orientation: int) -> Any:
    """Apply EXIF orientation 2 to 8 to an array, as ImageOps.exif_transpose does to an image."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def _too_large(path: Path, found: str) -> UnreadableImage:
    return UnreadableImage(
        f"{path}: the image is too large ({found}). Crop it, or raise images.max_pixels.",
        reason="too_large",
    )
