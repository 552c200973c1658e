"""What a model has understood, measured on held-out good parts."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from cdm_inspect.encoding import to_json
from cdm_inspect.errors import CheckpointMismatch
from cdm_inspect.files import write_durably
from cdm_inspect.images import spread_evenly
from cdm_inspect.model.checkpoint import load_model
from cdm_inspect.model.diagnosis import diagnose_model, restore
from cdm_inspect.project import Project
from cdm_inspect.records import FloatArray, JsonObject, Tick, no_progress
from cdm_inspect.workflows.assembly import good_parts_of, load_line_model
from cdm_inspect.workflows.reports.figures import draw_diagnosis


def diagnose(
    project: Project,
    line: str,
    *,
    compare: Path | None = None,
    parts: int = 24,
    device: str = "auto",
    report: Path | None = None,
    tick: Tick = no_progress,
) -> JsonObject:
    """Measure the model of a line on held-out good parts; draws one page, and writes its figures.

    Args:
        compare: folder of another model of the same line, measured beside it.
        parts: at most so many held-out parts, and as many training parts.
        device: "auto", "cpu" or "cuda".
        report: where the PNG goes, and the JSON beside it; None means the project's `reports/`.
        tick: called with how many measurements are done.

    Returns:
        The JSON of `diagnose`.
    """
    config = project.config.line(line)
    models = [load_line_model(project, line, device)]
    if compare is not None:
        models.append(load_model(compare, models[0].device))
        if models[1].card.preparation != models[0].card.preparation:
            raise CheckpointMismatch(
                f"the model in {compare} prepares images differently from that of line {line!r}: "
                "their figures would not compare."
            )
    known, fresh = (side.images for side in good_parts_of(project, config, *models))
    found = [
        diagnose_model(model, _spread(known, parts), _spread(fresh, parts), tick=tick)
        for model in models
    ]
    shown = _spread(fresh, 8)
    examples = [("held-out parts", shown)]
    for model in models:
        with torch.inference_mode():
            restored = restore(model, torch.from_numpy(shown).to(model.device), start=1.0, steps=8)
        examples.append((f"{model.id}:\nfrom noise 1, 8 steps", restored.cpu().numpy()))
    destination = report or project.root / "reports" / f"{line}-diagnosis.png"
    draw_diagnosis(found, examples, f"Line {line}: {len(_spread(fresh, parts))} parts", destination)
    document = {"line": line, **asdict(found[0]), "report": str(destination)}
    if compare is not None:
        document["compare"] = {"checkpoint": str(compare), **asdict(found[1])}
    write_durably(destination.with_suffix(".json"), to_json(document, indent=1))
    return document


def _spread(parts: FloatArray, count: int) -> FloatArray:
    """At most `count` parts, evenly spread over all."""
    return np.asarray(parts[spread_evenly(len(parts), count)])
