"""The part of the kit for stores that is about people: second opinions, and what they have done."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any, ClassVar

from cdm_inspect.contracts import StoreOffer, VerdictStore
from cdm_inspect.hooks.conformance.specimens import a_part, a_review
from cdm_inspect.records import Decision, Event, InspectionQuery, Order, Purpose


def open_store(offer: StoreOffer, options: dict[str, Any], root: Path) -> VerdictStore:
    """As the host opens it."""
    return offer.open(offer.options(**options), root)


class PeopleConformance:
    """Inherited by `StoreConformance`."""

    offer: ClassVar[StoreOffer]

    def test_a_second_opinion_leaves_what_stands(
        self, options: dict[str, Any], tmp_path: Path
    ) -> None:
        """It is an entry beside the first, and the part is no longer one with a single opinion."""
        once = InspectionQuery(decision=Decision.ACCEPT, version=1, order=Order.RANDOM)
        with open_store(self.offer, options, tmp_path) as store:
            parts = [store.append(a_part(number), evidence=None) for number in range(3)]
            first = a_review(parts[0].id)
            decided = store.record_review(first)
            store.record_review(a_review(parts[1].id, Decision.REJECT))
            assert [part.id for part in store.find(once)] == [parts[0].id]
            second = a_review(
                parts[0].id, Decision.REJECT, reviewer="伊藤", purpose=Purpose.SECOND, version=1
            )
            after = store.record_review(second)
            assert (after.decision, after.reviewer) == (Decision.ACCEPT, "佐藤")
            assert after.decided_at == decided.decided_at
            assert after.version == 2
            assert list(store.reviews(parts[0].id)) == [first, second]
            assert list(store.find(once)) == []
            assert store.count(InspectionQuery(decision=Decision.ACCEPT)) == 1
            named = InspectionQuery(ids=(parts[2].id, parts[0].id))
            assert [part.id for part in store.find(named)] == [parts[0].id, parts[2].id]

    def test_decisions_are_found_by_when_they_were_made(
        self, options: dict[str, Any], tmp_path: Path
    ) -> None:
        """Of one line, each with its part as it now stands, oldest first."""
        start = dt.datetime(2026, 3, 1, 8, tzinfo=dt.UTC)
        with open_store(self.offer, options, tmp_path) as store:
            mine = store.append(a_part(1), evidence=None)
            other = store.append(a_part(2, line="B"), evidence=None)
            made = [
                a_review(mine.id, decision, decided_at=start + dt.timedelta(hours=hour))
                for hour, decision in enumerate((Decision.REJECT, Decision.UNDO, Decision.ACCEPT))
            ]
            for review in (*made, a_review(other.id, decided_at=start)):
                store.record_review(review)
            found = store.decisions("A")
            assert [review for _, review in found] == made
            assert {part.decision for part, _ in found} == {Decision.ACCEPT}
            until = start + dt.timedelta(hours=2)
            found = store.decisions("A", since=start + dt.timedelta(hours=1), until=until)
            assert [review for _, review in found] == [made[1]]
            assert list(store.decisions("C")) == []

    def test_what_people_have_done_is_kept(self, options: dict[str, Any], tmp_path: Path) -> None:
        """Newest first, by line and by kind."""
        done = [
            Event(
                action="save-thresholds",
                who="佐藤",
                role="qa",
                line="A",
                reason="=too many",
                facts={"review": 1.5, "reject": None},
            ),
            Event(action="mark-limit-sample", who="伊藤", line="A", inspection_id=7),
            Event(action="add-user", who="佐藤"),
        ]
        with open_store(self.offer, options, tmp_path) as store:
            for event in done:
                store.record_event(event)
        with open_store(self.offer, options, tmp_path) as store:
            assert list(store.events()) == done[::-1]
            assert list(store.events(line="A")) == [done[1], done[0]]
            assert list(store.events(action="add-user")) == [done[2]]
            assert list(store.events(line="A", action="add-user")) == []
            assert list(store.events(limit=1)) == [done[2]]
