"""Photographs that show nearly the same: they never stand on both sides of a split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from cdm_inspect.records import FloatArray

# Bits on a side of the perceptual hash; eight, the usual, cannot tell parts of one line apart.
_HASH = 16
# Of the distance at which the nearest neighbour of a usual part lies.
_NEAR = 0.25
_LEAST = 2.0
_BLOCK = 1000


def find_near_duplicates(prepared: Sequence[FloatArray]) -> list[tuple[int, int]]:
    """Pairs of photographs that are far more alike than parts of this line are.

    Parts of a line that are always photographed in the same place are alike anyway. A pair counts
    where the Hamming distance of its perceptual hashes (256 bits of the cosine transform; Zauner
    2010) is at most a quarter of the median distance to the nearest neighbour; where that is less
    than 2, only equal hashes count.

    Args:
        prepared: images, (channels, height, width) in [-1, 1].

    Returns:
        Index pairs, the lower index first.
    """
    if len(prepared) < 2:
        return []
    # Of +1 and -1 the inner product counts agreements less disagreements.
    signs = 2 * np.array([_bits(image) for image in prepared], np.float32) - 1
    nearest = np.concatenate([rows.min(axis=1) for _, rows in _distances(signs)])
    limit = _NEAR * float(np.median(nearest))
    # Hashes of a line whose usual neighbours differ in a few bits only cannot tell twins apart.
    limit = limit if limit >= _LEAST else 0.0
    pairs = []
    for start, rows in _distances(signs):
        first, second = np.nonzero(rows <= limit)
        pairs += [(start + a, b) for a, b in zip(first.tolist(), second.tolist(), strict=True)]
    return [(first, second) for first, second in pairs if first < second]


def _distances(signs: npt.NDArray[np.float32]) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
    """Hamming distances of some hashes to all, block by block; infinite to themselves."""
    for start in range(0, len(signs), _BLOCK):
        block = signs[start : start + _BLOCK]
        rows = (signs.shape[1] - block @ signs.T) / 2
        rows[np.arange(len(block)), start + np.arange(len(block))] = np.inf
        yield start, rows


def join_groups(groups: Sequence[str], pairs: Sequence[tuple[int, int]]) -> list[str]:
    """Groups so widened that no pair lies in two of them.

    Args:
        groups: name of the group of each part.
        pairs: index pairs of parts that belong together.

    Returns:
        For each part the first name, in alphabetical order, of all that are joined with its own.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

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
    import imagehash  # with scipy half a second, which reading a photograph need not wait

    grey = np.rint((image.mean(axis=0) + 1) * 127.5).astype(np.uint8)
    return np.asarray(imagehash.phash(Image.fromarray(grey), hash_size=_HASH).hash).ravel()
