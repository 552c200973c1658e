"""Tables and labels; pure functions of records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from words import word

from cdm_inspect.records import StoredInspection


def part_label(part: StoredInspection) -> str:
    """One line of the queue: number, score, and the last two parts of the path."""
    path = PurePath(part.image)
    name = "/".join(path.parts[-2:])
    score = word("undecided") if part.score is None else f"{part.score:.2f}"
    # Radio labels are markdown; a backtick span shows a file name as it is.
    return f"{part.id} · {score} · `{name.replace('`', '')}`"


def decisions_table(parts: Sequence[StoredInspection]) -> list[dict[str, Any]]:
    return [
        {
            word("part"): part.id,
            word("image"): part.image,
            word("verdict"): part.verdict.value,
            word("score"): None if part.score is None else round(part.score, 3),
            word("decision"): "" if part.decision is None else word(part.decision.value),
            word("who"): part.reviewer,
            word("when"): "" if part.decided_at is None else f"{part.decided_at:%Y-%m-%d %H:%M:%S}",
        }
        for part in parts
    ]
