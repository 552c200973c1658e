"""Decisions on parts of a time: those that stand, audits, and second opinions."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cdm_inspect.monitoring.agreement import SecondOpinion
from cdm_inspect.plugins import VerdictStore
from cdm_inspect.records import JUDGED, Decision, Purpose, Review, StoredInspection, Verdict

Reviewed = tuple[StoredInspection, Review]


@dataclass(frozen=True, kw_only=True)
class LineDecisions:
    """What people have said of a line's parts.

    Attributes:
        made: decisions that people made within the time, on whatever part, oldest first; undone
            ones too, but not the undoing, nor what the program has left open.
        standing: part and decision, by number of the part, of parts that were inspected within the
            time.
        audits: those of them that passed and were drawn at random. A decision on such a part that
            was corrected since counts as it stands now.
        opinions: second ones that were made within the time.
    """

    made: tuple[Reviewed, ...]
    standing: Mapping[int, Reviewed]
    audits: tuple[Reviewed, ...]
    opinions: tuple[SecondOpinion, ...]


def read_decisions(
    store: VerdictStore, line: str, *, since: dt.datetime, until: dt.datetime, expected: int
) -> LineDecisions:
    """Read the decisions made within a time, and on parts that were inspected within it.

    Args:
        since: beginning of the time, aware.
        expected: parts inspected within the time that have a decision. People may decide later; who
            has read so many need not read on.
    """
    reviewed = list(store.decisions(line, since=since, until=until))
    opinions = _second_opinions(store, reviewed)
    made = tuple(
        (part, review)
        for part, review in reviewed
        if review.decision is not Decision.UNDO and review.purpose is not Purpose.DISAGREEMENT
    )
    standing = _standing(reviewed, since, until)
    now, begin, days = dt.datetime.now(dt.UTC), until, 1
    while begin <= now and len(standing) < expected:
        end = begin + dt.timedelta(days=days)
        reviewed += store.decisions(line, since=begin, until=end)
        standing = _standing(reviewed, since, until)
        begin, days = end, 2 * days
    drawn = {part.id for part, review in reviewed if review.purpose is Purpose.AUDIT}
    return LineDecisions(
        made=made,
        standing=standing,
        audits=tuple(
            (part, review)
            for part, review in standing.values()
            if part.id in drawn and part.verdict is Verdict.PASS
        ),
        opinions=opinions,
    )


def _standing(
    reviewed: Sequence[Reviewed], since: dt.datetime, until: dt.datetime
) -> dict[int, Reviewed]:
    return {
        part.id: (part, review)
        for part, review in reviewed
        if since <= part.inspected_at < until and _stands(part, review)
    }


def _stands(part: StoredInspection, review: Review) -> bool:
    said = review.decision, review.reviewer, review.decided_at
    return review.purpose is not Purpose.SECOND and said == (
        part.decision,
        part.reviewer,
        part.decided_at,
    )


def _second_opinions(
    store: VerdictStore, reviewed: Sequence[Reviewed]
) -> tuple[SecondOpinion, ...]:
    """Each with what stood when it was given; only where both are accept or reject."""
    found: list[SecondOpinion] = []
    former: dict[int, Review] = {}
    for part, review in reviewed:
        if review.purpose is not Purpose.SECOND:
            former[part.id] = review
            continue
        first = former.get(part.id) or _before(store, review)
        if first is not None and first.decision in JUDGED and review.decision in JUDGED:
            found.append(
                SecondOpinion(
                    first=first.decision,
                    second=review.decision,
                    first_reviewer=first.reviewer,
                    second_reviewer=review.reviewer,
                )
            )
    return tuple(found)


def _before(store: VerdictStore, second: Review) -> Review | None:
    """What stood before a second opinion that was given on a part decided in a former time."""
    first = None
    for review in store.reviews(second.inspection_id):
        if review.client_id == second.client_id:
            break
        if review.purpose is not Purpose.SECOND:
            first = review
    return first
