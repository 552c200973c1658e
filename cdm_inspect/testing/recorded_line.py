"""A store full of parts to look at, without a model: for tests of pages, desks and reports."""

from __future__ import annotations

import copy
import datetime as dt
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from cdm_inspect.encoding import sha256_of
from cdm_inspect.images.demo_line import DEFECTS, draw_plate
from cdm_inspect.plugins import VerdictStore
from cdm_inspect.records import (
    Decision,
    FloatArray,
    Inspection,
    InspectionQuery,
    Order,
    Purpose,
    Region,
    Review,
    StoredInspection,
    Verdict,
)

THRESHOLD = 1.5
REJECT_THRESHOLD = 2.6
_HELD_OUT = 200
_BATCH = 100
_PEOPLE = ("佐藤", "tanaka", "suzuki")
_REASONS = ("scratch", "scratch", "dent", "stain", "missing")
_UNSURE, _SECOND, _RIGHT = 0.04, 0.2, 0.9
_BAD_FROM = 2.2


@dataclass(frozen=True)
class _Photograph:
    """Of a drawn part; what is said of it follows from where its defect was drawn."""

    evidence: bytes
    restoration: npt.NDArray[np.uint8]
    heatmap: FloatArray
    regions: tuple[Region, ...]


def record_line(
    store: VerdictStore,
    parts: int,
    *,
    line: str = "A",
    flagged: float = 0.5,
    side: int = 1024,
    photographs: int = 24,
    seconds: float = 30.0,
    seed: int = 0,
) -> None:
    """Keep inspections of plates of the demo line, drawn larger; the same seed gives the same.

    Args:
        parts: how many.
        flagged: share of them.
        side: of the photographs, pixels.
        photographs: that differ, of each kind; parts share them.
        seconds: between two parts; the last one is of now.
        seed: of everything drawn.
    """
    random = np.random.default_rng(seed)
    good = [_draw(random, None, side) for _ in range(photographs)]
    kinds = list(DEFECTS)
    odd = [_draw(random, kinds[n % len(kinds)], side) for n in range(photographs)]
    now = dt.datetime.now(dt.UTC)
    kept: list[tuple[Inspection, bytes | None]] = []
    for number, score in enumerate(_scores(random, parts, flagged)):
        known = (odd if score >= THRESHOLD else good)[number % photographs]
        at = now - dt.timedelta(seconds=seconds * (parts - number))
        kept.append((_part(known, line, number, score, at), known.evidence))
        if len(kept) == _BATCH:
            store.append_many(kept)
            kept.clear()
    store.append_many(kept)


def _scores(random: np.random.Generator, parts: int, flagged: float) -> Iterator[float]:
    for is_odd in random.random(parts) < flagged:
        score = random.gamma(4.0, 0.3) + THRESHOLD if is_odd else random.gamma(4.0, 0.15)
        yield float(score if is_odd else min(score, THRESHOLD - 0.01))


def _part(
    known: _Photograph,
    line: str,
    number: int,
    score: float,
    at: dt.datetime,
) -> Inspection:
    is_flagged = score >= THRESHOLD
    flagged = Verdict.REJECT if score >= REJECT_THRESHOLD else Verdict.REVIEW
    return Inspection(
        image=Path(f"camera/{line}-{number:06}.jpg"),
        # As if no two photographs were the same.
        sha256=sha256_of(f"{line} {number}".encode()),
        line=line,
        verdict=flagged if is_flagged else Verdict.PASS,
        model="0123456789ab",
        calibration="ba9876543210",
        scorer="fused",
        threshold=THRESHOLD,
        score=score,
        p_value=max(1 / (_HELD_OUT + 1), float(np.exp(-2 * score))),
        heatmap=known.heatmap,
        regions=known.regions if is_flagged else (),
        restoration=known.restoration if is_flagged else None,
        serial=f"{line}{100_000 + number}",
        lot=f"L{number // 500:03}",
        station="press 3",
        camera="top",
        inspected_at=at,
    )


def _draw(random: np.random.Generator, defect: str | None, side: int) -> _Photograph:
    without = copy.deepcopy(random)
    small, mask = draw_plate(random, defect)
    restored, _ = draw_plate(without, None)
    large = cv2.resize(small, (side, side), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    large += random.normal(0, 3, large.shape)
    grey = np.clip(large, 0, 255).astype(np.uint8)
    _, evidence = cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, 90])
    heat = cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), 2) * 2.2 * THRESHOLD
    heat += random.normal(0.3, 0.08, heat.shape)
    return _Photograph(
        evidence=evidence.tobytes(),
        restoration=np.repeat(restored[:, :, None], 3, axis=2),
        heatmap=heat.astype(np.float32),
        regions=_regions(mask, heat, side / mask.shape[0]),
    )


def _regions(
    mask: npt.NDArray[np.uint8], heat: npt.NDArray[np.floating], scale: float
) -> tuple[Region, ...]:
    count, labelled, boxes, _ = cv2.connectedComponentsWithStats(mask)
    return tuple(
        Region(
            x=round(int(x) * scale),
            y=round(int(y) * scale),
            width=round(int(width) * scale),
            height=round(int(height) * scale),
            area=round(int(area) * scale**2),
            peak=float(heat[labelled == index].max()),
        )
        for index, (x, y, width, height, area) in enumerate(boxes)
        if 0 < index < count
    )


def judge_line(store: VerdictStore, *, line: str = "A", share: float = 0.6, seed: int = 0) -> None:
    """Let three people decide on recorded parts: flagged ones, a sample, and second opinions.

    They are right most of the time, and leave some parts open.

    Args:
        store: with parts that `record_line` has kept.
        share: of the flagged parts that they decide.
        seed: of what they say.
    """
    random = np.random.default_rng(seed)
    waiting = store.find(InspectionQuery(line=line, is_waiting=True, limit=100_000))
    for part in waiting[: round(share * len(waiting))]:
        first, second = random.permutation(_PEOPLE)[:2]
        decision = _said(part, random)
        stored = store.record_review(_review(part, first, decision, random))
        if decision is not Decision.UNSURE and random.random() < _SECOND:
            again = _review(stored, second, _said(part, random), random, Purpose.SECOND)
            store.record_review(again)
    passed = InspectionQuery(line=line, verdicts=(Verdict.PASS,), order=Order.RANDOM, limit=40)
    for part in store.find(passed):
        review = _review(part, _PEOPLE[0], Decision.ACCEPT, random, Purpose.AUDIT)
        store.record_review(review)


def _said(part: StoredInspection, random: np.random.Generator) -> Decision:
    if random.random() < _UNSURE:
        return Decision.UNSURE
    is_bad = (part.score or 0) > _BAD_FROM
    is_right = random.random() < _RIGHT
    return Decision.REJECT if is_bad == is_right else Decision.ACCEPT


def _review(
    part: StoredInspection,
    reviewer: str,
    decision: Decision,
    random: np.random.Generator,
    purpose: Purpose = Purpose.QUEUE,
) -> Review:
    return Review(
        client_id=uuid.UUID(bytes=random.bytes(16)).hex,
        inspection_id=part.id,
        decision=decision,
        reviewer=str(reviewer),
        role="operator",
        reason=str(random.choice(_REASONS)) if decision is Decision.REJECT else "",
        comment="edge, see the photograph" if decision is Decision.UNSURE else "",
        seen_ms=int(random.lognormal(7.5, 0.5)),
        version=part.version,
        purpose=purpose,
        decided_at=part.inspected_at + dt.timedelta(minutes=float(random.uniform(1, 30))),
    )
