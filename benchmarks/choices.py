"""Do choices made on synthetic defects hold on real ones?

    python benchmarks/real_parts.py --data path/to/part --budget 15m
    python benchmarks/choices.py --project benchmarks/out/real-parts --line part-0 --data ...

For each scorer of a trained line: every pooling that `calibrate` may choose, with the AUROC on the
damaged copies of held-out good parts that it chooses by, and on labelled parts that it never sees.
`kept` is the default, `chosen` what calibration takes, `best` the one it would take if it knew the
labels; `rank correlation` is that of the two AUROCs over all poolings. Intervals are 95 % bootstrap
intervals over labelled parts. The last line printed is JSON.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from scipy.stats import spearmanr

from cdm_inspect.errors import CheckpointMismatch
from cdm_inspect.evaluation.bootstrap import image_intervals
from cdm_inspect.images import find_labelled, read_image, thin_labelled
from cdm_inspect.plugins import DamagedParts
from cdm_inspect.project import open_project
from cdm_inspect.scoring.fitting import fit_scorer
from cdm_inspect.scoring.line_scorer import LineScorer
from cdm_inspect.scoring.pooling import Pooling, candidates, won_pairs
from cdm_inspect.workflows.assembly import build_scorer, good_parts_of, load_line_model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--project", type=Path, required=True)
    parser.add_argument("--line", required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--scorer", action="append", help="leave out for all")
    parser.add_argument("--limit", type=int, help="labelled parts, half of them good")
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()

    project = open_project(arguments.project, line=arguments.line)
    model = load_line_model(project, arguments.line, arguments.device)
    config = project.config.line(arguments.line)
    known, held_out = good_parts_of(project, config, model)
    parts = known.images, held_out.images
    labelled = find_labelled(arguments.data)
    if arguments.limit is not None:
        labelled = thin_labelled(labelled, arguments.limit)
    images = [model.card.preparation(read_image(part.path)) for part in labelled]
    is_bad = torch.tensor([not part.is_good for part in labelled])

    rows = []
    for name in arguments.scorer or project.registry.scorers:
        try:
            scorer = build_scorer(project, config, model, name)
        except CheckpointMismatch as error:
            print(f"{name} left out: {error}")
            continue
        pools = isinstance(getattr(scorer.scorer, "pooling", None), Pooling)
        if not pools or getattr(scorer.scorer, "is_of_images", False):
            print(f"{name} left out: it has no pooling of its own")
            continue
        rows += judge(name, scorer, parts, images, is_bad)
        show(rows)
    print(json.dumps(rows))


def judge(
    name: str,
    scorer: LineScorer,
    parts: tuple[np.ndarray, np.ndarray],
    images: Sequence[np.ndarray],
    is_bad: torch.Tensor,
) -> list[dict[str, Any]]:
    """What each pooling is worth on synthetic and on labelled parts: three of them."""
    shown = []
    choose = scorer.tune

    def watched(good: torch.Tensor, damaged: DamagedParts) -> None:
        shown.extend([good, damaged.layers])
        choose(good, damaged)

    scorer.tune = watched  # type: ignore[method-assign]
    kept = pooling_of(scorer)
    known, held_out = parts
    fit_scorer(scorer, held_out, trained_on=known, tick=lambda done, total: None)
    chosen = pooling_of(scorer)
    good, damaged = shown
    real = torch.cat([scorer.combine(scorer.observe(image)) for image in images])
    found = {}
    for pooling in dict.fromkeys((kept, *candidates())):
        synthetic = won_pairs(pooling(good).scores, pooling(damaged).scores)
        scores = pooling(real).scores
        labelled = won_pairs(scores[~is_bad], scores[is_bad])
        found[pooling] = float(synthetic.mean()), float(labelled.mean())
    correlation = float(spearmanr(*zip(*found.values(), strict=True)).statistic)
    best = max(found, key=lambda pooling: found[pooling][1])
    return [
        {
            "scorer": name,
            "which": which,
            "smooth": pooling.smooth,
            "top": pooling.top,
            "synthetic": found[pooling][0],
            "labelled": found[pooling][1],
            "interval": interval(pooling, real, is_bad),
            "correlation": correlation,
        }
        for which, pooling in (("kept", kept), ("chosen", chosen), ("best", best))
    ]


def pooling_of(scorer: LineScorer) -> Pooling:
    pooling: Pooling = scorer.scorer.pooling  # type: ignore[attr-defined]
    return pooling


def interval(pooling: Pooling, real: torch.Tensor, is_bad: torch.Tensor) -> tuple[float, float]:
    found = image_intervals(pooling(real).scores.numpy(), is_bad.numpy())["AUROC"]
    assert found is not None, "expected both good and defective parts"
    return found


def show(rows: list[dict[str, Any]]) -> None:
    table = Table(
        "scorer", "", "smooth", "top", "synthetic", "labelled", "95 %", "rank correlation"
    )
    for row in rows:
        low, high = row["interval"]
        table.add_row(
            row["scorer"],
            row["which"],
            str(row["smooth"]),
            f"{row['top']:g}",
            f"{row['synthetic']:.3f}",
            f"{row['labelled']:.3f}",
            f"{low:.3f} to {high:.3f}",
            f"{row['correlation']:+.2f}",
        )
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
