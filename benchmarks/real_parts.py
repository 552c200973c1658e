"""Image and pixel figures of all scorers on labelled folders of real parts, in one table.

    python benchmarks/real_parts.py --data path/to/part --data path/to/other --budget 15m --seeds 3

Each folder has the MVTec layout: train/good, test/good, test/DEFECT, ground_truth/DEFECT. A seed
changes the split into training and held-out parts as well as the training. Cells are means over
seeds with the lowest and highest; with one seed the interval is a bootstrap over parts. The project
(models, calibrations, reports) is kept in --project, so that --reuse can evaluate again without
training. --parts 20 50 100 shows what quality costs in good parts: each training sees so many,
evenly spread over all. The last line printed is JSON.
"""

import argparse
import json
from collections import defaultdict
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from cdm_inspect.config import TrainingConfig
from cdm_inspect.errors import CheckpointMismatch
from cdm_inspect.images import find_images, spread_evenly
from cdm_inspect.project import open_project
from cdm_inspect.workflows.calibrate import calibrate
from cdm_inspect.workflows.evaluate import evaluate
from cdm_inspect.workflows.train import train as train_line

FIGURES = ("image_AUROC", "image_AUPR", "pixel_AUROC", "pixel_AUPRO", "seconds_per_image")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, action="append", required=True)
    parser.add_argument("--project", type=Path, default=Path("benchmarks/out/real-parts"))
    parser.add_argument("--preset", default="small")
    parser.add_argument("--budget", default="15m")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--parts", type=int, nargs="+", default=[None], help="good parts; all")
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--masked-share", type=float, default=TrainingConfig().masked_share)
    parser.add_argument("--scorer", action="append", help="leave out for all")
    parser.add_argument("--limit", type=int, help="judge at most so many parts of each folder")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--reuse", action="store_true", help="evaluate what is trained already")
    arguments = parser.parse_args()

    write_project(arguments)
    found: dict[tuple[str, int | None, str], list[dict[str, Any]]] = defaultdict(list)
    trainings = []
    for seed, data, parts in cases(arguments):
        if not arguments.reuse:
            trainings.append(train(arguments, line_of(data, seed, parts)))
            print(json.dumps(trainings[-1]))
        for row in judge(arguments, data, line_of(data, seed, parts)):
            found[data.name, parts, row["scorer"]].append(row)
        show(arguments, found)
    rows = [row for group in found.values() for row in group]
    print(json.dumps(trainings + rows))


def cases(arguments: argparse.Namespace) -> list[tuple[int, Path, int | None]]:
    return list(product(range(arguments.seeds), arguments.data, arguments.parts))


def line_of(data: Path, seed: int, parts: int | None) -> str:
    return f"{data.name}-{seed}" if parts is None else f"{data.name}-{parts}-{seed}"


def good_parts(arguments: argparse.Namespace, data: Path, parts: int | None) -> Path:
    """The folder of good parts, or one with links to so many of them."""
    folder = data.resolve() / "train" / "good"
    if parts is None:
        return folder
    thinned: Path = arguments.project.resolve() / "parts" / f"{data.name}-{parts}"
    thinned.mkdir(parents=True, exist_ok=True)
    paths = find_images(folder)
    for index in spread_evenly(len(paths), parts):
        link = thinned / paths[index].name
        if not link.exists():
            link.symlink_to(paths[index])
    return thinned


def write_project(arguments: argparse.Namespace) -> None:
    arguments.project.mkdir(parents=True, exist_ok=True)
    tables = "".join(
        f"[lines.{line_of(data, seed, parts)}]\n"
        f'normal = "{good_parts(arguments, data, parts)}"\n'
        f'preset = "{arguments.preset}"\n'
        f"image_size = {arguments.image_size}\n"
        f"[lines.{line_of(data, seed, parts)}.training]\n"
        f'budget = "{arguments.budget}"\n'
        f"masked_share = {arguments.masked_share}\n"
        f"seed = {seed}\n"
        for seed, data, parts in cases(arguments)
    )
    (arguments.project / "cdm-inspect.toml").write_text(tables)


def train(arguments: argparse.Namespace, line: str) -> dict[str, Any]:
    report = train_line(open_project(arguments.project, line=line), line, device=arguments.device)
    return {
        "line": line,
        "n_train": report.n_train,
        "train_seconds": report.seconds,
        "steps": report.steps,
        "loss_held_out": report.loss_held_out,
        "consistency_cost_ratio": report.consistency_cost_ratio,
        "warnings": report.warnings,
        "device": report.device,
    }


def judge(arguments: argparse.Namespace, data: Path, line: str) -> list[dict[str, Any]]:
    project = open_project(arguments.project, line=line)
    rows = []
    for scorer in arguments.scorer or project.registry.scorers:
        try:
            calibration = calibrate(project, line, scorer=scorer, device=arguments.device)
        except CheckpointMismatch as error:
            print(f"{scorer} left out: {error}")
            continue
        row = evaluate(
            project, line, data, scorer=scorer, device=arguments.device, limit=arguments.limit
        )
        rows.append({**row, "found": calibration.found})
    return rows


def show(
    arguments: argparse.Namespace, found: dict[tuple[str, int | None, str], list[dict[str, Any]]]
) -> None:
    title = f"preset {arguments.preset}, {arguments.budget} each"
    table = Table("part", "good", "scorer", *FIGURES, "seeds", title=title)
    for (part, parts, scorer), rows in found.items():
        cells = [spread([row[figure] for row in rows]) for figure in FIGURES]
        if len(rows) == 1:
            low, high = rows[0]["image_AUROC_interval"]
            cells[0] = f"{rows[0]['image_AUROC']:.3f} ({low:.3f} to {high:.3f})"
        table.add_row(part, str(parts or "all"), scorer, *cells, str(len(rows)))
    Console(width=150).print(table)
    for data in arguments.data:
        show_defects(data.name, {key: rows for key, rows in found.items() if key[0] == data.name})


def show_defects(part: str, found: dict[tuple[str, int | None, str], list[dict[str, Any]]]) -> None:
    """Image AUROC of each kind of defect against all good parts."""
    kinds = sorted({kind for rows in found.values() for kind in rows[0]["per_defect"]})
    table = Table("good", "scorer", *kinds, title=f"{part}: image AUROC by kind of defect")
    for (_, parts, scorer), rows in found.items():
        per_kind = [row["per_defect"] for row in rows]
        cells = [spread([row[kind]["image_AUROC"] for row in per_kind]) for kind in kinds]
        table.add_row(str(parts or "all"), scorer, *cells)
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
