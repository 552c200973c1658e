"""Checks on held-out parts during a run: the best weights are kept, an overfit ends it."""

from __future__ import annotations

import math

from cdm_inspect.errors import StorageError
from cdm_inspect.model.training.held_out import DefectCheck, HeldOutCheck
from cdm_inspect.model.training.pacing import TermPace
from cdm_inspect.model.training.position import CHECKS, Position, Warnings
from cdm_inspect.model.training.setup import Setup
from cdm_inspect.model.training.unfinished import UnfinishedRun


class Checks:
    """Judges the averaged weights by held-out parts."""

    def __init__(
        self,
        setup: Setup,
        position: Position,
        pace: TermPace,
        unfinished: UnfinishedRun,
        warnings: Warnings,
    ) -> None:
        self._setup, self._position, self._pace = setup, position, pace
        self._unfinished, self._warnings = unfinished, warnings
        self._loss = HeldOutCheck(setup.held_out, batch=setup.batch_size)
        self._defects = DefectCheck(setup.held_out, batch=setup.batch_size)

    def check(self, progress: float) -> None:
        """Measure, and keep the best weights so far on disk.

        Args:
            progress: share of the budget that is used.

        Raises:
            StorageError: if the last and best weights cannot be kept.
        """
        position, setup, former = self._position, self._setup, self._position.loss_held_out
        with setup.fabric.autocast():
            network, device = setup.average.module, setup.fabric.device
            position.loss_held_out = self._loss.measure(network, device)
            # Where nothing is to stop or to be refused, nobody looks.
            is_watched = setup.config.training.patience > 0
            standing_out = self._defects.measure(network, device) if is_watched else []
        weight = self._pace.note_check(former, position.loss_held_out, progress)
        position.alarm.note(position.loss_held_out, standing_out, weight=weight)
        position.next_check = (math.floor(progress * CHECKS) + 1) / CHECKS
        is_first = not math.isfinite(position.best_held_out)
        is_sound = is_first or not position.alarm.is_dull
        if position.loss_held_out < position.best_held_out and is_sound:
            self._keep_best(progress)

    def _keep_best(self, progress: float) -> None:
        position = self._position
        try:
            if self._setup.fabric.is_global_zero:
                self._unfinished.keep_best(self._setup.average.module.state_dict())
        except StorageError as error:
            if progress >= 1.0:
                raise  # there is no later
            self._warnings.add(f"better weights could not be kept, the former best stay: {error}")
        else:
            position.best_held_out, position.best_step = position.loss_held_out, position.step

    def has_overfitted(self) -> bool:
        """Whether to stop: the loss rose, or defects stood out less, too often in a row."""
        position, patience = self._position, self._setup.config.training.patience
        if patience == 0 or position.alarm.risen < patience:
            return False
        cause = (
            "synthetic defects on held-out parts stood out ever less"
            if position.alarm.is_dull
            else "the error on held-out parts kept rising"
        )
        self._warnings.add(
            f"stopped early, after step {position.step}: {cause}. "
            f"The weights of step {position.best_step} are in force. The model was learning its "
            f"{len(self._setup.parts.train)} parts by heart: more good parts would help, more "
            "time not."
        )
        return True
