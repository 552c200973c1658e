"""What the consistency term costs: two trainings side by side, block by block, in one process.

    python benchmarks/consistency_cost.py --data path/to/part --image-size 128 --image-size 256

The data folder holds good parts below train/good. Each image size trains twice on the same crops,
without and with the term (schedule `constant`, so that it is on in every block but the first, in
which the pace is found). Blocks of steps alternate, so that a machine that slows down slows both.
With --conservativity the same is done for the conservativity penalty, which has no pace of its own.
Ratios have a 95 % bootstrap interval over pairs of blocks. The last line printed is JSON.
"""

import argparse
import itertools
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy import stats

from cdm_inspect.config import (
    ConservativityConfig,
    ConsistencyConfig,
    LineConfig,
    TrainingConfig,
)
from cdm_inspect.images import load_good_parts
from cdm_inspect.model.training import Training
from cdm_inspect.records import TrainingTick


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--image-size", type=int, action="append", required=True)
    parser.add_argument("--crop-size", type=int)
    parser.add_argument("--preset", default="small")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--blocks", type=int, default=10, help="pairs that are timed")
    parser.add_argument("--steps", type=int, default=24, help="in a block")
    parser.add_argument("--budget", type=float, default=1.25, help="consistency.budget")
    parser.add_argument(
        "--conservativity", action="store_true", help="time the conservativity penalty instead"
    )
    arguments = parser.parse_args()

    header = ("image", "crop", "images/s without", "with", "ratio", "95 %", "share", "device")
    what = "conservativity penalty" if arguments.conservativity else "consistency term"
    table = Table(*header, title=f"{what}, preset {arguments.preset}, budget {arguments.budget}")
    rows = []
    for size in arguments.image_size:
        row = compare(arguments, size)
        rows.append(row)
        table.add_row(
            f"{size} px",
            f"{row['crop']} px",
            f"{row['rate_without']:.1f}",
            f"{row['rate_with']:.1f}",
            f"{row['ratio']:.3f}",
            f"{row['low']:.3f} to {row['high']:.3f}",
            f"{row['share']:.3f}",
            row["device"],
        )
    Console(width=120).print(table)
    print(json.dumps(rows))


def compare(arguments: argparse.Namespace, size: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        without, with_term = (
            make_training(arguments, size, Path(folder) / name, term=name == "with")
            for name in ("without", "with")
        )
        runs = without.run(), with_term.run()
        seconds = np.array(
            [[block(run, arguments.steps) for run in runs] for _ in range(arguments.blocks + 2)]
        )[2:]  # the first two find memory, threads and the pace
        share = with_term.setup.config.consistency.share * (with_term.position.duty or 0.0)
        if arguments.conservativity:
            share = with_term.setup.config.conservativity.share
    images = arguments.steps * without.setup.batch_size
    interval = stats.bootstrap(
        (seconds[:, 1], seconds[:, 0]), ratio, paired=True, method="percentile", rng=0
    ).confidence_interval
    return {
        "image_size": size,
        "crop": without.setup.crops.height,
        "rate_without": images * len(seconds) / seconds[:, 0].sum(),
        "rate_with": images * len(seconds) / seconds[:, 1].sum(),
        "ratio": float(ratio(seconds[:, 1], seconds[:, 0])),
        "low": float(interval.low),
        "high": float(interval.high),
        "share": share,
        "device": str(without.setup.fabric.device),
        "precision": without.setup.precision,
    }


def make_training(
    arguments: argparse.Namespace, size: int, folder: Path, *, term: bool
) -> Training:
    is_penalty = arguments.conservativity
    consistency = ConsistencyConfig(
        weight=1.0 if term and not is_penalty else 0.0,
        schedule="constant",
        budget=arguments.budget,
    )
    config = LineConfig(
        normal=".",
        image_size=size,
        preset=arguments.preset,
        training=TrainingConfig(images="10M", crop_size=arguments.crop_size),
        consistency=consistency,
        conservativity=ConservativityConfig(weight=1e-4 if term and is_penalty else 0.0),
    )
    parts = load_good_parts(arguments.data / "train" / "good", config)
    return Training("bench", config, parts, folder, device=arguments.device)


def block(run: Iterator[TrainingTick], steps: int) -> float:
    started = time.perf_counter()
    for _ in itertools.islice(run, steps):
        pass
    return time.perf_counter() - started


def ratio(above: np.ndarray, below: np.ndarray, axis: int = -1) -> np.ndarray:
    quotient: np.ndarray = above.sum(axis=axis) / below.sum(axis=axis)
    return quotient


if __name__ == "__main__":
    main()
