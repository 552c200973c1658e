"""Do thresholds keep what they claim, and what do they save? On real parts that were judged.

    python benchmarks/real_parts.py --data path/to/part --budget 15m --seeds 3
    python benchmarks/decisions.py --data path/to/part --seeds 3

Uses the models of the first command. Two tables:

Coverage. The scores of the labelled good parts are taken for a population. Lines are drawn from it,
each with so many held-out good parts; each sets its threshold by the rule of false rejects. Printed
is in what share of the lines the true rate (over the population) is within the claim: ours, and a
plain quantile with the rate as its claim.

Costs. What a part costs on average, by the labels, at an assumed share of defective parts and three
costs of an escape: with the two thresholds of `rule = "cost"`, which sees good parts and synthetic
defects only, with a fixed threshold half-way between the lowest and highest held-out score, with
the threshold of the highest F1, which is chosen on the labelled parts themselves, and with that of
a false-reject rate of 5 %. The last line printed is JSON.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.metrics import precision_recall_curve

from cdm_inspect.calibration.guarantees import choose_threshold
from cdm_inspect.calibration.operating_point import by_cost
from cdm_inspect.config import CostsConfig
from cdm_inspect.project import open_project
from cdm_inspect.workflows.calibrate import calibrate
from cdm_inspect.workflows.evaluate import evaluate

LINES = 2000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, action="append", required=True)
    parser.add_argument("--project", type=Path, default=Path("benchmarks/out/real-parts"))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--scorer")
    parser.add_argument("--escape", type=float, nargs="+", default=[20.0, 100.0, 500.0])
    parser.add_argument("--false-reject", type=float, default=1.0)
    parser.add_argument("--review", type=float, default=0.25, help="of one part")
    parser.add_argument("--defect-share", type=float, default=0.01)
    arguments = parser.parse_args()

    coverage, costs = [], []
    for data in arguments.data:
        for seed in range(arguments.seeds):
            line = f"{data.name}-{seed}"
            judged = judge(arguments, data, line)
            coverage += [
                {"line": line, **covered(judged["good"], parts, rate)}
                for parts, rate in ((20, 0.05), (60, 0.05), (120, 0.05), (598, 0.005))
            ]
            costs += [
                {"line": line, "escape": escape, **spent(arguments, judged, escape)}
                for escape in arguments.escape
            ]
    show(coverage, costs)
    print(json.dumps({"coverage": coverage, "costs": costs}))


def judge(arguments: argparse.Namespace, data: Path, line: str) -> dict[str, Any]:
    """Thresholds by cost, and the scores of labelled parts."""
    project = open_project(arguments.project, line=line, overrides=["rule='cost'"])
    calibration = calibrate(project, line, scorer=arguments.scorer)
    document = evaluate(project, line, data, scorer=arguments.scorer)
    parts = json.loads(Path(document["report_json"]).read_bytes())["parts"]
    return {
        "calibration": calibration,
        "good": np.array([part["score"] for part in parts if part["label"] == "good"]),
        "bad": np.array([part["score"] for part in parts if part["label"] != "good"]),
    }


def covered(population: np.ndarray, parts: int, rate: float) -> dict[str, Any]:
    random = np.random.default_rng(0)
    kept = {"ours": 0, "quantile": 0}
    for _ in range(LINES):
        scores = np.sort(random.choice(population, size=parts))
        threshold, guarantee = choose_threshold(tuple(scores), rate)
        kept["ours"] += (population >= threshold).mean() <= guarantee.bound
        kept["quantile"] += (population >= np.quantile(scores, 1 - rate)).mean() <= rate
    return {
        "parts": parts,
        "rate": rate,
        **{name: count / LINES for name, count in kept.items()},
    }


def spent(arguments: argparse.Namespace, judged: dict[str, Any], escape: float) -> dict[str, Any]:
    good, bad, calibration = judged["good"], judged["bad"], judged["calibration"]
    costs = CostsConfig(
        escape=escape,
        false_reject=arguments.false_reject,
        review_minute=arguments.review,
        minutes_per_review=1.0,
        defect_share=arguments.defect_share,
    )
    point = by_cost(
        calibration.scores,
        calibration.basis["synthetic_scores"],
        costs,
        max_false_reject=calibration.max_false_reject,
        confidence=calibration.confidence,
    )
    print(f"{calibration.line}: {point.explanation}\n")
    held_out = np.array(calibration.scores)
    pairs = {
        "by cost": (point.review, np.inf if point.reject is None else point.reject),
        "half-way": ((held_out.min() + held_out.max()) / 2,) * 2,
        "highest F1": (best_f1_threshold(good, bad),) * 2,
        "false-reject rule": (choose_threshold(calibration.scores, 0.05)[0],) * 2,
        "pass everything": (np.inf, np.inf),
        "review everything": (-np.inf, np.inf),
    }
    return {name: cost(costs, good, bad, *pair) for name, pair in pairs.items()}


def best_f1_threshold(good: np.ndarray, bad: np.ndarray) -> float:
    labels = np.arange(len(good) + len(bad)) >= len(good)
    precision, recall, cuts = precision_recall_curve(labels, np.concatenate([good, bad]))
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    return float(cuts[f1[:-1].argmax()])


def cost(costs: CostsConfig, good: np.ndarray, bad: np.ndarray, low: float, high: float) -> float:
    share = costs.defect_share
    reviewed = (1 - share) * ((good >= low) & (good < high)).mean()
    reviewed += share * ((bad >= low) & (bad < high)).mean()
    return float(
        share * costs.escape * (bad < low).mean()
        + costs.review * reviewed
        + (1 - share) * costs.false_reject * (good >= high).mean()
    )


def show(coverage: list[dict[str, Any]], costs: list[dict[str, Any]]) -> None:
    console = Console(width=150)
    table = Table(
        "line",
        "held-out parts",
        "asked for",
        "claim kept",
        "by a plain quantile",
        title="Share of drawn lines whose claim holds (stated: 95 %)",
    )
    for row in coverage:
        table.add_row(
            row["line"],
            str(row["parts"]),
            f"{row['rate']:.1%}",
            f"{row['ours']:.3f}",
            f"{row['quantile']:.3f}",
        )
    console.print(table)
    names = [name for name in costs[0] if name not in ("line", "escape")]
    table = Table("line", "an escape costs", *names, title="What a part costs on average")
    for row in costs:
        cells = (f"{row[name]:.3f}" for name in names)
        table.add_row(row["line"], f"{row['escape']:g}", *cells)
    console.print(table)


if __name__ == "__main__":
    main()
