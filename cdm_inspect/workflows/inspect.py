"""New parts are judged and stored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from cdm_inspect.inspection.recorder import inspect_with
from cdm_inspect.project import Project
from cdm_inspect.records import (
    StoredInspection,
)
from cdm_inspect.workflows.assembly import open_inspector


def inspect(
    project: Project,
    line: str,
    paths: Sequence[Path],
    *,
    scorer: str | None = None,
    device: str = "auto",
) -> Iterator[StoredInspection]:
    """Judge files and the images in folders by the trained model; see `inspecting`."""
    inspector = open_inspector(project, line, scorer=scorer, device=device)
    yield from inspect_with(project, inspector, paths)
