"""How soon is a change of the light found, and how often is one found that is none? On real parts.

    python benchmarks/real_parts.py --data path/to/part --budget 15m
    python benchmarks/drift.py --data path/to/part

Uses the model and the calibration of the first command. The labelled good parts are judged as they
are and with their brightness shifted by each stated amount. Streams are drawn from them with
replacement: so many unchanged parts, in which every alarm is a false one, then shifted ones until
an alarm. Printed are false alarms in a thousand unchanged parts, the share of streams in which the
shift is found within 200 parts, after how many (median, nine in ten), which chart calls first, and
in what share the photographs are to be taken again. The last line is JSON.
"""

import argparse
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from cdm_inspect.images import Acquisition, Envelope, find_labelled, read_image
from cdm_inspect.inspection.inspector import Inspector
from cdm_inspect.monitoring.cusum import Chart, ChartState
from cdm_inspect.monitoring.drift import charts_of, normal_scores
from cdm_inspect.project import open_project
from cdm_inspect.records import Verdict
from cdm_inspect.workflows.assembly import ModelScorer, open_inspector

LONGEST = 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, action="append", required=True)
    parser.add_argument("--project", type=Path, default=Path("benchmarks/out/real-parts"))
    parser.add_argument(
        "--shifts", type=float, nargs="+", default=[0, -0.02, -0.05, -0.1, 0.05, 0.1]
    )
    parser.add_argument("--before", type=int, default=1000)
    parser.add_argument("--streams", type=int, default=300)
    parser.add_argument("--line", help="of the project; the name of the data and 0 if not given")
    parser.add_argument("--scorer")
    arguments = parser.parse_args()

    rows = [row for data in arguments.data for row in measure(arguments, data)]
    table = Table(
        "part", "shift", "false alarms in 1,000", "found in 200", "after", "first", "retake"
    )
    for row in rows:
        table.add_row(
            row["part"],
            f"{row['shift']:+.0%}",
            f"{row['false_alarms']:.2f} (stated {row['stated']:.2f})",
            f"{row['found']:.0%}" if row["shift"] else "-",
            f"{row['median']:.0f}, 9 in 10: {row['ninth']:.0f}" if row["shift"] else "-",
            ", ".join(f"{name} {share:.0%}" for name, share in row["first"].items()) or "-",
            f"{row['retake']:.0%}",
        )
    Console(width=150).print(table)
    print(json.dumps(rows))


def measure(arguments: argparse.Namespace, data: Path) -> list[dict[str, Any]]:
    line = arguments.line or f"{data.name}-0"
    project = open_project(arguments.project, line=line)
    inspector = open_inspector(project, line, scorer=arguments.scorer)
    charts, _ = charts_of(inspector.calibration)
    stated = 1000 * len(charts) / next(iter(charts.values())).between_false_alarms
    good = [part for part in find_labelled(data) if part.is_good]
    prepare = inspector.scorer.model.card.preparation
    images = [prepare(read_image(part.path, max_pixels=inspector.max_pixels)) for part in good]
    usual, retake = judge(inspector, charts, images, 0.0)
    rows = []
    for shift in arguments.shifts:
        changed, retake = judge(inspector, charts, images, shift)
        found = [
            stream(charts, usual, changed, arguments.before, seed)
            for seed in range(arguments.streams)
        ]
        delays = np.array([delay for _, delay, _ in found])
        first = Counter(name for _, delay, name in found if shift and delay <= LONGEST)
        alarms = np.mean([false for false, _, _ in found])
        rows.append(
            {
                "part": data.name,
                "shift": shift,
                "false_alarms": 1000 * alarms / arguments.before,
                "stated": stated,
                "found": float((delays <= LONGEST).mean()),
                "median": float(np.median(delays)),
                "ninth": float(np.quantile(delays, 0.9)),
                "first": {name: n / len(found) for name, n in first.most_common()},
                "retake": retake,
            }
        )
        print(json.dumps(rows[-1]))
    return rows


def judge(
    inspector: Inspector[ModelScorer],
    charts: Mapping[str, Chart],
    images: Sequence[np.ndarray],
    shift: float,
) -> tuple[list[dict[str, Any]], float]:
    """What the charts take of each part, and the share of photographs to be taken again."""
    calibration, found, retaken = inspector.calibration, [], 0
    usual = Envelope.from_json(calibration.envelope).usual
    for image in track(images, f"shift {shift:+.0%}", transient=True):
        changed = np.clip(image + 2 * shift, -1, 1).astype(np.float32)
        look = inspector.scorer.look_at(changed)
        score = look.appraise().score
        is_retake = inspector.verdict_of(look.seen, score) is Verdict.UNDECIDED
        retaken += is_retake
        seen = Acquisition.of(look.seen, inspector.scorer.region)
        found.append(
            {
                name: value
                for name, value in normal_scores(
                    calibration,
                    usual,
                    score=None if is_retake else score,
                    p_value=calibration.p_value(score),
                    acquisition=seen.charted,
                ).items()
                if name in charts
            }
        )
    return found, retaken / len(images)


def stream(
    charts: Mapping[str, Chart],
    usual: Sequence[Mapping[str, float]],
    changed: Sequence[Mapping[str, float]],
    before: int,
    seed: int,
) -> tuple[int, int, str]:
    """Alarms while nothing has changed, parts until the change is found, and by which chart."""
    random = np.random.default_rng(seed)
    states = {name: ChartState() for name in charts}
    for index in random.integers(len(usual), size=before):
        for name, value in usual[index].items():
            states[name] = states[name].after(value, charts[name])
    false = sum(state.calls for state in states.values())
    for delay, index in enumerate(random.integers(len(changed), size=LONGEST), start=1):
        for name, value in changed[index].items():
            known = states[name].calls
            states[name] = states[name].after(value, charts[name])
            if states[name].calls > known:
                return false, delay, name
    return false, LONGEST + 1, ""


if __name__ == "__main__":
    main()
