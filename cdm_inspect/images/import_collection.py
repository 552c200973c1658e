"""Collections of photographs brought into the layout that lines learn from and are judged by."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from cdm_inspect.errors import ImageError, PluginFailed, UnreadableImage, attribute_to_plugin
from cdm_inspect.files import write_durably
from cdm_inspect.images import FORMATS, decode_image, read_bytes
from cdm_inspect.plugins import GOOD, DatasetPart, ReaderOffer, build_options
from cdm_inspect.records import JsonObject, Tick, no_progress

_NAME = re.compile(r"[\w\-][\w.\-]*(/[\w\-][\w.\-]*)*")
_MOST_PIXELS = 400_000_000
_ENDINGS = {media: f".{media.partition('/')[2]}" for media in FORMATS.values()}


def import_collection(
    offer: ReaderOffer,
    given: dict[str, Any],
    source: Path,
    destination: Path,
    *,
    tick: Tick = no_progress,
) -> JsonObject:
    """Write the parts of a collection as `train/good`, `test/LABEL` and `ground_truth/LABEL`.

    Files are copied byte by byte; pixels become PNG. Files that cannot be read are left out, each
    with its reason.

    Args:
        given: its options, as written.
        source: where the collection is.
        destination: a folder that is not there yet, or empty.
        tick: called with how many are done, of at least one more: nobody knows the total.

    Returns:
        `folder`, `for_training`, `labels` with the number of test parts of each, `masks`, and
        `left_out`, sentences.

    Raises:
        ImageError: if the destination has something in it, or no part came.
        PluginFailed: if the reader raises, or yields what its contract forbids.
    """
    options = build_options(offer, given, "option")
    if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
        raise ImageError(f"expected no folder or an empty one at {destination}, found something.")
    known: set[Path] = set()
    labels: Counter[str] = Counter()
    masks, for_training, left_out = 0, 0, []
    parts = iter(_guarded(offer, source, options))
    for done, part in enumerate(parts, start=1):
        try:
            masks += _write(part, destination, known)
        except UnreadableImage as error:
            left_out.append(str(error))
        else:
            for_training += part.is_for_training
            labels[part.label] += not part.is_for_training
        tick(done, done + 1)
    if not known:
        problem = f" The first problem: {left_out[0]}" if left_out else ""
        raise ImageError(f"the reader {offer.name!r} found no usable part in {source}.{problem}")
    return {
        "folder": str(destination),
        "for_training": for_training,
        "labels": {label: count for label, count in sorted(labels.items()) if count},
        "masks": masks,
        "left_out": left_out,
    }


def _guarded(offer: ReaderOffer, source: Path, options: Any) -> Any:
    with attribute_to_plugin(PluginFailed, f"reader {offer.name!r}: {{error}}"):
        for part in offer.read(source, options):
            _check(part)
            yield part


def _check(part: DatasetPart) -> None:
    if not isinstance(part, DatasetPart):
        raise TypeError(f"expected DatasetParts, found {type(part).__name__}")
    for word in (part.name, part.label):
        if not _NAME.fullmatch(word):
            raise ValueError(f"expected a plain name of part and label, found {word!r}")
    if "/" in part.label:
        raise ValueError(f"expected a label without '/', found {part.label!r}")
    if part.is_for_training and part.label != GOOD:
        raise ValueError(f"only good parts are to learn from; {part.name!r} is {part.label!r}")
    if not isinstance(part.image, Path):
        pixels = np.asarray(part.image)
        is_picture = pixels.ndim == 3 and pixels.shape[2] in (1, 3) and pixels.size > 0
        if not is_picture or pixels.dtype not in (np.uint8, np.uint16):
            raise ValueError(
                "expected a file or (height, width, 1 or 3) uint8 or uint16 of "
                f"{part.name!r}, found {pixels.shape} {pixels.dtype}"
            )
    if part.mask is not None and not isinstance(part.mask, Path) and np.ndim(part.mask) != 2:
        raise ValueError(
            f"expected a mask (height, width) of {part.name!r}, found {np.shape(part.mask)}"
        )


def _write(part: DatasetPart, destination: Path, known: set[Path]) -> bool:
    """Write one part, and its mask; returns whether there was one."""
    if part.is_for_training:
        name = part.name
        folder = destination / "train" / GOOD
    else:
        name = part.name.replace("/", "-")  # masks are found by the last part of a name
        folder = destination / "test" / part.label
    ending, data, size = _encoded(part.image)
    path = folder / f"{name}{ending}"
    if path.with_suffix("") in known:
        raise PluginFailed(f"two parts of the collection are called {part.name!r} ({part.label}).")
    mask = None if part.is_for_training else _mask_of(part, size)
    write_durably(path, data)
    known.add(path.with_suffix(""))
    if mask is None:
        return False
    write_durably(destination / "ground_truth" / part.label / f"{name}_mask.png", mask)
    return True


def _mask_of(part: DatasetPart, size: tuple[int, ...]) -> bytes | None:
    """The mask as PNG, 255 where the defect is; None where there is none."""
    if part.mask is None:
        return None
    if isinstance(part.mask, Path):
        marked = decode_image(read_bytes(part.mask), part.mask, max_pixels=_MOST_PIXELS).pixels
        marked = marked.max(axis=2)
    else:
        marked = np.asarray(part.mask)
    if marked.shape != size:
        raise UnreadableImage(
            f"{part.name}: the photograph is {size[1]} x {size[0]}, its mask "
            f"{marked.shape[1]} x {marked.shape[0]}.",
            reason="wrong_shape",
        )
    return _as_png((marked > 0).astype(np.uint8) * 255)


def _encoded(image: Path | Any) -> tuple[str, bytes, tuple[int, ...]]:
    """Ending, bytes, and height and width."""
    if isinstance(image, Path):
        data = read_bytes(image)
        decoded = decode_image(data, image, max_pixels=_MOST_PIXELS)  # says what is wrong with it
        # By what it is: `find_images` goes by endings.
        return _ENDINGS[decoded.media_type], data, decoded.pixels.shape[:2]
    return ".png", _as_png(image[:, :, ::-1]), image.shape[:2]


def _as_png(pixels: Any) -> bytes:
    is_written, data = cv2.imencode(".png", np.ascontiguousarray(pixels))
    assert is_written
    return bytes(data.tobytes())
