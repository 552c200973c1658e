"""Good parts drawn from the model of a line."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torchvision.utils import save_image

from cdm_inspect.errors import InvalidOption
from cdm_inspect.model.diagnosis import mean_function
from cdm_inspect.model.diffusion import SAMPLERS, SIGMA_MAX, karras_sigmas
from cdm_inspect.project import Project
from cdm_inspect.workflows.assembly import load_line_model


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
        count: parts to draw.
        sampler: a name of `SAMPLERS`.
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
