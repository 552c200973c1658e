"""One run of the pilot: trained beside others of its seed, measured, and kept on disk."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cdm_inspect.config import LineConfig
from cdm_inspect.encoding import to_json
from cdm_inspect.files import write_durably
from cdm_inspect.images import GoodParts, spread_evenly
from cdm_inspect.model.diagnosis import diagnose_model
from cdm_inspect.model.training import Training
from cdm_inspect.project import Project
from cdm_inspect.records import JsonObject, TrainingTick
from cdm_inspect.workflows.assembly import good_parts_of, load_line_model
from cdm_inspect.workflows.calibrate import calibrate
from cdm_inspect.workflows.evaluate import evaluate

ARMS = ("off", "on", "staged", "off-equal-images")
SCORERS = ("residual", "reconstruction")
_GAP_SIGMAS = (0.2, 0.4, 0.8)
_DRIFT_START, _DRIFT_STEPS = 1.0, 8
_DIAGNOSED_PARTS = 16
# Seconds that a run trains before the next one has its turn.
_TURN = 1.0

OnProgress = Callable[[float], None]
"""Told the share that is done."""


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


class PilotRun:
    """One arm with one seed.

    Args:
        good: parts of all runs.
        arm: a name of `ARMS`.
        images: crops to see instead of the plan's time; None means its time.
        folder: of the pilot; the run keeps its model and result in one of its own below.
    """

    def __init__(
        self,
        project: Project,
        plan: PilotPlan,
        good: GoodParts,
        *,
        arm: str,
        seed: int,
        images: int | None,
        folder: Path,
    ) -> None:
        self.plan, self.good, self.arm, self.seed = plan, good, arm, seed
        folder = folder / f"{arm}-{seed}"
        line = project.config.line(plan.line)
        self.config = settings_of(line, arm, seed, plan.seconds, images, project)
        self.own = Project(
            root=folder,
            config=project.config.model_copy(update={"lines": {plan.line: self.config}}),
            registry=project.registry,
        )
        self.models = self.own.model_folder(plan.line)
        self.curve = Curve(folder / "curve.json")
        self._result_file = folder / "result.json"

    @property
    def key(self) -> tuple[str, int]:
        """Arm and seed."""
        return self.arm, self.seed

    @property
    def result(self) -> JsonObject | None:
        """What was measured; None before."""
        if not self._result_file.is_file():
            return None
        return dict(json.loads(self._result_file.read_bytes()))

    @property
    def is_trained(self) -> bool:
        """Whether its model is there."""
        return (self.models / "manifest.json").is_file()

    def training(self, device: str) -> Training:
        """The training, from its start or from where it was interrupted."""
        return Training(self.plan.line, self.config, self.good, self.models, device=device)

    def measure(self, on_progress: OnProgress, *, device: str) -> JsonObject:
        """Diagnose the model, judge the labelled parts, and keep what was found."""
        plan, line = self.plan, self.plan.line
        model = load_line_model(self.own, line, device)
        parts = good_parts_of(self.own, self.config, model)
        known, fresh = (side.images for side in parts)
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
            labelled, judged = self._judge_labelled(plan.data, on_progress, device)
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
            "curve": self.curve.points,
        }
        write_durably(self._result_file, to_json(result))
        return result

    def _judge_labelled(
        self, data: Path, on_progress: OnProgress, device: str
    ) -> tuple[dict[str, float], JsonObject]:
        """AUROC of the scorers, what the line's one does at its operating point; parts judged."""
        line = self.plan.line
        names = list(dict.fromkeys((self.config.scorer, *SCORERS)))
        endpoints: dict[str, float] = {}
        judged: JsonObject = {}
        for number, name in enumerate(names):
            calibrate(self.own, line, scorer=name, device=device)

            def tick(done: int, total: int, number: int = number) -> None:
                on_progress((number + done / total) / len(names))

            row = evaluate(
                self.own,
                line,
                data,
                scorer=name,
                device=device,
                is_drawn=False,
                limit=self.plan.labelled,
                tick=tick,
            )
            endpoints[f"AUROC_{name}"] = row["image_AUROC"]
            judged = {"n_good": row["n_good"], "n_defective": row["n_defective"]}
            if name == self.config.scorer:
                escapes, rejects = row["escape_rate"], row["false_reject_rate"]
                endpoints["escape_rate"] = escapes
                endpoints["false_reject_rate"] = rejects
        return endpoints, judged


def train_side_by_side(
    runs: Sequence[PilotRun], on_progress: Callable[[PilotRun, float], None], *, device: str
) -> None:
    """Train runs in turn, about a second each, so that a busy machine slows all of them alike.

    Args:
        runs: those that are trained already are passed over.
        on_progress: which run has come how far.
        device: as in `train`.
    """
    trainings = {run: run.training(device) for run in runs if not run.is_trained}
    going: dict[PilotRun, Generator[TrainingTick, None, None]] = {
        run: training.run(resume=training.unfinished.is_there)
        for run, training in trainings.items()
    }
    try:
        while going:
            for run in list(going):
                until = trainings[run].position.seconds + _TURN
                for at in going[run]:
                    run.curve.note(at)
                    on_progress(run, at.progress)
                    if at.seconds >= until:
                        break
                else:
                    del going[run]
    except KeyboardInterrupt:
        for run in going:
            trainings[run].save()
        raise
    finally:
        for ticks in going.values():
            ticks.close()  # gives back the claim on the run's folder


def settings_of(
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
    region = config.images.region
    if region is not None:
        region = str(project.path(region).resolve())
    return config.model_copy(
        update={
            "images": config.images.model_copy(update={"region": region}),
            "normal": str(project.path(config.normal).resolve()),
            # Its costs are those of flagged parts; thresholds by cost would price them twice.
            "rule": "false-reject",
            "consistency": config.consistency.model_copy(update=consistency),
            "training": config.training.model_copy(update=training),
        }
    )


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
