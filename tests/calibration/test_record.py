import datetime as dt
import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from cdm_inspect.calibration.record import (
    Calibration,
    Expiry,
    _seal,
    conformal_p_value,
    equal_calibrations,
    load_calibration,
    read_history,
)
from cdm_inspect.errors import CalibrationError, NotCalibrated
from cdm_inspect.records import Verdict
from cdm_inspect.scoring.fitting import folds


def make(scores=(1.0, 2.0, 3.0), model="m", **changes):
    facts = dict(
        line="A",
        model=model,
        scorer="residual",
        options={},
        view={"tile": 512, "region": None},
        found={},
        scores=tuple(scores),
        max_false_reject=0.5,
        confidence=0.95,
        false_reject_bound=0.6,
        parts_needed=5,
        threshold=2.5,
        reject_threshold=4.0,
        rule="cost",
        basis={"costs": {"escape": 100.0}},
        explanation="because",
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


def test_records_survive_and_defend_themselves(tmp_path):
    calibration = make()
    calibration.save(tmp_path)
    again = load_calibration(tmp_path, "residual", "m")
    assert again == calibration
    assert again.made_at == calibration.made_at
    assert (calibration.version, again.version) == (0, 1)
    assert again.id == calibration.id
    assert np.array_equal(again.state["mean"], calibration.state["mean"])
    assert make(scores=(1.0, 2.0, 5.0)).id != calibration.id
    with pytest.raises(NotCalibrated, match="belongs to model m"):
        load_calibration(tmp_path, "residual", "other")
    with pytest.raises(NotCalibrated, match="cdm-inspect calibrate"):
        load_calibration(tmp_path, "score-norm", "m")
    path = tmp_path / "residual.json"
    record = json.loads(path.read_text())
    for change in ({"threshold": 99.0}, {"made_at": "2999-01-01T00:00:00+00:00"}):
        path.write_text(json.dumps({**record, **change}))
        with pytest.raises(CalibrationError, match="changed by hand"):
            load_calibration(tmp_path, "residual", "m")
    path.write_text(json.dumps(record))
    state = tmp_path / record["state"]
    kept = state.read_bytes()
    state.write_bytes(kept[:-4] + b"\0\0\1\0")
    with pytest.raises(CalibrationError, match="damaged"):
        load_calibration(tmp_path, "residual", "m")
    path.write_text(json.dumps({k: v for k, v in record.items() if k != "seal"}))
    with pytest.raises(CalibrationError, match="another version"):
        load_calibration(tmp_path, "residual", "m")
    # Whole, but of a version that knew one field less: what it says now has another id.
    older = {k: v for k, v in record.items() if k not in ("seal", "expiry_drift")}
    older["id"] = "0123456789ab"
    path.write_text(json.dumps({**older, "seal": _seal(older)}))
    state.write_bytes(kept)
    with pytest.raises(CalibrationError, match="another version"):
        load_calibration(tmp_path, "residual", "m")
    path.write_text("{")
    with pytest.raises(CalibrationError, match="damaged"):
        load_calibration(tmp_path, "residual", "m")


def test_two_thresholds_make_three_verdicts():
    calibration = make(threshold=2.0, reject_threshold=3.0)
    verdicts = [calibration.verdict(s) for s in (1.9, 2.0, 2.9, 3.0)]
    assert verdicts == [Verdict.PASS, Verdict.REVIEW, Verdict.REVIEW, Verdict.REJECT]
    unseen = make(threshold=2.0, reject_threshold=None)
    assert unseen.verdict(1e9) is Verdict.REVIEW
    one = make(threshold=2.0, reject_threshold=2.0)
    assert [one.verdict(s) for s in (1.9, 2.0)] == [Verdict.PASS, Verdict.REJECT]


def test_a_calibration_expires_by_days_and_by_parts():
    made = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    calibration = make(made_at=made, expiry_days=30, expiry_parts=1000)
    within, past = made + dt.timedelta(days=30), made + dt.timedelta(days=30, seconds=1)
    assert calibration.expired(999, within) == ""
    assert "holds for 30 days" in calibration.expired(0, past)
    assert "has judged 1000 parts" in calibration.expired(1000, within)
    assert calibration.expiry(999, within) is None
    assert calibration.expiry(0, past) is Expiry.DAYS
    assert calibration.expiry(1000, within) is Expiry.PARTS
    assert make(made_at=made).expired(10**9, past) == ""
    found = "parts look odder"
    assert make(made_at=made).expired(0, past, drifted=found) == ""
    assert found in make(made_at=made, expiry_drift=True).expired(0, past, drifted=found)
    # A clock that was set back is no reason to trust it for longer.
    assert "Set the clock" in calibration.expired(0, made - dt.timedelta(days=2))
    assert calibration.expired(0, made - dt.timedelta(hours=2)) == ""


def test_versions_are_kept_and_the_last_is_in_force(tmp_path):
    first = make().save(tmp_path)
    second = make(threshold=2.9).save(tmp_path)
    third = make(state={"mean": np.ones(3, np.float32)}).save(tmp_path)
    assert [c.version for c in (first, second, third)] == [1, 2, 3]
    assert load_calibration(tmp_path, "residual", "m").id == third.id
    history = read_history(tmp_path, "residual")
    assert [record["id"] for record in history] == [first.id, second.id, third.id]
    assert history[0]["explanation"] == "because"
    facts = {"model": "m", "options": {}, "view": {"tile": 512, "region": None}}
    same = equal_calibrations(tmp_path, "residual", facts, first.state)
    assert same == {first.id, second.id}
    assert equal_calibrations(tmp_path, "residual", {**facts, "model": "n"}, first.state) == set()
    # A damaged old version is no reason not to calibrate.
    (tmp_path / "history" / "residual" / "000002.json").write_text("[]")
    assert make().save(tmp_path).version == 4


def test_the_same_calibration_made_again_is_the_same(tmp_path):
    """Its id takes no part in when, and an inspection by it is not another one."""
    first = make(made_at=dt.datetime(2026, 1, 1, tzinfo=dt.UTC)).save(tmp_path)
    again = make().save(tmp_path)
    assert first.id == again.id
    assert first.made_at != again.made_at
    assert load_calibration(tmp_path, "residual", "m").made_at == again.made_at


def test_every_part_is_scored_once_by_the_others():
    scored = []
    for fit_on, score in folds(13):
        assert not set(fit_on) & set(score)
        assert len(fit_on) + len(score) == 13
        scored += list(score)
    assert sorted(scored) == list(range(13))


def test_calibrations_made_at_once_take_different_versions(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        versions = list(
            pool.map(lambda n: make(threshold=float(n)).save(tmp_path).version, range(16))
        )
    assert sorted(versions) == list(range(1, 17))
    assert len(read_history(tmp_path, "residual")) == 16
