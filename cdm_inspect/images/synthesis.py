"""Synthetic defects on good parts: of known kind, size, contrast and place, drawn from a seed.

They stand in for real defects where there are none to learn from: to choose how maps become scores,
and to say how small a defect can be and still be found. They are never trained on.

Contrast is in standard deviations of the part's own grey values, so that a battery is as hard on a
dull line as on a brilliant one. Size is a share of the short side of the image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from cdm_inspect.records import FloatArray

Mask = npt.NDArray[np.bool_]
Values = npt.NDArray[Any]
Change = tuple[Values, Values]
"""The changed image, and how much of the defect lies at each pixel: (height, width), 0 to 1."""

# Share of a defect's full strength from which a pixel counts as defective.
_EDGE = 0.25


@dataclass(frozen=True, kw_only=True)
class SyntheticPart:
    """A good part with one defect.

    Attributes:
        image: (channels, height, width) float32 in [-1, 1].
        mask: (height, width), true where the defect is.
        kind: a name of `KINDS`.
        size: share of the short side.
        contrast: standard deviations of the part's grey values.
    """

    image: FloatArray
    mask: Mask
    kind: str
    size: float
    contrast: float


def damage(
    image: FloatArray,
    kind: str,
    *,
    size: float,
    contrast: float,
    random: np.random.Generator,
    region: Mask | None = None,
) -> SyntheticPart:
    """A copy of a good part with one defect somewhere on it.

    Args:
        image: (channels, height, width) float32 in [-1, 1].
        kind: a name of `KINDS`.
        size: share of the short side, in (0, 1).
        contrast: standard deviations of the part's grey values, positive.
        random: of place, direction and sign.
        region: (height, width), where the middle of the defect may lie; None means anywhere but
            at the very border.
    """
    height, width = image.shape[1:]
    extent = max(2.0, size * min(height, width))
    strength = contrast * max(float(image.mean(axis=0).std()), 2 / 255)
    if region is None:
        centre = random.uniform((0.1 * height, 0.1 * width), (0.9 * height, 0.9 * width))
    else:
        places = np.argwhere(region)
        centre = places[random.integers(len(places))] + random.uniform(size=2)
    changed, footprint = KINDS[kind](_Place(image, centre, extent, strength, random))
    return SyntheticPart(
        image=np.clip(changed, -1, 1).astype(np.float32),
        mask=np.asarray(footprint > _EDGE * footprint.max()),
        kind=kind,
        size=size,
        contrast=contrast,
    )


def battery(
    parts: FloatArray,
    *,
    seed: int,
    sizes: Sequence[float] = (0.04, 0.08, 0.16, 0.32),
    contrasts: Sequence[float] = (0.5, 1.0, 2.0),
    kinds: Sequence[str] | None = None,
    region: Mask | None = None,
) -> Iterator[SyntheticPart]:
    """One defect of each kind, size and contrast, on parts in turn.

    Args:
        parts: (count, channels, height, width) good parts.
        seed: of everything; the same seed gives the same battery.
        sizes: shares of the short side.
        contrasts: standard deviations.
        kinds: None means all.
        region: as for `damage`.
    """
    random = np.random.default_rng(seed)
    number = 0
    for kind in kinds or KINDS:
        for size in sizes:
            for contrast in contrasts:
                part = parts[number % len(parts)]
                yield damage(part, kind, size=size, contrast=contrast, random=random, region=region)
                number += 1


@dataclass(frozen=True)
class _Place:
    """Where a defect goes: pixels, and image units."""

    image: FloatArray
    centre: npt.NDArray[np.float64]
    extent: float
    strength: float
    random: np.random.Generator

    @property
    def shape(self) -> tuple[int, int]:
        height, width = self.image.shape[1:]
        return height, width

    def offsets(self) -> tuple[Values, Values]:
        """Distance of each pixel from the centre, down and right, in pixels."""
        rows, columns = (np.arange(side, dtype=np.float64) for side in self.shape)
        return rows[:, None] - self.centre[0], columns[None] - self.centre[1]

    def sign(self) -> float:
        """Brighter or darker; away from where the picture would be cut off."""
        y, x = (int(value) for value in self.centre)
        near = self.image[:, max(0, y - 2) : y + 3, max(0, x - 2) : x + 3].mean()
        if abs(near) > 0.6:
            return -float(np.sign(near))
        return float(self.random.choice((-1.0, 1.0)))

    def disk(self, softness: float) -> Values:
        """1 inside a disk as large as the defect, 0 outside, its edge `softness` pixels wide."""
        down, right = self.offsets()
        distance = np.hypot(down, right)
        edge = (self.extent / 2 - distance) / max(softness, 0.5) + 0.5
        return np.asarray(np.clip(edge, 0, 1))

    def blob(self) -> Values:
        """1 inside a ragged patch with soft edges."""
        noise = self.random.normal(size=self.shape).astype(np.float32)
        smooth = cv2.GaussianBlur(noise, (0, 0), max(1.0, self.extent / 6))
        smooth /= max(float(smooth.std()), 1e-6)
        down, right = self.offsets()
        distance = np.hypot(down, right) / (self.extent / 2)
        soft = np.clip(1.5 * (1.1 - distance) + 0.35 * smooth, 0, 1)
        return np.where(distance < 1.6, soft, 0)


def _scratch(place: _Place) -> Change:
    line = np.zeros(place.shape, np.float32)
    angle = place.random.uniform(0, np.pi)
    along = np.array([np.sin(angle), np.cos(angle)]) * place.extent / 2
    across = np.array([-along[1], along[0]]) * place.random.uniform(-0.2, 0.2)
    ends = [place.centre - along, place.centre + across, place.centre + along]
    points = np.array([(16 * x, 16 * y) for y, x in ends]).round().astype(np.int32)
    thickness = max(1, round(place.extent / 24))
    cv2.polylines(line, [points], False, 1.0, thickness, lineType=cv2.LINE_AA, shift=4)
    return place.image + place.sign() * place.strength * line, line


def _spot(place: _Place) -> Change:
    disk = place.disk(softness=1.0)
    return place.image + place.sign() * place.strength * disk, disk


def _stain(place: _Place) -> Change:
    blob = place.blob()
    return place.image + place.sign() * place.strength * blob, blob


def _dent(place: _Place) -> Change:
    """Light from one side: the slope of a smooth hollow, brighter here and darker there."""
    down, right = place.offsets()
    angle, spread = place.random.uniform(0, 2 * np.pi), place.extent / 4
    toward = (np.sin(angle) * down + np.cos(angle) * right) / spread
    hollow = np.exp(-(down**2 + right**2) / (2 * spread**2))
    # The factor makes the steepest slope 1.
    return place.image + place.strength * np.exp(0.5) * toward * hollow, np.sqrt(hollow)


def _missing_piece(place: _Place) -> Change:
    """Level ground instead of what was there; contrast says how much of it is gone."""
    disk = place.disk(softness=1.0)
    ring = cv2.dilate(disk, np.ones((5, 5))) - disk > 0.5
    level = place.image[:, ring].mean(axis=1)[:, None, None] if ring.any() else place.image.mean()
    share = min(1.0, place.strength / max(float(place.image.std()), 1e-6) / 2)
    return place.image + share * disk * (level - place.image), disk


def _blur(place: _Place) -> Change:
    """As if a drop of oil lay on it; contrast says how thick."""
    width = max(0.5, 1.5 * place.strength / max(float(place.image.std()), 1e-6))
    soft = np.stack([cv2.GaussianBlur(channel, (0, 0), width) for channel in place.image])
    disk = place.disk(softness=place.extent / 4)
    return place.image + disk * (soft - place.image), disk


def _shade(place: _Place) -> Change:
    """A wide change of brightness, or of colour where there is any, without an edge."""
    down, right = place.offsets()
    bump = np.exp(-(down**2 + right**2) / (2 * (place.extent / 2) ** 2))
    channels = len(place.image)
    gains = place.random.normal(size=channels) if channels > 1 else np.array([place.sign()])
    gains = gains / max(float(np.abs(gains).max()), 1e-6)
    return place.image + place.strength * gains[:, None, None] * bump, bump


KINDS: dict[str, Callable[[_Place], Change]] = {
    "scratch": _scratch,
    "spot": _spot,
    "stain": _stain,
    "dent": _dent,
    "missing-piece": _missing_piece,
    "blur": _blur,
    "shade": _shade,
}
"""What can happen to a part, by name."""
