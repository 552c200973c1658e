"""The kit for stores: what is kept stays kept, whoever writes beside and whatever is killed."""

from __future__ import annotations

import datetime as dt
import multiprocessing
import os
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import fields, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from cdm_inspect.errors import DecisionConflict, StorageError
from cdm_inspect.images import decode_heatmap, decode_image
from cdm_inspect.plugins.contracts import StoreOffer, VerdictStore
from cdm_inspect.plugins.registry import check_offer
from cdm_inspect.records import (
    Decision,
    Inspection,
    InspectionQuery,
    JudgingSetup,
    Order,
    Purpose,
    StoredInspection,
    Verdict,
)
from cdm_inspect.testing.specimens import a_part, a_review, evidence_of
from cdm_inspect.testing.store_people import PeopleConformance, open_store

_EVERYTHING = InspectionQuery(limit=100_000)
_ENOUGH = 12
"""Parts that a process must have kept before it is killed."""


def _append_many(
    offer: StoreOffer, options: dict[str, Any], root: Path, numbers: Sequence[int]
) -> None:
    """In a process of its own."""
    with open_store(offer, options, root) as store:
        for number in numbers:
            store.append(a_part(number), evidence=evidence_of(number))


def _append_until_killed(
    offer: StoreOffer, options: dict[str, Any], root: Path, first: int, told: Any
) -> None:
    """In a process of its own: tells the number of each part once the store has it."""
    number = first
    with open_store(offer, options, root) as store:
        while True:
            stored = store.append(a_part(number), evidence=evidence_of(number))
            store.record_review(a_review(stored.id, client_id=f"review {number}"))
            told.send(number)
            number += 1


def _claim_and_decide(
    offer: StoreOffer, options: dict[str, Any], root: Path, name: str
) -> list[int]:
    """In a process of its own: the numbers that it was lent, each decided."""
    lent: list[int] = []
    with open_store(offer, options, root) as store:
        while parts := store.claim("A", name, count=3):
            for part in parts:
                store.record_review(a_review(part.id, reviewer=name, version=part.version))
                lent.append(part.id)
    return lent


class StoreConformance(PeopleConformance):
    """Tests of a store; inherit from it, name the offer, and say how to open an empty one.

    Attributes:
        offer: under test; what it names must be importable, as it is once the plugin is installed.
    """

    offer: ClassVar[StoreOffer]

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        """Options of an empty store; a fixture of yours that makes one overrides it."""
        return {}

    def test_the_offer_is_one_that_the_host_accepts(self) -> None:
        """Name, summary, options, contract, and an opener of two arguments."""
        assert check_offer(self.offer, StoreOffer) == ""

    def test_what_was_kept_is_there_after_a_restart(
        self, options: dict[str, Any], tmp_path: Path
    ) -> None:
        """Every field, the photograph byte by byte, the heat map within a step."""
        restoration = np.random.default_rng(1).integers(0, 256, (6, 8, 3), np.uint8)
        part = a_part(1, restoration=restoration)
        with open_store(self.offer, options, tmp_path) as store:
            first = store.append(part, evidence=evidence_of(1))
        with open_store(self.offer, options, tmp_path) as store:
            kept = store.get(first.id)
            assert kept == first
            for field in fields(Inspection):
                if field.name not in ("heatmap", "image", "restoration"):
                    assert getattr(kept, field.name) == getattr(part, field.name), field.name
            assert kept is not None
            assert kept.image == str(part.image)
            assert kept.inspected_at.utcoffset() == dt.timedelta(0)
            assert store.read_file(kept.image_sha256) == evidence_of(1)
            heatmap = decode_heatmap(
                store.read_file(kept.heatmap_sha256), kept.heatmap_scale, kept.heatmap_offset
            )
            assert part.heatmap is not None
            assert np.abs(heatmap - part.heatmap).max() <= kept.heatmap_scale
            restored = decode_image(store.read_file(kept.restoration_sha256), Path("x.png"))
            assert np.array_equal(restored.pixels, restoration)
            assert store.get(first.id + 1000) is None
            with pytest.raises(StorageError):
                store.read_file("0" * 64)

    def test_a_part_that_could_not_be_read_is_kept_too(
        self, options: dict[str, Any], tmp_path: Path
    ) -> None:
        """Without score, map and photograph, and with a name that is no text."""
        name = Path(os.fsdecode(b"caf\xe9.png"))
        bare = a_part(
            2,
            image=name,
            verdict=Verdict.UNDECIDED,
            reason="truncated: cut short",
            score=None,
            p_value=None,
            heatmap=None,
            regions=(),
            acquisition={},
        )
        with open_store(self.offer, options, tmp_path) as store:
            kept = store.get(store.append(bare, evidence=None).id)
            assert kept is not None
            assert (kept.score, kept.p_value, kept.regions) == (None, None, ())
            assert (kept.image_sha256, kept.heatmap_sha256) == ("", "")
            assert kept.reason == bare.reason
            assert "caf" in kept.image

    def test_the_same_inspection_is_kept_once(
        self, options: dict[str, Any], tmp_path: Path
    ) -> None:
        """Also after a restart; the first stands. By another calibration it is another one."""
        with open_store(self.offer, options, tmp_path) as store:
            first = store.append(a_part(1), evidence=evidence_of(1))
            assert store.append(a_part(1, score=9.0), evidence=evidence_of(1)) == first
        with open_store(self.offer, options, tmp_path) as store:
            assert store.append(a_part(1), evidence=evidence_of(1)) == first
            others = [
                store.append(a_part(1, **change), evidence=evidence_of(1)).id
                for change in (
                    {"line": "B"},
                    {"model": "other"},
                    {"calibration": "other"},
                    {"verdict": Verdict.UNDECIDED, "reason": "scorer_failed: it hung"},
                )
            ]
            assert len({first.id, *others}) == 5
            assert store.count(_EVERYTHING) == 5

    def test_finding_and_counting(self, options: dict[str, Any], tmp_path: Path) -> None:
        """By line, verdict, decision, calibration and time; in every order; page by page."""
        began = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
        verdicts = list(Verdict)
        with open_store(self.offer, options, tmp_path) as store:
            for number in range(20):
                store.append(
                    a_part(
                        number,
                        line="AB"[number % 2],
                        verdict=verdicts[number % 4],
                        calibration=str(number % 3),
                        serial=f"S{number}",
                        lot=f"L{number % 2}",
                        score=None if number % 4 == 3 else float(number * 7 % 20),
                        inspected_at=began + dt.timedelta(hours=number),
                    ),
                    evidence=None,
                )
            every = store.find(_EVERYTHING)
            store.record_review(a_review(every[4].id))
            assert [p.id for p in every] == sorted(p.id for p in every)
            for query, expected in (
                (InspectionQuery(line="B"), 10),
                (InspectionQuery(verdicts=(Verdict.PASS, Verdict.REJECT)), 10),
                (InspectionQuery(calibration="2"), 6),
                (InspectionQuery(since=began + dt.timedelta(hours=15)), 5),
                (InspectionQuery(until=began + dt.timedelta(hours=15)), 15),
                (InspectionQuery(serial="S3"), 1),
                (InspectionQuery(lot="L1"), 10),
                (InspectionQuery(is_decided=True), 1),
                (InspectionQuery(is_waiting=True), 15),
                (InspectionQuery(is_waiting=False), 5),
                (InspectionQuery(is_decided=False, line="A"), 9),
            ):
                assert store.count(query) == len(store.find(query)) == expected, query
            assert list(store.lines()) == ["A", "B"]
            newest = store.find(InspectionQuery(order=Order.NEWEST))
            assert [p.id for p in newest] == [p.id for p in reversed(every)]
            scores = [p.score for p in store.find(InspectionQuery(order=Order.ODDEST))]
            assert scores[:5] == [None] * 5
            assert scores[5:] == sorted((s for s in scores if s is not None), reverse=True)
            near = [p.score for p in store.find(InspectionQuery(order=Order.UNCERTAIN))]
            assert near[:5] == [None] * 5
            distances = [abs(s - 1.5) for s in near if s is not None]
            assert distances == sorted(distances)
            drawn = [p.id for p in store.find(InspectionQuery(order=Order.RANDOM))]
            assert drawn == [p.id for p in store.find(InspectionQuery(order=Order.RANDOM))]
            assert drawn != sorted(drawn)
            assert sorted(drawn) == [p.id for p in every]
            shares = [0.0, 0.1, 0.5, 0.5, 0.9, 1.0]
            parts = [{p.id for p in store.find(InspectionQuery(share=s))} for s in shares]
            assert all(small <= large for small, large in pairwise(parts))
            assert (len(parts[0]), parts[2], len(parts[-1])) == (0, parts[3], len(every))
            for order in Order:
                whole = [p.id for p in store.find(InspectionQuery(order=order))]
                assert _by_pages(store, order) == whole

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

    def test_several_at_once_are_all_kept_in_their_order(
        self, options: dict[str, Any], tmp_path: Path
    ) -> None:
        """Also where some are known already, or come twice."""
        with open_store(self.offer, options, tmp_path) as store:
            known = store.append(a_part(3), evidence=evidence_of(3))
            numbers = [1, 2, 3, 2, 4]
            kept = store.append_many([(a_part(n), evidence_of(n)) for n in numbers])
            assert [part.sha256 for part in kept] == [f"{n:064x}" for n in numbers]
            assert kept[2] == known
            assert kept[1] == kept[3]
            assert store.count(_EVERYTHING) == 4
            assert [store.get(part.id) for part in kept] == list(kept)
            assert store.read_file(kept[4].image_sha256) == evidence_of(4)
            assert list(store.append_many([])) == []

    def test_a_decision_on_what_has_changed_is_refused(
        self, options: dict[str, Any], tmp_path: Path
    ) -> None:
        """Of two that saw the same, one decides; the other is told by whom."""
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

    def test_parts_that_are_lent_are_lent_once(
        self, options: dict[str, Any], tmp_path: Path
    ) -> None:
        """Until they are given back, decided, or the loan ends."""
        with open_store(self.offer, options, tmp_path) as store:
            for number in range(6):
                store.append(a_part(number), evidence=None)
            store.append(a_part(6, verdict=Verdict.PASS), evidence=None)
            sato = store.claim("A", "sato", count=4)
            assert [p.score for p in sato] == sorted((p.score or 0 for p in sato), reverse=True)
            ito = store.claim("A", "ito", count=4)
            assert len(sato) == 4
            assert len(ito) == 2
            assert {p.id for p in sato} & {p.id for p in ito} == set()
            assert store.claim("A", "sato", count=4) == sato  # a loan is renewed
            store.record_review(a_review(sato[0].id))
            assert [p.id for p in store.claim("A", "sato", count=4)] == [p.id for p in sato[1:]]
            store.release("sato", [sato[1].id])
            assert [p.id for p in store.claim("A", "kato")] == [sato[1].id]
            store.release("sato")
            assert len(store.claim("A", "ito")) == 4
            assert store.claim("B", "ito") == []
            store.release("ito")
            store.claim("A", "ito", seconds=0.0)
            assert len(store.claim("A", "sato", order=Order.OLDEST)) == 4

    def test_processes_that_claim_beside_each_other(
        self, options: dict[str, Any], tmp_path: Path
    ) -> None:
        """Nobody is lent what another has."""
        with open_store(self.offer, options, tmp_path) as store:
            store.append_many([(a_part(number), None) for number in range(40)])
        people = [f"reviewer {number}" for number in range(3)]
        claim = partial(_claim_and_decide, self.offer, options, tmp_path)
        with ProcessPoolExecutor(3, multiprocessing.get_context("spawn")) as pool:
            lent = list(pool.map(claim, people))
        assert sorted(number for numbers in lent for number in numbers) == sorted(
            {number for numbers in lent for number in numbers}
        )
        assert sum(map(len, lent)) == 40

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

    def test_threads_that_write_beside_each_other(
        self, options: dict[str, Any], tmp_path: Path
    ) -> None:
        """Each part once, and one who reads forwards meanwhile misses none."""
        with open_store(self.offer, options, tmp_path) as store:
            store.append(a_part(0), evidence=None)
            writers = [
                threading.Thread(
                    target=lambda first=first: [
                        store.append(a_part(first + i), evidence=evidence_of(first + i))
                        for i in range(30)
                    ]
                )
                for first in (0, 15, 30, 45)
            ]
            for writer in writers:
                writer.start()
            seen: list[StoredInspection] = []
            page: Sequence[StoredInspection] = ()
            are_done = False
            while not are_done or page:
                # Asked before the page: what was written until then is in it.
                are_done = not any(writer.is_alive() for writer in writers)
                after = seen[-1].id if seen else 0
                page = store.find(InspectionQuery(after_id=after, limit=7))
                seen += page
            for writer in writers:
                writer.join()
            assert sorted(part.sha256 for part in seen) == [f"{n:064x}" for n in range(75)]
            assert len({part.id for part in seen}) == 75

    def test_processes_that_write_beside_each_other(
        self, options: dict[str, Any], tmp_path: Path
    ) -> None:
        """Two stations on one store: each part once, none refused."""
        with open_store(self.offer, options, tmp_path):
            pass
        context = multiprocessing.get_context("spawn")
        stations = [
            context.Process(
                target=_append_many,
                args=(self.offer, options, tmp_path, range(first, first + 20)),
            )
            for first in (0, 10)
        ]
        for station in stations:
            station.start()
        for station in stations:
            station.join(120)
        assert [station.exitcode for station in stations] == [0, 0]
        with open_store(self.offer, options, tmp_path) as store:
            assert store.count(_EVERYTHING) == 30

    def test_a_program_that_is_killed_loses_nothing(
        self, options: dict[str, Any], tmp_path: Path
    ) -> None:
        """What the store has said it has, it has, photographs and decisions too."""
        context = multiprocessing.get_context("spawn")
        known = 0
        for _ in range(2):
            here, there = context.Pipe(duplex=False)
            child = context.Process(
                target=_append_until_killed,
                args=(self.offer, options, tmp_path, known, there),
            )
            child.start()
            there.close()
            for _ in range(_ENOUGH):
                assert here.poll(120), "the store keeps nothing"
                known = here.recv() + 1
            assert child.pid is not None
            os.kill(child.pid, signal.SIGKILL)
            child.join()
            while here.poll():  # told before it died
                try:
                    known = here.recv() + 1
                except EOFError:
                    break
            here.close()
        with open_store(self.offer, options, tmp_path) as store:
            kept = {part.sha256: part for part in store.find(_EVERYTHING)}
            assert known <= len(kept) <= known + 2
            for number in range(known):
                part = kept[f"{number:064x}"]
                assert store.read_file(part.image_sha256) == evidence_of(number)
                assert [r.client_id for r in store.reviews(part.id)] == [f"review {number}"]
                assert store.append(a_part(number), evidence=evidence_of(number)).id == part.id


def _by_pages(store: VerdictStore, order: Order) -> list[int]:
    found: list[int] = []
    while page := store.find(
        InspectionQuery(after_id=found[-1] if found else None, order=order, limit=6)
    ):
        found += [part.id for part in page]
    return found
