"""What people have said of a line's parts, weighted by how each part came to be looked at.

Flagged parts are judged far more often than passed ones, and the oddest first. A judged part stands
for all inspected parts of its kind: those with the same verdict and a p-value of the same size
(post-stratification; Horvitz and Thompson 1952).

Records are deleted, passed ones first, but how many parts there were by verdict and decision is
counted for ever. A record that is left stands for those of its verdict and decision that are gone.
"""

from __future__ import annotations

import datetime as dt
import math
from array import array
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cdm_inspect.calibration.costs import ScoreSample
from cdm_inspect.plugins import VerdictStore
from cdm_inspect.plugins.contracts.paging import read_forwards
from cdm_inspect.records import (
    JUDGED,
    Decision,
    InspectionQuery,
    Purpose,
    StoredInspection,
    Verdict,
)

# Of parts that passed, strata with less than this share of all may go without judged ones; and of
# any verdict this share of the records may be gone without a word.
_SMALL = 0.01
_FEWEST = 5
# So many that nobody has judged must be left where others of them are gone.
_FEWEST_LEFT = 30
# Before there were purposes, samples were judged as if from the queue.
_DRAWN = (Purpose.AUDIT, Purpose.QUEUE)
# No store is older.
_FIRST_YEAR = 2026
_WEEK = dt.timedelta(days=7)
# By how much the clock of a browser may be behind that of a station.
_CLOCKS = dt.timedelta(days=1)

Cell = tuple[str, Verdict, Decision | None]
"""Calibration, verdict, and the decision that stands."""
Stratum = tuple[Verdict, int]


class _Kind(NamedTuple):
    calibration: str
    verdict: Verdict
    decision: Decision | None
    magnitude: int  # of the p-value

    @property
    def cell(self) -> Cell:
        return self.calibration, self.verdict, self.decision

    @property
    def stratum(self) -> Stratum:
        return self.verdict, self.magnitude


class _Judged(NamedTuple):
    row: int
    id: int
    kind: _Kind
    score: float


@dataclass(frozen=True, kw_only=True)
class Unseen:
    """Parts of a kind of which too few have been judged.

    Attributes:
        verdict: of all of them.
        parts: with that verdict and like p-values.
    """

    verdict: Verdict
    parts: int
    judged: int


@dataclass(frozen=True, kw_only=True)
class ReviewedParts:
    """Judged parts of a line as two weighted samples of scores.

    Attributes:
        inspected: parts with a score, also those whose records have been deleted; without those of
            a calibration of which too few are left.
        reviewed: those of them that a person accepted or rejected, and whose record is there.
        good: scores of accepted parts.
        defective: scores of rejected parts.
        defect_share: of all inspected parts, estimated.
        size: how many parts drawn at random the judged ones are worth.
        lacking: why they cannot stand for all; empty where they can.
        unseen: the same as figures; None where they can, or where too many have been deleted.
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
        calibrations: those under which a score means the same.
    """
    # Counted first: what arrives while the records are read is in them, and counts for itself.
    counted, since = _counted(store, line, calibrations)
    records = _Records()
    if since is not None:
        query = InspectionQuery(line=line, since=since)
        for part in chain.from_iterable(read_forwards(store, query)):
            if part.calibration in calibrations:
                records.add(part)
    lacking, left_out = "", _short(counted, records.cells)
    if left_out and left_out >= {calibration for calibration, _, _ in counted}:
        lacking, left_out = _told(counted), set()
    stands = records.standing(left_out)
    sizes: dict[Stratum, float] = defaultdict(float)
    for kind, parts in records.sizes(stands).items():
        sizes[kind.stratum] += parts * _worth(kind.cell, counted, records.cells)
    # A complaint, or a part that somebody came back to, stands for no other that passed.
    drawn = _drawn(store, line, records.first_passed)
    judged: dict[Stratum, list[_Judged]] = defaultdict(list)
    for one in records.judged:
        if stands[one.row] and (one.kind.verdict is not Verdict.PASS or one.id in drawn):
            judged[one.kind.stratum].append(one)
    unseen = None if lacking else _unseen(sizes, judged)
    if unseen is not None:
        lacking = (
            f"of {unseen.parts} parts with the verdict {unseen.verdict.value!r} and like p-values "
            f"only {unseen.judged} have been judged. Have people judge a few of each kind, of "
            "those that passed as well"
        )
    scores: dict[Decision | None, list[float]] = {decision: [] for decision in JUDGED}
    weights: dict[Decision | None, list[float]] = {decision: [] for decision in JUDGED}
    for stratum, alike in judged.items():
        worth = [_worth(one.kind.cell, counted, records.cells) for one in alike]
        each = sizes[stratum] / sum(worth)
        for one, own in zip(alike, worth, strict=True):
            scores[one.kind.decision].append(one.score)
            weights[one.kind.decision].append(own * each)
    return _weighed(round(sum(sizes.values())), scores, weights, lacking, unseen)


class _Records:
    """What there is to know of the records that are left, at twelve bytes a part."""

    def __init__(self) -> None:
        self.cells: Counter[Cell] = Counter()
        self.judged: list[_Judged] = []
        self.first_passed: dt.datetime | None = None
        self._numbers: dict[_Kind, int] = {}
        self._images = array("q")
        self._kinds = array("i")

    def add(self, part: StoredInspection) -> None:
        """One more, in the order of arrival."""
        self.cells[part.calibration, part.verdict, part.decision] += 1
        if part.score is None or part.p_value is None:
            return
        magnitude = math.floor(2 * math.log10(part.p_value))
        kind = _Kind(part.calibration, part.verdict, part.decision, magnitude)
        if part.decision in JUDGED:
            self.judged.append(_Judged(len(self._kinds), part.id, kind, part.score))
            if part.verdict is Verdict.PASS:
                known = (self.first_passed, part.inspected_at, part.decided_at)
                self.first_passed = min(at for at in known if at is not None)
        self._images.append(hash(part.sha256))
        self._kinds.append(self._numbers.setdefault(kind, len(self._numbers)))

    def standing(self, left_out: Collection[str]) -> npt.NDArray[np.bool_]:
        """Of each record with a score, whether it counts.

        A part that was inspected several times counts once: by its first decision, or as it was
        inspected last.
        """
        is_judged = np.array([kind.decision in JUDGED for kind in self._numbers], bool)
        is_out = np.array([kind.calibration in left_out for kind in self._numbers], bool)
        kinds, images = np.frombuffer(self._kinds, np.int32), np.frombuffer(self._images, np.int64)
        stands = np.zeros(len(kinds), bool)
        rows = np.flatnonzero(~is_out[kinds])
        rank = np.where(is_judged[kinds[rows]], 2 * len(kinds) - rows, rows)
        order = np.lexsort((rank, images[rows]))
        own = images[rows][order]
        stands[rows[order[np.append(own[1:] != own[:-1], True)[: len(own)]]]] = True
        return stands

    def sizes(self, stands: npt.NDArray[np.bool_]) -> Mapping[_Kind, int]:
        """How many of each kind count."""
        kinds = np.frombuffer(self._kinds, np.int32)[stands]
        parts = np.bincount(kinds, minlength=len(self._numbers)).tolist()
        return dict(zip(self._numbers, parts, strict=True))


def _counted(
    store: VerdictStore, line: str, calibrations: Collection[str]
) -> tuple[Counter[Cell], dt.datetime | None]:
    """How many parts there ever were, and the hour of the first; read a year at a time."""
    found: Counter[Cell] = Counter()
    first = None
    years = range(_FIRST_YEAR, dt.datetime.now(dt.UTC).year + 1)
    for since, until in pairwise(
        [None, *(dt.datetime(y, 1, 1, tzinfo=dt.UTC) for y in years), None]
    ):
        for count in store.hourly(line, since=since, until=until):
            if count.calibration in calibrations:
                found[count.calibration, count.verdict, count.decision] += count.parts
                first = first or count.hour
    return found, first


def _worth(cell: Cell, counted: Mapping[Cell, int], left: Mapping[Cell, int]) -> float:
    """How many parts a record stands for; those that arrived since the count for themselves."""
    return max(1.0, counted[cell] / left[cell])


def _short(counted: Mapping[Cell, int], left: Mapping[Cell, int]) -> set[str]:
    """Calibrations of which too few records are left to stand for those that are gone.

    Others of the same scores may have had other thresholds, and so other parts that passed: they
    cannot stand for them.
    """
    alike: Counter[tuple[str, Verdict]] = Counter()
    missing: Counter[tuple[str, Verdict]] = Counter()
    for cell in {*counted, *left}:
        alike[cell[:2]] += counted[cell]
        missing[cell[:2]] += counted[cell] - left[cell]
    found = set()
    for cell, parts in counted.items():
        calibration, verdict, decision = cell
        # A part that was decided since the count is gone from one cell, and one more in another.
        gone = min(parts - left[cell], missing[calibration, verdict])
        needed = _FEWEST if decision in JUDGED else _FEWEST_LEFT
        # Parts that the machine does not judge may never have had a score.
        if verdict is Verdict.UNDECIDED or left[cell] >= needed:
            continue
        if gone > _SMALL * alike[calibration, verdict]:
            found.add(calibration)
    return found


def _told(counted: Mapping[Cell, int]) -> str:
    return (
        f"of {sum(counted.values())} inspected parts so many records have been deleted that those "
        "left do not tell how many there were of each kind. Keep them for longer "
        "(store.retention), and wait until there are new ones"
    )


def _unseen(
    sizes: Mapping[Stratum, float], judged: Mapping[Stratum, list[_Judged]]
) -> Unseen | None:
    """The last kind of which too few have been judged."""
    found, inspected = None, sum(sizes.values())
    for (verdict, magnitude), parts in sizes.items():
        count = len(judged.get((verdict, magnitude), ()))
        # Few parts are flagged, but that is where the defects are.
        counts = verdict is not Verdict.PASS or parts > _SMALL * inspected
        if counts and count < min(_FEWEST, round(parts)):
            found = Unseen(verdict=verdict, parts=round(parts), judged=count)
    return found


def _drawn(store: VerdictStore, line: str, first: dt.datetime | None) -> set[int]:
    """Parts that were judged because they were drawn or flagged; a week of decisions at a time."""
    found: set[int] = set()
    if first is None:
        return found
    now, since = dt.datetime.now(dt.UTC), first - _CLOCKS
    while True:
        until = since + _WEEK if since + _WEEK < now else None
        decided = store.decisions(line, since=since, until=until)
        found.update(part.id for part, review in decided if review.purpose in _DRAWN)
        if until is None:
            return found
        since = until


def _weighed(
    inspected: int,
    scores: Mapping[Decision | None, list[float]],
    weights: Mapping[Decision | None, list[float]],
    lacking: str,
    unseen: Unseen | None,
) -> ReviewedParts:
    everything = ScoreSample.of(
        [score for decision in JUDGED for score in scores[decision]],
        [weight for decision in JUDGED for weight in weights[decision]],
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
