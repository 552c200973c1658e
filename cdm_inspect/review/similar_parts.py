"""Which decided parts look like the one on the screen, where they are odd."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from cdm_inspect.errors import CdmInspectError, DamagedFile, ImageError
from cdm_inspect.images import decode_heatmap, decode_image, to_display
from cdm_inspect.plugins import InspectionReader
from cdm_inspect.records import JUDGED, FloatArray, InspectionQuery, Order, StoredInspection

# Of the parts decided last, so many are compared.
_RECENT = 120
_KEPT = 600
_SIDE = 24
# Around its strongest region a part is looked at this much wider, and never closer than this
# share of the picture.
_MARGIN, _CLOSEST = 1.6, 1 / 8

Vector = npt.NDArray[np.float32]


class Lookalikes:
    """Compares the surroundings of the strongest region: how they look, and how odd they are.

    Two parts are alike by the mean of two correlations: of the photographs there, in grey, and of
    the heat maps.

    Args:
        max_pixels: larger photographs are not decoded.
    """

    def __init__(self, store: InspectionReader, *, max_pixels: int) -> None:
        self._store, self._max_pixels = store, max_pixels
        self._known: OrderedDict[int, Vector | None] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, part: StoredInspection, count: int) -> Sequence[StoredInspection]:
        """The most similar parts that were accepted or rejected, the most similar first."""
        own = self._vector(part)
        if own is None:
            return ()
        decided = self._store.find(
            InspectionQuery(line=part.line, is_decided=True, order=Order.NEWEST, limit=_RECENT)
        )
        found: list[tuple[float, StoredInspection]] = []
        for other in decided:
            if other.sha256 == part.sha256 or other.decision not in JUDGED:
                continue
            vector = self._vector(other)
            if vector is not None:
                found.append((float(own @ vector), other))
        found.sort(key=lambda pair: -pair[0])
        return [other for _, other in found[:count]]

    def _vector(self, part: StoredInspection) -> Vector | None:
        with self._lock:
            if part.id in self._known:
                self._known.move_to_end(part.id)
                return self._known[part.id]
        try:
            vector = self._describe(part)
        except CdmInspectError:
            return None  # the store may answer the next time
        with self._lock:
            self._known[part.id] = vector
            while len(self._known) > _KEPT:
                self._known.popitem(last=False)
        return vector

    def _describe(self, part: StoredInspection) -> Vector | None:
        if not (part.regions and part.image_sha256 and part.heatmap_sha256):
            return None
        try:
            photograph = decode_image(
                self._store.read_file(part.image_sha256),
                Path(part.image),
                max_pixels=self._max_pixels,
            )
            data = self._store.read_file(part.heatmap_sha256)
            heat = decode_heatmap(data, part.heatmap_scale, part.heatmap_offset)
        except (DamagedFile, ImageError):
            return None  # nothing is alike to what cannot be seen
        grey = to_display(photograph.pixels).mean(axis=2).astype(np.float32)
        height, width = grey.shape
        region = max(part.regions, key=lambda region: region.peak)
        side = max(_MARGIN * max(region.width, region.height), _CLOSEST * min(height, width))
        centre = (region.x + region.width / 2) / width, (region.y + region.height / 2) / height
        crops = [_crop(grey, centre, side / width), _crop(heat, centre, side / width)]
        both = np.concatenate([_standardised(crop) for crop in crops])
        return np.asarray(both / np.sqrt(2), np.float32)


def _crop(values: FloatArray, centre: tuple[float, float], share: float) -> FloatArray:
    """A square around a point, both in share of the picture, beyond its edge repeated."""
    height, width = values.shape
    side = max(2.0, share * width)
    size = (max(1, round(side)), max(1, round(side)))
    cut = cv2.getRectSubPix(
        np.ascontiguousarray(values, np.float32), size, (centre[0] * width, centre[1] * height)
    )
    return np.asarray(cv2.resize(cut, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA), np.float32)


def _standardised(values: FloatArray) -> Vector:
    """Flat, without mean and of length 1, so that a product is a correlation."""
    flat = values.ravel() - values.mean()
    length = float(np.linalg.norm(flat))
    return np.asarray(flat / length if length > 0 else flat, np.float32)
