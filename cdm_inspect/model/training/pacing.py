"""When the consistency term is on, how strongly, and on how many steps its budget allows it."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cdm_inspect.config import ConsistencyConfig

if TYPE_CHECKING:
    from lightning.fabric import Fabric

    from cdm_inspect.model.training.position import Position

# At least one step in so many leaves the term out, so that its cost can be measured at all.
_PROBE_EVERY = 16
_LOWEST_DUTY = 1 / 256
_STEPS_REMEMBERED = 256  # of each kind
_STEPS_NEEDED = 8  # of each kind, before the clock is believed
_STEPS_BETWEEN_UPDATES = 16
# The pace aims a little below the budget, so that noise in the clock does not carry it above.
_MARGIN = 0.04
_FLAT_CHECKS = 2  # held-out checks in a row without gain that end the DSM stage


@dataclass(kw_only=True)
class TermClock:
    """Seconds of recent steps with and without the consistency term.

    Attributes:
        before: steps before the term came on. They stand in for those without it until enough of
            these have been timed in between, on the machine as it is by then.
    """

    with_term: list[float] = field(default_factory=list)
    without_term: list[float] = field(default_factory=list)
    before: list[float] = field(default_factory=list)

    def note(self, seconds: float, *, is_on: bool, has_term: bool) -> None:
        """Remember one step; `is_on` says whether the term had come on, in this step or others."""
        kept = self.with_term if has_term else self.without_term if is_on else self.before
        kept.append(seconds)
        del kept[:-_STEPS_REMEMBERED]

    @property
    def step_ratio(self) -> float | None:
        """Median seconds of a step with the term over one without; None before enough of both."""
        without = self.without_term
        if len(without) < _STEPS_NEEDED:
            without = self.before + without
        if min(len(self.with_term), len(without)) < _STEPS_NEEDED:
            return None
        return statistics.median(self.with_term) / statistics.median(without)


class CostPacer:
    """Chooses the steps that compute the term, so that its measured cost stays in its budget.

    With c the measured cost ratio of a step that computes it, a share f of such steps costs
    1 + f (c - 1) on average. Steps are spread evenly; the weight rises by 1/f, so that the term
    counts the same at any pace.

    Args:
        budget: highest ratio; infinity computes it on all steps but the probes.
    """

    def __init__(self, budget: float, clock: TermClock) -> None:
        self.budget, self.clock = budget, clock
        self.highest = 1 - 1 / _PROBE_EVERY
        self.duty = self.highest if budget == float("inf") else 0.5

    def chosen_duty(self) -> float:
        """The share of steps that the clock speaks for now."""
        ratio = self.clock.step_ratio
        if self.budget == float("inf"):
            return self.highest
        if ratio is None:
            return self.duty
        allowed = max(0.0, self.budget - _MARGIN - 1)
        affordable = allowed / (ratio - 1) if ratio > 1 else 1.0
        return min(self.highest, max(_LOWEST_DUTY, affordable))

    def is_update(self, step: int) -> bool:
        """Whether the pace is set anew at this step; the same on all devices."""
        return step % _STEPS_BETWEEN_UPDATES == 0

    def has_term(self, step: int) -> bool:
        """Whether this step computes the term, in a run whose pace is `duty`."""
        return int((step + 1) * self.duty) > int(step * self.duty)

    @property
    def cost_ratio(self) -> float | None:
        """Seconds a step, the term on at this pace, over seconds a step without; None at first."""
        ratio = self.clock.step_ratio
        return None if ratio is None else 1 + self.duty * (ratio - 1)


class TermSchedule:
    """How strong the term is at each point of a run.

    Attributes:
        started: progress at which the term came on; None before.
    """

    def __init__(
        self, config: ConsistencyConfig, *, started: float | None = None, flat_checks: int = 0
    ) -> None:
        self.config, self.started, self.flat_checks = config, started, flat_checks
        if started is None and config.schedule in ("constant", "fine-tune"):
            self.started = 0.0

    def weight(self, progress: float) -> float:
        """Of the term, at `progress` of the training budget; 0 while it is off."""
        config = self.config
        if config.share == 0 or config.weight == 0:
            return 0.0
        if self.started is None:
            is_due = config.schedule == "ramp" and progress >= config.warmup
            if config.schedule == "staged":
                is_due = self.flat_checks >= _FLAT_CHECKS or progress >= config.latest
            if not is_due:
                return 0.0
            self.started = progress
        if config.schedule == "constant" or config.ramp == 0:
            return config.weight
        # Never quite zero, so that the term's cost is measured from the start.
        return config.weight * min(1.0, (progress - self.started) / config.ramp + 1e-3)

    def note_held_out(self, former: float, latest: float) -> None:
        """Tell it two held-out DSM losses in a row; "staged" waits for them to stop falling."""
        if self.started is None:
            has_gained = 1 - latest / former >= self.config.tolerance
            self.flat_checks = 0 if has_gained else self.flat_checks + 1


class TermPace:
    """Schedule and pacer of a run, kept in step with its position.

    Args:
        fabric: of the run; all devices keep the pace of the first.
    """

    def __init__(self, config: ConsistencyConfig, position: Position, fabric: Fabric) -> None:
        self._position, self._fabric = position, fabric
        self._schedule = TermSchedule(
            config, started=position.consistency_started, flat_checks=position.flat_checks
        )
        self._pacer = CostPacer(config.budget, position.clock)
        if position.duty is not None:
            self._pacer.duty = position.duty

    def term(self, progress: float, count: int) -> tuple[float, int]:
        """Weight of the term and crops it is computed on, at this step.

        Args:
            progress: share of the budget that is used.
            count: crops on which a step computes it, where it does.
        """
        weight = self._schedule.weight(progress)
        self._position.consistency_started = self._schedule.started
        if weight == 0 or not self._pacer.has_term(self._position.step):
            return weight, 0
        return weight / self._pacer.duty, count

    def note_step(self, seconds: float, *, weight: float, count: int) -> None:
        """Time a step, and set the pace anew where that is due."""
        self._position.clock.note(seconds, is_on=weight > 0, has_term=count > 0)
        if weight > 0 and self._pacer.is_update(self._position.step):
            duty = self._pacer.chosen_duty()
            if self._fabric.world_size > 1:
                duty = float(self._fabric.broadcast(duty))
            self._position.duty = self._pacer.duty = duty

    def note_check(self, former: float, latest: float, progress: float) -> float:
        """Two held-out losses in a row, the first perhaps NaN; the weight of the term by now."""
        if math.isfinite(former):
            self._schedule.note_held_out(former, latest)
            self._position.flat_checks = self._schedule.flat_checks
        return self._schedule.weight(progress)

    @property
    def cost_ratio(self) -> float | None:
        """Seconds a step with the term on, at its pace, over seconds a step without.

        From medians of this run's own steps; None while too few of either kind have been timed.
        """
        ratio = self._pacer.cost_ratio
        return None if ratio is None else round(ratio, 3)

    def effective_share(self, count: int, batch_size: int) -> float:
        """Share of all crops on which the term is computed, at the pace last chosen."""
        if self._position.consistency_started is None:
            return 0.0
        return round(self._pacer.duty * count / batch_size, 4)
