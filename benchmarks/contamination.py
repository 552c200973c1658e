"""Defects slipped among the good parts: are they found, and does leaving them out help?

    python benchmarks/contamination.py --data path/to/part --budget 4m --train 15m

Of each labelled folder so many defective parts are mixed into the good ones that they make
up --share of them, drawn evenly from all kinds. `check --contamination` ranks all parts. Printed is
the share of the slipped-in ones among the tenth that is listed, the estimated share, and the image
AUROC on the labelled parts that are left: trained on everything, with the listed parts that are
defective excluded (a person looks at each), and on good parts alone. The last line is JSON.
"""

import argparse
import json
import shutil
from pathlib import Path

from rich.console import Console
from rich.table import Table

from cdm_inspect import workflows
from cdm_inspect.images import find_images, find_labelled, spread_evenly
from cdm_inspect.project import open_project
from cdm_inspect.workflows.contamination import find_contamination

ARMS = ("contaminated", "cleaned", "clean")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, action="append", required=True)
    parser.add_argument("--project", type=Path, default=Path("benchmarks/out/contamination"))
    parser.add_argument("--share", type=float, default=0.05)
    parser.add_argument("--budget", default="4m", help="of the short training of both halves")
    parser.add_argument("--train", default="15m", help="of each full training; 0 leaves them out")
    parser.add_argument("--limit", type=int, help="judge at most so many labelled parts")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    rows = [measure(arguments, data) for data in arguments.data]
    table = Table("part", "slipped in", "listed", "found", "estimated share", *ARMS)
    for row in rows:
        low, high = row["share_interval"]
        table.add_row(
            row["part"],
            f"{row['slipped']} of {row['parts']}",
            str(row["listed"]),
            f"{row['found'] / row['slipped']:.0%}",
            f"{row['share']:.1%} ({low:.1%} to {high:.1%})",
            *(f"{row[arm]:.3f}" if arm in row else "-" for arm in ARMS),
        )
    Console(width=150).print(table)
    print(json.dumps(rows))


def measure(arguments: argparse.Namespace, data: Path) -> dict:
    root = arguments.project / data.name
    shutil.rmtree(root, ignore_errors=True)
    slipped = lay_out(arguments, data, root)
    budget = "15m" if arguments.train == "0" else arguments.train
    lines = "".join(
        f'[lines.{arm}]\nnormal = "{"pure" if arm == "clean" else "mixed"}"\n'
        f'[lines.{arm}.training]\nbudget = "{budget}"\nseed = {arguments.seed}\n'
        for arm in ARMS
    )
    (root / "cdm-inspect.toml").write_text(lines)
    project = open_project(root)
    found = find_contamination(project, "contaminated", budget=arguments.budget)
    listed = [suspect.path.name for suspect in found.listed]
    row = {
        "part": data.name,
        "parts": len(found.suspects),
        "slipped": len(slipped),
        "listed": len(listed),
        "found": len(slipped & set(listed)),
        "share": found.share,
        "share_interval": found.share_interval,
    }
    print(json.dumps(row))
    if arguments.train != "0":
        # A person looks at the listed ones and excludes those that are defective.
        seen = [root / "mixed" / name for name in listed if name in slipped]
        workflows.review_parts(project, "cleaned", exclude=seen)
        row |= {arm: auroc(root, arm, arguments.limit) for arm in ARMS}
    return row


def lay_out(arguments: argparse.Namespace, data: Path, root: Path) -> set[str]:
    """Folders of links: good parts alone, good and some defective ones, and labelled ones left."""
    good = find_images(data.resolve() / "train" / "good")
    defective = [part for part in find_labelled(data.resolve()) if not part.is_good]
    count = round(arguments.share * len(good) / (1 - arguments.share))
    chosen = [defective[index] for index in spread_evenly(len(defective), count)]
    for folder in ("pure", "mixed"):
        (root / folder).mkdir(parents=True)
        for path in good:
            (root / folder / f"good-{path.name}").symlink_to(path)
    names = set()
    for part in chosen:
        name = f"{part.label}-{part.path.name}"
        (root / "mixed" / name).symlink_to(part.path)
        names.add(name)
    gone = {part.path for part in chosen}
    for part in find_labelled(data.resolve()):
        if part.path not in gone:
            folder = root / "labelled" / "test" / part.label
            folder.mkdir(parents=True, exist_ok=True)
            (folder / part.path.name).symlink_to(part.path)
    return names


def auroc(root: Path, arm: str, limit: int | None) -> float:
    project = open_project(root, line=arm)
    workflows.train(project, arm)
    workflows.calibrate(project, arm)
    labelled = root / "labelled"
    return workflows.evaluate(project, arm, labelled, is_drawn=False, limit=limit)["image_AUROC"]


if __name__ == "__main__":
    main()
