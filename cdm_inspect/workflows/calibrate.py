"""The thresholds of a line, by good parts that were held out from training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from cdm_inspect.calibration.operating_point import OperatingPoint, by_cost, by_false_reject
from cdm_inspect.calibration.record import Calibration, equal_calibrations
from cdm_inspect.calibration.reviewed_sample import ReviewedParts, collect_reviewed
from cdm_inspect.config.line import ExpiryConfig
from cdm_inspect.images import (
    Acquisition,
    Envelope,
)
from cdm_inspect.monitoring.drift import charts_of
from cdm_inspect.project import Project
from cdm_inspect.records import FloatArray, JsonObject, Tick, no_progress
from cdm_inspect.scoring.fitting import fit_scorer, score_damaged
from cdm_inspect.scoring.line_scorer import LineScorer
from cdm_inspect.workflows.assembly import (
    build_scorer,
    good_parts_of,
    load_line_model,
)


def calibrate(
    project: Project,
    line: str,
    *,
    scorer: str | None = None,
    max_false_reject: float | None = None,
    device: str = "auto",
    tick: Tick = no_progress,
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
    tick: Tick = no_progress,
) -> Calibration:
    """What a scorer learns of good parts, and the threshold by those that were held out.

    See `fit_scorer` for how each held-out part comes to the score that the threshold stands on,
    and `operating_point` for the rules.

    Args:
        device: "auto", "cpu" or "cuda".
    """
    config = project.config.line(line)
    model = load_line_model(project, line, device)
    name = scorer or config.scorer
    built = build_scorer(project, config, model, name)
    known, held_out = good_parts_of(project, config, model)
    scores = fit_scorer(built, held_out.images, trained_on=known.images, tick=tick)
    ordered = tuple(sorted(scores))
    rate = max_false_reject if max_false_reject is not None else config.max_false_reject
    state = built.state()
    facts: JsonObject = {"model": model.id, "options": built.options, "view": built.view}
    if config.rule == "cost":
        synthetic = score_damaged(built, held_out.images, tick=tick)
        same = equal_calibrations(project.calibration_folder(line), name, facts, state)
        point = by_cost(
            ordered,
            synthetic,
            config.costs,
            max_false_reject=rate,
            confidence=config.confidence,
            reviewed=_reviewed(project, line, same),
        )
    else:
        point = by_false_reject(ordered, rate, config.confidence)
    prepared = (*known.images, *held_out.images)
    calibration = Calibration(
        line=line,
        scorer=name,
        **facts,
        found=built.describe(),
        scores=ordered,
        part_scores=dict(zip(held_out.hashes, scores, strict=True)),
        max_false_reject=rate,
        confidence=config.confidence,
        **_thresholds(point),
        envelope=_envelope(built, prepared),
        **_expiry(config.expiry),
        state=state,
    )
    if calibration.expiry_drift:
        charts_of(calibration)  # refuses where the held-out parts are too few for any chart
    return calibration


def _envelope(scorer: LineScorer, prepared: Sequence[FloatArray]) -> JsonObject:
    """How the good parts were photographed, where the line looks."""
    found = [Acquisition.of(scorer.seen(image), scorer.region) for image in prepared]
    return Envelope.around(found).to_json()


def _expiry(config: ExpiryConfig) -> dict[str, Any]:
    return {
        "expiry_days": config.days if math.isfinite(config.days) else None,
        "expiry_parts": config.parts,
        "expiry_drift": config.drift,
    }


def _thresholds(point: OperatingPoint) -> dict[str, Any]:
    """The fields of a calibration that its rule decides on."""
    return {
        "false_reject_bound": point.guarantee.bound,
        "parts_needed": point.guarantee.parts_needed,
        "threshold": point.review,
        "reject_threshold": point.reject,
        "rule": point.rule,
        "basis": {"guarantee": asdict(point.guarantee), **point.facts},
        "explanation": point.explanation,
    }


def _reviewed(project: Project, line: str, calibrations: set[str]) -> ReviewedParts | None:
    """What people have said of parts that were judged by the same scores; None without."""
    if not calibrations:
        return None
    with project.open_store() as store:
        return collect_reviewed(store, line, calibrations)
