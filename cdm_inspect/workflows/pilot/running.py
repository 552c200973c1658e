"""The pilot: does the consistency term pay on this line? Same budget, several seeds, both ways.

Four arms a seed. `off`, `on` and `staged` train for the same time, side by side, a second each in
turn, so that whatever else the machine does slows them alike; `off-equal-images` then trains
without the term on as many crops as `on` had seen. Arms of one seed share their crops and noise,
so differences are taken seed by seed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from scipy import stats

from cdm_inspect.config import CostsConfig, LineConfig
from cdm_inspect.config.units import parse_duration
from cdm_inspect.encoding import sha256_of
from cdm_inspect.errors import InvalidOption
from cdm_inspect.images import (
    GoodParts,
    find_labelled,
    load_good_parts,
    load_manifest,
    spread_evenly,
)
from cdm_inspect.model.training import choose_hardware
from cdm_inspect.project import Project
from cdm_inspect.records import JsonObject, PilotProgress
from cdm_inspect.workflows.assembly import check_region, check_scorer_fits
from cdm_inspect.workflows.pilot.runs import ARMS, PilotPlan, PilotRun, train_side_by_side

_TIMED = ("off", "on", "staged")
_TRAINING_SHARE = 0.7
# Raised whenever runs are trained or measured in another way: results do not mix.
_METHOD = 2
_LEAST_SECONDS = 5.0
# A higher held-out error than this, relative to `off`, is too dear for any gain elsewhere.
_WORST_DSM = 0.02


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Arm minus reference over seeds: the mean of paired differences and its 95 % t-interval.

    Attributes:
        relative: the difference over the mean of the reference; NaN where that is not positive.
    """

    endpoint: str
    arm: str
    reference: str
    arm_mean: float
    reference_mean: float
    difference: float
    low: float
    high: float
    relative: float


@dataclass(frozen=True, kw_only=True)
class PilotVerdict:
    """go, no-go or not-yet, with the rule that said so.

    Attributes:
        rule: name of the rule; `docs/pilot.md` states each.
    """

    answer: Literal["go", "no-go", "not-yet"]
    rule: str
    endpoint: str


def plan_pilot(
    project: Project,
    line: str,
    *,
    budget: str,
    seeds: int = 3,
    parts: int | None = None,
    data: Path | None = None,
    labelled: int | None = None,
) -> tuple[PilotPlan, GoodParts]:
    """Divide a budget of training time among the runs and choose the parts.

    Args:
        budget: of all runs together, such as 20m; measuring comes on top.
        seeds: at least 3, or there is no interval worth printing.
        parts: at most so many of the training parts; None means all.
        labelled: judge at most so many of its parts; None means all.

    Raises:
        InvalidOption: if seeds or time are too few.
    """
    if seeds < 3:
        raise InvalidOption(f"expected at least 3 seeds, found {seeds}: fewer give no interval.")
    seconds = parse_duration(budget) / (seeds * len(ARMS))
    if seconds < _LEAST_SECONDS:
        raise InvalidOption(
            f"--budget {budget} leaves {seconds:.1f} s for each of {seeds * len(ARMS)} runs; "
            f"expected at least {_LEAST_SECONDS:g} s each."
        )
    config = project.config.line(line)
    check_scorer_fits(project, config)
    check_region(project, config)
    manifest = load_manifest(project.manifest_file(line))
    good = load_good_parts(project.path(config.normal), config, manifest=manifest)
    if parts is not None and parts < len(good.train):
        chosen = spread_evenly(len(good.train), parts)
        good = replace(
            good,
            train=good.train[chosen],
            train_origin=tuple(good.train_origin[index] for index in chosen),
        )
    plan = PilotPlan(
        line=line,
        seeds=seeds,
        seconds=seconds,
        parts=len(good.train),
        data=data,
        labelled=labelled,
    )
    return plan, good


def run_pilot(
    project: Project,
    plan: PilotPlan,
    good: GoodParts,
    *,
    device: str = "auto",
    tick: Callable[[PilotProgress], None] = lambda progress: None,
) -> JsonObject:
    """Run what has not been run yet and compare; an interrupted pilot goes on where it stopped.

    Returns:
        The JSON of `pilot`.
    """
    config = project.config.line(plan.line)
    folder = project.root / "pilot" / plan.line / _fingerprint(project, plan, config, good, device)
    shares: dict[tuple[str, int], float] = dict.fromkeys(plan.runs, 0.0)
    results: dict[tuple[str, int], JsonObject] = {}

    def report(runs: Sequence[PilotRun], stage: str, run: PilotRun, share: float) -> None:
        # Training is the longer part of most runs; both together are what a run takes.
        trained = share if stage == "train" else 1.0
        measured = share if stage == "measure" else 0.0
        shares[run.key] = _TRAINING_SHARE * trained + (1 - _TRAINING_SHARE) * measured
        tick(
            PilotProgress(
                done=len(results),
                runs=len(plan.runs),
                arms=tuple(run.arm for run in runs),
                seed=run.seed,
                stage=stage,
                overall=sum(shares.values()) / len(shares),
            )
        )

    def run_arms(seed: int, arms: Sequence[str], images: int | None = None) -> None:
        """Train arms side by side, then measure each; what is done already is read back."""
        runs = [
            PilotRun(project, plan, good, arm=arm, seed=seed, images=images, folder=folder)
            for arm in arms
        ]
        fresh = [run for run in runs if run.result is None]
        train_side_by_side(fresh, partial(report, fresh, "train"), device=device)
        for run in runs:
            report([run], "measure", run, 0.0)
            tell = partial(report, [run], "measure", run)
            results[run.key] = run.result or run.measure(tell, device=device)
            shares[run.key] = 1.0

    for seed in range(plan.seeds):
        # Whoever is first warms the machine up: each arm in turn.
        turn = seed % len(_TIMED)
        run_arms(seed, (*_TIMED[turn:], *_TIMED[:turn]))
        run_arms(seed, ("off-equal-images",), int(results["on", seed]["images_seen"]))
    return _document(plan, config, good, {key: results[key] for key in plan.runs}, folder)


def _document(
    plan: PilotPlan,
    config: LineConfig,
    good: GoodParts,
    results: Mapping[tuple[str, int], JsonObject],
    folder: Path,
) -> JsonObject:
    """The JSON of `pilot`."""
    if plan.data is not None:
        for row in results.values():
            # From the line's costs as they are now: to change them costs no training.
            found = row["endpoints"]
            found["cost_per_1000"] = expected_cost(
                config, found["escape_rate"], found["false_reject_rate"]
            )
    runs = [{"arm": arm, "seed": seed, **row} for (arm, seed), row in results.items()]
    comparisons = list(compare_arms(results, plan.seeds))
    verdict = judge_pilot(comparisons, has_labels=plan.data is not None)
    return {
        "line": plan.line,
        "preset": config.preset,
        "image_size": config.image_size,
        "n_parts": plan.parts,
        "n_held_out": len(good.held_out),
        "seeds": plan.seeds,
        "seconds_per_run": plan.seconds,
        "data": None if plan.data is None else str(plan.data),
        "labelled": plan.labelled,
        "costs": config.costs.model_dump(),
        "consistency": config.consistency.model_dump(),
        "scorer": config.scorer,
        "runs": runs,
        "comparisons": [asdict(comparison) for comparison in comparisons],
        "verdict": asdict(verdict),
        "folder": str(folder),
    }


def compare_arms(results: Mapping[tuple[str, int], JsonObject], seeds: int) -> Iterator[Comparison]:
    """Each arm against `off` at equal time, and `on` against `off` at equal images."""
    pairs = (("on", "off"), ("staged", "off"), ("on", "off-equal-images"))
    endpoints = results["off", 0]["endpoints"]
    for arm, reference in pairs:
        for endpoint in endpoints:
            ours, theirs = (
                np.array([results[name, seed]["endpoints"][endpoint] for seed in range(seeds)])
                for name in (arm, reference)
            )
            difference = ours - theirs
            error = difference.std(ddof=1) / math.sqrt(seeds)
            reach = float(stats.t.ppf(0.975, seeds - 1)) * error
            mean, base = float(difference.mean()), float(theirs.mean())
            yield Comparison(
                endpoint=endpoint,
                arm=arm,
                reference=reference,
                arm_mean=float(ours.mean()),
                reference_mean=base,
                difference=mean,
                low=mean - reach,
                high=mean + reach,
                relative=mean / base if base > 0 else math.nan,
            )


def judge_pilot(comparisons: Sequence[Comparison], *, has_labels: bool) -> PilotVerdict:
    """Follow the stated rules, in this order.

    1. Where the held-out DSM error of `on` is above that of `off` by more than 2 %, with its whole
       interval: no-go.
    2. With labelled parts, the misjudgement cost decides: its interval below 0: go; above: no-go.
    3. Without, the sampling drift decides in the same way.
    4. Otherwise the seeds do not agree: not-yet.
    """
    found = {(c.endpoint, c.arm, c.reference): c for c in comparisons}
    dsm = found["dsm_held_out", "on", "off"]
    if dsm.low > _WORST_DSM * dsm.reference_mean:
        return PilotVerdict(answer="no-go", rule="denoising-worse", endpoint="dsm_held_out")
    endpoint = "cost_per_1000" if has_labels else "drift"
    decisive = found[endpoint, "on", "off"]
    if decisive.high < 0:
        return PilotVerdict(answer="go", rule="lower", endpoint=endpoint)
    if decisive.low > 0:
        return PilotVerdict(answer="no-go", rule="higher", endpoint=endpoint)
    return PilotVerdict(answer="not-yet", rule="interval-holds-zero", endpoint=endpoint)


def expected_cost(config: LineConfig, escape_rate: float, false_reject_rate: float) -> float:
    """Of misjudging 1,000 parts, in the unit of the line's costs."""
    costs = config.costs
    escapes = costs.defect_share * escape_rate * costs.escape
    rejects = (1 - costs.defect_share) * false_reject_rate * costs.false_reject
    return round(1000 * (escapes + rejects), 6)  # of equal costs the difference is 0


def _fingerprint(
    project: Project, plan: PilotPlan, config: LineConfig, good: GoodParts, device: str
) -> str:
    """What a pilot must have in common with an interrupted one to go on with it."""
    accelerator, precision = choose_hardware(device, config.training.precision)
    judged = config.model_copy(update={"costs": CostsConfig()}).digest
    labelled = []
    if plan.data is not None:
        labelled = [sha256_of(part.path.read_bytes()) for part in find_labelled(plan.data)]
    region = config.images.region
    region = None if region is None else sha256_of(project.path(region).read_bytes())
    facts = [_METHOD, asdict(plan), judged, good.digest, labelled, region, accelerator, precision]
    return sha256_of(json.dumps(facts, sort_keys=True, default=str).encode())[:12]
