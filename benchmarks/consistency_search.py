"""At which setting does the consistency term pay most? Fine-tunes one DSM model in many ways.

    python benchmarks/consistency_search.py --data path/to/part --base 4m --budget 60s --seeds 2

The base is trained by DSM alone; then each setting goes on from it for the same wall-clock time,
`off` among them, and is measured on held-out good parts (training/held-out loss, martingale gap,
sampling drift, standardised residual). Settings of one seed share their crops and noise. Each row
is the mean over seeds, and the change against `off` with the lowest and highest of the seeds; with
two or three seeds read it as a search, and let `cdm-inspect pilot` judge what it finds. The
last line printed is JSON.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from cdm_inspect.config import ConsistencyConfig, LineConfig, TrainingConfig
from cdm_inspect.images import load_good_parts
from cdm_inspect.model.checkpoint import load_model
from cdm_inspect.model.diagnosis import diagnose_model
from cdm_inspect.model.training import Training

SETTINGS: dict[str, dict[str, Any]] = {
    "off": {"weight": 0.0},
    "pairs, 1 dsm, jump 0.2": {"weight": 1.0},
    "pairs, 10 dsm, jump 0.2": {"weight": 10.0},
    "pairs, 100 dsm, jump 0.2": {"weight": 100.0},
    "pairs, 10 dsm, jump 0.5": {"weight": 10.0, "max_jump": 0.5},
    "pairs, 10 flat, jump 0.5": {"weight": 10.0, "weighting": "flat", "max_jump": 0.5},
    "0.3 dsm, jump 0.2": {"weight": 0.3, "max_jump": 0.2},
    "1 dsm, jump 0.2": {"weight": 1.0, "max_jump": 0.2},
    "1 dsm, jump 0.5": {"weight": 1.0, "max_jump": 0.5},
    "10 dsm, jump 0.2": {"weight": 10.0, "max_jump": 0.2},
    "10 dsm, jump 0.5": {"weight": 10.0, "max_jump": 0.5},
    "upper, 1 dsm, jump 0.2": {"gradient": "upper", "share": 0.375, "weight": 1.0},
    "upper, 4 dsm, jump 0.2": {"gradient": "upper", "share": 0.375, "weight": 4.0},
    "upper, 4 dsm, jump 0.5": {
        "gradient": "upper",
        "share": 0.375,
        "weight": 4.0,
        "max_jump": 0.5,
    },
    "upper, 10 flat, jump 0.5": {
        "gradient": "upper",
        "share": 0.375,
        "weight": 10.0,
        "weighting": "flat",
        "max_jump": 0.5,
    },
    "3 flat, jump 0.5": {"weight": 3.0, "weighting": "flat", "max_jump": 0.5},
    "10 flat, jump 0.5": {"weight": 10.0, "weighting": "flat", "max_jump": 0.5},
    "100 flat, jump 0.5": {"weight": 100.0, "weighting": "flat", "max_jump": 0.5},
    "10 dsm, jump 0.5, share 1/4, budget 1.5": {
        "weight": 10.0,
        "max_jump": 0.5,
        "share": 0.25,
        "budget": 1.5,
    },
}
ENDPOINTS = ("dsm", "gap", "drift", "returned", "z2")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/out/search"))
    parser.add_argument("--preset", default="small")
    parser.add_argument("--base", default="4m")
    parser.add_argument("--budget", default="60s")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--parts", type=int, default=16)
    parser.add_argument("--only", action="append", help="settings by name; `off` always runs")
    arguments = parser.parse_args()

    folder = arguments.out / f"{arguments.data.name}-{arguments.preset}-{arguments.base}"
    if not (folder / "base" / "manifest.json").is_file():
        run(arguments, folder / "base", arguments.base, 0, {"weight": 0.0})
    found: dict[str, list[dict[str, float]]] = {}
    for name, setting in SETTINGS.items():
        if arguments.only and name not in ("off", *arguments.only):
            continue
        found[name] = []
        for seed in range(1, arguments.seeds + 1):
            target = folder / f"{name.replace('/', '-')}-{arguments.budget}-{seed}"
            result = target / "figures.json"
            if not result.is_file():
                # Without pairs unless the name says so.
                tuned = {
                    "antithetic": name.startswith("pairs"),
                    **setting,
                    "schedule": "fine-tune",
                    "checkpoint": str(folder / "base"),
                }
                run(arguments, target, arguments.budget, seed, tuned)
                result.write_text(json.dumps(measure(arguments, target)))
            found[name].append(json.loads(result.read_text()))
        show(found)
    print(json.dumps(found))


def config_of(
    arguments: argparse.Namespace, budget: str, seed: int, term: dict[str, Any]
) -> LineConfig:
    return LineConfig(
        normal=str(arguments.data / "train" / "good"),
        preset=arguments.preset,
        training=TrainingConfig(budget=budget, seed=seed),
        consistency=ConsistencyConfig(**term),
    )


def run(
    arguments: argparse.Namespace, target: Path, budget: str, seed: int, term: dict[str, Any]
) -> None:
    config = config_of(arguments, budget, seed, term)
    # The split into training and held-out parts is that of seed 0 for all.
    parts = load_good_parts(Path(config.normal), config_of(arguments, budget, 0, {}))
    start = config.consistency.checkpoint
    training = Training(
        "search", config, parts, target, start_from=load_model(Path(start)) if start else None
    )
    for _ in training.run():
        pass


def measure(arguments: argparse.Namespace, target: Path) -> dict[str, float]:
    model = load_model(target)
    parts = load_good_parts(Path(model.card.config.normal), config_of(arguments, "1m", 0, {}))
    found = diagnose_model(
        model,
        parts.train[: arguments.parts],
        parts.held_out[: arguments.parts],
        sigmas=(0.2, 0.4, 0.8),
        starts=(1.0,),
        steps=(8,),
    )
    return {
        "dsm": model.card.training["loss_held_out"],
        "gap": float(np.mean([level.gap.value for level in found.levels])),
        "drift": found.drifts[0].drift.value,
        "returned": found.drifts[0].returned.value,
        "z2": float(np.mean([level.z_squared.value for level in found.levels])),
        "images": model.card.training["images_seen"],
        "cost": model.card.training["consistency_cost_ratio"] or 1.0,
    }


def show(found: dict[str, list[dict[str, float]]]) -> None:
    table = Table("setting", *ENDPOINTS, "images", "cost")
    for name, rows in found.items():
        cells = []
        for endpoint in ENDPOINTS:
            values = np.array([row[endpoint] for row in rows])
            reference = np.array([row[endpoint] for row in found["off"]])
            change = (values - reference) / np.abs(reference).mean()
            text = f"{values.mean():.4g}"
            if name != "off":
                text += f" {change.mean():+.1%} [{change.min():+.1%}, {change.max():+.1%}]"
            cells.append(text.replace("[", "\\["))
        images = np.mean([row["images"] for row in rows])
        cost = np.mean([row["cost"] for row in rows])
        table.add_row(name, *cells, f"{images:.0f}", f"{cost:.2f}")
    Console(width=190).print(table)


if __name__ == "__main__":
    main()
