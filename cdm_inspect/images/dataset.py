"""The good parts of a line: prepared, split by content, and held in memory."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cdm_inspect.config import LineConfig
from cdm_inspect.errors import TooFewImages, UnreadableImage
from cdm_inspect.images.folder import find_images, read_images
from cdm_inspect.images.manifest import Manifest
from cdm_inspect.images.near_duplicates import find_near_duplicates, join_groups
from cdm_inspect.images.preparation import Preparation, Shape
from cdm_inspect.records import FloatArray, ImageProblem, PartImage, Tick, no_progress

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
    def digest(self) -> str:
        """SHA-256 over the hashes of all files and the side each is on."""
        train = [part.sha256 for part in self.train_origin]
        held_out = [part.sha256 for part in self.held_out_origin]
        text = "\n".join(["train", *train, "held out", *held_out])
        return hashlib.sha256(text.encode()).hexdigest()


class FoundParts:
    """The usable parts of a folder by their content, and what was set aside.

    Attributes:
        folder: that was read.
        files: how many there were.
        preparation: that fits them; None where no file could be read.
        prepared: images of different content.
        origin: file behind each.
        shapes: of each, before it was prepared.
        problems: in the order found.
    """

    def __init__(self, folder: Path, manifest: Manifest, preparation: Preparation | None) -> None:
        self.folder, self.manifest, self.preparation = folder, manifest, preparation
        self.files = 0
        self.prepared: dict[str, FloatArray] = {}
        self.origin: dict[str, PartOrigin] = {}
        self.shapes: dict[str, Shape] = {}
        self.problems: list[ImageProblem] = []
        self._excluded: set[str] = set()

    def add(self, item: PartImage | ImageProblem) -> None:
        """Take one file in, or say why not."""
        self.files += 1
        if isinstance(item, ImageProblem):
            self.problems.append(item)
            return
        assert self.preparation is not None
        key = content_of(item)
        if self.manifest.decision_of(item.sha256) == "exclude" or key in self._excluded:
            self._refuse(item, "excluded", f"{item.path}: excluded in the manifest.")
            self._exclude(key)
        elif key in self.prepared:
            first = self.origin[key].path
            self._refuse(item, "duplicate", f"{item.path}: the same picture as {first}.")
        else:
            try:
                self.prepared[key] = self.preparation(item)
            except UnreadableImage as error:
                self._refuse(item, error.reason, str(error))
            else:
                self.origin[key] = PartOrigin(path=item.path, sha256=item.sha256)
                self.shapes[key] = Shape.of(item)

    def near_duplicates(self) -> list[tuple[str, str]]:
        """Pairs of contents that show nearly the same; see `find_near_duplicates`."""
        keys = list(self.prepared)
        pairs = find_near_duplicates(list(self.prepared.values()))
        return [(keys[first], keys[second]) for first, second in pairs]

    def groups(self, pattern: str | None, pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
        """The group of each part, by its content.

        Named in the manifest, else by what the pattern finds in the file's path, else alone; groups
        that share nearly the same photograph are one.

        Args:
            pattern: regular expression with one group; None means none.
            pairs: of `near_duplicates`.
        """
        places = {key: place for place, key in enumerate(self.prepared)}
        names = []
        for key in self.prepared:
            origin = self.origin[key]
            named = self.manifest.group_of(origin.sha256)
            if not named and pattern is not None:
                match = re.search(pattern, origin.path.relative_to(self.folder).as_posix())
                named = "" if match is None else match.group(1)
            names.append(f"group {named}" if named else key)
        joined = join_groups(names, [(places[first], places[second]) for first, second in pairs])
        return dict(zip(self.prepared, joined, strict=True))

    def _exclude(self, key: str) -> None:
        """Leave out the picture, in whatever file it has come before or will come again."""
        self._excluded.add(key)
        self.shapes.pop(key, None)
        if self.prepared.pop(key, None) is not None:
            path = self.origin.pop(key).path
            detail = f"{path}: the same picture as one that is excluded in the manifest."
            self.problems.append(ImageProblem(path=path, reason="excluded", detail=detail))

    def _refuse(self, item: PartImage, reason: str, detail: str) -> None:
        self.problems.append(ImageProblem(path=item.path, reason=reason, detail=detail))


def find_parts(
    folder: Path,
    config: LineConfig,
    *,
    preparation: Preparation | None = None,
    manifest: Manifest | None = None,
    tick: Tick = no_progress,
) -> FoundParts:
    """Read every good part of a line. Files with the same pixels count once.

    Args:
        folder: with the photographs, subfolders included.
        preparation: of a trained model; without it, one is chosen to fit the parts.
        manifest: groups, and parts that people have excluded.
        tick: called with files read and all; each file twice where there is no preparation.
    """
    paths = find_images(folder)
    passes = 1 if preparation is not None else 2
    steps = iter(range(1, passes * len(paths) + 1))

    def items() -> Iterator[PartImage | ImageProblem]:
        for item in read_images(paths, max_pixels=config.images.max_pixels):
            tick(next(steps), passes * len(paths))
            yield item

    if preparation is None:
        # A pass of its own, so that full-size pixels never pile up in memory.
        shapes = {
            content_of(item): Shape.of(item) for item in items() if isinstance(item, PartImage)
        }
        if shapes:
            preparation = Preparation.for_shapes(
                list(shapes.values()),
                image_size=config.image_size,
                channels=config.images.channels,
                max_aspect_change=config.images.max_aspect_change,
            )
    found = FoundParts(folder, manifest or Manifest(), preparation)
    for item in items():
        found.add(item)
    return found


def load_good_parts(
    folder: Path,
    config: LineConfig,
    *,
    preparation: Preparation | None = None,
    manifest: Manifest | None = None,
) -> GoodParts:
    """Read every good part of a line and keep a deterministic share of them out of training.

    Which side a part is on follows from its content, its group and the seed alone, so that renaming
    or adding files moves as few parts as possible. Parts of one group, and photographs that show
    nearly the same, are on one side. Arguments are those of `find_parts`.

    Raises:
        TooFewImages: if fewer than `training.min_images` usable files are left, or all of them
            belong together.
    """
    found = find_parts(folder, config, preparation=preparation, manifest=manifest)
    if found.preparation is None or len(found.prepared) < config.training.min_images:
        raise TooFewImages(
            f"expected at least {config.training.min_images} usable good parts below {folder}, "
            f"found {len(found.prepared)}; {_summarise(found.problems)}. Add images, or lower "
            "training.min_images."
        )
    groups = found.groups(config.images.group, found.near_duplicates())
    held_out = choose_held_out(groups, config.training.held_out, config.training.seed)
    train = [key for key in found.prepared if key not in held_out]
    kept = [key for key in found.prepared if key in held_out]
    if not train:
        raise TooFewImages(
            f"expected good parts of at least 2 groups below {folder}, found that all belong "
            "together. Add parts of another lot or session, correct images.group, or see in the "
            "report of `cdm-inspect check` which photographs show nearly the same."
        )
    return GoodParts(
        preparation=found.preparation,
        train=np.stack([found.prepared[key] for key in train]),
        held_out=np.stack([found.prepared[key] for key in kept]),
        train_origin=tuple(found.origin[key] for key in train),
        held_out_origin=tuple(found.origin[key] for key in kept),
        set_aside=tuple(found.problems),
    )


def content_of(part: PartImage) -> str:
    """SHA-256 of a photograph's size and pixels: the same for one picture in two files."""
    return hashlib.sha256(repr(part.pixels.shape).encode() + part.pixels.tobytes()).hexdigest()


def spread_evenly(total: int, count: int) -> list[int]:
    """Indices of at most `count` of `total` things, evenly spread, the first and last among them.

    Burst after burst of photographs lies side by side in a folder; its head is not a fair subset.
    """
    return [int(index) for index in np.linspace(0, total - 1, min(count, total)).round()]


def choose_held_out(groups: Mapping[str, str], share: float, seed: int) -> frozenset[str]:
    """The contents to keep out of training: `share` of them, at least 10 where there are 50.

    Args:
        groups: of each content, the name of its group; groups go whole.
        share: of all contents.
    """
    members: dict[str, list[str]] = defaultdict(list)
    for key, group in groups.items():
        members[group].append(key)
    ranked = sorted(members, key=lambda group: hashlib.sha256(f"{seed}:{group}".encode()).digest())
    count = max(_FEWEST_HELD_OUT, round(share * len(groups)))
    if len(groups) >= _MANY:
        count = max(count, _MIN_HELD_OUT)
    count = min(count, len(groups) - 1)
    chosen: list[str] = []
    for group in ranked:
        # What would take more than half as much again is left for training.
        if len(chosen) < count and len(chosen) + len(members[group]) <= 1.5 * count:
            chosen += members[group]
    if len(chosen) < count / 2:
        # Groups so large that hardly any fits: the smallest that is large enough, or the largest.
        left = sorted((len(keys), keys) for name, keys in members.items() if keys[0] not in chosen)
        chosen += next((keys for size, keys in left if size >= count / 2), left[-1][1])
    return frozenset(chosen)


def _summarise(problems: list[ImageProblem]) -> str:
    if not problems:
        return "no file was set aside"
    reasons = [problem.reason for problem in problems]
    counts = ", ".join(f"{reasons.count(reason)} {reason}" for reason in sorted(set(reasons)))
    return f"{len(problems)} set aside ({counts}), the first: {problems[0].detail}"
