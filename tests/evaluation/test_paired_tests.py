import numpy as np
import pytest
from scipy.stats import binom
from sklearn.metrics import roc_auc_score

from cdm_inspect.evaluation.paired_tests import compare_auroc, compare_errors, paired_interval


def errors(both, only_ours, only_theirs, neither):
    kinds = [(True, True)] * both + [(True, False)] * only_ours
    kinds += [(False, True)] * only_theirs + [(False, False)] * neither
    return np.array(kinds, bool).T


def test_only_parts_that_they_disagree_on_tell_them_apart():
    found = compare_errors(*errors(10, 9, 1, 80))
    assert (found.only_ours, found.only_theirs, found.parts) == (9, 1, 100)
    assert (found.ours, found.theirs) == (0.19, 0.11)
    assert found.difference == pytest.approx(0.08)
    # Exact: 2 P(X >= 9) for X ~ Binomial(10, 1/2).
    assert found.p_value == pytest.approx(2 * binom.sf(8, 10, 0.5))
    assert compare_errors(*errors(50, 9, 1, 40)).p_value == found.p_value
    assert 0 < found.low < found.difference < found.high < 0.2


def test_equal_ways_are_equal_but_not_certainly():
    found = compare_errors(*errors(0, 0, 0, 50))
    assert (found.difference, found.p_value) == (0, 1)
    # Without a single error, the bound is that of Wilson: z^2 / (n + z^2).
    assert found.high == pytest.approx(1.96**2 / (50 + 1.96**2), abs=1e-4)
    assert found.low == pytest.approx(-found.high)
    assert found.is_no_worse(0.08)
    assert not found.is_no_worse(0.05)


def test_the_interval_turns_with_its_sides():
    low, high = paired_interval(7, 2, 60)
    assert paired_interval(2, 7, 60) == pytest.approx((-high, -low))
    assert paired_interval(60, 0, 60)[1] == pytest.approx(1.0)


@pytest.mark.parametrize(("parts", "least"), [(40, 0.91), (150, 0.94)])
@pytest.mark.parametrize("shares", [(0.05, 0.05), (0.15, 0.05), (0.02, 0.2)])
def test_the_interval_covers_the_true_difference(parts, least, shares):
    """It is approximate: where few parts differ, and nearly all one way, it is a little short."""
    random = np.random.default_rng(0)
    draws = random.multinomial(parts, [*shares, 1 - sum(shares)], size=1500)
    cache = {}
    covered = 0
    for ours, theirs, _ in draws:
        key = (int(ours), int(theirs))
        if key not in cache:
            cache[key] = paired_interval(*key, parts)
        low, high = cache[key]
        covered += low <= shares[0] - shares[1] <= high
    assert covered / 1500 > least


def scores(seed, shared, gaps, n=60):
    """Two scorers that see partly the same."""
    random = np.random.default_rng(seed)
    labels = np.arange(2 * n) < n
    common = random.normal(size=2 * n)
    both = [
        shared * common + np.sqrt(1 - shared**2) * random.normal(size=2 * n) + gap * labels
        for gap in gaps
    ]
    return both[0], both[1], labels


def test_areas_are_those_of_scikit_learn_with_ties():
    ours, theirs, labels = scores(0, 0.5, (1.0, 0.6))
    ours = np.round(ours)
    found = compare_auroc(ours, theirs, labels)
    assert found.ours == pytest.approx(roc_auc_score(labels, ours))
    assert found.theirs == pytest.approx(roc_auc_score(labels, theirs))
    assert found.difference == pytest.approx(found.ours - found.theirs)


def test_equal_scorers_are_told_apart_as_rarely_as_the_test_says():
    """And the test pairs: for scorers that see the same, unpaired intervals would be far wider."""
    rejected, widths = 0, []
    for seed in range(600):
        found = compare_auroc(*scores(seed, 0.9, (1.0, 1.0)))
        rejected += found.p_value < 0.05
        widths.append(found.high - found.low)
    assert 0.03 < rejected / 600 < 0.075
    unpaired = compare_auroc(*scores(0, 0.0, (1.0, 1.0)))
    assert np.mean(widths) < 0.5 * (unpaired.high - unpaired.low)


def test_a_better_scorer_is_found():
    found = compare_auroc(*scores(1, 0.9, (1.6, 0.6)))
    assert found.low > 0
    assert found.p_value < 0.001


def test_where_both_are_right_about_all_pairs_nothing_can_be_said():
    ours, _, labels = scores(2, 0.5, (1.0, 1.0))
    for pair in ((ours, ours), (ours + 50 * labels, 2 * ours + 90 * labels)):
        found = compare_auroc(*pair, labels)
        assert found.difference == 0
        assert (found.low, found.high, found.p_value) == (None, None, None)
