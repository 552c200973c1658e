"""One optimisation step, and what its losses say of the run."""

from __future__ import annotations

import math

import torch

from cdm_inspect.errors import TrainingDiverged
from cdm_inspect.model.diffusion import Losses
from cdm_inspect.model.training.averaging import smoothed
from cdm_inspect.model.training.position import Position, Warnings
from cdm_inspect.model.training.setup import Setup

_GRADIENT_LIMIT = 1.0
# Above this multiple of its best, the smoothed loss has left the road.
_DIVERGED = 3.0
_BAD_STEPS = 5  # in a row, without a finite loss and gradient, that end a run


class Stepper:
    """Moves the weights; every draw follows from the seed and the number of the step."""

    def __init__(self, setup: Setup, position: Position, warnings: Warnings) -> None:
        self._setup, self._position, self._warnings = setup, position, warnings
        self._is_rising, self._bad_steps = False, 0

    def set_learning_rate(self, progress: float) -> None:
        """A linear rise, then half a cosine, over the share of the budget that is used."""
        warmup = self._setup.config.training.lr_warmup
        rise = min(1.0, (progress + 1e-3) / warmup) if warmup > 0 else 1.0
        fall = 0.5 * (1 + math.cos(math.pi * progress))
        for group in self._setup.optimizer.param_groups:
            group["lr"] = self._setup.learning_rate * rise * fall

    def step(self, weight: float, count: int) -> None:
        """One step; the weights move only if loss and gradient are finite on all devices.

        Args:
            count: crops on which it is computed.

        Raises:
            TrainingDiverged: if the loss stops being finite or rises far above its best.
        """
        losses, is_sound = self._move(weight, count)
        if self._setup.fabric.device.type == "cuda":
            torch.cuda.synchronize()
        self._bad_steps = 0 if is_sound else self._bad_steps + 1
        if is_sound:
            self._note(losses, has_term=count > 0)
        if self._bad_steps >= _BAD_STEPS:
            raise TrainingDiverged(
                f"loss or gradient was not finite for {self._bad_steps} steps "
                f"(step {self._position.step}). Lower training.learning_rate, or set "
                "training.precision to 32-true."
            )

    def _move(self, weight: float, count: int) -> tuple[Losses, bool]:
        setup, position, fabric = self._setup, self._position, self._setup.fabric
        seed = setup.config.training.seed
        generator = torch.Generator(device=fabric.device)
        generator.manual_seed((seed * 1_000_003 + position.step) * 1_009 + fabric.global_rank)
        crops = setup.crops.draw(setup.batch_size, generator)
        losses: Losses = setup.objective(
            crops.images, crops.position, crops.labels, generator, weight, count
        )
        # All devices must come to the gradients, or those that do would wait for ever.
        fabric.backward(losses.total)
        norm = fabric.clip_gradients(
            setup.objective, setup.optimizer, max_norm=_GRADIENT_LIMIT, error_if_nonfinite=False
        )
        is_finite = math.isfinite(float(losses.total.detach()))
        # A loss scaler tries its limits on purpose; it must see overflows and skips steps.
        is_sound = is_finite and (setup.scaler is not None or math.isfinite(float(norm)))
        if fabric.world_size > 1:
            is_sound = float(fabric.all_reduce(torch.tensor(float(is_sound)))) == 1.0
        if is_sound or setup.scaler is not None:
            setup.optimizer.step()
        setup.optimizer.zero_grad(set_to_none=True)
        seen = setup.batch_size * fabric.world_size
        position.step += 1
        position.images_seen += seen
        setup.average.update(setup.denoiser, images_seen=position.images_seen, batch=seen)
        return losses, is_sound

    def _note(self, losses: Losses, *, has_term: bool) -> None:
        """Smooth the losses and watch them."""
        position = self._position
        position.loss_dsm = smoothed(position.loss_dsm, float(losses.dsm.detach()))
        if has_term:
            position.loss_consistency = smoothed(
                position.loss_consistency, float(losses.consistency.detach())
            )
        if position.step > 50:
            position.lowest_dsm = min(position.lowest_dsm, position.loss_dsm)
        limit = _DIVERGED * position.lowest_dsm
        if position.loss_dsm > limit and not self._is_rising:
            self._is_rising = True
            self._warnings.add(
                f"the DSM loss rose to {position.loss_dsm:.3f} at step {position.step}, from "
                f"{position.lowest_dsm:.3f}: training may be diverging. Consider a lower "
                "training.learning_rate."
            )
        if position.loss_dsm > _DIVERGED * limit:
            raise TrainingDiverged(
                f"the DSM loss rose to {position.loss_dsm:.3f} from {position.lowest_dsm:.3f} "
                f"(step {position.step}). Lower training.learning_rate."
            )
