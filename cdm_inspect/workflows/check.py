"""Are the photographs of good parts fit to learn from? Asked before a night of training."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cdm_inspect.calibration.in_force import calibration_in_force
from cdm_inspect.encoding import sha256_of
from cdm_inspect.errors import CalibrationError, CheckpointError, InvalidOption
from cdm_inspect.images import (
    Acquisition,
    Manifest,
    ManifestRow,
    PartDecision,
    PartOrigin,
    choose_held_out,
    find_odd_photographs,
    find_others,
    find_parts,
    load_manifest,
    read_bytes,
)
from cdm_inspect.project import Project
from cdm_inspect.records import ImageProblem, Tick, no_progress

_ODDEST = 0.1
"""Share of the held-out good parts that are listed."""


@dataclass(frozen=True, kw_only=True)
class OddPart:
    """A held-out good part, and the score that the model gives it without having learnt from it."""

    path: Path
    sha256: str
    score: float


@dataclass(frozen=True, kw_only=True)
class CheckReport:
    """What `check` found among the good parts of a line.

    Attributes:
        usable: files that training would take.
        needed: so many at least.
        n_train: of the usable ones, those that would be trained on.
        n_held_out: those that would be kept for calibration.
        groups: into which the usable ones fall; a group is never split.
        passed_over: files that are no PNG, JPEG, BMP or TIFF by their names, by ending.
        problems: files that cannot be used, or were excluded.
        odd: usable photographs that were taken unlike the others and that nobody has accepted.
        near_duplicates: pairs of usable photographs that show nearly the same.
        oddest: held-out good parts that the calibrated model finds oddest, the oddest first; those
            that somebody has accepted are left out. Empty before the first calibration.
    """

    line: str
    folder: str
    files: int
    usable: int
    needed: int
    n_train: int
    n_held_out: int
    groups: int
    sizes: dict[str, int]
    kinds: dict[str, int]
    passed_over: dict[str, int]
    problems: tuple[ImageProblem, ...]
    odd: tuple[ImageProblem, ...]
    near_duplicates: tuple[tuple[Path, Path], ...]
    oddest: tuple[OddPart, ...]

    @property
    def is_enough(self) -> bool:
        """Whether training would begin."""
        return self.usable >= self.needed and self.n_train > 0


def check(project: Project, line: str, *, tick: Tick = no_progress) -> CheckReport:
    """Read every good part of a line and say which cannot be used, which are odd, and why."""
    config = project.config.line(line)
    folder = project.path(config.normal)
    manifest = load_manifest(project.manifest_file(line))
    found = find_parts(folder, config, manifest=manifest, tick=tick)
    pairs = found.near_duplicates()
    groups = found.groups(config.images.group, pairs)
    held_out = 0
    if len(groups) >= config.training.min_images:
        training = config.training
        held_out = len(choose_held_out(groups, training.held_out, training.seed))
    origins = list(found.origin.values())
    odd = [
        ImageProblem(
            path=origins[index].path, reason=name, detail=f"{origins[index].path}: {text}."
        )
        for index, name, text in find_odd_photographs(
            [Acquisition.of(image) for image in found.prepared.values()]
        )
        if manifest.decision_of(origins[index].sha256) != "accept"
    ]
    return CheckReport(
        line=line,
        folder=str(folder),
        files=found.files,
        usable=len(found.prepared),
        needed=config.training.min_images,
        n_train=len(groups) - held_out,
        n_held_out=held_out,
        groups=len(set(groups.values())),
        sizes=_counts(f"{shape.width} x {shape.height}" for shape in found.shapes.values()),
        kinds=_counts(
            f"{'grey' if shape.channels == 1 else 'colour'}, {16 if shape.is_deep else 8}-bit"
            for shape in found.shapes.values()
        ),
        passed_over=_counts(path.suffix or path.name for path in find_others(folder)),
        problems=tuple(sorted(found.problems, key=lambda problem: problem.path)),
        odd=tuple(sorted(odd, key=lambda problem: problem.path)),
        near_duplicates=tuple(
            (found.origin[first].path, found.origin[second].path) for first, second in pairs
        ),
        oddest=_find_oddest(project, line, origins, manifest),
    )


def _find_oddest(
    project: Project, line: str, origins: Iterable[PartOrigin], manifest: Manifest
) -> tuple[OddPart, ...]:
    try:
        scores = calibration_in_force(project, line).part_scores
    except (CalibrationError, CheckpointError):
        return ()  # the line has not come so far
    ranked = sorted(
        (
            OddPart(path=origin.path, sha256=origin.sha256, score=scores[origin.sha256])
            for origin in origins
            if origin.sha256 in scores
        ),
        key=lambda part: -part.score,
    )
    listed = ranked[: math.ceil(_ODDEST * len(ranked))]
    return tuple(part for part in listed if manifest.decision_of(part.sha256) != "accept")


def review_parts(
    project: Project,
    line: str,
    *,
    accept: Sequence[Path] = (),
    exclude: Sequence[Path] = (),
    is_complete: bool = False,
) -> Path:
    """Write into the manifest of a line what a person has decided of some good parts.

    Args:
        accept: files that were looked at and are good.
        exclude: files that are to be left out of everything.
        is_complete: also write a row for each usable part that has none, to name its group in.

    Returns:
        The manifest.

    Raises:
        UnreadableImage: if a file cannot be read.
        InvalidOption: if a file is both, or lies outside the folder of good parts.
    """
    # Without following links: what a link in the folder points to may lie anywhere.
    folder = _absolute(project.path(project.config.line(line).normal))
    if both := {_absolute(path) for path in accept} & {_absolute(path) for path in exclude}:
        raise InvalidOption(f"{min(both)} is both accepted and excluded; decide for one.")
    file = project.manifest_file(line)
    manifest = load_manifest(file)
    sides: tuple[tuple[PartDecision, Sequence[Path]], ...] = (
        ("accept", accept),
        ("exclude", exclude),
    )
    rows = []
    for decision, paths in sides:
        for path in paths:
            if not _absolute(path).is_relative_to(folder):
                raise InvalidOption(f"expected a good part below {folder}, found {path}.")
            sha256 = sha256_of(read_bytes(path))
            name = _absolute(path).relative_to(folder).as_posix()
            known = manifest.rows.get(sha256, ManifestRow(file=name, sha256=sha256))
            rows.append(replace(known, file=name, decision=decision))
    manifest = manifest.updated(rows)
    if is_complete:
        found = find_parts(folder, project.config.line(line), manifest=manifest)
        manifest = manifest.updated(
            ManifestRow(file=origin.path.relative_to(folder).as_posix(), sha256=origin.sha256)
            for origin in found.origin.values()
            if origin.sha256 not in manifest.rows
        )
    manifest.save(file)
    return file


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))


def _counts(names: Iterable[str]) -> dict[str, int]:
    return dict(Counter(names))
