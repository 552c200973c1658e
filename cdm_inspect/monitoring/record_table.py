"""The record as a table for spreadsheets and data tools. Loads without torch."""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from cdm_inspect.errors import InvalidOption
from cdm_inspect.files import whole_file
from cdm_inspect.monitoring.csv_table import ENCODING, write_rows
from cdm_inspect.plugins import VerdictStore
from cdm_inspect.plugins.contracts.paging import read_forwards
from cdm_inspect.records import InspectionQuery, StepTick, StoredInspection, standing_review

COLUMNS: Mapping[str, type] = {
    "id": int,
    "inspected_at": dt.datetime,
    "line": str,
    "serial": str,
    "lot": str,
    "station": str,
    "camera": str,
    "image": str,
    "sha256": str,
    "verdict": str,
    "reason": str,
    "score": float,
    "threshold": float,
    "p_value": float,
    "scorer": str,
    "model": str,
    "calibration": str,
    "regions": int,
    "decision": str,
    "reviewer": str,
    "decided_at": dt.datetime,
    "decision_reason": str,
    "comment": str,
    "decisions": int,
    "hold": str,
    "image_sha256": str,
    "heatmap_sha256": str,
}
"""Name and type of every column; what is not known is empty."""


def export_records(
    store: VerdictStore, query: InspectionQuery, target: Path, *, progress: StepTick
) -> int:
    """Write what matches, oldest first, as CSV or Parquet, by the ending of the file's name.

    CSV is UTF-8 with a byte-order mark, so that Japanese Excel reads it, and text that a
    spreadsheet would take for a formula has an apostrophe before it.

    Args:
        query: which inspections; its order, page and limit do not count.
        target: written whole or not at all.

    Returns:
        How many rows were written.

    Raises:
        InvalidOption: if the file has another ending, or what Parquet needs is not installed.
        StorageError: if the file cannot be written.
    """
    formats = {".csv": _write_csv, ".parquet": _write_parquet}
    write = formats.get(target.suffix.lower())
    if write is None:
        raise InvalidOption(
            f"expected a file that ends in {' or '.join(formats)}, found {target.name!r}."
        )
    pages = _pages(store, query, progress)
    with whole_file(target) as file:
        return write(file, pages)


def _pages(
    store: VerdictStore, query: InspectionQuery, progress: StepTick
) -> Iterator[Sequence[dict[str, Any]]]:
    expected, done = store.count(query), 0
    for page in read_forwards(store, query):
        yield [_row(store, part) for part in page]
        done += len(page)
        progress("inspections", done, max(expected, done))


def _row(store: VerdictStore, part: StoredInspection) -> dict[str, Any]:
    # Few parts are decided; only those have more to tell.
    standing = standing_review(store.reviews(part.id)) if part.decision else None
    own = {
        "verdict": part.verdict.value,
        "regions": len(part.regions),
        "decision": part.decision.value if part.decision else None,
        "decision_reason": standing.reason if standing else None,
        "comment": standing.comment if standing else None,
        "decisions": part.version,
    }
    return {name: own[name] if name in own else getattr(part, name) for name in COLUMNS}


def _write_csv(file: BinaryIO, pages: Iterator[Sequence[Mapping[str, Any]]]) -> int:
    text = io.TextIOWrapper(file, encoding=ENCODING, newline="")
    write_rows(text, [COLUMNS])
    count = sum(write_rows(text, (row.values() for row in page)) for page in pages)
    text.detach()
    return count


def _write_parquet(file: BinaryIO, pages: Iterator[Sequence[Mapping[str, Any]]]) -> int:
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ModuleNotFoundError as error:
        raise InvalidOption(
            "Parquet needs a package that is not installed: pip install 'cdm-inspect[parquet]'. "
            "Or export to a file that ends in .csv."
        ) from error
    types = {int: arrow.int64(), float: arrow.float64(), str: arrow.string()}
    types[dt.datetime] = arrow.timestamp("us", tz="UTC")
    schema = arrow.schema([(name, types[kind]) for name, kind in COLUMNS.items()])
    count = 0
    with parquet.ParquetWriter(file, schema) as writer:
        for page in pages:
            writer.write_table(arrow.Table.from_pylist(list(page), schema))
            count += len(page)
    return count
