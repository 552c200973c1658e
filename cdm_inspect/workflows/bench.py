"""Detectors side by side: the same good parts, the same labelled parts, the same figures."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np

from cdm_inspect.encoding import as_json, to_json
from cdm_inspect.errors import CdmInspectError, ConfigError, NotCalibrated
from cdm_inspect.evaluation.metrics import ScoredPart, evaluate_scores
from cdm_inspect.evaluation.paired_tests import compare_auroc
from cdm_inspect.files import write_durably
from cdm_inspect.images import LabelledPart, find_labelled, thin_labelled
from cdm_inspect.project import Project
from cdm_inspect.records import JsonObject, StepTick, Tick
from cdm_inspect.workflows.assembly import TrainedInspector, open_inspector
from cdm_inspect.workflows.calibrate import derive_calibration
from cdm_inspect.workflows.evaluate import count_reading, judge_labelled
from cdm_inspect.workflows.reports.figures import draw_bench

_KEPT = (
    "n_good",
    "n_defective",
    "image_AUROC",
    "image_AUROC_interval",
    "image_AUPR",
    "image_F1Max",
    "pixel_AUROC",
    "pixel_AUPRO",
    "false_reject_rate",
    "false_reject_interval",
    "escape_rate",
    "escape_interval",
)


def bench(
    project: Project,
    line: str,
    data: Path,
    scorers: Sequence[str],
    *,
    device: str = "auto",
    limit: int | None = None,
    tick: StepTick = lambda step, done, total: None,
) -> JsonObject:
    """Judge the same labelled parts by several scorers, each calibrated on the same good ones.

    A scorer that has a calibration for the line's model is judged by it; others are calibrated for
    the comparison alone: nothing that is in force changes. One that fails is left out, with the
    reason.

    Args:
        scorers: names; the first is what the others are compared with.
        device: "auto", "cpu" or "cuda".
        limit: judge at most so many parts, half of them good; None means all.
        tick: called with what is done, and how many of how many.

    Returns:
        `rows`, one a scorer, best first; `left_out` with the reasons; `report`, a PNG.

    Raises:
        CdmInspectError: if the first scorer fails.
    """
    labelled = thin_labelled(find_labelled(data), limit)
    rows: list[JsonObject] = []
    left_out: dict[str, str] = {}
    first: list[ScoredPart] = []
    for name in scorers:
        try:
            inspector, seconds_to_fit = _calibrated(project, line, name, device, tick)
            scored, row = _judge(inspector, labelled, data, partial(tick, name))
        except CdmInspectError as error:
            if not rows:
                raise
            left_out[name] = str(error)
            continue
        first = first or scored
        row["summary"] = project.registry.scorer(name).summary
        row["against_first"] = _against(first, scored) if rows else None
        rows.append({"scorer": name, **row, "seconds_to_fit": seconds_to_fit})
    picture = project.root / "reports" / f"{line}-bench.png"
    document: JsonObject = {
        "line": line,
        "data": str(data),
        "readings": count_reading(project.model_folder(line) / "readings.json", first),
        "compared_with": scorers[0],
        "rows": sorted(rows, key=lambda row: -row["image_AUROC"]),
        "left_out": left_out,
        "report": str(picture),
    }
    write_durably(picture.with_suffix(".json"), to_json(document, indent=1))
    draw_bench(document, picture)
    return document


def _calibrated(
    project: Project, line: str, name: str, device: str, tick: StepTick
) -> tuple[TrainedInspector, float | None]:
    """An inspector, and the seconds that it took to calibrate it; None where it was."""
    try:
        return open_inspector(project, line, scorer=name, device=device), None
    except (NotCalibrated, ConfigError):
        pass  # none, or by other options; for the comparison both are mended in the same way
    began = time.perf_counter()
    calibration = derive_calibration(
        project, line, scorer=name, device=device, tick=partial(tick, f"calibrate {name}")
    )
    seconds = round(time.perf_counter() - began, 2)
    inspector = open_inspector(project, line, scorer=name, device=device, calibration=calibration)
    return inspector, seconds


def _judge(
    inspector: TrainedInspector, labelled: Sequence[LabelledPart], data: Path, tick: Tick
) -> tuple[list[ScoredPart], JsonObject]:
    """What one scorer says of the parts, and its figures."""
    scored, undecided, seconds = judge_labelled(inspector, labelled, data, tick)
    found: JsonObject = as_json(asdict(evaluate_scores(scored, inspector.calibration.threshold)))
    return scored, {
        **{key: found[key] for key in _KEPT},
        "undecided": len(undecided),
        "seconds_per_image": round(seconds / len(labelled), 4),
    }


def _against(first: Sequence[ScoredPart], scored: Sequence[ScoredPart]) -> JsonObject | None:
    """The difference in image AUROC on the parts that both have judged, tested in pairs."""
    theirs = {part.sha256: part.score for part in first}
    both = [part for part in scored if part.sha256 in theirs]
    labels = np.array([not part.is_good for part in both], bool)
    if labels.sum() < 2 or (~labels).sum() < 2:
        return None
    return asdict(
        compare_auroc(
            np.array([part.score for part in both]),
            np.array([theirs[part.sha256] for part in both]),
            labels,
        )
    )
