"""The desk of people who decide: what waits for them, who may decide it, and what follows."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace

from cdm_inspect.config import ProjectConfig
from cdm_inspect.errors import CdmInspectError, DecisionConflict, InvalidOption, NotAllowed
from cdm_inspect.plugins import VerdictStore
from cdm_inspect.records import (
    JUDGED,
    Decision,
    Event,
    Purpose,
    Review,
    StoredInspection,
)
from cdm_inspect.review.marks import Marks
from cdm_inspect.review.rules import check_subject, permit
from cdm_inspect.review.similar_parts import Lookalikes
from cdm_inspect.review.work_queues import WorkQueues
from cdm_inspect.roles import Actor

REFUSED = "refused"


class ReviewDesk(WorkQueues):
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
        super().__init__(store, config or ProjectConfig())
        self._notify = notify
        self.marks = Marks(store)
        self._alike = Lookalikes(store, max_pixels=self.config.most_pixels)

    def lines(self) -> Sequence[str]:
        """Lines with inspections."""
        return self.store.lines()

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
            self.on_decision(part, review)
            self._notify(review)
        # Whoever sends a second opinion again may have been cut off before this.
        if review.purpose is Purpose.SECOND and stored.decision is not review.decision:
            stored = self._leave_open(stored, review)
        return stored

    def alike(self, part: StoredInspection, count: int = 4) -> Sequence[StoredInspection]:
        """Parts of the line that people have decided and whose oddity looks most like this one."""
        return self._alike.find(part, count)

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
