"""Collections of photographs that a CSV file lists, as VisA and many plants keep them."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterator
from pathlib import Path

from cdm_inspect.errors import ImageError
from cdm_inspect.plugins import GOOD, DatasetPart

_COLUMNS = ("image", "label", "mask", "split", "object")


def read_table(
    table: Path, *, good: Collection[str], training: Collection[str], only: str | None
) -> Iterator[DatasetPart]:
    """The parts of a CSV file with a header; paths in it count from its folder.

    Columns: `image`, and, where there are any, `label` (good without it), `mask`, `split` and
    `object`; others are ignored.

    Args:
        good: labels of good parts, in any case.
        training: entries of `split` that say that a part is to learn from; without that column all
            good parts are.
        only: entry of `object`; None means all.

    Raises:
        ImageError: if it cannot be read, or has no column `image`.
    """
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ImageError(f"expected a CSV file in UTF-8 at {table}: {error}.") from error
    if not rows or "image" not in rows[0]:
        raise ImageError(
            f"{table}: expected a header with the column `image` and rows below it, and perhaps "
            f"{', '.join(_COLUMNS[1:])}; found {', '.join(rows[0]) if rows else 'no rows'}."
        )
    for number, row in enumerate(rows, start=2):
        if not (row["image"] or "").strip():
            raise ImageError(f"{table}: row {number} names no image. Complete it, or remove it.")
    for row in rows:
        if only is not None and row.get("object") != only:
            continue
        named = Path(row["image"].strip())
        label = (row.get("label") or GOOD).strip()
        is_good = label.lower() in good
        mask = (row.get("mask") or "").strip()
        split = (row.get("split") or "").strip().lower()
        yield DatasetPart(
            name=_plain("/".join(named.with_suffix("").parts)),
            image=table.parent / named,
            label=GOOD if is_good else _plain(label.replace("/", "-")),
            mask=None if is_good or not mask else table.parent / mask,
            is_for_training=is_good and (split in training or "split" not in row),
        )


def _plain(text: str) -> str:
    """A name of letters and digits, without steps upwards."""
    words = [re.sub(r"[^\w.\-]+", "-", word).strip(".-") for word in text.split("/")]
    return "/".join(filter(None, words)) or "unnamed"
