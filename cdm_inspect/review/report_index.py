"""What `evaluate`, `bench`, `diagnose` and `pilot` have written of a line.

Loads without torch.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from cdm_inspect.errors import StorageError
from cdm_inspect.records import JsonObject

_LARGEST = 256 * 2**20
"""Bytes of a report that is read: room for a million parts."""
_DRAWN = (".png", ".html")
_SHIFTS = "shifts"
"""Folder of the shift reports, which say nothing of models."""


class ReportKind(StrEnum):
    """Which command has written a report."""

    EVALUATION = "evaluation"
    BENCH = "bench"
    DIAGNOSIS = "diagnosis"
    PILOT = "pilot"
    PICTURE = "picture"
    """Without figures: samples, the check of the good parts, what an older version has drawn."""


# What only the document of that command holds.
_MARKS = {
    ReportKind.EVALUATION: {"image_AUROC", "parts"},
    ReportKind.BENCH: {"rows", "compared_with"},
    ReportKind.DIAGNOSIS: {"levels", "drifts"},
    ReportKind.PILOT: {"verdict", "comparisons"},
}
# What each of their rows holds.
_LEVEL = {"sigma", "dsm_train", "dsm_held_out", "overfit", "gap", "curl", "z_squared"}
_ROWS: dict[ReportKind, dict[str, set[str]]] = {
    ReportKind.EVALUATION: {"parts": {"sha256", "label", "score", "verdict"}},
    ReportKind.BENCH: {"rows": {"scorer", "image_AUROC"}},
    ReportKind.DIAGNOSIS: {"levels": _LEVEL, "drifts": {"start", "steps", "drift", "returned"}},
    ReportKind.PILOT: {
        "comparisons": {"endpoint", "arm", "reference", "difference", "low", "high"}
    },
}
_ESTIMATE = {"value", "low", "high"}


@dataclass(frozen=True, kw_only=True)
class Report:
    """One report.

    Attributes:
        name: its path below the folder of reports, without the ending.
        written_at: when its newest file was changed last.
        document: its figures, as the command tells them with `--json`; empty for a picture.
        files: its PNG and HTML.
    """

    kind: ReportKind
    name: str
    written_at: dt.datetime
    document: JsonObject
    files: tuple[Path, ...]


@dataclass(frozen=True, kw_only=True)
class LineReports:
    """All reports of a line, newest first.

    Attributes:
        damaged: names of files that should hold figures and cannot be read.
    """

    reports: tuple[Report, ...]
    damaged: tuple[str, ...]

    def of(self, *kinds: ReportKind) -> tuple[Report, ...]:
        """Those of some kinds."""
        return tuple(report for report in self.reports if report.kind in kinds)


def find_reports(folder: Path, line: str, *, lines: Iterable[str] = ()) -> LineReports:
    """Read what lies below a folder of reports about a line.

    Args:
        folder: `reports/` of the project.
        lines: all lines of the project; of two whose names begin alike, pictures without figures
            belong to the longer name.

    Raises:
        StorageError: if the folder cannot be read.
    """
    try:
        paths = sorted(
            path
            for path in folder.rglob("[!.]*")
            if path.is_file() and path.relative_to(folder).parts[0] != _SHIFTS
        )
    except OSError as error:
        raise StorageError(
            f"{folder} cannot be read: {error.strerror or error}. Correct the rights."
        ) from error
    found, damaged, taken = [], [], set[Path]()
    for path in paths:
        if path.suffix != ".json":
            continue
        document = _read(path)
        name = path.relative_to(folder).with_suffix("").as_posix()
        if document is None:
            if _is_about(path, line, lines):
                damaged.append(name)
            continue
        kind = next((kind for kind, marks in _MARKS.items() if marks <= document.keys()), None)
        if kind is None:
            continue
        files = tuple(p for p in paths if p.suffix in _DRAWN and _belongs(p, path))
        taken.update(files)
        if document.get("line") != line:
            continue
        if not _is_sound(kind, document):
            damaged.append(name)
        else:
            found.append(_report(kind, name, (path, *files), document))
    for path in paths:
        if path.suffix in _DRAWN and path not in taken and _is_about(path, line, lines):
            name = path.relative_to(folder).with_suffix("").as_posix()
            found.append(_report(ReportKind.PICTURE, name, (path,), {}))
    found.sort(key=lambda report: report.written_at, reverse=True)
    return LineReports(reports=tuple(found), damaged=tuple(damaged))


def _read(path: Path) -> JsonObject | None:
    try:
        if path.stat().st_size > _LARGEST:
            return None
        document = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) else None


def _is_sound(kind: ReportKind, document: JsonObject) -> bool:
    """Whether it holds what its command writes, so that whoever shows it finds it."""
    if kind is ReportKind.PILOT:
        verdict = document["verdict"]
        if not (isinstance(verdict, dict) and {"answer", "rule", "endpoint"} <= verdict.keys()):
            return False
    tables = [document]
    if kind is ReportKind.DIAGNOSIS and document.get("compare") is not None:
        tables.append(document["compare"])
    return all(
        isinstance(table, dict)
        and isinstance(rows := table.get(name), list)
        and all(isinstance(row, dict) and keys <= row.keys() for row in rows)
        and (kind is not ReportKind.DIAGNOSIS or all(map(_has_estimates, rows)))
        for table in tables
        for name, keys in _ROWS[kind].items()
    )


def _has_estimates(row: JsonObject) -> bool:
    return all(
        isinstance(value, dict) and value.keys() >= _ESTIMATE
        for name, value in row.items()
        if name not in ("sigma", "start", "steps")
    )


def _report(kind: ReportKind, name: str, files: Sequence[Path], document: JsonObject) -> Report:
    changed = max(path.stat().st_mtime for path in files)
    return Report(
        kind=kind,
        name=name,
        written_at=dt.datetime.fromtimestamp(changed, dt.UTC),
        document=document,
        files=tuple(path for path in files if path.suffix in _DRAWN),
    )


def _belongs(drawn: Path, record: Path) -> bool:
    """Whether a picture was written beside these figures, wherever the folder lay then."""
    names = (record.stem, f"{record.stem}-detectability")
    return drawn.parent == record.parent and drawn.stem in names


def _is_about(path: Path, line: str, lines: Iterable[str]) -> bool:
    begun = [name for name in {line, *lines} if path.name.startswith(f"{name}-")]
    return bool(begun) and max(begun, key=len) == line
