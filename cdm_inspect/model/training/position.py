"""Where a training run stands."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from cdm_inspect.model.training.held_out import OverfitAlarm
from cdm_inspect.model.training.pacing import TermClock
from cdm_inspect.records import TrainingTick

CHECKS = 20
"""Held-out checks in a run."""


class Warnings(list[str]):
    """What people should know of a run, each said once."""

    def add(self, text: str) -> None:
        """Say it, unless it has been said."""
        if text not in self:
            self.append(text)


@dataclass(kw_only=True)
class Position:
    """Where a run stands; saved with the weights so that it can go on."""

    step: int = 0
    images_seen: int = 0
    seconds: float = 0.0
    next_check: float = 1 / CHECKS
    loss_dsm: float = math.nan
    loss_consistency: float = math.nan
    lowest_dsm: float = 1.0  # the loss of a network that says nothing
    loss_held_out: float = math.nan
    best_held_out: float = math.inf
    best_step: int = 0
    consistency_started: float | None = None
    flat_checks: int = 0
    duty: float | None = None
    clock: TermClock = field(default_factory=TermClock)
    alarm: OverfitAlarm = field(default_factory=OverfitAlarm)

    def tick(self, progress: float, warnings: Sequence[str]) -> TrainingTick:
        """What observers receive: `progress` is the share of the budget that is used."""
        return TrainingTick(
            step=self.step,
            images_seen=self.images_seen,
            seconds=self.seconds,
            progress=progress,
            images_per_second=self.images_seen / max(self.seconds, 1e-9),
            loss_dsm=self.loss_dsm,
            loss_consistency=self.loss_consistency,
            loss_held_out=self.loss_held_out,
            seconds_left=self.seconds * (1 - progress) / max(progress, 1e-9),
            warnings=tuple(warnings),
        )
