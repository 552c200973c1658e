"""What a line learns: to restore good parts, and by those held out, where to draw the line."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict

from cdm_inspect.calibration.operating_point import by_cost, by_false_reject
from cdm_inspect.calibration.record import Calibration, equal_calibrations
from cdm_inspect.calibration.reviewed_sample import ReviewedParts, collect_reviewed
from cdm_inspect.images import (
    Acquisition,
    Envelope,
    load_good_parts,
    load_manifest,
)
from cdm_inspect.model.checkpoint import load_model
from cdm_inspect.model.training import Training
from cdm_inspect.monitoring.drift import charts_of
from cdm_inspect.project import Project
from cdm_inspect.records import Tick, TrainingReport, TrainingTick, untold
from cdm_inspect.scoring.fitting import fit_scorer, score_damaged
from cdm_inspect.workflows.assembly import (
    build_scorer,
    check_scorer_fits,
    good_parts_of,
    load_line_model,
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


def calibrate(
    project: Project,
    line: str,
    *,
    scorer: str | None = None,
    max_false_reject: float | None = None,
    device: str = "auto",
    tick: Tick = untold,
) -> Calibration:
    """Fit a scorer on good parts, set the threshold by those held out, and put it into force.

    Arguments and rules are those of `derive_calibration`.
    """
    found = derive_calibration(
        project,
        line,
        scorer=scorer,
        max_false_reject=max_false_reject,
        device=device,
        tick=tick,
    )
    return found.save(project.calibration_folder(line))


def derive_calibration(
    project: Project,
    line: str,
    *,
    scorer: str | None = None,
    max_false_reject: float | None = None,
    device: str = "auto",
    tick: Tick = untold,
) -> Calibration:
    """What a scorer learns of good parts, and the threshold by those that were held out.

    See `fit_scorer` for how each held-out part comes to the score that the threshold stands on,
    and `operating_point` for the rules.

    Args:
        project: opened.
        line: trained.
        scorer: another than the line's.
        max_false_reject: another than the line's.
        device: "auto", "cpu" or "cuda".
        tick: told how many of how many are done.
    """
    config = project.config.line(line)
    model = load_line_model(project, line, device)
    name = scorer or config.scorer
    built = build_scorer(project, config, model, name)
    known, held_out = good_parts_of(project, config, model)
    ordered = tuple(sorted(fit_scorer(built, held_out, trained_on=known, tick=tick)))
    rate = max_false_reject if max_false_reject is not None else config.max_false_reject
    state, folder = built.state(), project.calibration_folder(line)
    if config.rule == "cost":
        facts = {"model": model.id, "options": built.options, "view": built.view}
        point = by_cost(
            ordered,
            score_damaged(built, held_out, tick=tick),
            config.costs,
            max_false_reject=rate,
            confidence=config.confidence,
            reviewed=_reviewed(project, line, equal_calibrations(folder, name, facts, state)),
        )
    else:
        point = by_false_reject(ordered, rate, config.confidence)
    calibration = Calibration(
        line=line,
        model=model.id,
        scorer=name,
        options=built.options,
        view=built.view,
        found=built.describe(),
        scores=ordered,
        max_false_reject=rate,
        confidence=config.confidence,
        false_reject_bound=point.guarantee.bound,
        parts_needed=point.guarantee.parts_needed,
        threshold=point.review,
        reject_threshold=point.reject,
        rule=point.rule,
        basis={"guarantee": asdict(point.guarantee), **point.facts},
        explanation=point.explanation,
        envelope=Envelope.around(
            [Acquisition.of(built.seen(image), built.region) for image in (*known, *held_out)]
        ).to_json(),
        expiry_days=config.expiry.days if math.isfinite(config.expiry.days) else None,
        expiry_parts=config.expiry.parts,
        expiry_drift=config.expiry.drift,
        state=state,
    )
    if calibration.expiry_drift:
        charts_of(calibration)  # refuses where the held-out parts are too few for any chart
    return calibration


def _reviewed(project: Project, line: str, calibrations: set[str]) -> ReviewedParts | None:
    """What people have said of parts that were judged by the same scores; None without."""
    if not calibrations:
        return None
    with project.open_store() as store:
        return collect_reviewed(store, line, calibrations)
