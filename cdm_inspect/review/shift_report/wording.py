"""What a shift report says, in the language of its reader, whatever the file is made of."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from cdm_inspect.config.review import ReasonConfig
from cdm_inspect.config.shifts import Shift
from cdm_inspect.config.words import Speech
from cdm_inspect.monitoring.agreement import Agreement
from cdm_inspect.monitoring.p_chart import PChart
from cdm_inspect.monitoring.summary import LineStatistics, ReviewerFigures
from cdm_inspect.records import Purpose, Review

Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class ChainHead:
    """Where the audit chain ended when a report was made: number and hash of its last entry."""

    number: int
    hash: str


@dataclass(frozen=True, kw_only=True)
class ShiftFacts:
    """What a report tells beside the statistics.

    Attributes:
        shift: that the report is about; None for another time.
        zone: in which times are written; None is that of the machine.
        reasons: of the line, which give codes a name.
        pictures: of escalated parts, by number of the part; see `collect_pictures`.
    """

    made_by: str
    head: ChainHead
    shift: Shift | None = None
    zone: dt.tzinfo | None = None
    reasons: tuple[ReasonConfig, ...] = ()
    pictures: Mapping[int, Picture] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Wording:
    """How a report says things in one language.

    Attributes:
        language: `en` or `ja`.
    """

    language: str
    facts: ShiftFacts

    def __call__(self, name: str, **values: object) -> str:
        """A text by its name, with values put into it."""
        return Speech(self.language, "page_shift_report.")(name, **values)

    def time(self, moment: dt.datetime) -> str:
        """A moment by the clocks of the plant."""
        return f"{moment.astimezone(self.facts.zone):%Y-%m-%d %H:%M}"

    def reason(self, code: str) -> str:
        """What a code of a reason stands for; itself where the line knows it no more."""
        if not code:
            return self("no_reason")
        named = {reason.code: reason for reason in self.facts.reasons}
        return str(getattr(named[code], self.language)) if code in named else code

    def reviewer(self, figures: ReviewerFigures) -> str:
        """Whose figures these are."""
        return figures.reviewer or self("all")

    def decided_by(self, review: Review) -> str:
        """Who has left a part open; nobody has where two do not agree."""
        if review.purpose is Purpose.DISAGREEMENT:
            return self("not_agreed")
        return review.reviewer


def count_rows(statistics: LineStatistics, word: Wording) -> Iterator[tuple[str, int]]:
    """Counts of parts with their names, in the order of the report."""
    counts = statistics.counts
    yield word("inspected"), counts.inspected
    for verdict, count in counts.by_verdict.items():
        yield word(f"verdict_{verdict.value}"), count
    yield word("flagged"), counts.flagged
    for decision, count in counts.by_decision.items():
        yield word(f"decision_{decision.value}"), count
    yield word("waiting"), counts.waiting
    yield word("passed_decided"), counts.passed_decided


def charts_of(statistics: LineStatistics) -> tuple[tuple[str, PChart], ...]:
    """The control charts, by the name of their text."""
    return (
        ("flag_chart", statistics.flag_chart),
        ("false_reject_chart", statistics.false_reject_chart),
    )


def escape_note(statistics: LineStatistics, word: Wording) -> str:
    """What the escape rate stands on, and what it does not tell of."""
    escapes = statistics.escapes
    said = [
        word(
            escapes.lacking or "audited",
            passed=escapes.passed,
            audited=escapes.audited,
            escapes=escapes.escapes,
        )
    ]
    if escapes.uncovered and not escapes.lacking:
        names = list(escapes.uncovered_shifts)
        if len(names) > 3:
            names[3:] = [word("and_more", count=len(names) - 3)]
        said.append(word("uncovered", parts=escapes.uncovered, shifts=", ".join(names)))
    return " ".join(said)


def agreements_of(statistics: LineStatistics, word: Wording) -> Iterator[tuple[str, Agreement]]:
    """Agreement of each pair of people and of all, with their names."""
    for pair in statistics.agreement.pairs:
        first, second = pair.reviewers
        yield word("with", first=first, second=second), pair.agreement
    yield word("all"), statistics.agreement.overall
