"""The training loop: a generator of progress that runs against a budget and can be resumed."""

from __future__ import annotations

import datetime as dt
import math
import time
from collections.abc import Generator
from dataclasses import asdict, replace
from pathlib import Path

import torch
from lightning.fabric import Fabric

from cdm_inspect.config import LineConfig
from cdm_inspect.config.units import parse_count, parse_duration
from cdm_inspect.errors import CheckpointMismatch, StorageError, TrainingDiverged
from cdm_inspect.images import GoodParts
from cdm_inspect.model.checkpoint import ModelCard, TrainedModel, save_model
from cdm_inspect.model.diffusion import (
    PRESETS,
    ConsistentDenoiser,
    Losses,
    Objective,
    count_parameters,
)
from cdm_inspect.model.training.averaging import MovingAverage, smoothed
from cdm_inspect.model.training.crops import CropSampler, centre_and_spread
from cdm_inspect.model.training.hardware import choose_hardware
from cdm_inspect.model.training.held_out import DefectCheck, HeldOutCheck, OverfitAlarm
from cdm_inspect.model.training.pacing import CostPacer, TermClock, TermSchedule
from cdm_inspect.model.training.position import CHECKS, Position
from cdm_inspect.model.training.recipes import RECIPES, batch_size, masked_count
from cdm_inspect.model.training.unfinished import UnfinishedRun, gather_state, restore_state
from cdm_inspect.records import JsonObject, TrainingReport, TrainingTick

_MAX_SECONDS_BETWEEN_SAVES = 300.0
_CHECK_TIME_SHARE = 0.05  # of the run that checks may take, where the run is short
_GRADIENT_LIMIT = 1.0
# Above this multiple of its best, the smoothed loss has left the road.
_DIVERGED = 3.0
_BAD_STEPS = 5  # in a row, without a finite loss and gradient, that end a run


class Training:
    """One run. Iterate `run()` to the end, then read `report`.

    Every draw follows from the seed and the number of the step, so a run that is killed and
    resumed sees the crops and noise it would have seen.

    Args:
        line: name of the line.
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
        self.line, self.config, self.parts, self.folder = line, config, parts, folder
        self.unfinished = UnfinishedRun(
            folder / "training",
            config_sha256=self._resumable_digest(),
            data_sha256=parts.digest,
            start_from=start_from.id if start_from is not None else "",
        )
        settings, recipe = config.training, RECIPES[config.preset]
        self.batch_size = batch_size(config)
        self.learning_rate = settings.learning_rate or recipe.learning_rate
        crop_size = settings.crop_size or recipe.crop_size
        self.image_budget = parse_count(settings.images) if settings.images else None
        self.time_budget = parse_duration(settings.budget)
        self.position = Position()
        self.warnings: list[str] = []
        self._is_rising = False
        self.report: TrainingReport | None = None

        accelerator, precision = choose_hardware(device, settings.precision, devices)
        self.precision = precision
        self.fabric = Fabric(
            accelerator=accelerator,
            devices=[int(device.partition(":")[2])] if ":" in device else devices,
            precision=precision,
        )
        self.fabric.launch()
        torch.manual_seed(settings.seed)

        preset = PRESETS[config.preset]
        dropout = preset.dropout if settings.dropout is None else settings.dropout
        centre, sigma_data = centre_and_spread(torch.from_numpy(parts.train))
        self.size = replace(preset, dropout=dropout)
        if start_from is not None:
            centre, sigma_data = start_from.card.centre, start_from.card.sigma_data
        self.denoiser = ConsistentDenoiser(size=self.size, centre=centre, sigma_data=sigma_data)
        self.centre, self.sigma_data = centre, sigma_data
        if start_from is not None:
            self._start_from(start_from)
        objective = Objective(
            self.denoiser,
            variance_weight=settings.variance_weight,
            max_jump=config.consistency.max_jump,
            is_flat=config.consistency.weighting == "flat",
            is_bootstrapped=config.consistency.gradient == "upper",
            is_antithetic=config.consistency.antithetic,
            masked_count=masked_count(config),
            conservativity_weight=config.conservativity.weight,
            conservativity_count=math.ceil(config.conservativity.share * self.batch_size),
        )
        optimizer = torch.optim.AdamW(
            self.denoiser.parameters(), self.learning_rate, weight_decay=settings.weight_decay
        )
        self.objective, self.optimizer = self.fabric.setup(objective, optimizer)
        # Fabric's float16 on CUDA scales the loss; no other precision does.
        self._scaler = getattr(self.fabric.strategy.precision, "scaler", None)
        self.average = MovingAverage(self.denoiser, settings.ema_half_life)
        to_device = self.fabric.device
        self.crops = CropSampler(
            torch.from_numpy(parts.train).to(to_device),
            crop_size=crop_size,
            augmentation=config.augmentation,
        )
        plain = config.augmentation.model_copy(update={"probability": 0.0})
        held_out = CropSampler(
            torch.from_numpy(parts.held_out), crop_size=crop_size, augmentation=plain
        )
        self.held_out = HeldOutCheck(held_out, batch=self.batch_size)
        self.defects = DefectCheck(held_out, batch=self.batch_size)
        self._set_pace()

    def _start_from(self, model: TrainedModel) -> None:
        theirs = replace(model.card.size, dropout=self.size.dropout), len(model.card.centre)
        if theirs != (self.size, self.parts.train.shape[1]):
            raise CheckpointMismatch(
                f"expected a model of preset {self.config.preset!r} with "
                f"{self.parts.train.shape[1]} channels to start from, found preset "
                f"{model.card.config.preset!r} with {len(model.card.centre)}. Set the preset of "
                "that model, or name another one."
            )
        known = {part.sha256 for part in self.parts.held_out_origin} & set(model.card.trained_on)
        if known:
            raise CheckpointMismatch(
                f"the model to start from has trained on {len(known)} of the parts that are held "
                "out now, so that nothing honest could be said of the result. Keep training.seed "
                "and training.held_out as they were for that model."
            )
        self.denoiser.load_state_dict(model.denoiser.state_dict())

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
        if not self.fabric.is_global_zero:
            yield from self._run(resume=resume)
            return
        with self.unfinished.claimed():
            yield from self._run(resume=resume)

    def _run(self, *, resume: bool) -> Generator[TrainingTick, None, None]:
        if resume:
            self._resume()
        elif self.fabric.is_global_zero:
            self.unfinished.clear()
        self.objective.train()
        started = time.monotonic() - self.position.seconds
        saved_at, check_pause, bad_steps = self.position.seconds, 0.0, 0
        progress = self._progress()
        has_overfitted = False
        while progress < 1.0 and not has_overfitted:
            self._set_learning_rate(progress)
            weight, count = self._consistency(progress)
            step_started = time.perf_counter()
            losses, is_sound = self._step(weight, count)
            if self.fabric.device.type == "cuda":
                torch.cuda.synchronize()
            self.position.clock.note(
                time.perf_counter() - step_started, is_on=weight > 0, has_term=count > 0
            )
            if weight > 0:
                self._keep_pace()
            self.position.seconds = time.monotonic() - started
            bad_steps = 0 if is_sound else bad_steps + 1
            if is_sound:
                self._note_losses(losses, has_term=count > 0)
            if bad_steps >= _BAD_STEPS:
                raise TrainingDiverged(
                    f"loss or gradient was not finite for {bad_steps} steps "
                    f"(step {self.position.step}). Lower training.learning_rate, or set "
                    "training.precision to 32-true."
                )
            progress = self._progress()
            since_save = self.position.seconds - saved_at
            # Against a budget of images, checks fall on fixed steps: the run can be repeated. The
            # last weights are judged in any case, as they are most often the best.
            is_check = progress >= self.position.next_check and (
                self.image_budget is not None or since_save > check_pause or progress >= 1.0
            )
            is_check, is_save = self._agreed(is_check, since_save > _MAX_SECONDS_BETWEEN_SAVES)
            if is_check or is_save:
                before = self.position.seconds
                if is_check:
                    self._check_held_out(progress)
                    (has_overfitted,) = self._agreed(self._has_overfitted())
                self.save()
                saved_at = self.position.seconds = time.monotonic() - started
                check_pause = (saved_at - before) / _CHECK_TIME_SHARE
                progress = self._progress()
            left = time.monotonic()
            yield self.position.tick(progress, self.warnings)
            # What the caller does meanwhile is not this run's time.
            started += time.monotonic() - left
        self._finish()

    def save(self) -> None:
        """Keep the unfinished run; where the disk refuses, say so and go on training."""
        # Before its first step the optimiser has no state, and a run nothing worth keeping.
        if not self.fabric.is_global_zero or not self.optimizer.state_dict()["state"]:
            return
        tensors = gather_state(self.denoiser, self.average.module, self.optimizer)
        position = asdict(self.position)
        if self._scaler is not None:
            position["loss_scaler"] = self._scaler.state_dict()
        try:
            self.unfinished.save(tensors, position)
        except StorageError as error:
            self._warn(f"this run could not be saved and cannot be resumed from here: {error}")

    def _warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)

    def _agreed(self, *flags: bool) -> tuple[bool, ...]:
        """What the first process says; clocks differ, and all must do the same at a step."""
        if self.fabric.world_size == 1:
            return flags
        return tuple(self.fabric.broadcast(flags))

    def _progress(self) -> float:
        if self.image_budget is not None:
            return min(1.0, self.position.images_seen / self.image_budget)
        progress = min(1.0, self.position.seconds / self.time_budget)
        return float(self.fabric.broadcast(progress)) if self.fabric.world_size > 1 else progress

    def _set_learning_rate(self, progress: float) -> None:
        warmup = self.config.training.lr_warmup
        rise = min(1.0, (progress + 1e-3) / warmup) if warmup > 0 else 1.0
        fall = 0.5 * (1 + math.cos(math.pi * progress))
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate * rise * fall

    def _consistency(self, progress: float) -> tuple[float, int]:
        """Weight of the consistency term and crops it is computed on, at this step."""
        weight = self.schedule.weight(progress)
        self.position.consistency_started = self.schedule.started
        if weight == 0 or not self.pacer.has_term(self.position.step):
            return weight, 0
        return weight / self.pacer.duty, self._term_count

    @property
    def _term_count(self) -> int:
        """Crops on which a step computes the term."""
        count = max(1, round(self.config.consistency.share * self.batch_size))
        return min(count, self.batch_size - masked_count(self.config))

    def _keep_pace(self) -> None:
        if self.pacer.is_update(self.position.step):
            duty = self.pacer.chosen_duty()
            if self.fabric.world_size > 1:
                duty = float(self.fabric.broadcast(duty))
            self.position.duty = self.pacer.duty = duty

    def _set_pace(self) -> None:
        """Schedule and pacer from where the run stands."""
        config, position = self.config.consistency, self.position
        self.schedule = TermSchedule(
            config, started=position.consistency_started, flat_checks=position.flat_checks
        )
        self.pacer = CostPacer(config.budget, position.clock)
        if position.duty is not None:
            self.pacer.duty = position.duty

    def _step(self, weight: float, count: int) -> tuple[Losses, bool]:
        """One step; the weights move only if loss and gradient are finite on all devices."""
        step, rank, seed = self.position.step, self.fabric.global_rank, self.config.training.seed
        generator = torch.Generator(device=self.fabric.device)
        generator.manual_seed((seed * 1_000_003 + step) * 1_009 + rank)
        crops = self.crops.draw(self.batch_size, generator)
        losses: Losses = self.objective(
            crops.images, crops.position, crops.labels, generator, weight, count
        )
        # All devices must come to the gradients, or those that do would wait for ever.
        self.fabric.backward(losses.total)
        norm = self.fabric.clip_gradients(
            self.objective,
            self.optimizer,
            max_norm=_GRADIENT_LIMIT,
            error_if_nonfinite=False,
        )
        is_finite = math.isfinite(float(losses.total.detach()))
        # A loss scaler tries its limits on purpose; it must hear of overflows and skips steps.
        is_sound = is_finite and (self._scaler is not None or math.isfinite(float(norm)))
        if self.fabric.world_size > 1:
            is_sound = float(self.fabric.all_reduce(torch.tensor(float(is_sound)))) == 1.0
        if is_sound or self._scaler is not None:
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        seen = self.batch_size * self.fabric.world_size
        self.position.step += 1
        self.position.images_seen += seen
        self.average.update(self.denoiser, images_seen=self.position.images_seen, batch=seen)
        return losses, is_sound

    def _note_losses(self, losses: Losses, *, has_term: bool) -> None:
        """Smooth the losses and watch them."""
        position = self.position
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
            self._warn(
                f"the DSM loss rose to {position.loss_dsm:.3f} at step {position.step}, from "
                f"{position.lowest_dsm:.3f}: training may be diverging. Consider a lower "
                "training.learning_rate."
            )
        if position.loss_dsm > _DIVERGED * limit:
            raise TrainingDiverged(
                f"the DSM loss rose to {position.loss_dsm:.3f} from {position.lowest_dsm:.3f} "
                f"(step {position.step}). Lower training.learning_rate."
            )

    def _check_held_out(self, progress: float) -> None:
        """Judge the averaged weights by held-out parts; the best so far are kept on disk."""
        position, former = self.position, self.position.loss_held_out
        with self.fabric.autocast():
            network, device = self.average.module, self.fabric.device
            position.loss_held_out = self.held_out.measure(network, device)
            # Where nothing is to stop or to be refused, nobody looks.
            is_watched = self.config.training.patience > 0
            standing_out = self.defects.measure(network, device) if is_watched else []
        if math.isfinite(former):
            self.schedule.note_held_out(former, position.loss_held_out)
            position.flat_checks = self.schedule.flat_checks
        weight = self.schedule.weight(progress)
        position.alarm.note(position.loss_held_out, standing_out, weight=weight)
        position.next_check = (math.floor(progress * CHECKS) + 1) / CHECKS
        is_first = not math.isfinite(position.best_held_out)
        is_sound = is_first or not position.alarm.is_dull
        if position.loss_held_out < position.best_held_out and is_sound:
            try:
                if self.fabric.is_global_zero:
                    self.unfinished.keep_best(self.average.module.state_dict())
            except StorageError as error:
                if progress >= 1.0:
                    raise  # there is no later
                self._warn(f"better weights could not be kept, the former best stay: {error}")
            else:
                position.best_held_out, position.best_step = position.loss_held_out, position.step

    def _has_overfitted(self) -> bool:
        position, patience = self.position, self.config.training.patience
        if patience == 0 or position.alarm.risen < patience:
            return False
        cause = (
            "synthetic defects on held-out parts stood out ever less"
            if position.alarm.is_dull
            else "the error on held-out parts kept rising"
        )
        self._warn(
            f"stopped early, after step {position.step}: {cause}. "
            f"The weights of step {position.best_step} are in force. The model was learning its "
            f"{len(self.parts.train)} parts by heart: more good parts would help, more time not."
        )
        return True

    def _resume(self) -> None:
        tensors, position = self.unfinished.load()
        scaler = position.pop("loss_scaler", None)
        try:
            clock = TermClock(**position.pop("clock"))
            alarm = OverfitAlarm(**position.pop("alarm"))
            # The learning rate may rise again, where the budget has grown.
            alarm.restart()
            self.position = Position(**position, clock=clock, alarm=alarm)
            if self._scaler is not None and scaler is not None:
                self._scaler.load_state_dict(scaler)
            restore_state(tensors, self.denoiser, self.average.module, self.optimizer)
        except (KeyError, TypeError, RuntimeError) as error:
            raise CheckpointMismatch(
                f"the unfinished run was saved by another version of cdm-inspect ({error}). "
                "Finish it with that version, or train without --resume."
            ) from error
        self._set_pace()

    def _resumable_digest(self) -> str:
        training = self.config.training.model_copy(update={"budget": "", "images": None})
        return self.config.model_copy(update={"training": training}).digest

    def _finish(self) -> None:
        """Put the best averaged weights into force and drop the unfinished run."""
        position = self.position
        if not math.isfinite(position.loss_held_out):
            self._check_held_out(1.0)
        if not math.isfinite(position.loss_held_out):
            raise TrainingDiverged(
                "the loss on held-out parts was never finite. Lower training.learning_rate, or set "
                "training.precision to 32-true."
            )
        report: JsonObject = {
            "images_seen": position.images_seen,
            "steps": position.step,
            "seconds": round(position.seconds, 2),
            "images_per_second": round(position.images_seen / position.seconds, 2),
            "loss_dsm": position.loss_dsm,
            "loss_consistency": position.loss_consistency,
            "loss_held_out": position.best_held_out,
            "consistency_cost_ratio": self.consistency_cost_ratio,
            "consistency_share": self._effective_share(),
            "consistency_started": position.consistency_started,
            "device": str(self.fabric.device),
            "precision": self.precision,
            "parameters": count_parameters(self.denoiser),
            "n_train": len(self.parts.train),
            "n_held_out": len(self.parts.held_out),
        }
        card = ModelCard(
            line=self.line,
            config=self.config,
            preparation=self.parts.preparation,
            size=self.size,
            centre=self.centre,
            sigma_data=self.sigma_data,
            data_sha256=self.parts.digest,
            trained_on=tuple(part.sha256 for part in self.parts.train_origin),
            held_out=tuple(part.sha256 for part in self.parts.held_out_origin),
            restores_cells=masked_count(self.config) > 0,
            training={
                **report,
                "best_step": position.best_step,
                "finished_at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            },
        )
        model = ""
        if self.fabric.is_global_zero:
            model = save_model(self.folder, card, self.unfinished.best())
            self.unfinished.clear()
        self.fabric.barrier()
        self.report = TrainingReport(
            line=self.line,
            checkpoint=str(self.folder),
            model=model,
            set_aside=self.parts.set_aside,
            warnings=tuple(self.warnings),
            **report,
        )

    @property
    def consistency_cost_ratio(self) -> float | None:
        """Seconds a step with the term on, at its pace, over seconds a step without.

        From medians of this run's own steps; None while too few of either kind have been timed.
        """
        ratio = self.pacer.cost_ratio
        return None if ratio is None else round(ratio, 3)

    def _effective_share(self) -> float:
        """Share of all crops on which the term is computed, at the pace last chosen."""
        if self.position.consistency_started is None:
            return 0.0
        return round(self.pacer.duty * self._term_count / self.batch_size, 4)
