"""What is known of a part, as rows and texts; pure functions of records."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from cdm_inspect.config.words import catalogue
from cdm_inspect.records import (
    Decision,
    Event,
    JudgingSetup,
    Purpose,
    Review,
    StoredInspection,
)
from cdm_inspect.review import LIMIT_SAMPLE, NO_LIMIT_SAMPLE, REFUSED

Say = Callable[..., str]
Row = dict[str, Any]


def moment(at: dt.datetime | None, zone: dt.tzinfo | None) -> str:
    """A time by the clocks of the plant."""
    return "" if at is None else f"{at.astimezone(zone):%Y-%m-%d %H:%M:%S}"


def decision_text(decision: Decision | None, word: Say) -> str:
    """A decision with its sign, so that it can be read without colour."""
    if decision is None:
        return ""
    return f"{word(f'desk.{decision.value}_sign')} {word(f'desk.{decision.value}')}"


def oddity(part: StoredInspection, word: Say) -> str:
    """The p-value in words."""
    if part.p_value is None:
        return ""
    if part.p_value > 0.5:
        said = word("desk.odd_usual")
    else:
        # Rounded down, and 1/201 counts as 201, however it is kept: never better than it is.
        said = word("desk.odd", n=f"{math.floor((1 + 1e-9) / part.p_value):,}")
    return f"{said} (p = {part.p_value:.4f})"


def note(reason: str, word: Say) -> str:
    """Why a part was set aside: of what kind that is, in a language, then the detail as it is."""
    kind, colon, detail = reason.partition(":")
    said = _named(f"desk.note_{kind}", "", word) if colon else ""
    return word("desk.note", kind=said, detail=detail.strip()) if said else reason


def rows(parts: Iterable[StoredInspection], word: Say, zone: dt.tzinfo | None) -> list[Row]:
    """A table of parts, in their order."""
    return [
        {
            word("desk.part"): part.id,
            word("desk.taken_at"): moment(part.inspected_at, zone),
            word("desk.serial"): part.serial,
            word("desk.lot"): part.lot,
            word("history.verdict"): word(f"desk.verdict_{part.verdict.value}"),
            word("desk.score"): part.score,
            word("history.decision"): decision_text(part.decision, word),
            word("history.reviewer"): part.reviewer,
            word("history.decided_at"): moment(part.decided_at, zone),
        }
        for part in parts
    ]


def facts(
    part: StoredInspection, setup: JudgingSetup | None, word: Say, zone: dt.tzinfo | None
) -> list[tuple[str, str]]:
    """Name and value of everything that is known of a part; what is empty is left out."""
    record = setup.calibration_record if setup is not None else {}
    reject, version = record.get("reject_threshold"), record.get("version")
    found = [
        ("history.verdict", word(f"desk.verdict_{part.verdict.value}")),
        ("history.decision", decision_text(part.decision, word)),
        ("desk.score", _figure(part.score)),
        ("desk.threshold", _figure(part.threshold)),
        ("desk.reject_threshold", _figure(reject)),
        ("history.oddity", oddity(part, word)),
        ("history.regions", str(len(part.regions)) if part.regions else ""),
        ("desk.reason_given", note(part.reason, word)),
        ("desk.serial", part.serial),
        ("desk.lot", part.lot),
        ("line", part.line),
        ("desk.station", part.station),
        ("desk.camera", part.camera),
        ("desk.taken_at", moment(part.inspected_at, zone)),
        ("history.scorer", part.scorer),
        ("desk.model", part.model),
        (
            "history.calibration",
            f"{part.calibration} ({version})" if version else part.calibration,
        ),
        ("history.acquisition", _acquisition(part.acquisition, word)),
        ("desk.image", part.image),
        ("history.sha256", part.sha256),
        ("history.hold", part.hold),
    ]
    return [(word(name), value) for name, value in found if value]


def story(
    part: StoredInspection,
    reviews: Sequence[Review],
    events: Sequence[Event],
    reasons: Mapping[str, str],
    word: Say,
    zone: dt.tzinfo | None,
) -> list[Row]:
    """Everything that has happened to a part, oldest first: machine, people, and events about it.

    Args:
        part: whose history it is.
        reviews: every decision on it.
        events: about it.
        reasons: by code, in words.
        word: says things in a language.
    """
    rows = [(part.inspected_at, _machine(part, word))]
    rows += [(review.decided_at, _decision(review, reasons, word)) for review in reviews]
    rows += [(event.at, _event(event, word)) for event in events]
    rows.sort(key=lambda each: each[0])
    return [{word("audit.when"): moment(at, zone), **row} for at, row in rows]


def is_limit_sample(events: Iterable[Event]) -> bool:
    """Whether a part is one now, by the events about it, newest first."""
    marks = (event.action for event in events if event.action in (LIMIT_SAMPLE, NO_LIMIT_SAMPLE))
    return next(marks, NO_LIMIT_SAMPLE) == LIMIT_SAMPLE


def _row(word: Say, **values: object) -> Row:
    names = ("who", "role", "what", "why", "comment", "purpose", "seen")
    return {word(f"history.story.{name}"): values.get(name, "") for name in names}


def _machine(part: StoredInspection, word: Say) -> Row:
    score = "" if part.score is None else f" ({part.score:.3f})"
    return _row(
        word,
        who=word("history.machine"),
        what=word(f"desk.verdict_{part.verdict.value}") + score,
        why=note(part.reason, word),
        seen=None,
    )


def _decision(review: Review, reasons: Mapping[str, str], word: Say) -> Row:
    is_programs = review.purpose is Purpose.DISAGREEMENT
    return _row(
        word,
        who=word("audit.nobody") if is_programs else review.reviewer,
        role=_named(f"role.{review.role}", review.role, word),
        what=word("history.left_open") if is_programs else decision_text(review.decision, word),
        why=reasons.get(review.reason, review.reason),
        comment=review.comment,
        purpose=word(f"audit.purpose.{review.purpose.value}"),
        seen=None if review.seen_ms is None else review.seen_ms / 1000,
    )


def _event(event: Event, word: Say) -> Row:
    return _row(
        word,
        who=event.who,
        role=_named(f"role.{event.role}", event.role, word),
        what=_event_text(event, word),
        why=event.reason,
        seen=None,
    )


def _event_text(event: Event, word: Say) -> str:
    kind = f"history.refused.{event.facts.get('kind', '')}"
    if event.action == REFUSED and kind in catalogue():
        return word(kind)
    return _named(f"history.event.{event.action}", event.action, word)


def _named(key: str, otherwise: str, word: Say) -> str:
    return word(key) if key in catalogue() else otherwise


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _acquisition(measures: Mapping[str, float], word: Say) -> str:
    named = (
        f"{_named(f'history.measure.{name}', name, word)} {value:.3g}"
        for name, value in measures.items()
        if value is not None
    )
    return ", ".join(named)
