"""Labelled folders in the MVTec layout, for evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from cdm_inspect.errors import ImageError
from cdm_inspect.images.dataset import spread_evenly
from cdm_inspect.images.folder import find_images, read_image
from cdm_inspect.images.preparation import Preparation
from cdm_inspect.plugins import GOOD

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class LabelledPart:
    """A photograph and what is known of it.

    Attributes:
        label: name of the defect, or `good`.
        mask: file with the defect's pixels above zero; None where there is no mask.
    """

    path: Path
    label: str
    mask: Path | None

    @property
    def is_good(self) -> bool:
        """Whether the part has no defect."""
        return self.label == GOOD


def find_labelled(folder: Path) -> list[LabelledPart]:
    """The parts of `folder/test/LABEL/*` or `folder/LABEL/*`, sorted by path.

    Masks are looked for as `ground_truth/LABEL/NAME_mask.png` or `ground_truth/LABEL/NAME.png`
    beside `test` (or beside the labels).

    Raises:
        ImageError: if there are no good parts or no defective ones.
    """
    root = folder / "test" if (folder / "test").is_dir() else folder
    truth = folder if root != folder or (folder / "ground_truth").is_dir() else folder.parent
    parts = []
    for path in find_images(root):
        label = path.relative_to(root).parts[0]
        if label in (path.name, "ground_truth", "train"):
            continue  # a file without a label, or not meant for evaluation
        masks = truth / "ground_truth" / label
        candidates = (masks / f"{path.stem}_mask.png", masks / f"{path.stem}.png")
        mask = next((file for file in candidates if file.is_file()), None)
        parts.append(LabelledPart(path=path, label=label, mask=mask))
    good = sum(part.is_good for part in parts)
    if not good or good == len(parts):
        raise ImageError(
            f"expected test/good/* and test/DEFECT/* below {folder}, found {good} good and "
            f"{len(parts) - good} defective parts."
        )
    return parts


def thin_labelled(parts: list[LabelledPart], limit: int | None) -> list[LabelledPart]:
    """At most `limit` parts: half of them good where there are so many, all kinds of defect kept.

    Args:
        parts: sorted by path, and so by defect.
        limit: at least 2; None means all.
    """
    if limit is None:
        return parts
    good = [part for part in parts if part.is_good]
    defective = [part for part in parts if not part.is_good]
    n_good = min(len(good), max(limit // 2, limit - len(defective)))
    kept = [good[index] for index in spread_evenly(len(good), n_good)]
    return kept + [defective[index] for index in spread_evenly(len(defective), limit - len(kept))]


def read_mask(file: Path, height: int, width: int) -> Mask:
    """A mask at another size: (height, width), true where at least half of the area is defective.

    A defect too small for that keeps the pixels that hold most of it.
    """
    return _shrunk(read_image(file).pixels.max(axis=2) > 0, height, width)


def read_region(file: Path, preparation: Preparation, *, max_pixels: int) -> Mask:
    """Where a line looks, at the size of prepared images: true where most of the area is white.

    Args:
        file: a picture of the shape of the photographs, white where they are judged.
        max_pixels: larger pictures are refused.

    Raises:
        UnreadableImage: if it is no picture, or of another shape; reason as for photographs.
    """
    pixels = read_image(file, max_pixels=max_pixels).pixels
    preparation.refuse_aspect(pixels.shape[1], pixels.shape[0], file)
    white = pixels.max(axis=2) > np.iinfo(pixels.dtype).max / 2
    return _shrunk(white, preparation.height, preparation.width)


def _shrunk(marked: Mask, height: int, width: int) -> Mask:
    area = cv2.resize(marked.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    highest = float(area.max())
    return np.asarray(area >= (min(0.5, highest) if highest > 0 else 0.5), bool)
