"""Seconds a part that each scorer takes, side by side in one process.

    python benchmarks/scorer_speed.py --image-size 256

Speed does not depend on the weights, so that a fresh network does. Scorers take turns, so that a
busy machine slows all alike; the ratio is that to one evaluation of the network. The last line
printed is JSON.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import cast

import torch
from rich.console import Console
from rich.table import Table

from cdm_inspect.builtin import cdm_inspect_scorers
from cdm_inspect.model.diffusion import PRESETS, ConsistentDenoiser
from cdm_inspect.plugins import FittedScorer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image-size", type=int, default=256)
    parser.add_argument("--channels", type=int, default=1)
    parser.add_argument("--preset", default="small")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()

    torch.manual_seed(0)
    centre = (0.0,) * arguments.channels
    denoiser = ConsistentDenoiser(
        size=PRESETS[arguments.preset], centre=centre, sigma_data=0.3, restores_cells=True
    )
    denoiser.eval().requires_grad_(False).to(arguments.device)
    side = arguments.image_size
    parts = 0.3 * torch.randn(6, arguments.channels, side, side).clamp(-3, 3)
    parts = parts.to(arguments.device)
    scorers = {}
    for offer in cdm_inspect_scorers():
        scorer = cast(FittedScorer, offer.build(denoiser, offer.options()))
        scorer.fit(torch.cat([scorer.observe(part[None], seeds=[0]).cpu() for part in parts]))
        scorers[offer.name] = scorer
    level = torch.full((1, 1, 1, 1), 0.2, device=arguments.device)

    def evaluate() -> None:
        with torch.inference_mode():
            denoiser(parts[:1], level)

    work = {"one evaluation": evaluate} | {
        name: lambda scorer=scorer: scorer.score(parts[:1], seeds=[0])
        for name, scorer in scorers.items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(arguments.rounds):
        for name, call in work.items():
            seconds[name].append(timed(call, arguments.device))
    show(seconds, arguments)


def timed(call: Callable[[], object], device: str) -> float:
    started = time.perf_counter()
    call()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter() - started


def show(seconds: dict[str, list[float]], arguments: argparse.Namespace) -> None:
    threads = torch.get_num_threads()
    title = f"{arguments.preset}, {arguments.image_size} px, {arguments.device}, {threads} threads"
    table = Table("scorer", "median s", "lowest", "highest", "evaluations' worth", title=title)
    unit = statistics.median(seconds["one evaluation"])
    rows = []
    for name, values in seconds.items():
        median = statistics.median(values)
        rows.append(
            {"scorer": name, "median": median, "low": min(values), "high": max(values)}
            | {"ratio": median / unit}
        )
        table.add_row(
            name,
            f"{median:.3f}",
            f"{min(values):.3f}",
            f"{max(values):.3f}",
            f"{median / unit:.1f}",
        )
    Console(width=100).print(table)
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
