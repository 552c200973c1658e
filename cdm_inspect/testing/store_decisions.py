"""What a store must keep of decisions, counts and setups."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from cdm_inspect.errors import DecisionConflict, StorageError
from cdm_inspect.plugins import StoreOffer
from cdm_inspect.records import (
    Decision,
    InspectionQuery,
    JudgingSetup,
    Purpose,
    Verdict,
)
from cdm_inspect.testing.specimens import a_part, a_review
from cdm_inspect.testing.store_people import open_store


class DecisionConformance:
    """Inherited by `StoreConformance`."""

    offer: ClassVar[StoreOffer]

    def test_decisions_are_added_and_never_replaced(
        self, options: dict[str, Any], tmp_path: Path
    ) -> None:
        """The last one stands; one that is sent twice counts once."""
        with open_store(self.offer, options, tmp_path) as store:
            part = store.append(a_part(1), evidence=None)
            assert (part.decision, part.reviewer, part.decided_at) == (None, "", None)
            first = a_review(part.id)
            assert store.record_review(first).decision is Decision.ACCEPT
            second = a_review(part.id, Decision.REJECT, reviewer="鈴木")
            store.record_review(second)
            again = store.record_review(first)
            assert (again.decision, again.reviewer) == (Decision.REJECT, "鈴木")
            assert list(store.reviews(part.id)) == [first, second]
            with pytest.raises(StorageError):
                store.record_review(a_review(part.id + 1000))
        with open_store(self.offer, options, tmp_path) as store:
            kept = store.get(part.id)
            assert kept is not None
            assert (kept.decision, kept.decided_at) == (Decision.REJECT, second.decided_at)

    def test_purposes_are_told_apart(self, options: dict[str, Any], tmp_path: Path) -> None:
        """Of the decisions of a line, those that were made for one."""
        with open_store(self.offer, options, tmp_path) as store:
            mine, other = (store.append(a_part(n, line="AB"[n]), evidence=None) for n in (0, 1))
            audit = a_review(mine.id, purpose=Purpose.AUDIT)
            for review in (a_review(mine.id), audit, a_review(other.id, purpose=Purpose.AUDIT)):
                store.record_review(review)
            found = store.decisions("A", purpose=Purpose.AUDIT)
            assert [review for _, review in found] == [audit]

    def test_a_decision_on_what_has_changed_is_refused(
        self, options: dict[str, Any], tmp_path: Path
    ) -> None:
        """Of two that saw the same, one decides; the other learns by whom."""
        with open_store(self.offer, options, tmp_path) as store:
            part = store.append(a_part(1), evidence=None)
            mine = a_review(part.id, version=part.version)
            decided = store.record_review(mine)
            assert decided.version == part.version + 1
            with pytest.raises(DecisionConflict, match="佐藤"):
                store.record_review(a_review(part.id, Decision.REJECT, version=part.version))
            assert store.record_review(mine) == decided  # sent again, it is no conflict
            assert list(store.reviews(part.id)) == [mine]
            other = store.append(a_part(2), evidence=None)
            with pytest.raises(StorageError):
                store.record_review(a_review(other.id, client_id=mine.client_id))

    def test_a_decision_can_be_taken_back(self, options: dict[str, Any], tmp_path: Path) -> None:
        """By another entry; the part then waits again."""
        waiting = InspectionQuery(is_waiting=True)
        with open_store(self.offer, options, tmp_path) as store:
            part = store.append(a_part(1), evidence=None)
            first = a_review(part.id)
            store.record_review(first)
            assert store.count(waiting) == 0
            undo = a_review(part.id, Decision.UNDO)
            undone = store.record_review(undo)
            assert (undone.decision, undone.reviewer, undone.decided_at) == (None, "", None)
            assert undone.version == 2
            assert [p.id for p in store.find(waiting)] == [part.id]
            assert list(store.reviews(part.id)) == [first, undo]

    def test_hours_are_counted_as_they_are_kept(
        self, options: dict[str, Any], tmp_path: Path
    ) -> None:
        """By verdict and standing decision; a part that is kept already counts once."""
        hour = dt.datetime(2026, 3, 4, 5, tzinfo=dt.UTC)
        late = {"inspected_at": hour + dt.timedelta(minutes=59)}
        with open_store(self.offer, options, tmp_path) as store:
            parts = [
                (a_part(1, **late), None),
                (a_part(2, verdict=Verdict.PASS, inspected_at=hour), None),
                (a_part(3, inspected_at=hour + dt.timedelta(hours=1)), None),
            ]
            kept = store.append_many(parts)
            store.append_many([*parts, (a_part(4, line="B", **late), None)])
            store.record_review(a_review(kept[0].id, Decision.UNSURE))
            store.record_review(a_review(kept[0].id, Decision.REJECT))
            found = [
                (c.hour, c.verdict, c.decision, c.parts)
                for c in store.hourly("A", until=hour + dt.timedelta(hours=1))
            ]
            assert sorted(found, key=str) == sorted(
                [
                    (hour, Verdict.PASS, None, 1),
                    (hour, Verdict.REJECT, Decision.REJECT, 1),
                ],
                key=str,
            )
            assert sum(c.parts for c in store.hourly("A")) == 3
            assert sum(c.parts for c in store.hourly("A", since=hour + dt.timedelta(hours=1))) == 1
            store.record_review(a_review(kept[0].id, Decision.UNDO))
            assert {c.decision for c in store.hourly("A")} == {None}

    def test_what_judges_can_be_kept_again_and_again(
        self, options: dict[str, Any], tmp_path: Path
    ) -> None:
        """With numbers that JSON does not know, too."""
        setup = JudgingSetup(
            line="A",
            configuration={"preset": "small", "days": float("inf")},
            model="m1",
            model_record={"steps": 3},
            calibration="c1",
            calibration_record={"threshold": 1.5},
        )
        with open_store(self.offer, options, tmp_path) as store:
            store.record_setup(setup)
            store.record_setup(setup)
            store.record_setup(replace(setup, configuration={"preset": "base"}))

    def test_positions_only_move_on(self, options: dict[str, Any], tmp_path: Path) -> None:
        """Of two that read the inspections, the slower does not set the faster back."""
        with open_store(self.offer, options, tmp_path) as store:
            assert store.position("sink/x") is None
            store.keep_position("sink/x", 5, {"sum": 1.5})
            store.keep_position("sink/x", 3, {"sum": 0.0})
            assert store.position("sink/x") == (5, {"sum": 1.5})
            assert store.position("sink/y") is None
        with open_store(self.offer, options, tmp_path) as store:
            assert store.position("sink/x") == (5, {"sum": 1.5})
