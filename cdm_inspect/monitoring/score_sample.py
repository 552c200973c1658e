"""Some parts of a line, drawn at random, and how their scores lie about the threshold."""

from __future__ import annotations

import datetime as dt
import math
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cdm_inspect.plugins import VerdictStore
from cdm_inspect.records import (
    Decision,
    HourlyCount,
    InspectionQuery,
    Order,
    StoredInspection,
    Verdict,
)

SAMPLE = 2000
BINS = 30
HOUR = dt.timedelta(hours=1)
# The store sorts so many for a draw; of more, it looks at stretches of time only.
_SORTED = 50_000
_STRETCHES = 40
_PER_STRETCH = SAMPLE // _STRETCHES
# A stretch holds some more than are drawn from it: parts that follow each other are alike.
_SPREAD = 4


@dataclass(frozen=True, kw_only=True)
class ScoreSeries:
    """Scores of one kind of parts.

    Attributes:
        model: that scored them.
        decision: of a person that stands; None where nobody has decided.
        verdict: of the machine, where nobody has decided; else None.
        counts: parts in each bin.
    """

    model: str
    decision: Decision | None
    verdict: Verdict | None
    counts: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class ScoreHistogram:
    """How scores lie about the threshold, seen on a random sample.

    Attributes:
        sampled: parts that were drawn.
        inspected: parts that they were drawn from.
        unscored: drawn parts without a score or a threshold.
        edges: of the bins, one more than there are bins; in scores over thresholds, so that 1 is
            the threshold. The outer bins hold what lies beyond them as well.
        series: by model, decision and verdict.
    """

    sampled: int
    inspected: int
    unscored: int
    edges: tuple[float, ...]
    series: tuple[ScoreSeries, ...]


def draw_parts(
    store: VerdictStore, line: str, cells: Sequence[HourlyCount], until: dt.datetime
) -> Sequence[StoredInspection]:
    """Draw at most `SAMPLE` parts at random; the same while nothing is added.

    Of more than 50,000 parts, hours are drawn first, each as often as is its share of the parts,
    and within an hour a stretch of time. So no draw has to look at all parts.

    Args:
        cells: counts of the parts to draw from, by hour.
        until: end of the time that they are of.
    """
    parts: Counter[dt.datetime] = Counter()
    for cell in cells:
        parts[cell.hour] += cell.parts
    if not parts:
        return []
    query = InspectionQuery(line=line, order=Order.RANDOM, limit=SAMPLE)
    if parts.total() <= _SORTED:
        return store.find(replace(query, since=min(parts), until=until))
    draw = random.Random(0)  # noqa: S311 - statistics
    hours = sorted(parts)
    drawn = Counter(draw.choices(hours, [parts[hour] for hour in hours], k=_STRETCHES))
    found: dict[int, StoredInspection] = {}
    for hour, times in sorted(drawn.items()):
        wanted = times * _PER_STRETCH
        length = min(1.0, _SPREAD * wanted / parts[hour])
        begin = hour + draw.random() * (1 - length) * HOUR
        end = min(until, begin + length * HOUR)
        stretch = store.find(replace(query, since=begin, until=end, limit=wanted))
        found |= {part.id: part for part in stretch}
    return list(found.values())


def bin_scores(parts: Sequence[StoredInspection], inspected: int) -> ScoreHistogram:
    """Count drawn parts by score, decision or verdict, and model.

    Args:
        parts: drawn at random.
        inspected: parts that they were drawn from.
    """
    ratios: dict[tuple[str, Decision | None, Verdict | None], list[float]] = defaultdict(list)
    for part in parts:
        ratio = _ratio(part)
        if ratio is not None:
            verdict = part.verdict if part.decision is None else None
            ratios[part.model, part.decision, verdict].append(ratio)
    every = [ratio for values in ratios.values() for ratio in values]
    edges = _edges(every)
    return ScoreHistogram(
        sampled=len(parts),
        inspected=inspected,
        unscored=len(parts) - len(every),
        edges=tuple(edges),
        series=tuple(
            ScoreSeries(
                model=model,
                decision=decision,
                verdict=verdict,
                counts=tuple(
                    int(count)
                    for count in np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0]
                ),
            )
            for (model, decision, verdict), values in sorted(
                ratios.items(), key=lambda item: tuple(str(name) for name in item[0])
            )
        ),
    )


def _ratio(part: StoredInspection) -> float | None:
    """The score over its threshold; 1 is the threshold, also of one below zero."""
    if part.score is None or not part.threshold:
        return None
    ratio = 1 + (part.score - part.threshold) / abs(part.threshold)
    return ratio if math.isfinite(ratio) else None


def _edges(ratios: Iterable[float]) -> list[float]:
    values = np.array(list(ratios))
    # The threshold is always seen; a few extreme scores do not squeeze the rest into one bin.
    low, high = np.quantile(values, (0.002, 0.998)) if len(values) else (0.0, 0.0)
    return [float(edge) for edge in np.linspace(min(low, 0.9), max(high, 1.1), BINS + 1)]
