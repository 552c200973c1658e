"""The pilot: does the consistency term pay on this line? Same budget, several seeds, both ways.

Four arms a seed. `off`, `on` and `staged` train for the same time; `off-equal-images` trains
without the term on as many crops as `on` had seen. Arms of one seed share their crops and noise,
so differences are taken seed by seed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from scipy import stats

from cdm_inspect import workflows
from cdm_inspect.assembly import check_scorer_fits, good_parts_of, load_line_model
from cdm_inspect.config import CostsConfig, LineConfig, parse_duration
from cdm_inspect.diagnosis import diagnose_model
from cdm_inspect.durable import sha256_of, to_json, write_durably
from cdm_inspect.errors import InvalidOption
from cdm_inspect.images import GoodParts, find_labelled, load_good_parts, spread_evenly
from cdm_inspect.project import Project
from cdm_inspect.records import JsonObject, PilotProgress, TrainingTick
from cdm_inspect.training import Training, choose_hardware

ARMS = ("off", "on", "staged", "off-equal-images")
SCORERS = ("residual", "reconstruction")
_GAP_SIGMAS = (0.2, 0.4, 0.8)
_DRIFT_START, _DRIFT_STEPS = 1.0, 8
_DIAGNOSED_PARTS = 16
_LEAST_SECONDS = 5.0
# A higher held-out error than this, relative to `off`, is too dear for any gain elsewhere.
_WORST_DSM = 0.02

Told = Callable[[str, float], None]


@dataclass(frozen=True, kw_only=True)
class PilotPlan:
    """What will be run, and on what.

    Attributes:
        seconds: of training for each run.
        parts: good parts trained on, evenly spread over all of the line's.
        data: labelled folder for AUROC and escapes, if there is one.
        labelled: at most so many of its parts are judged, half of them good; None means all.
    """

    line: str
    seeds: int
    seconds: float
    parts: int
    data: Path | None
    labelled: int | None

    @property
    def runs(self) -> tuple[tuple[str, int], ...]:
        """Arm and seed of each run, in their order."""
        return tuple((arm, seed) for seed in range(self.seeds) for arm in ARMS)


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
        project: opened.
        line: whose good parts are used.
        budget: of all runs together, such as 20m; measuring comes on top.
        seeds: at least 3, or there is no interval worth printing.
        parts: at most so many of the training parts; None means all.
        data: labelled folder.
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
    good = load_good_parts(project.path(config.normal), config)
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
    fingerprint = _fingerprint(plan, config, good, device)
    folder = project.root / "pilot" / plan.line / fingerprint
    results: dict[tuple[str, int], JsonObject] = {}
    for number, (arm, seed) in enumerate(plan.runs, start=1):
        reference = results.get(("on", seed))

        def told(stage: str, share: float, number: int = number, arm: str = arm) -> None:
            tick(
                PilotProgress(
                    run=number,
                    runs=len(plan.runs),
                    arm=arm,
                    seed=plan.runs[number - 1][1],
                    stage=stage,
                    progress=share,
                )
            )

        images = int(reference["images_seen"]) if reference and arm == "off-equal-images" else None
        settings = _settings(config, arm, seed, plan.seconds, images, project)
        results[arm, seed] = _run_one(
            project, plan, good, settings, folder / f"{arm}-{seed}", device, told
        )
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
    return 1000 * (escapes + rejects)


def _settings(
    config: LineConfig, arm: str, seed: int, seconds: float, images: int | None, project: Project
) -> LineConfig:
    """The configuration of one run; but for its arm and seed, that of the line."""
    weight = config.consistency.weight or type(config.consistency)().weight
    schedule = "staged" if arm == "staged" else "ramp"
    if arm.startswith("off"):
        weight = 0.0
    consistency = {"weight": weight, "schedule": schedule, "checkpoint": None}
    training = {
        "seed": seed,
        "budget": f"{seconds}s",
        "images": None if images is None else str(images),
        # Every arm uses its whole time, or they would not compare.
        "patience": 0,
    }
    return config.model_copy(
        update={
            "normal": str(project.path(config.normal).resolve()),
            "consistency": config.consistency.model_copy(update=consistency),
            "training": config.training.model_copy(update=training),
        }
    )


def _run_one(
    project: Project,
    plan: PilotPlan,
    good: GoodParts,
    config: LineConfig,
    folder: Path,
    device: str,
    told: Told,
) -> JsonObject:
    """Train and measure one run, or read back what it said."""
    result_file, line = folder / "result.json", plan.line
    if result_file.is_file():
        return dict(json.loads(result_file.read_bytes()))
    own = Project(
        root=folder,
        config=project.config.model_copy(update={"lines": {line: config}}),
        registry=project.registry,
    )
    models, curve = own.model_folder(line), Curve(folder / "curve.json")
    if not (models / "manifest.json").is_file():
        training = Training(line, config, good, models, device=device)
        try:
            for progress in training.run(resume=training.unfinished.is_there):
                curve.note(progress)
                told("train", progress.progress)
        except KeyboardInterrupt:
            training.save()
            raise
    told("measure", 0.0)
    model = load_line_model(own, line, device)
    known, fresh = good_parts_of(own, config, model)
    found = diagnose_model(
        model,
        known[spread_evenly(len(known), _DIAGNOSED_PARTS)],
        fresh[spread_evenly(len(fresh), _DIAGNOSED_PARTS)],
        sigmas=_GAP_SIGMAS,
        starts=(_DRIFT_START,),
        steps=(_DRIFT_STEPS,),
    )
    report = model.card.training
    endpoints = {
        "dsm_held_out": report["loss_held_out"],
        "gap": float(np.mean([level.gap.value for level in found.levels])),
        "drift": found.drifts[0].drift.value,
        "returned": found.drifts[0].returned.value,
        "curl": float(np.mean([level.curl.value for level in found.levels])),
        "z_squared": float(np.mean([level.z_squared.value for level in found.levels])),
    }
    judged: JsonObject = {}
    if plan.data is not None:
        labelled, judged = _judge_labelled(own, plan, plan.data, config, device, told)
        endpoints |= labelled
    result = {
        "endpoints": endpoints,
        **judged,
        "images_seen": report["images_seen"],
        "seconds": report["seconds"],
        "consistency_cost_ratio": report["consistency_cost_ratio"],
        "consistency_started": report["consistency_started"],
        "model": model.id,
        "device": report["device"],
        "curve": curve.points,
    }
    write_durably(result_file, to_json(result))
    return result


def _judge_labelled(
    own: Project,
    plan: PilotPlan,
    data: Path,
    config: LineConfig,
    device: str,
    told: Told,
) -> tuple[dict[str, float], JsonObject]:
    """AUROC of the scorers and what the line's one costs at its operating point; parts judged."""
    line = plan.line
    names = list(dict.fromkeys((config.scorer, *SCORERS)))
    endpoints: dict[str, float] = {}
    judged: JsonObject = {}
    for number, name in enumerate(names):
        workflows.calibrate(own, line, scorer=name, device=device)

        def tick(done: int, total: int, number: int = number) -> None:
            told("measure", (number + done / total) / len(names))

        row = workflows.evaluate(
            own,
            line,
            data,
            scorer=name,
            device=device,
            is_drawn=False,
            limit=plan.labelled,
            tick=tick,
        )
        endpoints[f"AUROC_{name}"] = row["image_AUROC"]
        judged = {"n_good": row["n_good"], "n_defective": row["n_defective"]}
        if name == config.scorer:
            escapes, rejects = row["escape_rate"], row["false_reject_rate"]
            endpoints["escape_rate"] = escapes
            endpoints["false_reject_rate"] = rejects
    return endpoints, judged


class Curve:
    """(seconds, images, held-out DSM) at each check of a run, on disk as soon as it is known."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.points: list[list[float]] = json.loads(file.read_bytes()) if file.is_file() else []

    def note(self, tick: TrainingTick) -> None:
        """Keep a point where a check has just spoken."""
        if not math.isfinite(tick.loss_held_out):
            return
        # A run that goes on from its last save passes some checks a second time.
        kept = [point for point in self.points if point[1] < tick.images_seen]
        if kept and kept[-1][2] == tick.loss_held_out:
            return
        self.points = [*kept, [tick.seconds, tick.images_seen, tick.loss_held_out]]
        write_durably(self._file, to_json(self.points))


def _fingerprint(plan: PilotPlan, config: LineConfig, good: GoodParts, device: str) -> str:
    """What a pilot must have in common with an interrupted one to go on with it."""
    accelerator, precision = choose_hardware(device, config.training.precision)
    judged = config.model_copy(update={"costs": CostsConfig()}).digest
    labelled = []
    if plan.data is not None:
        labelled = [sha256_of(part.path.read_bytes()) for part in find_labelled(plan.data)]
    facts = [asdict(plan), judged, good.digest, labelled, accelerator, precision]
    return sha256_of(json.dumps(facts, sort_keys=True, default=str).encode())[:12]
