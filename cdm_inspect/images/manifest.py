"""What people have said of the good parts of a line: which belong together, which are none.

A CSV file, `manifests/LINE.csv`, that spreadsheets open. Files are known by the SHA-256 of their
bytes, so that it survives renaming.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from cdm_inspect.encoding import readable
from cdm_inspect.errors import ConfigError
from cdm_inspect.files import write_durably

COLUMNS = ("file", "sha256", "group", "decision", "comment")
PartDecision = Literal["", "accept", "exclude"]


@dataclass(frozen=True, kw_only=True)
class ManifestRow:
    """One good part.

    Attributes:
        file: its name when the row was written; only for people.
        group: lot, session or whatever parts it belongs with; never split. Empty if none.
        decision: "exclude" keeps it out of everything, "accept" says that it was looked at.
    """

    file: str
    sha256: str
    group: str = ""
    decision: PartDecision = ""
    comment: str = ""


@dataclass(frozen=True)
class Manifest:
    """Rows by the hash of the file."""

    rows: Mapping[str, ManifestRow] = field(default_factory=dict)

    def group_of(self, sha256: str) -> str:
        """The group that a person has named; empty if none."""
        row = self.rows.get(sha256)
        return "" if row is None else row.group

    def decision_of(self, sha256: str) -> PartDecision:
        """What a person has decided; empty if nothing."""
        row = self.rows.get(sha256)
        return "" if row is None else row.decision

    def updated(self, rows: Iterable[ManifestRow]) -> Manifest:
        """With some rows in place of those of the same files."""
        return Manifest({**self.rows, **{row.sha256: row for row in rows}})

    def save(self, path: Path) -> None:
        """Write it; the byte-order mark lets Excel read names in any script."""
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        writer.writerow(COLUMNS)
        for row in sorted(self.rows.values(), key=lambda row: (row.file, row.sha256)):
            cells = (row.file, row.sha256, row.group, row.decision, row.comment)
            writer.writerow([_harmless(cell) for cell in cells])
        write_durably(path, readable(text.getvalue()).encode("utf-8-sig"))


def load_manifest(path: Path) -> Manifest:
    """Read a manifest; where there is no file, an empty one.

    Columns may stand in any order, and others beside them are passed over.

    Raises:
        ConfigError: with the line and what was expected there.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return Manifest()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as UTF-8 text: {error}.") from error
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        rows = list(reader)
    except csv.Error as error:
        raise ConfigError(f"{path}, line {reader.line_num}: no valid CSV: {error}.") from error
    missing = {"file", "sha256"} - set(reader.fieldnames or ())
    if missing:
        raise ConfigError(
            f"{path}: expected the columns {', '.join(COLUMNS)}, found no "
            f"{' and no '.join(sorted(missing))}. `cdm-inspect check --manifest` writes one."
        )
    found = {}
    for number, cells in enumerate(rows, start=2):
        row = {name: (cells.get(name) or "").strip().removeprefix("'") for name in COLUMNS}
        where = f"{path}, row {number}"
        if not re.fullmatch("[0-9a-f]{64}", row["sha256"]):
            raise ConfigError(
                f"{where}: expected the SHA-256 of the file in 64 hexadecimal digits, found "
                f"{row['sha256']!r}."
            )
        if row["decision"] not in get_args(PartDecision):
            raise ConfigError(
                f"{where}: expected the decision accept, exclude or nothing, found "
                f"{row['decision']!r}."
            )
        found[row["sha256"]] = ManifestRow(**row)  # type: ignore[arg-type]
    return Manifest(found)


def _harmless(cell: str) -> str:
    """A spreadsheet would compute what begins like a formula."""
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t")) else cell
