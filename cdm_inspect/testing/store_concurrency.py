"""What a store must keep where threads and processes use it at once."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from cdm_inspect.plugins import StoreOffer
from cdm_inspect.records import (
    InspectionQuery,
    Order,
    StoredInspection,
    Verdict,
)
from cdm_inspect.testing.specimens import a_part, a_review, evidence_of
from cdm_inspect.testing.store_people import open_store

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
    offer: StoreOffer, options: dict[str, Any], root: Path, first: int, pipe: Any
) -> None:
    """In a process of its own: tells the number of each part once the store has it."""
    number = first
    with open_store(offer, options, root) as store:
        while True:
            stored = store.append(a_part(number), evidence=evidence_of(number))
            store.record_review(a_review(stored.id, client_id=f"review {number}"))
            pipe.send(number)
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


class ConcurrencyConformance:
    """Inherited by `StoreConformance`."""

    offer: ClassVar[StoreOffer]

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
            while here.poll():  # reported before it died
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
