import json

import numpy as np
import pytest

from cdm_inspect.calibration.record import conformal_p_value
from cdm_inspect.errors import InvalidOption
from cdm_inspect.monitoring.cusum import Chart, ChartState, normal_score, parts_needed, rank_score


def run_chart(values, chart, state=None):
    state = state or ChartState()
    for value in values:
        state = state.after(float(value), chart)
    return state


def run_lengths(chart, shift, runs, seed=0, longest=50_000):
    """Parts until the alarm, of many streams at once."""
    random = np.random.default_rng(seed)
    upper, lower = np.zeros(runs), np.zeros(runs)
    found = np.full(runs, longest)
    for part in range(1, longest + 1):
        values = random.normal(shift, 1.0, runs)
        upper = np.maximum(0, upper + values - chart.shift / 2)
        lower = np.maximum(0, lower - values - chart.shift / 2)
        found[(np.maximum(upper, lower) >= chart.limit) & (found == longest)] = part
        if (found < longest).all():
            break
    return found


@pytest.mark.parametrize("shift", [0.5, 1.0, 2.0])
def test_false_alarms_are_as_rare_and_changes_found_as_fast_as_stated(shift):
    chart = Chart.for_shift(shift, between_false_alarms=1000)
    quiet = run_lengths(chart, 0.0, 800)
    assert quiet.mean() == pytest.approx(1000, rel=0.12)
    for sign in (1, -1):
        assert run_lengths(chart, sign * shift, 800).mean() == pytest.approx(
            chart.delay, rel=0.12, abs=0.5
        )


def test_the_default_finds_a_standard_deviation_within_twenty_parts():
    chart = Chart.for_shift()
    assert chart.between_false_alarms == 20_000
    assert chart.delay < 20


def test_the_state_is_that_of_the_sums():
    chart = Chart.for_shift(1.0, 500)
    values = np.random.default_rng(1).normal(0.4, 1, 60)
    state, upper, lower = ChartState(), 0.0, 0.0
    for value in values:
        state = state.after(float(value), chart)
        upper, lower = max(0.0, upper + value - 0.5), max(0.0, lower - value - 0.5)
        if max(upper, lower) >= chart.limit:
            break
        assert (state.upper, state.lower) == pytest.approx((upper, lower))


def test_an_alarm_says_when_it_began_and_the_sums_start_anew():
    chart = Chart.for_shift(1.0, 5000)
    random = np.random.default_rng(2)
    state = run_chart(random.normal(size=400), chart)
    assert state.alarms == ()
    for value in random.normal(-2.0, 1, 60):
        state = state.after(float(value), chart)
        if state.alarms:
            break
    (alarm,) = state.alarms
    assert 400 < alarm.part <= 412
    assert abs(alarm.since - 400) <= 6
    assert not alarm.is_rise
    assert state.level == 0
    assert ChartState.from_json(json.loads(json.dumps(state.to_json()))) == state


def test_a_change_that_was_there_from_the_first_part_began_with_it():
    state = run_chart([-2.0] * 2000, Chart.for_shift(1.0, 5000))
    assert state.alarms[0].since == 1
    # However long it lasts, what is kept does not grow.
    assert state.calls > 100
    assert len(state.alarms) == 2
    assert state.alarms[1].part > 1900


def test_parts_may_be_counted_by_others():
    chart, state = Chart.for_shift(1.0, 5000), ChartState()
    for number in range(100, 200, 10):
        state = state.after(3.0, chart, part=number)
        if state.alarms:
            break
    assert state.alarms[0].part > 100
    assert state.alarms[0].is_rise
    assert state.parts == (state.alarms[0].part - 90) // 10


@pytest.mark.parametrize("above", [0, 3])
def test_passed_parts_of_an_unchanged_line_are_standard_normal(above):
    """Over lines; a single one differs by what its own held-out parts happen to be."""
    random, found = np.random.default_rng(3), []
    for _ in range(200):
        scores = tuple(np.sort(random.normal(size=60)))
        threshold = np.nextafter(scores[-1 - above], np.inf)
        for score in random.normal(size=50):
            if score < threshold:
                found.append(normal_score(conformal_p_value(scores, score), 60, above))
    assert np.mean(found) == pytest.approx(0, abs=0.04)
    assert 0.93 < np.std(found) < 1.01


def test_ranks_among_good_parts_are_standard_normal_whatever_the_measure():
    random, found = np.random.default_rng(5), []
    for _ in range(200):
        usual = tuple(np.sort(random.exponential(size=60)).tolist())
        found += [rank_score(value, usual) for value in random.exponential(size=50)]
    assert np.mean(found) == pytest.approx(0, abs=0.04)
    assert 0.93 < np.std(found) < 1.01


def test_what_is_always_the_same_says_nothing_until_it_changes():
    usual = (0.5,) * 30
    assert rank_score(0.5, usual) == 0
    assert rank_score(0.6, usual) == pytest.approx(-rank_score(0.4, usual))
    assert rank_score(0.6, usual) > 1.5


def test_odder_parts_have_lower_numbers():
    values = [normal_score(k / 61, 60, 2) for k in range(4, 62)]
    assert values == sorted(values)
    assert np.isfinite(values).all()
    assert normal_score(1 / 61, 60, 2) == values[0]  # one that should not have passed


@pytest.mark.parametrize("parts", [40, 200])
def test_nine_lines_in_ten_keep_the_stated_rate_of_false_alarms(parts):
    """With p-values by their own held-out parts; a chart that trusts them blindly would not."""
    random, lines, length = np.random.default_rng(4), 120, 400
    shares = {}
    for name, chart in (
        ("ours", Chart.for_shift(1.0, 2000, parts=parts)),
        ("blind", Chart.for_shift(1.0, 2000)),
    ):
        alarms = []
        for _ in range(lines):
            scores = tuple(np.sort(random.normal(size=parts)))
            values = [
                normal_score(conformal_p_value(scores, s), parts, 0)
                for s in random.normal(size=length)
                if s <= scores[-1]
            ]
            alarms.append(run_chart(values, chart).calls)
        shares[name] = np.mean(alarms)
    # 400 parts at one in 2,000 are 0.2 alarms; most lines are better than the ninth in ten.
    assert shares["ours"] < 0.2
    if parts == 40:
        assert shares["blind"] > 0.3


def test_a_change_too_small_for_the_parts_is_refused():
    with pytest.raises(InvalidOption, match="that takes 68"):
        Chart.for_shift(0.5, parts=30)
    assert Chart.for_shift(0.5, parts=68).delay > Chart.for_shift(0.5).delay
    for shift in (0.3, 0.5, 1.0, 2.0):
        needed = parts_needed(shift)
        assert Chart.for_shift(shift, parts=needed).limit > 0
        with pytest.raises(InvalidOption):
            Chart.for_shift(shift, parts=needed - 1)
    assert parts_needed(0.1) is None


def test_what_no_chart_can_do_is_refused_and_what_is_easy_is_done():
    for shift in (0.05, 0.1):
        with pytest.raises(InvalidOption, match=r"more than 0\.1"):
            Chart.for_shift(shift, parts=10**6)
    assert Chart.for_shift(8.0, 100).limit == 0.01
