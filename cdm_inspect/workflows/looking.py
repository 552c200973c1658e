"""What a model has understood: measured on held-out good parts, and drawn."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torchvision.utils import save_image

from cdm_inspect.encoding import to_json
from cdm_inspect.errors import CheckpointMismatch, InvalidOption
from cdm_inspect.files import write_durably
from cdm_inspect.images import spread_evenly
from cdm_inspect.model.checkpoint import load_model
from cdm_inspect.model.diagnosis import diagnose_model, mean_function, restore
from cdm_inspect.model.diffusion import SAMPLERS, SIGMA_MAX, karras_sigmas
from cdm_inspect.project import Project
from cdm_inspect.records import FloatArray, JsonObject, Tick, untold
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
    tick: Tick = untold,
) -> JsonObject:
    """Measure the model of a line on held-out good parts; draws one page, and writes its figures.

    Args:
        project: opened.
        line: whose model it is.
        compare: folder of another model of the same line, measured beside it.
        parts: at most so many held-out parts, and as many training parts.
        device: "auto", "cpu" or "cuda".
        report: where the PNG goes, and the JSON beside it; None means the project's `reports/`.
        tick: told how many measurements are done.

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
    known, fresh = good_parts_of(project, config, *models)
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


def sample(
    project: Project,
    line: str,
    *,
    count: int = 16,
    sampler: str = "heun",
    steps: int = 18,
    sigma_max: float = SIGMA_MAX,
    seed: int = 0,
    device: str = "auto",
    destination: Path | None = None,
) -> Path:
    """Draw good parts from the model of a line and write them as one grid.

    Args:
        project: opened.
        line: whose model it is.
        count: parts to draw.
        sampler: a name of `SAMPLERS`.
        steps: of the sampler.
        sigma_max: noise level to start from, image units.
        seed: of all noise.
        device: "auto", "cpu" or "cuda".
        destination: of the PNG; None means the project's `reports/`.

    Raises:
        InvalidOption: if there is no such sampler.
    """
    if sampler not in SAMPLERS:
        raise InvalidOption(f"expected --sampler {', '.join(SAMPLERS)}, found {sampler!r}.")
    model = load_line_model(project, line, device)
    size = model.card.preparation
    generator = torch.Generator(device=model.device).manual_seed(seed)
    shape = (count, size.channels, size.height, size.width)
    x = sigma_max * torch.randn(shape, generator=generator, device=model.device)
    x += model.denoiser.centre
    sigmas = karras_sigmas(steps, sigma_max=sigma_max)
    with torch.inference_mode():
        drawn = SAMPLERS[sampler](mean_function(model), x, sigmas, generator)
    path = destination or project.root / "reports" / f"{line}-samples.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    side = math.ceil(math.sqrt(count))
    save_image((drawn.clamp(-1, 1) + 1) / 2, path, nrow=side)
    return path


def _spread(parts: FloatArray, count: int) -> FloatArray:
    """At most `count` parts, evenly spread over all."""
    return np.asarray(parts[spread_evenly(len(parts), count)])
