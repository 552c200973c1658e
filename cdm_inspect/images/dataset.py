"""The good parts of a line: prepared, split by content, and held in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cdm_inspect.config import LineConfig
from cdm_inspect.errors import TooFewImages, UnreadableImage
from cdm_inspect.images.acquisition import Acquisition, Envelope
from cdm_inspect.images.folder import find_images, read_images
from cdm_inspect.images.preparation import Preparation, Shape
from cdm_inspect.records import FloatArray, ImageProblem, PartImage

# Below 50 good parts a tenth part of them would be too few to say anything.
_MANY = 50
_MIN_HELD_OUT = 10
_FEWEST_HELD_OUT = 2  # one alone has no spread


@dataclass(frozen=True, kw_only=True)
class PartOrigin:
    """Where a prepared part came from, and the SHA-256 of that file."""

    path: Path
    sha256: str


@dataclass(frozen=True, kw_only=True)
class GoodParts:
    """Prepared good parts in two sets that share no content.

    Attributes:
        train: (count, channels, height, width) float32 in [-1, 1].
        held_out: the same, never trained on.
        train_origin: the file behind each part of `train`, in its order.
        held_out_origin: the same for `held_out`.
        set_aside: files that could not be used, each with a reason.
    """

    preparation: Preparation
    train: FloatArray
    held_out: FloatArray
    train_origin: tuple[PartOrigin, ...]
    held_out_origin: tuple[PartOrigin, ...]
    set_aside: tuple[ImageProblem, ...]

    @property
    def envelope(self) -> Envelope:
        """How they were photographed, all of them."""
        return Envelope.around([Acquisition.of(p) for p in (*self.train, *self.held_out)])

    @property
    def digest(self) -> str:
        """SHA-256 over the hashes of all files and the side each is on."""
        train = [part.sha256 for part in self.train_origin]
        held_out = [part.sha256 for part in self.held_out_origin]
        text = "\n".join(["train", *train, "held out", *held_out])
        return hashlib.sha256(text.encode()).hexdigest()


def load_good_parts(
    folder: Path, config: LineConfig, *, preparation: Preparation | None = None
) -> GoodParts:
    """Read every good part of a line and keep a deterministic share of them out of training.

    Files with the same pixels count once. Which side a part is on follows from its content and the
    seed alone, so that renaming or adding files moves as few parts as possible.

    Args:
        folder: with the photographs, subfolders included.
        config: of the line.
        preparation: of a trained model; without it, one is chosen to fit the parts.

    Raises:
        TooFewImages: if fewer than `training.min_images` usable files are left.
    """
    paths = find_images(folder)
    problems: list[ImageProblem] = []
    if preparation is None:
        # Two passes over the files, so that full-size pixels never pile up in memory.
        shapes = {
            content_of(item): Shape.of(item)
            for item in read_images(paths, max_pixels=config.images.max_pixels)
            if isinstance(item, PartImage)
        }
        if shapes:
            preparation = Preparation.for_shapes(
                list(shapes.values()),
                image_size=config.image_size,
                channels=config.images.channels,
                max_aspect_change=config.images.max_aspect_change,
            )
    prepared: dict[str, FloatArray] = {}
    origin: dict[str, PartOrigin] = {}
    for item in read_images(paths, max_pixels=config.images.max_pixels):
        if isinstance(item, ImageProblem):
            problems.append(item)
            continue
        assert preparation is not None
        key = content_of(item)
        if key in prepared:
            detail = f"{item.path}: the same picture as {origin[key].path}."
            problems.append(ImageProblem(path=item.path, reason="duplicate", detail=detail))
            continue
        try:
            prepared[key] = preparation(item)
        except UnreadableImage as error:
            problems.append(ImageProblem(path=item.path, reason=error.reason, detail=str(error)))
        else:
            origin[key] = PartOrigin(path=item.path, sha256=item.sha256)
    if preparation is None or len(prepared) < config.training.min_images:
        raise TooFewImages(
            f"expected at least {config.training.min_images} usable good parts below {folder}, "
            f"found {len(prepared)}; {_summarise(problems)}. Add images, or lower "
            "training.min_images."
        )
    held_out = choose_held_out(prepared, config.training.held_out, config.training.seed)
    train = [key for key in prepared if key not in held_out]
    kept = [key for key in prepared if key in held_out]
    return GoodParts(
        preparation=preparation,
        train=np.stack([prepared[key] for key in train]),
        held_out=np.stack([prepared[key] for key in kept]),
        train_origin=tuple(origin[key] for key in train),
        held_out_origin=tuple(origin[key] for key in kept),
        set_aside=tuple(problems),
    )


def content_of(part: PartImage) -> str:
    """SHA-256 of a photograph's size and pixels: the same for one picture in two files."""
    return hashlib.sha256(repr(part.pixels.shape).encode() + part.pixels.tobytes()).hexdigest()


def spread_evenly(total: int, count: int) -> list[int]:
    """Indices of at most `count` of `total` things, evenly spread, the first and last among them.

    Burst after burst of photographs lies side by side in a folder; its head is not a fair subset.
    """
    return [int(index) for index in np.linspace(0, total - 1, min(count, total)).round()]


def choose_held_out(contents: Iterable[str], share: float, seed: int) -> frozenset[str]:
    """The contents to keep out of training: `share` of them, at least 10 where there are 50."""
    ranked = sorted(
        set(contents), key=lambda key: hashlib.sha256(f"{seed}:{key}".encode()).digest()
    )
    count = max(_FEWEST_HELD_OUT, round(share * len(ranked)))
    if len(ranked) >= _MANY:
        count = max(count, _MIN_HELD_OUT)
    return frozenset(ranked[: min(count, len(ranked) - 1)])


def _summarise(problems: list[ImageProblem]) -> str:
    if not problems:
        return "no file was set aside"
    reasons = [problem.reason for problem in problems]
    counts = ", ".join(f"{reasons.count(reason)} {reason}" for reason in sorted(set(reasons)))
    return f"{len(problems)} set aside ({counts}), the first: {problems[0].detail}"
