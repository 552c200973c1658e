"""The part of the kit for stores that is about people: second opinions, and what they have done."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from cdm_inspect.plugins import StoreOffer, VerdictStore
from cdm_inspect.records import (
    Decision,
    Event,
    InspectionQuery,
    JudgingSetup,
    Order,
    Purpose,
    Review,
)
from cdm_inspect.testing.specimens import a_part, a_review


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

    def test_what_two_do_not_agree_on_is_nobodys_decision(
        self, options: dict[str, Any], tmp_path: Path
    ) -> None:
        """The program leaves it open, in an entry without a reviewer."""
        with open_store(self.offer, options, tmp_path) as store:
            part = store.append(a_part(1), evidence=None)
            first = a_review(part.id)
            second = a_review(part.id, Decision.REJECT, reviewer="伊藤", purpose=Purpose.SECOND)
            entry = Review(
                client_id="disagreement-1",
                inspection_id=part.id,
                decision=Decision.UNSURE,
                reviewer="",
                version=2,
                purpose=Purpose.DISAGREEMENT,
            )
            store.record_review(first)
            store.record_review(second)
            left = store.record_review(entry)
            assert (left.decision, left.reviewer) == (Decision.UNSURE, "")
            assert left.decided_at == entry.decided_at
            assert list(store.reviews(part.id)) == [first, second, entry]
            assert store.count(InspectionQuery(decision=Decision.UNSURE)) == 1
            assert store.count(InspectionQuery(reviewer="佐藤")) == 0
            settled = store.record_review(
                a_review(part.id, Decision.REJECT, purpose=Purpose.CORRECTION)
            )
            assert (settled.decision, settled.reviewer) == (Decision.REJECT, "佐藤")

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
            assert list(store.events(inspection_id=7)) == [done[1]]
            assert list(store.events(inspection_id=8)) == []
            assert list(store.events(limit=1)) == [done[2]]

    def test_serials_are_found_by_how_they_begin(
        self, options: dict[str, Any], tmp_path: Path
    ) -> None:
        """Nothing in a beginning stands for other characters, and capitals are not small."""
        serials = ["S-1", "S-10", "s-1", "S%1", "S_1", "S\\1", "S*?[", "品-1", "品-10", ""]
        with open_store(self.offer, options, tmp_path) as store:
            for number, serial in enumerate(serials):
                store.append(a_part(number, serial=serial), evidence=None)

            def found(beginning: str) -> list[str]:
                query = InspectionQuery(line="A", serial_prefix=beginning, order=Order.NEWEST)
                parts = store.find(query)
                assert store.count(query) == len(parts)
                return [part.serial for part in reversed(parts)]

            assert found("S-1") == ["S-1", "S-10"]
            assert found("s") == ["s-1"]
            assert found("S%") == ["S%1"]
            assert found("S_") == ["S_1"]
            assert found("S\\") == ["S\\1"]
            assert found("S*?[") == ["S*?["]
            assert found("%") == found("_") == found("'; --") == found("S-1" * 9999) == []
            assert found("品-1") == ["品-1", "品-10"]
            assert found(chr(0x10FFFF)) == []
            assert found("") == serials
            last = store.find(InspectionQuery(serial_prefix="S-1", order=Order.NEWEST, limit=1))[0]
            older = InspectionQuery(serial_prefix="S-1", order=Order.NEWEST, after_id=last.id)
            assert [part.serial for part in store.find(older)] == ["S-1"]

    def test_decided_parts_are_found_by_who_decided(
        self, options: dict[str, Any], tmp_path: Path
    ) -> None:
        """Whose decision stands; who has only given a second opinion has not decided."""
        with open_store(self.offer, options, tmp_path) as store:
            first, other, _ = (store.append(a_part(n), evidence=None) for n in range(3))
            store.record_review(a_review(first.id))
            store.record_review(a_review(other.id, reviewer="伊藤"))
            store.record_review(a_review(first.id, reviewer="伊藤", purpose=Purpose.SECOND))
            mine = InspectionQuery(reviewer="佐藤")
            assert [part.id for part in store.find(mine)] == [first.id]
            assert store.count(InspectionQuery(reviewer="伊藤")) == 1
            assert store.count(InspectionQuery(reviewer="")) == 0

    def test_a_part_can_be_traced_to_what_judged_it(
        self, options: dict[str, Any], tmp_path: Path
    ) -> None:
        """To the model, the calibration, and the configuration that was in force."""
        setup = JudgingSetup(
            line="A",
            configuration={"preset": "small"},
            model="m1",
            model_record={"steps": 3},
            calibration="c1",
            calibration_record={"threshold": 1.5},
        )
        judged = {"model": "m1", "calibration": "c1"}
        with open_store(self.offer, options, tmp_path) as store:
            store.record_setup(setup)
            early = store.append(a_part(1, **judged), evidence=None)
            changed = replace(setup, configuration={"preset": "base"})
            store.record_setup(changed)
            late = store.append(a_part(2, **judged), evidence=None)
            strange = store.append(a_part(3, model="m2", calibration="c2"), evidence=None)
            assert store.judged_with(early.id) == setup
            assert store.judged_with(late.id) == changed
            assert store.judged_with(strange.id) is None
            assert store.judged_with(strange.id + 1) is None
