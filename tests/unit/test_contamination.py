import numpy as np
import pytest

from cdm_inspect.workflows.contamination import estimate_share, standardise


def scores(good, bad, seed, skew=0.0, distance=6.0):
    random = np.random.default_rng(seed)
    normal = random.normal(size=good)
    clean = normal if skew == 0 else np.expm1(skew * normal) / skew
    return np.concatenate([clean, distance + random.normal(size=bad)])


@pytest.mark.parametrize("skew", [0.0, 0.3, 0.6])
def test_clean_parts_are_taken_for_clean(skew):
    """However lopsided the scores of good parts are."""
    found = [estimate_share(standardise(scores(250, 0, s, skew)))[0] for s in range(30)]
    assert np.mean(found) < 0.012
    assert np.quantile(found, 0.9) < 0.03


@pytest.mark.parametrize("share", [0.02, 0.05, 0.1])
def test_the_share_of_plain_defects_comes_out_right(share):
    bad = round(250 * share)
    found, inside = [], 0
    for seed in range(20):
        estimate, (low, high) = estimate_share(
            standardise(scores(250 - bad, bad, seed, skew=0.2, distance=9.0))
        )
        found.append(estimate)
        inside += low <= share <= high
    assert np.mean(found) == pytest.approx(share, abs=0.012)
    assert inside >= 17


def test_that_none_stands_out_does_not_make_it_certain():
    _, (low, high) = estimate_share(np.linspace(-1, 1, 100))
    assert low == 0
    assert 0.02 < high < 0.05


def test_scores_without_spread_are_no_defects():
    assert estimate_share(standardise(np.ones(30)))[0] == 0
