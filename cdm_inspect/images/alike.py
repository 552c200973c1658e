"""Photographs that show nearly the same: they never stand on both sides of a split."""

from __future__ import annotations

from collections.abc import Sequence

import imagehash
import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from cdm_inspect.records import FloatArray

# Bits on a side of the perceptual hash; eight, the usual, cannot tell parts of one line apart.
_HASH = 16
# Of the distance at which the nearest neighbour of a usual part lies.
_NEAR = 0.25
_LEAST = 2


def find_near_duplicates(prepared: Sequence[FloatArray]) -> list[tuple[int, int]]:
    """Pairs of photographs that are far more alike than parts of this line are.

    Parts of a line that are always photographed in the same place are alike anyway. A pair counts
    where the Hamming distance of its perceptual hashes (256 bits of the cosine transform; Zauner
    2010) is at most a quarter of the median distance to the nearest neighbour, or at most 2.

    Args:
        prepared: images, (channels, height, width) in [-1, 1].

    Returns:
        Index pairs, the lower index first.
    """
    if len(prepared) < 2:
        return []
    bits = np.array([_bits(image) for image in prepared], np.float32)
    # Of +1 and -1 the inner product counts agreements less disagreements.
    signs = 2 * bits - 1
    distance = (bits.shape[1] - signs @ signs.T) / 2
    np.fill_diagonal(distance, np.inf)
    limit = max(_LEAST, _NEAR * float(np.median(distance.min(axis=1))))
    first, second = np.nonzero(np.triu(distance <= limit, k=1))
    return list(zip(first.tolist(), second.tolist(), strict=True))


def join_groups(groups: Sequence[str], pairs: Sequence[tuple[int, int]]) -> list[str]:
    """Groups so widened that no pair lies in two of them.

    Args:
        groups: name of the group of each part.
        pairs: index pairs of parts that belong together.

    Returns:
        For each part the first name, in alphabetical order, of all that are joined with its own.
    """
    names = sorted(set(groups))
    number = {name: place for place, name in enumerate(names)}
    links = np.array([[number[groups[a]], number[groups[b]]] for a, b in pairs], int).reshape(-1, 2)
    graph = coo_array((np.ones(len(links)), links.T), shape=(len(names), len(names)))
    _, component = connected_components(graph, directed=False)
    first: dict[int, str] = {}
    for name, part in zip(names, component.tolist(), strict=True):
        first.setdefault(part, name)
    return [first[component[number[name]]] for name in groups]


def _bits(image: FloatArray) -> npt.NDArray[np.bool_]:
    grey = np.rint((image.mean(axis=0) + 1) * 127.5).astype(np.uint8)
    return np.asarray(imagehash.phash(Image.fromarray(grey), hash_size=_HASH).hash).ravel()
