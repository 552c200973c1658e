"""Is the learnt posterior variance right, are others better, and does consistency training help?

    cdm-inspect --project P pilot --line A --budget 20m
    python benchmarks/variance.py --pilot P/pilot/A/DIGEST --good path/to/train/good

Three variances of x_0 given a noisy part are compared on held-out good parts, for the models that a
pilot has left behind: the network's own second output; s^2 J_h, the diagonal of the Jacobian of the
posterior mean by Hutchinson's probes (exact for an exact denoiser: second-order Tweedie); and the
quadratic variation of the prediction along the reverse process, which is exact where predictions do
not drift. z^2 is the squared error over the variance, each averaged over a box of 5 px: 1 on
average where the variance is right. Brightness is the posterior mean's, in thirds. Cells are means
over seeds with the lowest and highest. The last line printed is JSON.
"""

import argparse
import json
import re
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from cdm_inspect.images import find_images, read_image
from cdm_inspect.model.checkpoint import TrainedModel, load_model
from cdm_inspect.model.diffusion import ancestral_step, karras_sigmas
from cdm_inspect.plugins import Denoiser
from cdm_inspect.scoring.pixel_statistics import box_blur

SIGMAS = (0.1, 0.2, 0.4, 0.8)
KINDS = ("learnt", "s2J", "variation")
BOX = 5
LAST_SIGMA = 0.02


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pilot", type=Path, required=True, help="folder with ARM-SEED/models")
    parser.add_argument("--good", type=Path, required=True, help="folder of the good parts")
    parser.add_argument("--arms", nargs="+", default=["off", "on", "staged"])
    parser.add_argument("--parts", type=int, default=12, help="held-out parts to measure on")
    parser.add_argument("--probes", type=int, default=8)
    parser.add_argument("--paths", type=int, default=4)
    parser.add_argument("--steps", type=int, default=6, help="of each path")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()

    found: dict[tuple[str, float, str], list[list[float]]] = defaultdict(list)
    for folder in sorted(arguments.pilot.iterdir()):
        match = re.fullmatch(r"(.+)-(\d+)", folder.name)
        if match is None or match[1] not in arguments.arms:
            continue
        (models,) = folder.glob("models*")
        model = load_model(next(models.rglob("manifest.json")).parent, arguments.device)
        parts = held_out_parts(model, arguments.good, arguments.parts).to(arguments.device)
        for sigma in SIGMAS:
            for kind, values in measure(model.denoiser, parts, sigma, arguments).items():
                found[match[1], sigma, kind].append(values)
        print(f"{folder.name}: {len(parts)} parts", flush=True)
    show(found, arguments)
    print(json.dumps([[*key, values] for key, values in found.items()]))


def held_out_parts(model: TrainedModel, folder: Path, limit: int) -> torch.Tensor:
    kept: list[np.ndarray] = []
    for path in find_images(folder):
        part = read_image(path)
        if part.sha256 in model.card.held_out and len(kept) < limit:
            kept.append(model.card.preparation(part))
    return torch.from_numpy(np.stack(kept))


def measure(
    denoiser: Denoiser, parts: torch.Tensor, sigma: float, arguments: argparse.Namespace
) -> dict[str, list[float]]:
    """For each variance: z^2 over all pixels, then over the dark, middle and bright thirds."""
    totals: dict[str, list[torch.Tensor]] = defaultdict(list)
    for number, part in enumerate(parts):
        generator = torch.Generator(parts.device).manual_seed(number)
        x = part[None]
        noise = torch.randn(x.shape, generator=generator, device=x.device)
        noisy, level = x + sigma * noise, torch.full((1, 1, 1, 1), sigma, device=x.device)
        with torch.no_grad():
            posterior = denoiser(noisy, level)
        square = box_blur((posterior.mean - x).square(), BOX)
        variances = {
            "learnt": posterior.log_variance.exp(),
            "s2J": jacobian_variance(denoiser, noisy, level, arguments.probes, generator),
            "variation": quadratic_variation(
                denoiser, noisy, sigma, posterior.mean, arguments, generator
            ),
        }
        edges = torch.quantile(posterior.mean, torch.tensor([1 / 3, 2 / 3], device=x.device))
        third = torch.bucketize(posterior.mean.contiguous(), edges)
        for kind, variance in variances.items():
            smooth = box_blur(variance, BOX)
            # Probes are noisy and may fall below zero; an error never is.
            z = square / smooth.clamp(min=0.02 * float(smooth.mean().abs()))
            thirds = [z[third == index].mean() for index in range(3)]
            totals[kind].append(torch.stack([z.mean(), *thirds]))
    return {kind: torch.stack(rows).mean(dim=0).tolist() for kind, rows in totals.items()}


def jacobian_variance(
    denoiser: Denoiser,
    noisy: torch.Tensor,
    level: torch.Tensor,
    probes: int,
    generator: torch.Generator,
) -> torch.Tensor:
    """s^2 times the diagonal of dD/dy: E_v[v * J'v] for Rademacher v."""
    y = noisy.clone().requires_grad_()
    mean = denoiser(y, level).mean
    total = torch.zeros_like(noisy)
    for _ in range(probes):
        signs = torch.randint(2, noisy.shape, generator=generator, device=noisy.device)
        probe = 2.0 * signs - 1
        (product,) = torch.autograd.grad(mean, y, probe, retain_graph=True)
        total += probe * product / probes
    return level.square() * total.detach()


@torch.no_grad()
def quadratic_variation(
    denoiser: Denoiser,
    noisy: torch.Tensor,
    sigma: float,
    first: torch.Tensor,
    arguments: argparse.Namespace,
    generator: torch.Generator,
) -> torch.Tensor:
    """Sum of the squared changes of the prediction along reverse paths, and the rest at the end."""
    levels = karras_sigmas(arguments.steps, sigma_max=sigma, sigma_min=LAST_SIGMA)[:-1]
    total = torch.zeros_like(noisy)
    for _ in range(arguments.paths):
        x, mean = noisy, first
        for upper, lower in pairwise(levels):
            normal = torch.randn(x.shape, generator=generator, device=x.device)
            x = ancestral_step(x, mean, upper, lower, normal)
            posterior = denoiser(x, lower.to(x).expand(1, 1, 1, 1))
            total += (posterior.mean - mean).square()
            mean = posterior.mean
        # Below the last level the prediction changes by about the variance that is left.
        total += posterior.log_variance.exp()
    return total / float(arguments.paths)


def show(
    found: dict[tuple[str, float, str], list[list[float]]], arguments: argparse.Namespace
) -> None:
    title = f"z² on {arguments.parts} held-out good parts; 1 is right"
    table = Table("training", "sigma", "variance", "all", "dark", "middle", "bright", title=title)
    for (arm, sigma, kind), rows in sorted(found.items()):
        cells = [
            f"{np.mean(values):.2f} ({min(values):.2f} to {max(values):.2f})"
            for values in zip(*rows, strict=True)
        ]
        table.add_row(arm, f"{sigma:g}", kind, *cells)
    Console(width=130).print(table)


if __name__ == "__main__":
    main()
