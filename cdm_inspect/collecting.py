"""Collections of photographs brought into the layout that lines learn from and are judged by."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from cdm_inspect.contracts import GOOD, DatasetPart, ReaderOffer
from cdm_inspect.durable import write_durably
from cdm_inspect.errors import CdmInspectError, ImageError, PluginFailed, UnreadableImage
from cdm_inspect.hooks import build_options
from cdm_inspect.images import decode_image, read_bytes
from cdm_inspect.records import JsonObject, Tick, untold

_NAME = re.compile(r"[\w\-][\w.\-]*(/[\w\-][\w.\-]*)*")
_MOST_PIXELS = 400_000_000


def import_collection(
    offer: ReaderOffer,
    given: dict[str, Any],
    source: Path,
    destination: Path,
    *,
    tick: Tick = untold,
) -> JsonObject:
    """Write the parts of a collection as `train/good`, `test/LABEL` and `ground_truth/LABEL`.

    Files are copied byte by byte; pixels become PNG. Files that cannot be read are left out, each
    with its reason.

    Args:
        offer: of the reader.
        given: its options, as written.
        source: where the collection is.
        destination: a folder that is not there yet, or empty.
        tick: told how many are done; nobody knows of how many, so the total is as large.

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
        tick(done, done)
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
    try:
        for part in offer.read(source, options):
            _check(part)
            yield part
    except CdmInspectError:
        raise
    except Exception as error:
        raise PluginFailed(f"reader {offer.name!r}: {type(error).__name__}: {error}") from error


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
    pixels = part.image
    is_picture = isinstance(pixels, Path) or (
        pixels.ndim == 3 and pixels.shape[2] in (1, 3) and pixels.dtype in (np.uint8, np.uint16)
    )
    if not is_picture:
        raise ValueError(
            f"expected a file or (height, width, 1 or 3) uint8 or uint16 of {part.name!r}, found "
            f"{getattr(pixels, 'dtype', type(pixels))} {getattr(pixels, 'shape', '')}"
        )


def _write(part: DatasetPart, destination: Path, known: set[Path]) -> bool:
    """Write one part, and its mask; returns whether there was one."""
    if part.is_for_training:
        name = part.name
        folder = destination / "train" / GOOD
    else:
        name = part.name.replace("/", "-")  # masks are found by the last part of a name
        folder = destination / "test" / part.label
    ending, data = _encoded(part.image)
    path = folder / f"{name}{ending}"
    if path.with_suffix("") in known:
        raise PluginFailed(f"two parts of the collection are called {part.name!r} ({part.label}).")
    write_durably(path, data)
    known.add(path.with_suffix(""))
    if part.mask is None or part.is_for_training:
        return False
    truth = destination / "ground_truth" / part.label / f"{name}_mask.png"
    if isinstance(part.mask, Path):
        mask = decode_image(read_bytes(part.mask), part.mask, max_pixels=_MOST_PIXELS).pixels
    else:
        mask = part.mask[:, :, None]
    write_durably(truth, _as_png((mask.max(axis=2) > 0).astype(np.uint8) * 255))
    return True


def _encoded(image: Path | Any) -> tuple[str, bytes]:
    if isinstance(image, Path):
        data = read_bytes(image)
        decode_image(data, image, max_pixels=_MOST_PIXELS)  # says what is wrong with it
        return image.suffix.lower(), data
    return ".png", _as_png(image[:, :, ::-1])


def _as_png(pixels: Any) -> bytes:
    is_written, data = cv2.imencode(".png", np.ascontiguousarray(pixels))
    assert is_written
    return bytes(data.tobytes())
