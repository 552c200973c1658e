"""Image and pixel figures of all scorers on labelled folders of real parts, in one table.

    python benchmarks/real_parts.py --data path/to/part --data path/to/other --budget 15m --seeds 3

Each folder has the MVTec layout: train/good, test/good, test/DEFECT, ground_truth/DEFECT. A seed
changes the split into training and held-out parts as well as the training. Cells are means over
seeds with the lowest and highest; with one seed the interval is a bootstrap over parts. The project
(models, calibrations, reports) is kept in --project, so that --reuse can evaluate again without
training. The last line printed is JSON.
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from cdm_inspect import workflows
from cdm_inspect.config import TrainingConfig
from cdm_inspect.errors import CheckpointMismatch
from cdm_inspect.project import open_project

FIGURES = ("image_AUROC", "image_AUPR", "pixel_AUROC", "pixel_AUPRO", "seconds_per_image")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, action="append", required=True)
    parser.add_argument("--project", type=Path, default=Path("benchmarks/out/real-parts"))
    parser.add_argument("--preset", default="small")
    parser.add_argument("--budget", default="15m")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--masked-share", type=float, default=TrainingConfig().masked_share)
    parser.add_argument("--scorer", action="append", help="leave out for all")
    parser.add_argument("--limit", type=int, help="judge at most so many parts of each folder")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--reuse", action="store_true", help="evaluate what is trained already")
    arguments = parser.parse_args()

    write_project(arguments)
    found: dict[tuple[str, str], list[dict]] = defaultdict(list)
    trainings = []
    for seed in range(arguments.seeds):
        for data in arguments.data:
            if not arguments.reuse:
                trainings.append(train(arguments, data, seed))
                print(json.dumps(trainings[-1]))
            for row in judge(arguments, data, seed):
                found[data.name, row["scorer"]].append(row)
            show(arguments, found)
    rows = [row for group in found.values() for row in group]
    print(json.dumps(trainings + rows))


def line_of(data: Path, seed: int) -> str:
    return f"{data.name}-{seed}"


def write_project(arguments: argparse.Namespace) -> None:
    arguments.project.mkdir(parents=True, exist_ok=True)
    tables = "".join(
        f"[lines.{line_of(data, seed)}]\n"
        f'normal = "{data.resolve() / "train" / "good"}"\n'
        f'preset = "{arguments.preset}"\n'
        f"image_size = {arguments.image_size}\n"
        f"[lines.{line_of(data, seed)}.training]\n"
        f'budget = "{arguments.budget}"\n'
        f"masked_share = {arguments.masked_share}\n"
        f"seed = {seed}\n"
        for data in arguments.data
        for seed in range(arguments.seeds)
    )
    (arguments.project / "cdm-inspect.toml").write_text(tables)


def train(arguments: argparse.Namespace, data: Path, seed: int) -> dict:
    line = line_of(data, seed)
    report = workflows.train(
        open_project(arguments.project, line=line), line, device=arguments.device
    )
    return {
        "line": line,
        "train_seconds": report.seconds,
        "steps": report.steps,
        "loss_held_out": report.loss_held_out,
        "consistency_cost_ratio": report.consistency_cost_ratio,
        "device": report.device,
    }


def judge(arguments: argparse.Namespace, data: Path, seed: int) -> list[dict]:
    line = line_of(data, seed)
    project = open_project(arguments.project, line=line)
    rows = []
    for scorer in arguments.scorer or project.registry.scorers:
        try:
            workflows.calibrate(project, line, scorer=scorer, device=arguments.device)
        except CheckpointMismatch as error:
            print(f"{scorer} left out: {error}")
            continue
        rows.append(
            workflows.evaluate(
                project, line, data, scorer=scorer, device=arguments.device, limit=arguments.limit
            )
        )
    return rows


def show(arguments: argparse.Namespace, found: dict[tuple[str, str], list[dict]]) -> None:
    title = f"preset {arguments.preset}, {arguments.budget} each"
    table = Table("part", "scorer", *FIGURES, "seeds", title=title)
    for (part, scorer), rows in found.items():
        cells = [spread([row[figure] for row in rows]) for figure in FIGURES]
        if len(rows) == 1:
            low, high = rows[0]["image_AUROC_interval"]
            cells[0] = f"{rows[0]['image_AUROC']:.3f} ({low:.3f} to {high:.3f})"
        table.add_row(part, scorer, *cells, str(len(rows)))
    Console(width=150).print(table)


def spread(values: list[float | None]) -> str:
    """Mean, lowest and highest; a dash where there are no masks."""
    known = np.array([value for value in values if value is not None])
    if not len(known):
        return "-"
    if len(known) == 1:
        return f"{known[0]:.3f}"
    return f"{known.mean():.3f} ({known.min():.3f} to {known.max():.3f})"


if __name__ == "__main__":
    main()
