"""Tables as spreadsheets read them: CSV in UTF-8 with a byte-order mark, and no formulas."""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Iterable
from typing import TextIO

ENCODING = "utf-8-sig"
"""With a byte-order mark, so that Japanese Excel reads it; files open with newline=""."""

# What a spreadsheet would take for the beginning of a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")


def write_rows(file: TextIO, rows: Iterable[Iterable[object]]) -> int:
    """Write rows of a table; text that would be taken for a formula gets an apostrophe before it.

    Args:
        file: opened with `ENCODING` and newline="".
        rows: of values; the head of the table is one of them.

    Returns:
        How many were written.
    """
    writer, count = csv.writer(file), 0
    for row in rows:
        writer.writerow([_cell(value) for value in row])
        count += 1
    return count


def _cell(value: object) -> object:
    if isinstance(value, dt.datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value
