import json

import numpy as np
import pytest

from cdm_inspect.calibration import (
    Calibration,
    choose_threshold,
    conformal_p_value,
    folds,
    load_calibration,
)
from cdm_inspect.errors import CalibrationError, NotCalibrated


def make(scores=(1.0, 2.0, 3.0), model="m", **changes):
    threshold, bound = choose_threshold(tuple(scores), 0.5)
    facts = dict(
        line="A",
        model=model,
        scorer="residual",
        options={},
        view={"tile": 512, "region": None},
        found={},
        scores=tuple(scores),
        max_false_reject=0.5,
        false_reject_bound=bound,
        threshold=threshold,
        state={"mean": np.arange(3, dtype=np.float32)},
    )
    return Calibration(**{**facts, **changes})


def test_p_values_count_parts_at_least_as_odd():
    scores = (1.0, 2.0, 2.0, 4.0)
    assert [conformal_p_value(scores, s) for s in (0, 1, 2, 3, 4, 5)] == [
        1.0,
        1.0,
        0.8,
        0.4,
        0.4,
        0.2,
    ]


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.07, 0.1, 0.2, 0.5])
@pytest.mark.parametrize("count", [5, 19, 20, 99, 100])
def test_a_part_is_flagged_exactly_where_its_p_value_is_small(count, rate):
    scores = tuple(np.sort(np.random.default_rng(count).normal(size=count)))
    threshold, bound = choose_threshold(scores, rate)
    assert bound == max(rate, 1 / (count + 1))
    for score in (*scores, min(scores) - 1, max(scores) + 1):
        assert (score >= threshold) == (conformal_p_value(scores, score) <= bound + 1e-9)


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.2])
def test_false_rejects_stay_within_the_promise_on_fresh_parts(rate):
    """Each of 2,000 calibrations judges one fresh part: the 99 % binomial band about the rate."""
    random = np.random.default_rng(0)
    flagged = 0
    for _ in range(2000):
        scores = tuple(np.sort(random.normal(size=59)))
        threshold, _ = choose_threshold(scores, rate)
        flagged += random.normal() >= threshold
    spread = 2.58 * np.sqrt(rate * (1 - rate) / 2000)
    assert abs(flagged / 2000 - rate) < spread


def test_records_survive_and_defend_themselves(tmp_path):
    calibration = make()
    calibration.save(tmp_path)
    again = load_calibration(tmp_path, "residual", "m")
    assert again == calibration
    assert again.id == calibration.id
    assert np.array_equal(again.state["mean"], calibration.state["mean"])
    assert make(scores=(1.0, 2.0, 5.0)).id != calibration.id
    with pytest.raises(NotCalibrated, match="belongs to model m"):
        load_calibration(tmp_path, "residual", "other")
    with pytest.raises(NotCalibrated, match="cdm-inspect calibrate"):
        load_calibration(tmp_path, "score-norm", "m")
    path = tmp_path / "residual.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "threshold": 99.0}))
    with pytest.raises(CalibrationError, match="changed by hand"):
        load_calibration(tmp_path, "residual", "m")
    path.write_text(json.dumps(record))
    state = tmp_path / record["state"]
    state.write_bytes(state.read_bytes()[:-4] + b"\0\0\1\0")
    with pytest.raises(CalibrationError, match="damaged"):
        load_calibration(tmp_path, "residual", "m")
    path.write_text("{")
    with pytest.raises(CalibrationError, match="damaged"):
        load_calibration(tmp_path, "residual", "m")


def test_promises_need_parts():
    assert make(max_false_reject=0.005).parts_needed == 199
    with pytest.raises(CalibrationError):
        choose_threshold((), 0.1)


def test_every_part_is_scored_once_by_the_others():
    scored = []
    for fit_on, score in folds(13):
        assert not set(fit_on) & set(score)
        assert len(fit_on) + len(score) == 13
        scored += list(score)
    assert sorted(scored) == list(range(13))
