"""What waits for people on a line: flagged parts, random samples, second opinions, open parts."""

from __future__ import annotations

import datetime as dt
import math
import threading
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from cdm_inspect.config import LineReviewConfig, ProjectConfig
from cdm_inspect.plugins import VerdictStore
from cdm_inspect.records import (
    JUDGED,
    Decision,
    InspectionQuery,
    Order,
    Purpose,
    Review,
    StoredInspection,
    Verdict,
)
from cdm_inspect.review.leases import Loans, Shares
from cdm_inspect.review.rules import opponents
from cdm_inspect.review.sampling import AuditSample
from cdm_inspect.roles import Actor, Right

FLAGGED = (Verdict.REVIEW, Verdict.REJECT, Verdict.UNDECIDED)

_SECOND_WITHIN = dt.timedelta(days=7)
_MOST_SECOND = 200
_COUNTED_FOR_S = 15.0
_PAGE = 100
_DISAGREEMENT = 3


class Queue(StrEnum):
    """What people work through."""

    FLAGGED = "flagged"
    AUDIT = "audit"
    """Parts that passed, drawn at random, so many of each shift."""
    SECOND = "second"
    """Decided parts that somebody else looks at blindly."""
    OPEN = "open"
    """Parts of which people were unsure, or on which two did not agree; those not for the two."""


PURPOSES = {
    Queue.FLAGGED: Purpose.QUEUE,
    Queue.AUDIT: Purpose.AUDIT,
    Queue.SECOND: Purpose.SECOND,
    Queue.OPEN: Purpose.CORRECTION,
}


@dataclass(frozen=True, kw_only=True)
class Work:
    """How much there is to do on a line.

    Attributes:
        waiting: flagged parts that nobody has decided.
        oldest: since when the first of them waits.
        audited: passed parts inspected in this shift that were drawn at random, and judged.
        audit_wanted: how many should be.
        second_wanted: decided parts that wait for a second opinion.
        open: parts that somebody has to settle.
    """

    waiting: int
    oldest: dt.datetime | None
    audited: int
    audit_wanted: int
    second_wanted: int
    open: int


class WorkQueues:
    """The queues of a store's lines. May be used by several threads.

    Args:
        store: where inspections are kept.
    """

    def __init__(self, store: VerdictStore, config: ProjectConfig) -> None:
        self.store, self.config = store, config
        self._sample = AuditSample(store, config.review)
        self._loans, self._shares = Loans(), Shares()
        self._wanted: dict[str, tuple[float, int]] = {}
        self._lock = threading.Lock()

    def settings(self, line: str) -> LineReviewConfig:
        """What the people of a line are asked; of a line that is no longer described, the usual."""
        known = self.config.lines.get(line)
        return known.review if known is not None else LineReviewConfig()

    def work(self, line: str) -> Work:
        """How much there is to do on a line."""
        waiting = InspectionQuery(line=line, is_waiting=True)
        wanted = self.settings(line).audit_per_shift
        oldest = self.store.find(replace(waiting, order=Order.OLDEST, limit=1))
        return Work(
            waiting=self.store.count(waiting),
            oldest=oldest[0].inspected_at if oldest else None,
            audited=self._sample.judged(line, wanted, dt.datetime.now(dt.UTC)),
            audit_wanted=wanted,
            second_wanted=self._second_wanted(line),
            open=self.store.count(InspectionQuery(line=line, decision=Decision.UNSURE)),
        )

    def take(
        self,
        actor: Actor,
        line: str,
        queue: Queue,
        *,
        holder: str,
        order: Order = Order.UNCERTAIN,
        count: int = 12,
        busy: Collection[int] = (),
        lost: Collection[int] = (),
    ) -> Sequence[StoredInspection]:
        """Parts for one screen to show; while it shows them nobody else is given them.

        Where few parts are flagged, the screens of a line share them.

        Args:
            actor: who looks at them.
            queue: which of them.
            order: of flagged parts; the others come at random, and open ones oldest first.
            count: at most so many in all.
            busy: numbers of parts that it shows, or whose decisions are on their way; it keeps
                them, and they come first.
            lost: numbers of parts that it cannot show; others are lent them.

        Raises:
            NotAllowed: if the person may not decide such parts.
        """
        actor.require(Right.SETTLE if queue is Queue.OPEN else Right.DECIDE)
        seconds = self.settings(line).lease_seconds
        if queue is Queue.FLAGGED:
            lent = self.store.claim(line, holder, count=count, seconds=seconds, order=order)
            theirs = [p for p in self._without_disagreements(actor, lent) if p.id not in lost]
            share = self._shares.of(line, holder, len(theirs), wanted=count, seconds=seconds)
            held = [part for part in theirs if part.id in busy]
            rest = [part for part in theirs if part.id not in busy]
            kept = [*held, *rest[: max(share - len(held), 0)]]
            others = {part.id for part in lent} - {part.id for part in kept}
            if others:
                self.store.release(holder, sorted(others))
            return kept
        found = {
            Queue.AUDIT: self._to_audit,
            Queue.SECOND: self._for_second,
            Queue.OPEN: self._open,
        }[queue](actor, line)
        shown = [part for part in found if part.id not in lost]
        theirs = sorted(shown, key=lambda part: part.id not in busy)
        return self._loans.lend(theirs, holder, count, seconds)

    def release(self, holder: str) -> None:
        """Give back what a screen was lent."""
        self._loans.release(holder)
        self._shares.release(holder)
        self.store.release(holder)

    def on_decision(self, part: StoredInspection, review: Review) -> None:
        """Give back a part that was decided, and count it."""
        self._loans.end(part.id)
        self._sample.on_decision(part, review)
        if review.purpose is Purpose.SECOND:
            with self._lock:
                self._wanted.pop(part.line, None)

    def _without_disagreements(
        self, actor: Actor, parts: Sequence[StoredInspection]
    ) -> Sequence[StoredInspection]:
        """Without those on which this person and another do not agree."""
        # Two opinions and the entry of the program: of most parts nothing has to be read.
        return [
            part
            for part in parts
            if part.version < _DISAGREEMENT
            or actor.name not in opponents(self.store.reviews(part.id))
        ]

    def _to_audit(self, actor: Actor, line: str) -> Sequence[StoredInspection]:
        wanted = self.settings(line).audit_per_shift
        if not wanted:
            return ()
        found = self._sample.waiting(line, wanted, dt.datetime.now(dt.UTC))
        return self._without_disagreements(actor, found)

    def _for_second(self, actor: Actor, line: str) -> Sequence[StoredInspection]:
        wanted = self._second_wanted(line)
        if not wanted:
            return ()
        found = self.store.find(
            InspectionQuery(
                line=line,
                is_decided=True,
                version=1,
                since=dt.datetime.now(dt.UTC) - _SECOND_WITHIN,
                order=Order.RANDOM,
                limit=_MOST_SECOND,
            )
        )
        others = [part for part in found if part.decision in JUDGED and part.reviewer != actor.name]
        return others[:wanted]

    def _second_wanted(self, line: str) -> int:
        """Of the parts inspected lately, how many more second opinions there should be."""
        share = self.settings(line).second_share
        if not share:
            return 0
        with self._lock:
            counted, wanted = self._wanted.get(line, (-math.inf, 0))
        if time.monotonic() - counted < _COUNTED_FOR_S:
            return wanted
        since = dt.datetime.now(dt.UTC) - _SECOND_WITHIN
        decided = sum(
            cell.parts for cell in self.store.hourly(line, since=since) if cell.decision in JUDGED
        )
        opinions = self.store.decisions(line, since=since, purpose=Purpose.SECOND)
        done = {review.inspection_id for _, review in opinions}
        wanted = max(0, round(share * decided) - len(done))
        with self._lock:
            self._wanted[line] = time.monotonic(), wanted
        return wanted

    def _open(self, actor: Actor, line: str) -> Sequence[StoredInspection]:
        """Oldest first; those that are not for this person hide no others."""
        query = InspectionQuery(line=line, decision=Decision.UNSURE, limit=_PAGE)
        found: list[StoredInspection] = []
        while len(found) < _PAGE and (page := self.store.find(query)):
            found += self._without_disagreements(actor, page)
            query = replace(query, after_id=page[-1].id)
        return found
