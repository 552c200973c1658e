"""The desk of people who decide: what waits for them, who may decide it, and what follows."""

from __future__ import annotations

import datetime as dt
import math
import threading
import time
import uuid
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from cdm_inspect.config import LineReviewConfig, ProjectConfig
from cdm_inspect.errors import CdmInspectError, DecisionConflict, InvalidOption, NotAllowed
from cdm_inspect.plugins.contracts import VerdictStore
from cdm_inspect.records import (
    JUDGED,
    Decision,
    Event,
    InspectionQuery,
    Order,
    Purpose,
    Review,
    StoredInspection,
    Verdict,
)
from cdm_inspect.review.leases import Loans, Shares
from cdm_inspect.review.rules import check_subject, opponents, permit
from cdm_inspect.review.sampling import AuditSample
from cdm_inspect.review.similar_parts import Lookalikes
from cdm_inspect.roles import Actor, Right

FLAGGED = (Verdict.REVIEW, Verdict.REJECT, Verdict.UNDECIDED)
LIMIT_SAMPLE, NO_LIMIT_SAMPLE = "mark-limit-sample", "unmark-limit-sample"
ACKNOWLEDGED = "acknowledge-alarm"
REFUSED = "refused"

_SECOND_WITHIN = dt.timedelta(days=7)
_MOST_SECOND = 200
_MOST_LIMIT_SAMPLES = 1000
_MOST_ACKNOWLEDGED = 10_000
_COUNTED_FOR_S = 15.0
_PAGE = 100
_QUARREL = 3


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


class ReviewDesk:
    """One store, seen by the people who decide. May be used by several threads.

    Args:
        store: where inspections are kept.
        notify: called with every decision after it is stored.
    """

    def __init__(
        self,
        store: VerdictStore,
        config: ProjectConfig | None = None,
        notify: Callable[[Review], None] = lambda review: None,
    ) -> None:
        self.store, self._notify = store, notify
        self.config = config or ProjectConfig()
        self._alike = Lookalikes(store, max_pixels=self.config.most_pixels)
        self._sample = AuditSample(store, self.config.review)
        self._loans, self._shares = Loans(), Shares()
        self._wanted: dict[str, tuple[float, int]] = {}
        self._lock = threading.Lock()

    def settings(self, line: str) -> LineReviewConfig:
        """What the people of a line are asked; of a line that is no longer described, the usual."""
        known = self.config.lines.get(line)
        return known.review if known is not None else LineReviewConfig()

    def lines(self) -> Sequence[str]:
        """Lines with inspections."""
        return self.store.lines()

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
            theirs = [p for p in self._without_quarrels(actor, lent) if p.id not in lost]
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

    def decide(
        self, actor: Actor, review: Review, *, undoes: str = "", sha256: str = ""
    ) -> StoredInspection:
        """Record a decision; a second one on the same part is a new entry beside the first.

        A second opinion that differs from the first leaves the part open, in an entry of the
        program, for a third person. What is refused is in the audit chain.

        Args:
            actor: who decides; the name and role in the review do not count.
            review: of them. Sent again it is known, and nothing more happens.
            undoes: client id of the decision that is taken back, so that it is no other.
            sha256: of the photograph that was seen; numbers are given anew in another store.

        Raises:
            NotAllowed: if the person may not decide this.
            InvalidOption: if there is no such part, or its reason is none of the line's.
            DecisionConflict: if somebody else has decided since the part was shown.
            StorageError: if it cannot be recorded.
        """
        part = self.store.get(review.inspection_id)
        if part is None:
            raise InvalidOption(
                f"there is no inspection {review.inspection_id}. Nothing was recorded."
            )
        review = replace(review, reviewer=actor.name, role=actor.role.value)
        known = self.store.reviews(part.id)
        if any(other.client_id == review.client_id for other in known):
            stored = self.store.record_review(review)
        else:
            self._check(actor, part, review, undoes, sha256, known)
            stored = self.store.record_review(review)
            self._loans.end(part.id)
            self._sample.on_decision(part, review)
            if review.purpose is Purpose.SECOND:
                with self._lock:
                    self._wanted.pop(part.line, None)
            self._notify(review)
        # Whoever sends a second opinion again may have been cut off before this.
        if review.purpose is Purpose.SECOND and stored.decision is not review.decision:
            stored = self._leave_open(stored, review)
        return stored

    def alike(self, part: StoredInspection, count: int = 4) -> Sequence[StoredInspection]:
        """Parts of the line that people have decided and whose oddity looks most like this one."""
        return self._alike.find(part, count)

    def limit_samples(self, line: str) -> Sequence[StoredInspection]:
        """Border cases that the line's people have agreed on, newest first, at most a hundred."""
        marked: dict[int, bool] = {}
        events = [
            event
            for action in (LIMIT_SAMPLE, NO_LIMIT_SAMPLE)
            for event in self.store.events(line=line, action=action, limit=_MOST_LIMIT_SAMPLES)
        ]
        for event in sorted(events, key=lambda event: event.at, reverse=True):
            if event.inspection_id is not None:
                marked.setdefault(event.inspection_id, event.action == LIMIT_SAMPLE)
        numbers = tuple(number for number, is_marked in marked.items() if is_marked)[:_PAGE]
        # Without a number the query is for any.
        query = InspectionQuery(line=line, ids=numbers, limit=len(numbers))
        found = self.store.find(query) if numbers else ()
        by_number = {part.id: part for part in found}
        return [by_number[number] for number in numbers if number in by_number]

    def mark_limit_sample(
        self, actor: Actor, part: StoredInspection, reason: str, *, ends: bool = False
    ) -> None:
        """Show a decided part beside others of its line from now on, or no longer.

        Raises:
            NotAllowed: if the person may not.
            InvalidOption: if nobody has accepted or rejected the part.
        """
        actor.require(Right.SETTLE)
        if part.decision not in JUDGED:
            raise InvalidOption(
                f"expected a part that was accepted or rejected, found part {part.id} of which "
                "nobody has said so. Decide it first."
            )
        self.store.record_event(
            Event(
                action=NO_LIMIT_SAMPLE if ends else LIMIT_SAMPLE,
                who=actor.name,
                role=actor.role.value,
                line=part.line,
                inspection_id=part.id,
                reason=reason,
            )
        )

    def acknowledge(self, actor: Actor, line: str, alarm: str, reason: str) -> None:
        """Say that an alarm was seen, and what was done.

        Raises:
            NotAllowed: if the person may not.
            InvalidOption: without a reason.
        """
        actor.require(Right.ACKNOWLEDGE)
        if not reason.strip():
            raise InvalidOption("expected what was found or done about the alarm, found nothing.")
        self.store.record_event(
            Event(
                action=ACKNOWLEDGED,
                who=actor.name,
                role=actor.role.value,
                line=line,
                reason=reason,
                facts={"alarm": alarm},
            )
        )

    def acknowledged(self, line: str) -> dict[str, Event]:
        """By the name of an alarm, who has acknowledged it last."""
        found: dict[str, Event] = {}
        for event in self.store.events(line=line, action=ACKNOWLEDGED, limit=_MOST_ACKNOWLEDGED):
            found.setdefault(str(event.facts.get("alarm", "")), event)
        return found

    def story(self, inspection_id: int) -> Sequence[Review]:
        """Every decision on a part, oldest first."""
        return self.store.reviews(inspection_id)

    def _check(
        self,
        actor: Actor,
        part: StoredInspection,
        review: Review,
        undoes: str,
        sha256: str,
        known: Sequence[Review],
    ) -> None:
        codes = [reason.code for reason in self.settings(part.line).reasons]
        try:
            if sha256 and sha256 != part.sha256:
                raise DecisionConflict(f"part {part.id} is another one now. Nothing was recorded.")
            if review.reason and review.reason not in codes:
                raise InvalidOption(
                    f"expected a reason of line {part.line} ({', '.join(codes)}), found "
                    f"{review.reason!r}. The decision was not recorded."
                )
            check_subject(part, review, undoes, known)
            permit(actor, part, review, known)
        except (DecisionConflict, InvalidOption, NotAllowed) as error:
            raise self._refused(actor, part, review, error) from None

    def _refused(
        self, actor: Actor, part: StoredInspection, review: Review, error: CdmInspectError
    ) -> CdmInspectError:
        """The same error, once the attempt is in the record."""
        self.store.record_event(
            Event(
                action=REFUSED,
                who=actor.name,
                role=actor.role.value,
                line=part.line,
                inspection_id=part.id,
                reason=str(error),
                facts={
                    "decision": review.decision.value,
                    "purpose": review.purpose.value,
                    # Not everybody who is refused has tried what they may not.
                    "kind": type(error).__name__,
                },
            )
        )
        return error

    def _leave_open(self, part: StoredInspection, second: Review) -> StoredInspection:
        """Two do not agree: a third settles it, unless somebody has done so meanwhile.

        Nobody has said that they are unsure: the entry is the program's, and names no one.
        """
        if part.decision not in JUDGED or second.version is None:
            return part
        review = Review(
            # Follows from the second opinion, so that one that is sent again leaves one entry.
            client_id=uuid.uuid5(uuid.NAMESPACE_OID, second.client_id).hex,
            inspection_id=part.id,
            decision=Decision.UNSURE,
            reviewer="",
            version=second.version + 1,
            purpose=Purpose.DISAGREEMENT,
        )
        if part.version != review.version:
            return part
        try:
            stored = self.store.record_review(review)
        except DecisionConflict:
            return part
        self._notify(review)
        return stored

    def _without_quarrels(
        self, actor: Actor, parts: Sequence[StoredInspection]
    ) -> Sequence[StoredInspection]:
        """Without those on which this person and another do not agree."""
        # Two opinions and the entry of the program: of most parts nothing has to be read.
        return [
            part
            for part in parts
            if part.version < _QUARREL or actor.name not in opponents(self.store.reviews(part.id))
        ]

    def _to_audit(self, actor: Actor, line: str) -> Sequence[StoredInspection]:
        wanted = self.settings(line).audit_per_shift
        if not wanted:
            return ()
        found = self._sample.waiting(line, wanted, dt.datetime.now(dt.UTC))
        return self._without_quarrels(actor, found)

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
            found += self._without_quarrels(actor, page)
            query = replace(query, after_id=page[-1].id)
        return found
