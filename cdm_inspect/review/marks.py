"""What people put beside parts and alarms: limit samples, and that an alarm was seen."""

from __future__ import annotations

from collections.abc import Sequence

from cdm_inspect.errors import InvalidOption
from cdm_inspect.plugins import VerdictStore
from cdm_inspect.records import (
    JUDGED,
    Event,
    InspectionQuery,
    StoredInspection,
)
from cdm_inspect.roles import Actor, Right

LIMIT_SAMPLE, NO_LIMIT_SAMPLE = "mark-limit-sample", "unmark-limit-sample"
ACKNOWLEDGED = "acknowledge-alarm"

_MOST_LIMIT_SAMPLES = 1000
_MOST_ACKNOWLEDGED = 10_000
_PAGE = 100


class Marks:
    """Events of a store that stand until another takes them back."""

    def __init__(self, store: VerdictStore) -> None:
        self.store = store

    def limit_samples(self, line: str) -> Sequence[StoredInspection]:
        """Border cases that the line's people have agreed on, newest first, at most a hundred."""
        marked: dict[int, bool] = {}
        events = [
            event
            for action in (LIMIT_SAMPLE, NO_LIMIT_SAMPLE)
            for event in self.store.events(line=line, action=action, limit=_MOST_LIMIT_SAMPLES)
        ]
        for event in sorted(events, key=lambda event: event.at, reverse=True):
            if event.inspection_id is not None:
                marked.setdefault(event.inspection_id, event.action == LIMIT_SAMPLE)
        numbers = tuple(number for number, is_marked in marked.items() if is_marked)[:_PAGE]
        # Without a number the query is for any.
        query = InspectionQuery(line=line, ids=numbers, limit=len(numbers))
        found = self.store.find(query) if numbers else ()
        by_number = {part.id: part for part in found}
        return [by_number[number] for number in numbers if number in by_number]

    def mark_limit_sample(
        self, actor: Actor, part: StoredInspection, reason: str, *, ends: bool = False
    ) -> None:
        """Show a decided part beside others of its line from now on, or no longer.

        Raises:
            NotAllowed: if the person may not.
            InvalidOption: if nobody has accepted or rejected the part.
        """
        actor.require(Right.SETTLE)
        if part.decision not in JUDGED:
            raise InvalidOption(
                f"expected a part that was accepted or rejected, found part {part.id} of which "
                "nobody has said so. Decide it first."
            )
        self.store.record_event(
            Event(
                action=NO_LIMIT_SAMPLE if ends else LIMIT_SAMPLE,
                who=actor.name,
                role=actor.role.value,
                line=part.line,
                inspection_id=part.id,
                reason=reason,
            )
        )

    def acknowledge(self, actor: Actor, line: str, alarm: str, reason: str) -> None:
        """Say that an alarm was seen, and what was done.

        Raises:
            NotAllowed: if the person may not.
            InvalidOption: without a reason.
        """
        actor.require(Right.ACKNOWLEDGE)
        if not reason.strip():
            raise InvalidOption("expected what was found or done about the alarm, found nothing.")
        self.store.record_event(
            Event(
                action=ACKNOWLEDGED,
                who=actor.name,
                role=actor.role.value,
                line=line,
                reason=reason,
                facts={"alarm": alarm},
            )
        )

    def acknowledged(self, line: str) -> dict[str, Event]:
        """By the name of an alarm, who has acknowledged it last."""
        found: dict[str, Event] = {}
        for event in self.store.events(line=line, action=ACKNOWLEDGED, limit=_MOST_ACKNOWLEDGED):
            found.setdefault(str(event.facts.get("alarm", "")), event)
        return found
