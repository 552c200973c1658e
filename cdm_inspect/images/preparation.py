"""From a decoded photograph to the array the model sees, the same in training and inspection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from cdm_inspect.errors import UnreadableImage
from cdm_inspect.images.resampling import resampled
from cdm_inspect.records import FloatArray, JsonObject, PartImage, PixelArray

# The deepest preset halves its feature maps three times.
SIZE_MULTIPLE = 8


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What choosing a preparation needs to know of one photograph, without its pixels.

    Attributes:
        brightest: the largest sample value.
        is_blank: whether all pixels are the same.
        is_deep: whether samples have 16 bits.
    """

    channels: int
    height: int
    width: int
    brightest: int
    is_blank: bool
    is_deep: bool

    @classmethod
    def of(cls, part: PartImage) -> Shape:
        """Measure one photograph."""
        height, width, channels = part.pixels.shape
        return cls(
            channels=channels,
            height=height,
            width=width,
            brightest=int(part.pixels.max()),
            is_blank=bool((part.pixels == part.pixels[:1, :1]).all()),
            is_deep=part.pixels.dtype == np.uint16,
        )


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """How images of a line become arrays; kept in the checkpoint and checked on use.

    Attributes:
        channels: 1 (grey) or 3 (RGB).
        height: of the prepared image, pixels.
        width: of the prepared image, pixels.
        white: sample value that becomes +1; 0 becomes -1. 4095 for a 12-bit camera, for example.
        converts_to_grey: colour images become grey instead of being set aside.
        max_aspect_change: relative difference in aspect ratio that is still accepted.
        min_side: short side, in pixels, below which an image shows too little to be judged.
    """

    channels: int
    height: int
    width: int
    white: int
    converts_to_grey: bool
    max_aspect_change: float
    min_side: int

    @classmethod
    def for_shapes(
        cls,
        shapes: Sequence[Shape],
        *,
        image_size: int,
        channels: Literal["auto", 1, 3],
        max_aspect_change: float,
    ) -> Preparation:
        """Choose what fits most of the given good parts.

        The short side becomes `image_size`; both sides are rounded to a multiple of 8. The bit
        depth is the smallest of 8 to 16 that holds the brightest sample.
        """
        counts = [shape.channels for shape in shapes]
        majority = max(sorted(set(counts)), key=counts.count)
        aspect = float(np.median([shape.width / shape.height for shape in shapes]))
        height = image_size if aspect >= 1 else image_size / aspect
        width = image_size * aspect if aspect >= 1 else image_size
        brightest = max(shape.brightest for shape in shapes)
        is_deep = 2 * sum(shape.is_deep for shape in shapes) > len(shapes)
        return cls(
            channels=majority if channels == "auto" else channels,
            height=_round_to_multiple(height),
            width=_round_to_multiple(width),
            # A 12-bit camera writes 16-bit files that never exceed 4095.
            white=2 ** max(9, brightest.bit_length()) - 1 if is_deep else 255,
            converts_to_grey=channels == 1,
            max_aspect_change=max_aspect_change,
            # What is a quarter of the usual size has lost details that no good part lacks; half
            # would refuse lines whose photographs were cut out by hand.
            min_side=int(np.median([min(shape.height, shape.width) for shape in shapes])) // 4,
        )

    def refuse(self, shape: Shape, path: Path) -> None:
        """Say why a photograph of this shape cannot be judged, if it cannot.

        Raises:
            UnreadableImage: reason `wrong_mode`, `wrong_depth`, `wrong_shape`, `too_small` or
                `blank`.
        """
        becomes_grey = self.converts_to_grey and self.channels == 1
        if shape.channels != self.channels and not (becomes_grey and shape.channels == 3):
            raise UnreadableImage(
                f"{path}: the line expects {_colour(self.channels)} images, found "
                f"{_colour(shape.channels)}. Set the camera, or images.channels, and train again.",
                reason="wrong_mode",
            )
        if shape.is_deep != (self.white > 255):
            raise UnreadableImage(
                f"{path}: the line expects {'16' if self.white > 255 else '8'}-bit images, "
                f"found {16 if shape.is_deep else 8}-bit. Set the camera's output format.",
                reason="wrong_depth",
            )
        self.refuse_aspect(shape.width, shape.height, path)
        if min(shape.height, shape.width) < self.min_side:
            raise UnreadableImage(
                f"{path}: the line expects images of at least {self.min_side} px, found "
                f"{shape.width} x {shape.height}. Is this a thumbnail? Send the full image.",
                reason="too_small",
            )
        if shape.is_blank:
            raise UnreadableImage(
                f"{path}: all pixels are the same. Check lamp, lens and trigger.", reason="blank"
            )

    def refuse_aspect(self, width: int, height: int, path: Path) -> None:
        """Say why a picture of this shape would be distorted, if it would.

        Raises:
            UnreadableImage: reason `wrong_shape`.
        """
        change = abs(np.log((width / height) / (self.width / self.height)))
        if change > np.log1p(self.max_aspect_change):
            raise UnreadableImage(
                f"{path}: the line expects an aspect ratio near "
                f"{self.width / self.height:.2f}, found {width} x {height}. Crop the "
                "image, or raise images.max_aspect_change.",
                reason="wrong_shape",
            )

    def __call__(self, part: PartImage) -> FloatArray:
        """Prepare one photograph.

        Returns:
            (channels, height, width) float32 in [-1, 1].

        Raises:
            UnreadableImage: see `refuse`.
        """
        return np.ascontiguousarray(self.scaled(self.admit(part).astype(np.float32), np))

    def admit(self, part: PartImage) -> PixelArray:
        """The pixels of a photograph that the line takes, grey where it looks at grey.

        Returns:
            (height, width, channels) uint8 or uint16: what an exported graph is given.

        Raises:
            UnreadableImage: see `refuse`.
        """
        self.refuse(Shape.of(part), part.path)
        if self.channels == 1 and part.channels == 3:
            grey: PixelArray = cv2.cvtColor(part.pixels, cv2.COLOR_RGB2GRAY)[:, :, None]
            return grey
        return part.pixels

    def scaled(self, samples: Any, xp: Any) -> Any:
        """Admitted pixels at the size and in the range that the model sees.

        Args:
            samples: (..., height, width, channels) float32, an array of `xp`.
            xp: `numpy`, or `torch` where a graph is traced.

        Returns:
            (..., channels, height, width) float32 in [-1, 1].
        """
        values = resampled(xp.moveaxis(samples, -1, -3), self.height, self.width, xp)
        return xp.clip(values * (2.0 / self.white) - 1.0, -1.0, 1.0)

    def picture(self, restored: FloatArray, photograph: PixelArray) -> npt.NDArray[np.uint8]:
        """What a model makes of a photograph, as bright as `to_display` shows that.

        Args:
            restored: (1 or 3, height, width) float32 in image units, black -1 and white +1.
            photograph: decoded, of any size.

        Returns:
            (height, width, 3) RGB; what lies beyond black and white is cut.
        """
        low, high = 0.0, 255.0
        if photograph.dtype == np.uint16:
            low, high = float(photograph.min()), float(photograph.max())
        samples = (restored.transpose(1, 2, 0) + 1.0) * (self.white / 2.0)
        grey = np.rint(np.clip((samples - low) * (255.0 / max(high - low, 1.0)), 0.0, 255.0))
        shape = (self.height, self.width, 3)
        return np.ascontiguousarray(np.broadcast_to(grey, shape), dtype=np.uint8)

    def to_json(self) -> JsonObject:
        """A JSON object from which `Preparation(**object)` makes the same again."""
        return asdict(self)


def _round_to_multiple(side: float) -> int:
    return max(SIZE_MULTIPLE, round(side / SIZE_MULTIPLE) * SIZE_MULTIPLE)


def _colour(channels: int) -> str:
    return "grey" if channels == 1 else "colour"
