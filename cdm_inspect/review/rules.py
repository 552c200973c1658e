"""Who may say what of a part, and what a decision must be about to count."""

from __future__ import annotations

from collections.abc import Sequence

from cdm_inspect.errors import DecisionConflict, NotAllowed
from cdm_inspect.records import (
    JUDGED,
    Decision,
    Purpose,
    Review,
    StoredInspection,
    Verdict,
    standing_review,
)
from cdm_inspect.roles import Actor, Right


def check_subject(
    part: StoredInspection, review: Review, undoes: str, known: Sequence[Review]
) -> None:
    """See that a decision is about what stands.

    The version alone does not tell: whoever takes back a decision of theirs, or decides once more
    after that, can only guess it.

    Args:
        undoes: client id of the decision that is taken back; empty takes back any.
        known: decisions on the part, oldest first.

    Raises:
        DecisionConflict: if another decision stands.
    """
    standing = standing_review(known)
    said = part.decision.value if part.decision else "that nobody decides yet"
    happened = (
        f"{part.reviewer or 'somebody'} has decided part {part.id} since it was shown: {said}"
    )
    if standing is not None and standing.purpose is Purpose.DISAGREEMENT:
        happened = f"part {part.id} was left open since it was shown: two people do not agree on it"
    conflict = DecisionConflict(f"{happened}. Look at it again; your decision was not recorded.")
    if review.version is not None and review.version != part.version:
        return  # the store refuses it, and tells the audit
    if review.decision is Decision.UNDO:
        if undoes and (standing is None or standing.client_id != undoes):
            raise conflict
    elif review.purpose in (Purpose.QUEUE, Purpose.AUDIT) and part.decision is not None:
        raise conflict


def permit(
    actor: Actor, part: StoredInspection, review: Review, known: Sequence[Review] = ()
) -> None:
    """Go on only if the person may say this of this part.

    Args:
        actor: who decides.
        known: decisions on the part, oldest first.

    Raises:
        NotAllowed: if not.
    """
    if review.purpose is Purpose.DISAGREEMENT:
        raise NotAllowed("only the program says that two do not agree. Nothing was recorded.")
    if review.version is not None and review.version < part.version:
        # The store is certain to refuse it, as a conflict: of what has become of the part
        # meanwhile, nobody has tried anything.
        actor.require(Right.DECIDE)
        return
    if actor.name in opponents(known):
        raise NotAllowed(
            f"{actor.name} is one of the two who do not agree on part {part.id}; somebody else "
            "settles it. Nothing was recorded."
        )
    standing = standing_review(known)
    is_open = standing is not None and standing.purpose is Purpose.DISAGREEMENT
    if is_open and review.decision is Decision.UNDO:
        raise NotAllowed(
            f"nobody has decided part {part.id} for now, so that nothing can be taken back: two "
            "people do not agree on it. Settle it instead. Nothing was recorded."
        )
    if review.purpose is Purpose.SECOND:
        if part.reviewer == actor.name:
            raise NotAllowed(
                f"{actor.name} has decided part {part.id}; a second opinion is somebody else's. "
                "Nothing was recorded."
            )
        if review.decision is Decision.UNDO or part.decision is None:
            raise NotAllowed(
                f"part {part.id} has no decision that a second opinion could be about, or one is "
                "to be taken back, which cannot be. Nothing was recorded."
            )
    actor.require(_right(actor, part, review))


def opponents(known: Sequence[Review]) -> frozenset[str]:
    """Names of the two who do not agree on a part, until somebody else has settled it.

    Taking back what settled it leaves them in disagreement; so does a third who is unsure.

    Args:
        known: decisions on the part, oldest first.
    """
    standing: list[Review] = []
    disagreements: dict[str, frozenset[str]] = {}
    second = None
    for review in known:
        if review.purpose is Purpose.SECOND:
            second = review
        elif review.decision is Decision.UNDO:
            del standing[-1:]
        else:
            if review.purpose is Purpose.DISAGREEMENT and standing and second is not None:
                two = {standing[-1].reviewer, second.reviewer}
                disagreements[review.client_id] = frozenset(two)
            standing.append(review)
    for review in reversed(standing):
        if review.purpose is Purpose.DISAGREEMENT:
            return disagreements.get(review.client_id, frozenset())
        if review.decision in JUDGED:
            break
    return frozenset()


def _right(actor: Actor, part: StoredInspection, review: Review) -> Right:
    is_own = part.reviewer == actor.name
    if review.decision is Decision.UNDO:
        return Right.DECIDE if is_own or part.decision is None else Right.SETTLE
    if review.purpose is Purpose.CORRECTION:
        # What is open waits for a third person, also where the second one has opened it.
        return Right.DECIDE if is_own and part.decision in JUDGED else Right.SETTLE
    belongs = {
        Purpose.QUEUE: part.verdict is not Verdict.PASS,
        Purpose.AUDIT: part.verdict is Verdict.PASS,
        Purpose.SECOND: True,
    }[review.purpose]
    return Right.DECIDE if belongs else Right.SETTLE
