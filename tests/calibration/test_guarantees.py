import math

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy.stats import binomtest

from cdm_inspect.calibration.guarantees import (
    choose_threshold,
    guarantee_of,
    parts_needed,
    rate_bound,
    rate_interval,
)
from cdm_inspect.errors import CalibrationError

LINES = 2000


def lines(parts, seed=0):
    """Scores of held-out good parts of so many lines; uniform, so that 1 - t is t's true rate."""
    return np.sort(np.random.default_rng(seed).uniform(size=(LINES, parts)))


def covered(choose, parts, rate, confidence):
    """In how many of the lines the true false-reject rate keeps what is claimed."""
    kept = 0
    for scores in lines(parts):
        threshold, claim = choose(tuple(scores), rate, confidence)
        kept += 1 - threshold <= claim
    return kept


def ours(scores, rate, confidence):
    threshold, guarantee = choose_threshold(scores, rate, confidence)
    return threshold, guarantee.bound


def naive(scores, rate, confidence):
    """What is done without guarantees: the quantile of the scores, and the rate as promised."""
    return float(np.quantile(scores, 1 - rate)), rate


@pytest.mark.parametrize(
    ("parts", "rate"), [(20, 0.005), (60, 0.05), (120, 0.05), (300, 0.02), (598, 0.005)]
)
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_the_claim_holds_in_the_claimed_share_of_lines(parts, rate, confidence):
    # The claim is exact for continuous scores, so a share below it by chance is allowed for.
    slack = 2.58 * math.sqrt(confidence * (1 - confidence) / LINES)
    assert covered(ours, parts, rate, confidence) / LINES >= confidence - slack
    # And it is not bought with thresholds that are needlessly high.
    if parts <= parts_needed(rate, confidence):
        assert covered(ours, parts, rate, confidence) / LINES <= confidence + slack


@pytest.mark.parametrize(("parts", "rate"), [(60, 0.05), (120, 0.05), (300, 0.02), (598, 0.005)])
def test_a_plain_quantile_does_not_keep_it(parts, rate):
    assert covered(naive, parts, rate, 0.95) / LINES < 0.75


@pytest.mark.parametrize(("parts", "rate"), [(60, 0.05), (598, 0.005)])
def test_the_average_claim_holds_on_average(parts, rate):
    claims, true = [], []
    for scores in lines(parts, seed=1):
        threshold, guarantee = choose_threshold(tuple(scores), rate, 0.95)
        claims.append(guarantee.average)
        true.append(1 - threshold)
    slack = 2.58 * np.std(true) / math.sqrt(LINES)
    assert np.mean(true) <= np.mean(claims) + slack


def test_a_threshold_found_by_looking_keeps_its_wider_claim():
    """The worst one can do by looking: the threshold that lies lowest for its rank."""
    parts = tuple(np.arange(50.0))
    # The claim depends on how many lie above the threshold, and on nothing else of the scores.
    bounds = np.array([guarantee_of(parts, 49.5 - above, 0.05, 0.95).bound for above in range(50)])
    true = 1 - lines(50, seed=2)[:, ::-1]  # of the threshold with so many above it
    worst = np.argmax(true - bounds, axis=1)
    kept = np.take_along_axis(true, worst[:, None], axis=1)[:, 0] <= bounds[worst]
    assert kept.mean() >= 0.95


def test_ties_do_not_make_the_claim_too_good():
    """Scores of ten values only: fewer lie above than were allowed."""
    random, kept = np.random.default_rng(3), 0
    for _ in range(LINES):
        scores = np.sort(random.integers(0, 10, size=120))
        threshold, guarantee = choose_threshold(tuple(scores.astype(float)), 0.12, 0.95)
        kept += np.mean(np.arange(10) >= threshold) <= guarantee.bound
        assert guarantee.average >= (guarantee.above + 1) / 121
    assert kept / LINES >= 0.95 - 2.58 * math.sqrt(0.95 * 0.05 / LINES)


def test_a_threshold_found_by_looking_needs_more_parts():
    scores = tuple(np.arange(598.0))
    found = guarantee_of(scores, 1e9, 0.005, 0.95)
    assert found.average is None
    assert not found.is_kept
    assert 2000 < found.parts_needed < 2300
    enough = guarantee_of(tuple(np.arange(float(found.parts_needed))), 1e9, 0.005, 0.95)
    assert enough.is_kept
    assert "on average" not in enough.sentence


def test_598_parts_are_needed_for_half_a_percent():
    assert parts_needed(0.005, 0.95) == 598
    assert parts_needed(0.05, 0.95) == 59
    assert rate_bound(0, 598, 0.95) <= 0.005 < rate_bound(0, 597, 0.95)
    scores = tuple(np.arange(597.0))
    assert not choose_threshold(scores, 0.005, 0.95)[1].is_kept
    assert choose_threshold((*scores, 597.0), 0.005, 0.95)[1].is_kept


def test_what_cannot_be_claimed_is_not_claimed():
    threshold, guarantee = choose_threshold(tuple(np.arange(50.0)), 0.005, 0.95)
    assert threshold > 49
    assert guarantee.above == 0
    assert not guarantee.is_kept
    assert guarantee.bound == pytest.approx(1 - 0.05 ** (1 / 50))
    assert guarantee.average == pytest.approx(1 / 51)
    assert "0.50% cannot be claimed" in guarantee.sentence
    assert "598" in guarantee.sentence
    kept = choose_threshold(tuple(np.arange(700.0)), 0.005, 0.95)[1]
    assert "cannot" not in kept.sentence
    with pytest.raises(CalibrationError, match="found none"):
        choose_threshold((), 0.1)


@given(st.integers(0, 60), st.integers(1, 60), st.sampled_from([0.8, 0.95, 0.99]))
def test_intervals_are_those_of_scipy(above, parts, confidence):
    above = min(above, parts)
    interval = binomtest(above, parts).proportion_ci(confidence, method="exact")
    assert rate_interval(above, parts, confidence) == pytest.approx((interval.low, interval.high))
    one_sided = binomtest(above, parts, alternative="less").proportion_ci(confidence, "exact")
    assert rate_bound(above, parts, confidence) == pytest.approx(one_sided.high)


def test_nothing_seen_is_nothing_known():
    assert rate_interval(0, 0) == (0.0, 1.0)
