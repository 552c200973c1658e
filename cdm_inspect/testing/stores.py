"""The kit for stores: what is kept stays kept, whoever writes beside and whatever is killed."""

from __future__ import annotations

import datetime as dt
import os
from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from cdm_inspect.errors import StorageError
from cdm_inspect.images import decode_heatmap, decode_image
from cdm_inspect.plugins import StoreOffer, VerdictStore
from cdm_inspect.plugins.offers import check_offer
from cdm_inspect.records import (
    Inspection,
    InspectionQuery,
    Order,
    Verdict,
)
from cdm_inspect.testing.specimens import a_part, a_review, evidence_of
from cdm_inspect.testing.store_concurrency import ConcurrencyConformance
from cdm_inspect.testing.store_decisions import DecisionConformance
from cdm_inspect.testing.store_people import PeopleConformance, open_store

_EVERYTHING = InspectionQuery(limit=100_000)


class StoreConformance(PeopleConformance, ConcurrencyConformance, DecisionConformance):
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


def _by_pages(store: VerdictStore, order: Order) -> list[int]:
    found: list[int] = []
    while page := store.find(
        InspectionQuery(after_id=found[-1] if found else None, order=order, limit=6)
    ):
        found += [part.id for part in page]
    return found
