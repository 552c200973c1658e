"""Statistics of a line within a time: counts, rates with intervals, charts, people. Without torch.

Parts are counted from the hourly counts that the store keeps; decisions are read, and of the parts
themselves a random sample. So the time this takes goes with the decisions in the window, not with
the parts in the store.
"""

from __future__ import annotations

import datetime as dt
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np

from cdm_inspect.calibration.guarantees import rate_interval
from cdm_inspect.config.review import ReviewConfig
from cdm_inspect.config.shifts import Shift, shifts_between
from cdm_inspect.encoding import as_json
from cdm_inspect.errors import InvalidOption
from cdm_inspect.monitoring.agreement import LineAgreement, summarise_agreement
from cdm_inspect.monitoring.decisions import LineDecisions, Reviewed, read_decisions
from cdm_inspect.monitoring.escapes import EscapeEstimate, Stratum, estimate_escapes
from cdm_inspect.monitoring.p_chart import PChart, p_chart
from cdm_inspect.monitoring.score_sample import HOUR, ScoreHistogram, bin_scores, draw_parts
from cdm_inspect.plugins import VerdictStore
from cdm_inspect.records import (
    JUDGED,
    Decision,
    HourlyCount,
    InspectionQuery,
    JsonObject,
    Order,
    Review,
    StoredInspection,
    Verdict,
    hour_of,
)

HASTY_MS = 300
"""Who decides sooner has hardly looked."""

_BY_SHIFT = dt.timedelta(days=3)
_QUEUED = 1000


@dataclass(frozen=True, kw_only=True)
class Counts:
    """How many parts of each kind were inspected.

    Attributes:
        inspected: all of them, also those whose records have been deleted since.
        flagged: parts that did not pass.
        by_decision: flagged parts by the decision that stands.
        waiting: flagged parts that nobody has decided.
        passed_decided: passed parts that somebody has decided.
    """

    inspected: int
    by_verdict: Mapping[Verdict, int]
    flagged: int
    by_decision: Mapping[Decision, int]
    waiting: int
    passed_decided: int


@dataclass(frozen=True, kw_only=True)
class Rate:
    """A share with its exact 95 % interval (Clopper and Pearson 1934).

    Attributes:
        k: parts that count.
        n: of so many.
        rate: k / n; None without parts, like the ends of its interval.
    """

    k: int
    n: int
    rate: float | None
    lower: float | None
    upper: float | None

    @classmethod
    def of(cls, k: int, n: int) -> Self:
        """From counts."""
        if n == 0:
            return cls(k=k, n=n, rate=None, lower=None, upper=None)
        lower, upper = rate_interval(k, n)
        return cls(k=k, n=n, rate=k / n, lower=lower, upper=upper)


@dataclass(frozen=True, kw_only=True)
class ReasonCount:
    """A reason of rejects that stand.

    Attributes:
        code: from the line's list; empty where none was given.
        count: parts, most frequent reason first.
        cumulative: share of this and all more frequent reasons.
    """

    code: str
    count: int
    cumulative: float


@dataclass(frozen=True, kw_only=True)
class ReviewerFigures:
    """How somebody judged.

    Attributes:
        reviewer: the name; empty where all are meant.
        parts: that they decided or gave a second opinion on.
        timed: decisions of which is known how long the part was shown.
        median_ms: for which it was shown; None where no decision is timed, like the next two.
        p90_ms: 90th percentile.
        hasty_share: of timed decisions, those within less than 300 ms.
    """

    reviewer: str
    parts: int
    timed: int
    median_ms: float | None
    p90_ms: float | None
    hasty_share: float | None


@dataclass(frozen=True, kw_only=True)
class QueueAge:
    """What waits for a decision now, whenever it was inspected.

    Attributes:
        waiting: parts.
        oldest_seconds: since the oldest was inspected; None where nothing waits.
        median_seconds: of at most 1,000 of them, drawn at random.
    """

    waiting: int
    oldest_seconds: float | None
    median_seconds: float | None


@dataclass(frozen=True, kw_only=True)
class JudgingVersion:
    """With what parts were judged.

    Attributes:
        model: its id; empty where no record tells it any more.
        threshold: parts are flagged from it on; None where no record tells it.
        parts: that it judged.
    """

    model: str
    calibration: str
    threshold: float | None
    parts: int


@dataclass(frozen=True, kw_only=True)
class Escalation:
    """A part that is left open, and by what: a person is unsure, or two do not agree."""

    part: StoredInspection
    review: Review


@dataclass(frozen=True, kw_only=True)
class LineStatistics:
    """What can be said of a line within a time.

    Attributes:
        since: beginning of the time; parts count by when they were inspected.
        until: end of the time.
        at: when this was counted.
        counts: of parts.
        flag_rate: flagged of inspected parts.
        false_reject_rate: accepted of flagged parts that people accepted or rejected.
        flag_chart: flag rate by hour, or by shift where the time is longer than three days.
        false_reject_chart: false-reject rate, likewise, by when the part was inspected.
        escapes: among passed parts.
        reasons: of rejects that stand.
        histogram: of scores.
        judging: how long parts were looked at, by all; of decisions made within the time.
        reviewers: the same of each, by name.
        queue: that waits now.
        agreement: of second opinions that were given within the time.
        escalations: parts that are left open, oldest decision first.
        versions: that judged.
    """

    line: str
    since: dt.datetime
    until: dt.datetime
    at: dt.datetime
    counts: Counts
    flag_rate: Rate
    false_reject_rate: Rate
    flag_chart: PChart
    false_reject_chart: PChart
    escapes: EscapeEstimate
    reasons: tuple[ReasonCount, ...]
    histogram: ScoreHistogram
    judging: ReviewerFigures
    reviewers: tuple[ReviewerFigures, ...]
    queue: QueueAge
    agreement: LineAgreement
    escalations: tuple[Escalation, ...]
    versions: tuple[JudgingVersion, ...]

    def to_json(self) -> JsonObject:
        """A JSON object; times in ISO 8601."""
        plain: JsonObject = as_json(_with_text_for_times(asdict(self)))
        return plain


def summarise_line(
    store: VerdictStore, line: str, *, since: dt.datetime, until: dt.datetime, config: ReviewConfig
) -> LineStatistics:
    """Count, estimate and chart what happened on a line.

    Charts and the weights of audited parts go by whole hours (UTC): an hour in which shifts change
    belongs to the shift in which it begins. The counts are exact whatever the ends of the window.

    Args:
        since: beginning of the window, aware.
        until: its end, aware; that moment is no longer part of it.
        config: with the shifts of the plant.

    Raises:
        InvalidOption: if the window is empty, or a time has no zone.
    """
    if since.tzinfo is None or until.tzinfo is None or since >= until:
        raise InvalidOption(
            "expected two times with a zone, the first before the second, found "
            f"{since.isoformat()} and {until.isoformat()}."
        )
    since, until = since.astimezone(dt.UTC), until.astimezone(dt.UTC)
    cells = _read_cells(store, line, since, until)
    counts = _count(cells)
    decided = sum(cell.parts for cell in cells if cell.decision is not None)
    decisions = read_decisions(store, line, since=since, until=until, expected=decided)
    sample = draw_parts(store, line, cells, until)
    shifts = shifts_between(since, until, config)
    judged = [counts.by_decision[decision] for decision in JUDGED]
    flag_chart, false_reject_chart = _charts(cells, shifts, is_by_shift=until - since > _BY_SHIFT)
    standing = sorted(decisions.standing.values(), key=lambda pair: pair[1].decided_at)
    reviewers = _reviewers(decisions.made)
    return LineStatistics(
        line=line,
        since=since,
        until=until,
        at=dt.datetime.now(dt.UTC),
        counts=counts,
        flag_rate=Rate.of(counts.flagged, counts.inspected),
        false_reject_rate=Rate.of(judged[0], sum(judged)),
        flag_chart=flag_chart,
        false_reject_chart=false_reject_chart,
        escapes=estimate_escapes(_strata(cells, decisions, shifts, since)),
        reasons=_pareto(review for _, review in standing),
        histogram=bin_scores(sample, counts.inspected),
        judging=_figures("", decisions.made),
        reviewers=reviewers,
        queue=_queue(store, line),
        agreement=summarise_agreement(decisions.opinions),
        escalations=tuple(
            Escalation(part=part, review=review)
            for part, review in standing
            if review.decision is Decision.UNSURE
        ),
        versions=_versions(store, line, cells, [*sample, *(part for part, _ in standing)]),
    )


def _read_cells(
    store: VerdictStore, line: str, since: dt.datetime, until: dt.datetime
) -> Sequence[HourlyCount]:
    """Hourly counts; of the hours that the ends of the window cut, only what lies within."""
    cells = []
    first = hour_of(since)
    for cell in store.hourly(line, since=first, until=until):
        begin, end = max(cell.hour, since), min(cell.hour + HOUR, until)
        if end - begin < HOUR:
            query = InspectionQuery(
                line=line,
                verdicts=(cell.verdict,),
                decision=cell.decision,
                is_decided=cell.decision is not None,
                calibration=cell.calibration,
                since=begin,
                until=end,
            )
            cell = replace(cell, hour=begin, parts=store.count(query))
        if cell.parts:
            cells.append(cell)
    return cells


def _count(cells: Iterable[HourlyCount]) -> Counts:
    verdicts: Counter[Verdict] = Counter()
    flagged: Counter[Decision | None] = Counter()
    passed_decided = 0
    for cell in cells:
        verdicts[cell.verdict] += cell.parts
        if cell.verdict is not Verdict.PASS:
            flagged[cell.decision] += cell.parts
        elif cell.decision is not None:
            passed_decided += cell.parts
    return Counts(
        inspected=verdicts.total(),
        by_verdict={verdict: verdicts[verdict] for verdict in Verdict},
        flagged=flagged.total(),
        by_decision={
            decision: flagged[decision] for decision in Decision if decision is not Decision.UNDO
        },
        waiting=flagged[None],
        passed_decided=passed_decided,
    )


def _charts(
    cells: Iterable[HourlyCount], shifts: Sequence[Shift], *, is_by_shift: bool
) -> tuple[PChart, PChart]:
    flagged: dict[dt.datetime, list[int]] = defaultdict(lambda: [0, 0])
    accepted: dict[dt.datetime, list[int]] = defaultdict(lambda: [0, 0])
    for cell in cells:
        since = _shift_of(cell.hour, shifts).since if is_by_shift else cell.hour
        is_flagged = cell.verdict is not Verdict.PASS
        flagged[since][0] += cell.parts
        flagged[since][1] += cell.parts * is_flagged
        if is_flagged and cell.decision in JUDGED:
            accepted[since][0] += cell.parts
            accepted[since][1] += cell.parts * (cell.decision is Decision.ACCEPT)
    unit = "shift" if is_by_shift else "hour"
    first, second = (
        p_chart(((since, n, k) for since, (n, k) in counts.items()), unit=unit)
        for counts in (flagged, accepted)
    )
    return first, second


def _strata(
    cells: Iterable[HourlyCount],
    decisions: LineDecisions,
    shifts: Sequence[Shift],
    since: dt.datetime,
) -> list[Stratum]:
    passed: Counter[str] = Counter()
    audited: Counter[str] = Counter()
    escapes: Counter[str] = Counter()
    for cell in cells:
        if cell.verdict is Verdict.PASS:
            passed[_shift_of(cell.hour, shifts).name] += cell.parts
    for part, review in decisions.audits:
        # The oddest are those that people are unsure of; until it is settled each is an escape.
        if review.decision in (*JUDGED, Decision.UNSURE):
            hour = hour_of(part.inspected_at)
            name = _shift_of(max(hour, since), shifts).name
            audited[name] += 1
            escapes[name] += review.decision is not Decision.ACCEPT
    return [
        Stratum(
            name=shift.name,
            passed=passed[shift.name],
            audited=audited[shift.name],
            escapes=escapes[shift.name],
        )
        for shift in shifts
    ]


def _shift_of(moment: dt.datetime, shifts: Sequence[Shift]) -> Shift:
    return shifts[bisect_right(shifts, moment, key=lambda shift: shift.since) - 1]


def _pareto(reviews: Iterable[Review]) -> tuple[ReasonCount, ...]:
    counts = Counter(review.reason for review in reviews if review.decision is Decision.REJECT)
    found, so_far = [], 0
    for code, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        so_far += count
        found.append(ReasonCount(code=code, count=count, cumulative=so_far / counts.total()))
    return tuple(found)


def _reviewers(made: Iterable[Reviewed]) -> tuple[ReviewerFigures, ...]:
    by_name: dict[str, list[Reviewed]] = defaultdict(list)
    for part, review in made:
        by_name[review.reviewer].append((part, review))
    return tuple(_figures(name, reviewed) for name, reviewed in sorted(by_name.items()))


def _figures(name: str, reviewed: Sequence[Reviewed]) -> ReviewerFigures:
    seen = [review.seen_ms for _, review in reviewed if review.seen_ms is not None]
    return ReviewerFigures(
        reviewer=name,
        parts=len({part.id for part, _ in reviewed}),
        timed=len(seen),
        median_ms=float(np.median(seen)) if seen else None,
        p90_ms=float(np.quantile(seen, 0.9)) if seen else None,
        hasty_share=float(np.mean(np.array(seen) < HASTY_MS)) if seen else None,
    )


def _queue(store: VerdictStore, line: str) -> QueueAge:
    query = InspectionQuery(line=line, is_waiting=True, limit=1)
    oldest = store.find(query)
    drawn = store.find(replace(query, order=Order.RANDOM, limit=_QUEUED))
    now = dt.datetime.now(dt.UTC)
    ages = [(now - part.inspected_at).total_seconds() for part in drawn]
    return QueueAge(
        waiting=store.count(query),
        oldest_seconds=(now - oldest[0].inspected_at).total_seconds() if oldest else None,
        median_seconds=float(np.median(ages)) if ages else None,
    )


def _versions(
    store: VerdictStore,
    line: str,
    cells: Iterable[HourlyCount],
    parts: Iterable[StoredInspection],
) -> tuple[JudgingVersion, ...]:
    known: dict[str, StoredInspection] = {}
    for part in parts:
        if part.calibration not in known or known[part.calibration].threshold is None:
            known[part.calibration] = part
    counts: Counter[str] = Counter()
    latest: dict[str, dt.datetime] = {}
    for cell in cells:
        counts[cell.calibration] += cell.parts
        latest[cell.calibration] = cell.hour
    for calibration in counts.keys() - known.keys():
        query = InspectionQuery(
            line=line,
            calibration=calibration,
            since=latest[calibration],
            until=latest[calibration] + HOUR,
            limit=1,
        )
        known.update((part.calibration, part) for part in store.find(query))
    return tuple(
        JudgingVersion(
            model=known[calibration].model if calibration in known else "",
            calibration=calibration,
            threshold=known[calibration].threshold if calibration in known else None,
            parts=count,
        )
        for calibration, count in counts.most_common()
    )


def _with_text_for_times(value: Any) -> Any:
    if isinstance(value, dt.datetime):
        return value.isoformat()
    if isinstance(value, dict):
        return {key: _with_text_for_times(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_with_text_for_times(item) for item in value]
    return value
