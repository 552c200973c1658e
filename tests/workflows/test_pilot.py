"""The pilot: its plan, its arithmetic, its rules, an interrupted run, and its page."""

import json
import math
import re
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from cdm_inspect.config.words import Speech
from cdm_inspect.errors import ConfigError, InvalidOption
from cdm_inspect.project import open_project
from cdm_inspect.workflows.pilot.names import endpoint_name
from cdm_inspect.workflows.pilot.running import (
    Comparison,
    compare_arms,
    expected_cost,
    judge_pilot,
    plan_pilot,
    run_pilot,
)
from cdm_inspect.workflows.pilot.runs import ARMS
from cdm_inspect.workflows.reports.pilot_report import (
    read_difference,
    write_pilot_report,
)


def results(**by_arm):
    """Endpoints of three seeds, from {arm: {endpoint: [three values]}}."""
    return {
        (arm, seed): {"endpoints": {name: values[seed] for name, values in endpoints.items()}}
        for arm, endpoints in by_arm.items()
        for seed in range(3)
    }


def test_differences_are_paired_by_seed():
    off, on = [1.0, 2.0, 3.0], [0.9, 1.88, 2.92]
    found = list(
        compare_arms(
            results(
                off={"drift": off},
                on={"drift": on},
                staged={"drift": off},
                **{"off-equal-images": {"drift": off}},
            ),
            3,
        )
    )
    first = found[0]
    assert (first.arm, first.reference) == ("on", "off")
    assert first.difference == pytest.approx(-0.1)
    assert first.relative == pytest.approx(-0.05)
    # t(0.975, 2) = 4.3027, standard deviation of the differences 0.02.
    assert first.high - first.difference == pytest.approx(4.3027 * 0.02 / math.sqrt(3), rel=1e-3)
    assert found[1].difference == 0


def comparison(endpoint, difference, reach, reference=1.0, arm="on"):
    return Comparison(
        endpoint=endpoint,
        arm=arm,
        reference="off",
        arm_mean=reference + difference,
        reference_mean=reference,
        difference=difference,
        low=difference - reach,
        high=difference + reach,
        relative=difference / reference,
    )


@pytest.mark.parametrize(
    ("dsm", "drift", "cost", "has_labels", "answer"),
    [
        ((0.0, 0.01), (-0.3, 0.1), None, False, "go"),
        ((0.0, 0.01), (0.3, 0.1), None, False, "no-go"),
        ((0.0, 0.01), (-0.3, 0.4), None, False, "not-yet"),
        ((0.05, 0.01), (-0.3, 0.1), None, False, "no-go"),
        ((0.05, 0.04), (-0.3, 0.1), None, False, "go"),  # it may be less than 2 % worse
        ((0.0, 0.01), (-0.3, 0.1), (0.2, 0.1), True, "no-go"),  # labelled parts decide
        ((0.0, 0.01), (0.3, 0.1), (-0.2, 0.1), True, "go"),
    ],
)
def test_the_answer_follows_the_stated_rules(dsm, drift, cost, has_labels, answer):
    found = [comparison("dsm_held_out", *dsm), comparison("drift", *drift)]
    if cost is not None:
        found.append(comparison("cost_per_1000", *cost))
    assert judge_pilot(found, has_labels=has_labels).answer == answer


def test_cost_follows_from_the_lines_figures(line):
    config = open_project(
        line, line="A", overrides=["costs.escape=200", "costs.defect_share=0.02"]
    ).config.line("A")
    # 20 of 1,000 are defective, a quarter escape; of the other 980 a tenth is flagged.
    assert expected_cost(config, 0.25, 0.1) == pytest.approx(5 * 200 + 98 * 1)


def test_a_plan_says_what_is_too_little(line):
    project = open_project(line, line="A")
    with pytest.raises(InvalidOption, match="at least 3 seeds"):
        plan_pilot(project, "A", budget="20m", seeds=2)
    with pytest.raises(InvalidOption, match=r"leaves 0\.8 s for each of 12 runs"):
        plan_pilot(project, "A", budget="10s")
    regional = open_project(line, line="A", overrides=["images.region=nowhere.png"])
    with pytest.raises(ConfigError, match="found no file"):
        plan_pilot(regional, "A", budget="20m")
    plan, good = plan_pilot(project, "A", budget="20m", parts=20)
    assert len(plan.runs) == 12
    assert plan.seconds == 100
    assert plan.parts == len(good.train) == len(good.train_origin) == 20
    assert len(good.held_out) == 12


class Stop(BaseException):
    pass


@pytest.mark.timeout(1800)  # twelve trainings
@pytest.mark.long
@pytest.mark.slow
def test_a_pilot_runs_resumes_and_reports(line, tmp_path):
    data = line / "data" / "A"
    Image.new("L", (64, 64), 255).save(line / "region.png")
    # One of the two that a pilot judges by anyway: a third would be fitted in each of twelve runs.
    overrides = ["image_size=32", "images.region=region.png", "scorer=residual"]
    project = open_project(line, line="A", overrides=overrides)
    plan, good = plan_pilot(project, "A", budget="60s", parts=24, data=data, labelled=12)
    seen = []

    def interrupt_the_training(at):
        seen.append(at)
        if at.overall > 0.1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_pilot(project, plan, good, device="cpu", tick=interrupt_the_training)
    # Three runs of the first seed were on their way together, and all of them were saved.
    assert {at.arms for at in seen} == {("off", "on", "staged")}
    unfinished = sorted((line / "pilot" / "A").rglob("state.safetensors"))
    assert {path.parents[3].name for path in unfinished} == {"off-0", "on-0", "staged-0"}

    reached = [at.overall for at in seen][-1]
    again = []

    def stop_when_three_runs_are_done(at):
        again.append(at.overall)
        if at.done == 3:
            raise Stop

    with pytest.raises(Stop):
        run_pilot(project, plan, good, device="cpu", tick=stop_when_three_runs_are_done)
    # They went on from there: one of three has just said where it is, the others not yet.
    assert max(again[:3]) > reached / 2
    kept = sorted((line / "pilot" / "A").rglob("result.json"))
    assert [path.parent.name for path in kept] == ["off-0", "on-0", "staged-0"]
    before = {path: path.stat().st_mtime_ns for path in kept}

    said = []
    document = run_pilot(project, plan, good, device="cpu", tick=said.append)
    assert {path: path.stat().st_mtime_ns for path in kept} == before
    assert all(after.overall >= at.overall for at, after in pairwise(said))
    assert said[-1].done == 11
    assert len(document["runs"]) == 12
    by_run = {(row["arm"], row["seed"]): row for row in document["runs"]}
    # On a machine so slow that a step takes a second, it may not have come on in each of them.
    for arm, earliest in (("on", 0.2), ("staged", 0.0)):
        shares = [by_run[arm, seed]["consistency_started"] for seed in range(3)]
        shares = [share for share in shares if share is not None]
        assert shares, arm
        assert all(earliest <= share < 1 for share in shares), arm
    for seed in range(3):
        equal, on = by_run["off-equal-images", seed], by_run["on", seed]
        assert abs(equal["images_seen"] - on["images_seen"]) <= 8  # one batch
        assert by_run["off", seed]["consistency_started"] is None
        for row in (equal, on):
            seconds, images, losses = np.transpose(row["curve"])
            assert (np.diff(seconds) > 0).all()
            assert images[-1] == row["images_seen"]  # the last weights are judged
            assert np.isfinite(losses).all()
        # Against a count of images there is a check at each twentieth of the run.
        assert len(equal["curve"]) >= min(20, equal["images_seen"] // 8) - 1
        assert (on["n_good"], on["n_defective"]) == (6, 6)
    endpoints = set(by_run["on", 0]["endpoints"])
    assert {
        "dsm_held_out",
        "gap",
        "drift",
        "curl",
        "AUROC_residual",
        "AUROC_reconstruction",
    } <= endpoints
    assert np.isfinite([c["difference"] for c in document["comparisons"]]).all()
    assert document["verdict"]["endpoint"] in ("cost_per_1000", "dsm_held_out")

    page = tmp_path / "pilot.html"
    write_pilot_report(document, page)
    text = page.read_text()
    assert "採用" in text or "保留" in text
    assert "<svg" in text
    assert not re.findall(r"(?:src|href)\s*=\s*[\"']https?://", text)  # needs nothing else
    assert "学習時間" in text
    beside = json.loads(page.with_suffix(".json").read_text())
    assert beside["verdict"] == document["verdict"]
    assert len(beside["comparisons"]) == len(document["comparisons"])


def test_every_endpoint_has_a_name_and_a_reading():
    for endpoint in ("dsm_held_out", "gap", "drift", "AUROC_residual", "cost_per_1000"):
        assert endpoint_name(endpoint, "en") != endpoint_name(endpoint, "ja")
    assert read_difference(vars(comparison("drift", -1, 0.5))) == "better"
    assert read_difference(vars(comparison("AUROC_residual", -1, 0.5))) == "worse"
    assert read_difference(vars(comparison("z_squared", -1, 0.5))) == "changed"
    assert read_difference(vars(comparison("drift", -1, 2))) == "same"
    assert {f"arm_{arm}" for arm in ARMS} <= set(Speech("en").below("page_pilot."))
