"""What people have said of a line's parts, weighted by how each part came to be looked at.

Flagged parts are judged far more often than passed ones, and the oddest first. A judged part stands
for all inspected parts of its kind: those with the same verdict and a p-value of the same size
(post-stratification; Horvitz and Thompson 1952).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from itertools import chain

from cdm_inspect.contracts import VerdictStore
from cdm_inspect.costs import ScoreSample
from cdm_inspect.forwards import read_forwards
from cdm_inspect.records import Decision, InspectionQuery, Purpose, StoredInspection, Verdict

# Of parts that passed, strata with less than this share of all may go without judged ones.
_SMALL = 0.01
_FEWEST = 5
_JUDGED = (Decision.ACCEPT, Decision.REJECT)
# Before there were purposes, samples were judged as if from the queue.
_DRAWN = (Purpose.AUDIT, Purpose.QUEUE)

Stratum = tuple[Verdict, int]


@dataclass(frozen=True, kw_only=True)
class Unseen:
    """Parts of a kind of which too few have been judged.

    Attributes:
        verdict: of all of them.
        parts: with that verdict and like p-values.
        judged: of these.
    """

    verdict: Verdict
    parts: int
    judged: int


@dataclass(frozen=True, kw_only=True)
class ReviewedParts:
    """Judged parts of a line as two weighted samples of scores.

    Attributes:
        inspected: parts with a score.
        reviewed: those of them that a person accepted or rejected.
        good: scores of accepted parts.
        defective: scores of rejected parts.
        defect_share: of all inspected parts, estimated.
        size: how many parts drawn at random the judged ones are worth.
        lacking: why they cannot stand for all; empty where they can.
        unseen: the same as figures; None where they can.
    """

    inspected: int
    reviewed: int
    good: ScoreSample
    defective: ScoreSample
    defect_share: float
    size: float
    lacking: str
    unseen: Unseen | None = None

    @property
    def is_usable(self) -> bool:
        """Whether the judged parts can stand for all."""
        return not self.lacking


def collect_reviewed(
    store: VerdictStore, line: str, calibrations: Collection[str]
) -> ReviewedParts:
    """Read the scores and decisions of a line.

    Args:
        store: opened.
        line: whose parts.
        calibrations: those under which a score means the same.
    """
    # A complaint, or a part that somebody came back to, stands for no other that passed.
    drawn = {part.id for part, review in store.decisions(line) if review.purpose in _DRAWN}
    # A part that was inspected under several of them counts once, by its decision if there is one.
    parts_by_image: dict[str, StoredInspection] = {}
    for part in chain.from_iterable(read_forwards(store, InspectionQuery(line=line))):
        if part.calibration in calibrations and part.score is not None and part.p_value is not None:
            known = parts_by_image.get(part.sha256)
            if known is None or known.decision not in _JUDGED:
                parts_by_image[part.sha256] = part
    strata: dict[Stratum, list[StoredInspection]] = defaultdict(list)
    for part in parts_by_image.values():
        assert part.p_value is not None
        strata[part.verdict, math.floor(2 * math.log10(part.p_value))].append(part)
    inspected = len(parts_by_image)
    scores: dict[Decision, list[float]] = {decision: [] for decision in _JUDGED}
    weights: dict[Decision, list[float]] = {decision: [] for decision in _JUDGED}
    lacking, unseen = "", None
    for (verdict, _), parts in strata.items():
        judged = [
            part
            for part in parts
            if part.decision in _JUDGED and (verdict is not Verdict.PASS or part.id in drawn)
        ]
        # Few parts are flagged, but that is where the defects are.
        counts = verdict is not Verdict.PASS or len(parts) > _SMALL * inspected
        if counts and len(judged) < min(_FEWEST, len(parts)):
            unseen = Unseen(verdict=verdict, parts=len(parts), judged=len(judged))
            lacking = (
                f"of {len(parts)} parts with the verdict {verdict.value!r} and like p-values only "
                f"{len(judged)} have been judged. Have people judge a few of each kind, of those "
                "that passed as well"
            )
        for part in judged:
            assert part.decision is not None
            assert part.score is not None
            scores[part.decision].append(part.score)
            weights[part.decision].append(len(parts) / len(judged))
    everything = ScoreSample.of(
        [score for decision in _JUDGED for score in scores[decision]],
        [weight for decision in _JUDGED for weight in weights[decision]],
    )
    total = float(everything.weights.sum())
    return ReviewedParts(
        inspected=inspected,
        reviewed=len(everything.scores),
        good=ScoreSample.of(scores[Decision.ACCEPT], weights[Decision.ACCEPT]),
        defective=ScoreSample.of(scores[Decision.REJECT], weights[Decision.REJECT]),
        defect_share=sum(weights[Decision.REJECT]) / total if total else 0.0,
        size=everything.size,
        lacking=lacking,
        unseen=unseen,
    )
