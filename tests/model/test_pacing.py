"""The schedules of the consistency term, and the pace that its budget allows."""

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings, strategies as st

from cdm_inspect.config import ConsistencyConfig
from cdm_inspect.model.training import CostPacer, TermClock, TermSchedule


def schedule(**options):
    return TermSchedule(ConsistencyConfig(**options))


def weights(of, points):
    return [of.weight(point) for point in points]


def test_constant_is_on_in_full_from_the_first_step():
    assert weights(schedule(schedule="constant", weight=3.0), [0, 0.1, 1]) == [3, 3, 3]


def test_ramp_waits_and_then_rises():
    found = weights(
        schedule(schedule="ramp", warmup=0.2, ramp=0.1, weight=2.0), [0, 0.19, 0.2, 0.25, 0.3, 1]
    )
    assert found[:2] == [0, 0]
    assert found[2:] == pytest.approx([0.002, 1.002, 2, 2], abs=1e-6)


def test_staged_comes_on_when_dsm_stops_falling():
    staged = schedule(schedule="staged", tolerance=0.01, latest=0.9, ramp=0.0)
    losses = [0.5, 0.4, 0.398, 0.3, 0.299, 0.2985]
    on = []
    for progress, (former, latest) in enumerate(pairwise(losses), start=1):
        staged.note_held_out(former, latest)
        on.append(staged.weight(progress / 10) > 0)
    # One flat check is chance (0.398); two in a row are the end of the stage.
    assert on == [False, False, False, False, True]
    assert staged.started == 0.5


def test_staged_waits_no_longer_than_its_latest():
    staged = schedule(schedule="staged", latest=0.6)
    for progress in (0.1, 0.3, 0.59):
        staged.note_held_out(1.0, 0.5)
        assert staged.weight(progress) == 0
    assert staged.weight(0.6) > 0


def test_fine_tuning_rises_from_the_first_step():
    tuned = schedule(schedule="fine-tune", checkpoint="models/A", ramp=0.5)
    assert weights(tuned, [0, 0.25, 0.5]) == pytest.approx([0.001, 0.501, 1], abs=1e-6)


@pytest.mark.parametrize("off", [{"weight": 0}, {"share": 0}])
def test_off_is_off(off):
    assert weights(schedule(schedule="constant", **off), [0, 0.5, 1]) == [0, 0, 0]


def test_a_resumed_schedule_goes_on_where_it_was():
    config = ConsistencyConfig(schedule="staged", ramp=0.2)
    resumed = TermSchedule(config, started=0.4)
    assert resumed.weight(0.5) == pytest.approx(0.5, abs=2e-3)


def run(pacer, seconds_with, seconds_without, steps=2000):
    """Seconds of a run at the pace the pacer chooses, over seconds without the term."""
    total = plain = 0.0
    for step in range(steps):
        has_term = pacer.has_term(step)
        seconds = seconds_with if has_term else seconds_without
        pacer.clock.note(seconds, is_on=True, has_term=has_term)
        if pacer.is_update(step):
            pacer.duty = pacer.chosen_duty()
        if step >= 100:
            total, plain = total + seconds, plain + seconds_without
    return total / plain


@settings(deadline=None, max_examples=60)
@given(st.floats(1.0, 8.0), st.floats(1.05, 3.0))
def test_measured_cost_stays_in_its_budget(ratio, budget):
    """Whatever a step with the term costs, and close below where the budget binds."""
    pacer = CostPacer(budget, TermClock())
    found = run(pacer, ratio, 1.0)
    assert found <= budget + 1e-9
    assert found >= min(1 + (ratio - 1) * 15 / 16, budget) - 0.05
    assert pacer.cost_ratio == pytest.approx(found, abs=0.02)


def test_pace_follows_a_machine_that_slows_down():
    pacer = CostPacer(1.25, TermClock())
    run(pacer, 1.2, 1.0, steps=500)
    assert pacer.duty == 15 / 16
    assert run(pacer, 2.0, 1.0) <= 1.25


def test_without_a_budget_the_pace_does_not_look_at_the_clock():
    pacer = CostPacer(math.inf, TermClock())
    run(pacer, 9.0, 1.0, steps=200)
    assert pacer.duty == 15 / 16
    assert sum(pacer.has_term(step) for step in range(160)) == 150


def test_steps_before_the_term_stand_in_until_there_are_others():
    clock = TermClock()
    for _ in range(20):
        clock.note(1.0, is_on=False, has_term=False)
    for _ in range(8):
        clock.note(3.0, is_on=True, has_term=True)
    assert clock.step_ratio == 3.0
    for _ in range(8):  # the machine has become slower since
        clock.note(2.0, is_on=True, has_term=False)
    assert clock.step_ratio == 1.5


def test_steps_with_the_term_are_spread_evenly():
    pacer = CostPacer(1.25, TermClock())
    pacer.duty = 0.3
    chosen = [step for step in range(1000) if pacer.has_term(step)]
    assert len(chosen) == 300
    gaps = {later - former for former, later in pairwise(chosen)}
    assert gaps <= {3, 4}
