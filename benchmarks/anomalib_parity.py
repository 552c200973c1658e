"""Our model through anomalib's Engine against the native path: the same parts, the same budget.

    pip install plugins/cdm-inspect-anomalib
    python benchmarks/anomalib_parity.py --data path/to/part --images 30k --seeds 1

Both learn from train/good with the same settings and judge test/. They differ in who reads and
resizes the images, and in which good parts are held out. The difference of the two image AUROC is
DeLong's, on the same test parts, with its 95 % interval. The last line printed is JSON.
"""

import argparse
import json
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from cdm_inspect.evaluation.paired_tests import compare_auroc
from cdm_inspect.project import open_project
from cdm_inspect.workflows.calibrate import calibrate
from cdm_inspect.workflows.evaluate import evaluate
from cdm_inspect.workflows.train import train


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--images", default="30k", help="that each training sees")
    parser.add_argument("--preset", default="small")
    parser.add_argument("--scorer", default="fused")
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--seeds", type=int, default=1)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = []
    for seed in range(arguments.seeds):
        with tempfile.TemporaryDirectory() as folder:
            native, size, native_seconds = judge_natively(arguments, seed, Path(folder))
            engine, auroc, engine_seconds = judge_by_engine(arguments, seed, Path(folder), size)
        names = sorted(native.keys() & engine.keys())
        labels = np.array([not name.startswith("good/") for name in names])
        compared = compare_auroc(
            np.array([engine[name] for name in names]),
            np.array([native[name] for name in names]),
            labels,
        )
        rows.append(
            {
                "data": arguments.data.name,
                "seed": seed,
                "parts": len(names),
                "native": compared.theirs,
                "engine": compared.ours,
                "engine_says": auroc,
                "difference": compared.difference,
                "low": compared.low,
                "high": compared.high,
                "seconds": [native_seconds, engine_seconds],
            }
        )
        show(arguments, rows)
    print(json.dumps(rows))


def judge_natively(
    arguments: argparse.Namespace, seed: int, folder: Path
) -> tuple[dict[str, float], tuple[int, int], float]:
    """Score of each test part, the size that images are prepared to, and seconds."""
    (folder / "cdm-inspect.toml").write_text(
        f'[lines.A]\nnormal = "{arguments.data.resolve() / "train" / "good"}"\n'
        f'preset = "{arguments.preset}"\nimage_size = {arguments.image_size}\n'
        f'[lines.A.training]\nimages = "{arguments.images}"\nseed = {seed}\n'
    )
    project, began = open_project(folder, line="A"), time.perf_counter()
    train(project, "A")
    calibrate(project, "A", scorer=arguments.scorer)
    seconds = time.perf_counter() - began
    found = evaluate(project, "A", arguments.data, scorer=arguments.scorer)
    parts = json.loads(Path(found["report_json"]).read_text())["parts"]
    manifest = json.loads((folder / "models" / "A" / "manifest.json").read_text())["preparation"]
    scores = {name_of(part["image"]): part["score"] for part in parts}
    return scores, (manifest["height"], manifest["width"]), round(seconds, 1)


def judge_by_engine(
    arguments: argparse.Namespace, seed: int, folder: Path, size: tuple[int, int]
) -> tuple[dict[str, float], float, float]:
    """Score of each test part, the image AUROC that anomalib prints, and seconds."""
    from anomalib.data import Folder
    from anomalib.data.utils import ValSplitMode
    from anomalib.engine import Engine
    from cdm_inspect_anomalib.module import Cdm

    kinds = [path.name for path in (arguments.data / "test").iterdir() if path.name != "good"]
    data = Folder(
        name=arguments.data.name,
        root=arguments.data,
        normal_dir="train/good",
        normal_test_dir="test/good",
        abnormal_dir=[f"test/{kind}" for kind in sorted(kinds)],
        num_workers=0,
        val_split_mode=ValSplitMode.SAME_AS_TEST,  # AUROC knows no threshold
    )
    model = Cdm(
        images=arguments.images,
        preset=arguments.preset,
        scorer=arguments.scorer,
        settings={"training": {"seed": seed}},
        pre_processor=Cdm.configure_pre_processor(size),
        visualizer=False,
    )
    # Checking after the epoch would judge the test parts once more.
    engine = Engine(default_root_dir=folder / "results", limit_val_batches=0)
    began = time.perf_counter()
    engine.fit(model=model, datamodule=data)
    seconds = time.perf_counter() - began
    (metrics,) = engine.test(model=model, datamodule=data)
    scores: dict[str, float] = {}
    for batch in engine.predict(model=model, dataset=data.test_data):
        # anomalib brings scores into [0, 1] by their extremes, which changes no order.
        scores |= zip(map(name_of, batch.image_path), batch.pred_score.tolist(), strict=True)
    return scores, float(metrics["image_AUROC"]), round(seconds, 1)


def name_of(path: str) -> str:
    return "/".join(Path(path).parts[-2:])


def show(arguments: argparse.Namespace, rows: list[dict[str, Any]]) -> None:
    title = f"{arguments.scorer}, preset {arguments.preset}, {arguments.images} images each"
    table = Table("part", "seed", "native", "Engine", "difference (95 %)", "seconds", title=title)
    for row in rows:
        table.add_row(
            row["data"],
            str(row["seed"]),
            f"{row['native']:.4f}",
            f"{row['engine']:.4f} (it says {row['engine_says']:.4f})",
            f"{row['difference']:+.4f} ({row['low']:+.4f} to {row['high']:+.4f})"
            if row["low"] is not None
            else f"{row['difference']:+.4f}",
            " / ".join(map(str, row["seconds"])),
        )
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
