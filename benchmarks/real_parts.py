"""Image and pixel figures of all scorers on labelled folders of real parts, in one table.

    python benchmarks/real_parts.py --data path/to/part --data path/to/other --budget 15m

Each folder has the MVTec layout: train/good, test/good, test/DEFECT, ground_truth/DEFECT. The
project (models, calibrations, reports) is kept in --project, so that --reuse can evaluate again
without training. The last line printed is JSON.
"""

import argparse
import json
from pathlib import Path

from rich.console import Console
from rich.table import Table

from cdm_inspect import workflows
from cdm_inspect.config import TrainingConfig
from cdm_inspect.errors import CheckpointMismatch
from cdm_inspect.project import open_project


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, action="append", required=True)
    parser.add_argument("--project", type=Path, default=Path("benchmarks/out/real-parts"))
    parser.add_argument("--preset", default="small")
    parser.add_argument("--budget", default="15m")
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--masked-share", type=float, default=TrainingConfig().masked_share)
    parser.add_argument("--reuse", action="store_true", help="evaluate what is trained already")
    arguments = parser.parse_args()

    arguments.project.mkdir(parents=True, exist_ok=True)
    tables = "".join(
        f'[lines.{data.name}]\nnormal = "{data.resolve() / "train" / "good"}"\n'
        f'preset = "{arguments.preset}"\nimage_size = {arguments.image_size}\n'
        f'[lines.{data.name}.training]\nbudget = "{arguments.budget}"\n'
        f"masked_share = {arguments.masked_share}\n"
        for data in arguments.data
    )
    (arguments.project / "cdm-inspect.toml").write_text(tables)
    table = Table(
        "line",
        "scorer",
        "image AUROC",
        "95 %",
        "image AUPR",
        "pixel AUROC",
        "pixel AUPRO",
        "s/image",
        title=f"preset {arguments.preset}, {arguments.budget} each",
    )
    results = []
    for data in arguments.data:
        line = data.name
        project = open_project(arguments.project, line=line)
        if not arguments.reuse:
            report = workflows.train(project, line, device=arguments.device)
            results.append(
                {
                    "line": line,
                    "train_seconds": report.seconds,
                    "steps": report.steps,
                    "consistency_cost_ratio": report.consistency_cost_ratio,
                    "device": report.device,
                }
            )
        for scorer in project.registry.scorers:
            try:
                workflows.calibrate(project, line, scorer=scorer, device=arguments.device)
            except CheckpointMismatch as error:
                print(f"{scorer} left out: {error}")
                continue
            found = workflows.evaluate(project, line, data, scorer=scorer, device=arguments.device)
            results.append(found)
            low, high = found["image_AUROC_interval"]
            table.add_row(
                line,
                scorer,
                f"{found['image_AUROC']:.3f}",
                f"{low:.3f} to {high:.3f}",
                f"{found['image_AUPR']:.3f}",
                _optional(found["pixel_AUROC"]),
                _optional(found["pixel_AUPRO"]),
                f"{found['seconds_per_image']:.2f}",
            )
            Console(width=140).print(table)
    print(json.dumps(results))


def _optional(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


if __name__ == "__main__":
    main()
