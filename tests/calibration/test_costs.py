import math
from dataclasses import replace

import numpy as np
import pytest

from cdm_inspect.calibration.costs import Costs, ScoreSample, choose_band, cost_of, doubts
from cdm_inspect.errors import CalibrationError

COSTS = Costs(escape=100.0, false_reject=2.0, review=0.1, defect_share=0.02)


def simulated(seed, good=60, bad=40, gap=2.0, ties=False):
    random = np.random.default_rng(seed)
    scores = random.normal(size=good), random.normal(gap, 1.5, size=bad)
    if ties:
        scores = tuple(np.round(s, 1) for s in scores)
    return ScoreSample.of(scores[0]), ScoreSample.of(scores[1])


def counted(sample, is_wrong):
    """(1 + weight on the wrong side) / (n + 1), by counting parts one by one."""
    share = sum(w for s, w in zip(sample.scores, sample.weights, strict=True) if is_wrong(s)) / sum(
        sample.weights
    )
    size = sum(sample.weights) ** 2 / sum(w * w for w in sample.weights)
    return (share * size + 1) / (size + 1)


def brute_force(good, bad, costs):
    """The lowest cost of any pair of thresholds, each a score or above all; one pair at a time."""
    highest = max(*good.scores, *bad.scores)
    cuts = [*sorted({*good.scores, *bad.scores}), math.nextafter(highest, math.inf), math.inf]
    best = math.inf
    missed = {c: counted(bad, lambda s, c=c: s < c) for c in cuts}
    false = {c: counted(good, lambda s, c=c: s >= c) for c in cuts}
    false[math.inf] = 0.0
    share = costs.defect_share
    for place, low in enumerate(cuts[:-1]):
        for high in cuts[place:]:
            reviewed = (1 - share) * (false[low] - false[high]) + share * (
                missed[high] - missed[low]
            )
            if reviewed > costs.review_share + 1e-12:
                continue
            cost = (
                share * costs.escape * missed[low]
                + costs.review * reviewed
                + (1 - share) * costs.false_reject * false[high]
            )
            best = min(best, cost)
    return best


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"review": 0.0},
        {"review": 10.0},
        {"escape": 1.0},
        {"defect_share": 0.3},
        {"review_share": 0.05},
        {"review_share": 0.0},
    ],
)
def test_the_best_band_is_that_of_brute_force(seed, changes):
    costs = replace(COSTS, **changes)
    good, bad = simulated(seed, gap=0.5 * seed, ties=seed % 2 == 1)
    band = choose_band(good, bad, costs)
    assert band.cost == pytest.approx(brute_force(good, bad, costs), abs=1e-12)
    assert band.review <= band.reject
    assert band.review_rate <= costs.review_share + 1e-9
    again = cost_of(good, bad, costs, band.review, band.reject)
    assert again.cost == pytest.approx(band.cost)


def test_weights_stand_for_parts():
    """A part that counts threefold is three parts."""
    good, bad = simulated(1)
    doubled = ScoreSample.of(np.repeat(bad.scores, 3))
    weighted = ScoreSample.of(bad.scores, np.full(len(bad.scores), 3.0))
    cuts = np.linspace(-2, 5, 20)
    assert weighted.share_below(cuts) == pytest.approx(doubled.share_below(cuts))
    # Though three copies of a part are not three looks at the line.
    assert weighted.size == pytest.approx(40)
    assert doubled.size == pytest.approx(120)
    uneven = ScoreSample.of([0.0, 1.0], [1.0, 9.0])
    assert uneven.size == pytest.approx(100 / 82)
    assert choose_band(good, weighted, COSTS).cost == pytest.approx(
        brute_force(good, weighted, COSTS)
    )


def test_dear_escapes_lower_the_threshold_and_dear_false_rejects_raise_it():
    good, bad = simulated(0)
    usual = replace(COSTS, escape=10.0)
    plain = choose_band(good, bad, usual)
    assert choose_band(good, bad, replace(usual, escape=100.0)).review < plain.review
    cheap = choose_band(good, bad, replace(usual, false_reject=0.15))
    assert math.isfinite(cheap.reject)
    assert cheap.false_reject_rate > 0
    # So few good parts never allow to reject one unseen where that is dear.
    dear = choose_band(good, bad, replace(usual, false_reject=50.0))
    assert dear.reject == math.inf
    assert dear.false_reject_rate == 0
    assert choose_band(good, bad, replace(usual, defect_share=1e-5)).review > plain.review


def test_little_time_narrows_the_band_and_is_told():
    good, bad = simulated(0)
    free = choose_band(good, bad, COSTS)
    tight = choose_band(good, bad, replace(COSTS, review_share=free.review_rate / 3))
    assert not free.is_limited
    assert tight.is_limited
    assert tight.review_rate <= free.review_rate / 3
    assert tight.cost > free.cost


def test_a_cost_off_by_two_moves_the_answer_and_costs_little():
    good, bad = simulated(0, good=400, bad=400)
    costs = replace(COSTS, escape=10.0, false_reject=0.3)
    chosen = choose_band(good, bad, costs)
    found = doubts(good, bad, costs, chosen)
    assert [(d.name, d.factor) for d in found] == [
        (name, factor)
        for name in ("escape", "false_reject", "review", "defect_share")
        for factor in (0.5, 2.0)
    ]
    for doubt in found:
        moved = replace(costs, **{doubt.name: getattr(costs, doubt.name) * doubt.factor})
        kept = cost_of(good, bad, moved, chosen.review, chosen.reject)
        assert doubt.band.cost == pytest.approx(choose_band(good, bad, moved).cost)
        assert doubt.regret == pytest.approx(kept.cost / doubt.band.cost - 1)
        assert 0 <= doubt.regret < 1
    assert max(doubt.regret for doubt in found) > 0


def test_many_scores_are_thinned_and_nearly_as_good():
    good, bad = simulated(3, good=5000, bad=3000)
    costs = replace(COSTS, review_share=0.2)
    thinned = choose_band(good, bad, costs)
    grid = np.quantile(np.concatenate([good.scores, bad.scores]), np.linspace(0, 1, 200))
    coarse = min(
        cost_of(good, bad, costs, low, high).cost
        for place, low in enumerate(grid)
        for high in grid[place::7]
        if cost_of(good, bad, costs, low, high).review_rate <= 0.2
    )
    assert thinned.cost <= coarse * 1.0001


def test_without_defects_there_is_no_choice():
    with pytest.raises(CalibrationError, match="60 and 0"):
        choose_band(simulated(0)[0], ScoreSample.of([]), COSTS)


def test_what_lies_between_good_parts_and_defects_is_flagged_and_shown():
    """Nothing was seen there, so that every threshold in the gap costs the same."""
    good, bad = ScoreSample.of(np.linspace(-2, 2, 60)), ScoreSample.of(np.linspace(58, 65, 84))
    band = choose_band(good, bad, COSTS)
    assert band.review == np.nextafter(2.0, 3.0)
    assert band.reject >= 58
    assert band.cost == pytest.approx(brute_force(good, bad, COSTS))
    alone = choose_band(good, bad, replace(COSTS, review_share=0.0))
    assert alone.review == alone.reject


@pytest.mark.parametrize("share", [1e-9, 3e-5])
def test_something_is_always_flagged(share):
    """Where defects are so rare that passing everything is cheapest, that is no inspection."""
    good, bad = simulated(0, gap=50.0)
    assert math.isfinite(choose_band(good, bad, replace(COSTS, defect_share=share)).review)


def test_a_stand_in_counts_as_little_as_it_is_worth():
    """Of ten parts' worth of defects a tenth may still pass, however well they are said apart."""
    good, _ = simulated(0)
    many = ScoreSample.of(np.full(84, 60.0) + np.arange(84), size=10.0)
    assert choose_band(good, many, COSTS).escape_rate == pytest.approx(1 / 11)
