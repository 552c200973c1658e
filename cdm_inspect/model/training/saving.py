"""An unfinished run is kept and taken up again; a finished one becomes the model of its line."""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict
from pathlib import Path

from cdm_inspect.errors import CheckpointMismatch, StorageError
from cdm_inspect.model.checkpoint import ModelCard, save_model
from cdm_inspect.model.diffusion import count_parameters
from cdm_inspect.model.training.held_out import OverfitAlarm
from cdm_inspect.model.training.pacing import TermClock, TermPace
from cdm_inspect.model.training.position import Position, Warnings
from cdm_inspect.model.training.recipes import masked_count
from cdm_inspect.model.training.setup import Setup
from cdm_inspect.model.training.unfinished import UnfinishedRun, gather_state, restore_state
from cdm_inspect.records import JsonObject, TrainingReport


def save_run(
    setup: Setup, position: Position, unfinished: UnfinishedRun, warnings: Warnings
) -> None:
    """Keep the unfinished run; where the disk refuses, say so and go on training."""
    # Before its first step the optimiser has no state, and a run nothing worth keeping.
    if not setup.fabric.is_global_zero or not setup.optimizer.state_dict()["state"]:
        return
    tensors = gather_state(setup.denoiser, setup.average.module, setup.optimizer)
    facts = asdict(position)
    if setup.scaler is not None:
        facts["loss_scaler"] = setup.scaler.state_dict()
    try:
        unfinished.save(tensors, facts)
    except StorageError as error:
        warnings.add(f"this run could not be saved and cannot be resumed from here: {error}")


def resume_run(setup: Setup, unfinished: UnfinishedRun) -> Position:
    """Put back what `save_run` kept, and say where the run stood.

    Raises:
        CheckpointMismatch: if there is nothing to resume, or it belongs to another run or version.
    """
    tensors, position = unfinished.load()
    scaler = position.pop("loss_scaler", None)
    try:
        clock = TermClock(**position.pop("clock"))
        alarm = OverfitAlarm(**position.pop("alarm"))
        # The learning rate may rise again, where the budget has grown.
        alarm.restart()
        if setup.scaler is not None and scaler is not None:
            setup.scaler.load_state_dict(scaler)
        restore_state(tensors, setup.denoiser, setup.average.module, setup.optimizer)
        return Position(**position, clock=clock, alarm=alarm)
    except (KeyError, TypeError, RuntimeError) as error:
        raise CheckpointMismatch(
            f"the unfinished run was saved by another version of cdm-inspect ({error}). "
            "Finish it with that version, or train without --resume."
        ) from error


def put_into_force(
    setup: Setup,
    position: Position,
    pace: TermPace,
    unfinished: UnfinishedRun,
    folder: Path,
    warnings: Warnings,
) -> TrainingReport:
    """Make the best averaged weights the model of the line, and drop the unfinished run."""
    parts = setup.parts
    report: JsonObject = {
        "images_seen": position.images_seen,
        "steps": position.step,
        "seconds": round(position.seconds, 2),
        "images_per_second": round(position.images_seen / position.seconds, 2),
        "loss_dsm": position.loss_dsm,
        "loss_consistency": position.loss_consistency,
        "loss_held_out": position.best_held_out,
        "consistency_cost_ratio": pace.cost_ratio,
        "consistency_share": pace.effective_share(setup.term_count, setup.batch_size),
        "consistency_started": position.consistency_started,
        "device": str(setup.fabric.device),
        "precision": setup.precision,
        "parameters": count_parameters(setup.denoiser),
        "n_train": len(parts.train),
        "n_held_out": len(parts.held_out),
    }
    card = ModelCard(
        line=setup.line,
        config=setup.config,
        preparation=parts.preparation,
        size=setup.size,
        centre=setup.centre,
        sigma_data=setup.sigma_data,
        data_sha256=parts.digest,
        trained_on=tuple(part.sha256 for part in parts.train_origin),
        held_out=tuple(part.sha256 for part in parts.held_out_origin),
        restores_cells=masked_count(setup.config) > 0,
        training={
            **report,
            "best_step": position.best_step,
            "finished_at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        },
    )
    model = ""
    if setup.fabric.is_global_zero:
        model = save_model(folder, card, unfinished.best())
        unfinished.clear()
    setup.fabric.barrier()
    return TrainingReport(
        line=setup.line,
        checkpoint=str(folder),
        model=model,
        set_aside=parts.set_aside,
        warnings=tuple(warnings),
        **report,
    )
