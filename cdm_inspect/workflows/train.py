"""The model of a line, trained on its good parts."""

from __future__ import annotations

from collections.abc import Callable

from cdm_inspect.images import (
    load_good_parts,
    load_manifest,
)
from cdm_inspect.model.checkpoint import load_model
from cdm_inspect.model.training import Training
from cdm_inspect.project import Project
from cdm_inspect.records import TrainingReport, TrainingTick
from cdm_inspect.workflows.assembly import (
    check_scorer_fits,
)


def train(
    project: Project,
    line: str,
    *,
    device: str = "auto",
    devices: int = 1,
    resume: bool = False,
    tick: Callable[[TrainingTick], None] = lambda tick: None,
) -> TrainingReport:
    """Train the model of a line and put it into force; an interrupted run can be resumed."""
    config = project.config.line(line)
    # Better now than after a night of training.
    check_scorer_fits(project, config)
    manifest = load_manifest(project.manifest_file(line))
    parts = load_good_parts(project.path(config.normal), config, manifest=manifest)
    start = config.consistency.checkpoint
    training = Training(
        line,
        config,
        parts,
        project.model_folder(line),
        device=device,
        devices=devices,
        start_from=load_model(project.path(start)) if start is not None else None,
    )
    told_at = 0.0
    try:
        for progress in training.run(resume=resume):
            tick(progress)
            if progress.seconds - told_at >= 1.0:
                told_at = progress.seconds
                project.registry.notify("cdm_inspect_training_ticked", line=line, tick=progress)
    except KeyboardInterrupt:
        training.save()
        raise
    assert training.report is not None
    return training.report
