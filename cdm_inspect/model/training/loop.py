"""The training loop: a generator of progress that runs against a budget and can be resumed."""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from pathlib import Path

from cdm_inspect.config import LineConfig
from cdm_inspect.config.units import parse_count, parse_duration
from cdm_inspect.errors import TrainingDiverged
from cdm_inspect.images import GoodParts
from cdm_inspect.model.checkpoint import TrainedModel
from cdm_inspect.model.training.checks import Checks
from cdm_inspect.model.training.pacing import TermPace
from cdm_inspect.model.training.position import Position, Warnings
from cdm_inspect.model.training.saving import put_into_force, resume_run, save_run
from cdm_inspect.model.training.setup import prepare_setup
from cdm_inspect.model.training.step import Stepper
from cdm_inspect.model.training.unfinished import UnfinishedRun
from cdm_inspect.records import TrainingReport, TrainingTick

_MAX_SECONDS_BETWEEN_SAVES = 300.0
_CHECK_TIME_SHARE = 0.05  # of the run that checks may take, where the run is short


class Training:
    """One run. Iterate `run()` to the end, then read `report`.

    Every draw follows from the seed and the number of the step, so a run that is killed and
    resumed sees the crops and noise it would have seen.

    Args:
        config: of the line, resolved.
        parts: its good parts.
        folder: of the model; what an unfinished run keeps is in `training/` below it.
        device: "auto", "cpu", "cuda" or "cuda:1".
        devices: how many to train on.
        start_from: a model of the same shape whose weights and scaling the run goes on from.

    Raises:
        CheckpointMismatch: if `start_from` has another shape, or was trained on parts that are
            held out now.
    """

    def __init__(
        self,
        line: str,
        config: LineConfig,
        parts: GoodParts,
        folder: Path,
        *,
        device: str = "auto",
        devices: int = 1,
        start_from: TrainedModel | None = None,
    ) -> None:
        self.folder = folder
        self.unfinished = UnfinishedRun(
            folder / "training",
            config_sha256=_resumable_digest(config),
            data_sha256=parts.digest,
            start_from=start_from.id if start_from is not None else "",
        )
        images = config.training.images
        self._image_budget = parse_count(images) if images else None
        self._time_budget = parse_duration(config.training.budget)
        self.report: TrainingReport | None = None
        self.setup = prepare_setup(
            line, config, parts, device=device, devices=devices, start_from=start_from
        )
        self.warnings = Warnings()
        self._stand_at(Position())

    def _stand_at(self, position: Position) -> None:
        setup, self.position = self.setup, position
        self._pace = TermPace(setup.config.consistency, position, setup.fabric)
        self._stepper = Stepper(setup, position, self.warnings)
        self._checks = Checks(setup, position, self._pace, self.unfinished, self.warnings)

    def run(self, *, resume: bool = False) -> Generator[TrainingTick, None, None]:
        """Train until the budget is used; yields after every step.

        A budget of time counts the time in here, not what passes between two steps outside.

        Args:
            resume: go on with an unfinished run of the same configuration and data.

        Raises:
            CheckpointMismatch: if there is nothing to resume, or it belongs to other data.
            TrainingDiverged: if the loss stops being finite or rises far above its best.
            TrainingError: if another process trains the same line.
            StorageError: if what was learnt cannot be written down at the end.
        """
        if not self.setup.fabric.is_global_zero:
            yield from self._run(resume=resume)
            return
        with self.unfinished.locked():
            yield from self._run(resume=resume)

    def _run(self, *, resume: bool) -> Generator[TrainingTick, None, None]:
        if resume:
            self.resume()
        elif self.setup.fabric.is_global_zero:
            self.unfinished.clear()
        self.setup.objective.train()
        started = time.monotonic() - self.position.seconds
        saved_at, check_pause = self.position.seconds, 0.0
        progress, has_overfitted = self._progress(), False
        while progress < 1.0 and not has_overfitted:
            self._step(progress)
            self.position.seconds = time.monotonic() - started
            progress = self._progress()
            since_save = self.position.seconds - saved_at
            is_check, is_save = self._agreed(
                self._is_check(progress, since_save > check_pause),
                since_save > _MAX_SECONDS_BETWEEN_SAVES,
            )
            if is_check or is_save:
                before = self.position.seconds
                if is_check:
                    self._checks.check(progress)
                    (has_overfitted,) = self._agreed(self._checks.has_overfitted())
                self.save()
                saved_at = self.position.seconds = time.monotonic() - started
                check_pause = (saved_at - before) / _CHECK_TIME_SHARE
                progress = self._progress()
            left = time.monotonic()
            yield self.position.tick(progress, self.warnings)
            # What the caller does meanwhile is not this run's time.
            started += time.monotonic() - left
        self._finish()

    def _step(self, progress: float) -> None:
        self._stepper.set_learning_rate(progress)
        weight, count = self._pace.term(progress, self.setup.term_count)
        began = time.perf_counter()
        self._stepper.step(weight, count)
        self._pace.note_step(time.perf_counter() - began, weight=weight, count=count)

    def _is_check(self, progress: float, has_paused: bool) -> bool:
        # Against a budget of images, checks fall on fixed steps: the run can be repeated. The last
        # weights are judged in any case, as they are most often the best.
        return progress >= self.position.next_check and (
            self._image_budget is not None or has_paused or progress >= 1.0
        )

    def save(self) -> None:
        """Keep the unfinished run; where the disk refuses, say so and go on training."""
        save_run(self.setup, self.position, self.unfinished, self.warnings)

    def resume(self) -> None:
        """Stand where the unfinished run stood; `run` does it by itself."""
        self._stand_at(resume_run(self.setup, self.unfinished))

    def _agreed(self, *flags: bool) -> tuple[bool, ...]:
        """What the first process says; clocks differ, and all must do the same at a step."""
        fabric = self.setup.fabric
        return flags if fabric.world_size == 1 else tuple(fabric.broadcast(flags))

    def _progress(self) -> float:
        if self._image_budget is not None:
            return min(1.0, self.position.images_seen / self._image_budget)
        progress, fabric = min(1.0, self.position.seconds / self._time_budget), self.setup.fabric
        return float(fabric.broadcast(progress)) if fabric.world_size > 1 else progress

    def _finish(self) -> None:
        if not math.isfinite(self.position.loss_held_out):
            self._checks.check(1.0)
        if not math.isfinite(self.position.loss_held_out):
            raise TrainingDiverged(
                "the loss on held-out parts was never finite. Lower training.learning_rate, or set "
                "training.precision to 32-true."
            )
        self.report = put_into_force(
            self.setup, self.position, self._pace, self.unfinished, self.folder, self.warnings
        )


def _resumable_digest(config: LineConfig) -> str:
    training = config.training.model_copy(update={"budget": "", "images": None})
    return config.model_copy(update={"training": training}).digest
