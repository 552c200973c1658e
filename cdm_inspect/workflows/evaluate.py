"""Labelled parts tell how good the verdicts of a line are."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cdm_inspect.encoding import as_json, to_json
from cdm_inspect.errors import (
    ImageError,
    InvalidOption,
    PluginFailed,
    StorageError,
    UnreadableImage,
)
from cdm_inspect.evaluation.compare import JudgedPart, compare_judged, judged_parts
from cdm_inspect.evaluation.metrics import ScoredPart, evaluate_scores
from cdm_inspect.files import write_durably
from cdm_inspect.images import (
    LabelledPart,
    find_labelled,
    read_image,
    read_mask,
    thin_labelled,
    to_display,
)
from cdm_inspect.project import Project
from cdm_inspect.records import (
    FloatArray,
    JsonObject,
    Tick,
    no_progress,
)
from cdm_inspect.workflows.assembly import TrainedInspector, open_inspector
from cdm_inspect.workflows.detectability import draw_detectability, measure_detectability
from cdm_inspect.workflows.reports.evaluation_report import draw_evaluation, write_evaluation_report
from cdm_inspect.workflows.robustness import measure_robustness

# How much more often a detector may let defects pass and still be called no worse.
MARGIN = 0.02
_REPORTS = ("report", "report_html", "report_json")
_OPTIONAL = ("synthetic", "robustness", "compare", *_REPORTS)


def evaluate(
    project: Project,
    line: str,
    data: Path,
    *,
    scorer: str | None = None,
    device: str = "auto",
    report: Path | None = None,
    is_drawn: bool = True,
    limit: int | None = None,
    synthetic: bool = False,
    robustness: bool = False,
    compare: Path | None = None,
    margin: float = MARGIN,
    tick: Tick = no_progress,
) -> JsonObject:
    """Judge labelled parts and compare with their labels; writes an HTML, a JSON and a PNG report.

    Args:
        device: "auto", "cpu" or "cuda".
        report: where the PNG goes, and the others beside it; None means the project's `reports/`.
        is_drawn: False leaves the reports out.
        limit: judge at most so many parts, half of them good; None means all.
        synthetic: also measure how small a synthetic defect is found.
        robustness: also measure what a change of light, focus, place or noise does.
        compare: the JSON report of another evaluation of the same parts.
        margin: by which the escapes may be higher than the other's and still count as no worse.

    Returns:
        The JSON of `evaluate`.
    """
    picture = _picture_of(report)
    inspector = open_inspector(project, line, scorer=scorer, device=device)
    picture = picture or project.root / "reports" / f"{line}-{inspector.calibration.scorer}.png"
    labelled = thin_labelled(find_labelled(data), limit)
    other = None if compare is None else _read_other(compare, picture if is_drawn else None)
    scored, undecided, seconds = judge_labelled(inspector, labelled, data, tick)
    document: JsonObject = {
        "line": line,
        "data": str(data),
        **_figures(inspector, scored),
        "readings": count_reading(project.model_folder(line) / "readings.json", scored),
        "undecided": undecided,
        "seconds_per_image": round(seconds / len(labelled), 4),
        **dict.fromkeys(_OPTIONAL),
    }
    if synthetic:
        document["synthetic"] = measure_detectability(
            project, line, scorer=scorer, device=device, tick=tick
        )
    if robustness:
        document["robustness"] = _robustness(inspector, labelled, scored, tick)
    if other is not None:
        document["compare"] = {"with": str(compare), **_compared(scored, other, margin)}
    if is_drawn:
        _write_reports(document, scored, picture)
    return document


def _figures(inspector: TrainedInspector, scored: Sequence[ScoredPart]) -> JsonObject:
    calibration = inspector.calibration
    return {
        "scorer": calibration.scorer,
        "model": inspector.scorer.model_id,
        "calibration": calibration.id,
        **as_json(asdict(evaluate_scores(scored, calibration.threshold))),
        "reject_threshold": calibration.reject_threshold,
        "explanation": calibration.explanation,
    }


def _robustness(
    inspector: TrainedInspector,
    labelled: Sequence[LabelledPart],
    scored: Sequence[ScoredPart],
    tick: Tick,
) -> JsonObject:
    judged = {part.path for part in scored}
    found: JsonObject = as_json(
        measure_robustness(
            inspector,
            [part for part in labelled if part.path in judged],
            lambda part: _prepared(inspector, part.path),
            tick=tick,
        )
    )
    return found


def _picture_of(report: Path | None) -> Path | None:
    """The PNG among the reports, whichever of them was named.

    Raises:
        InvalidOption: if the name ends in something else.
    """
    if report is None:
        return None
    if report.suffix.lower() not in ("", ".png", ".html", ".json"):
        raise InvalidOption(f"expected a report named .png, .html or .json, found {report}.")
    return report.with_suffix(".png")


def _write_reports(document: JsonObject, scored: Sequence[ScoredPart], picture: Path) -> None:
    """PNG, HTML and JSON side by side; their names are added to the document."""
    page, record = picture.with_suffix(".html"), picture.with_suffix(".json")
    document |= zip(_REPORTS, map(str, (picture, page, record)), strict=True)
    parts = [_part_json(part) for part in scored]
    write_durably(record, to_json({**document, "parts": parts}, indent=1))
    write_evaluation_report(document, scored, page)
    draw_evaluation(document, scored, picture)
    if document["synthetic"] is not None:
        drawn = picture.with_stem(f"{picture.stem}-detectability")
        title = f"Line {document['line']}, {document['scorer']}: synthetic defects found"
        draw_detectability(document["synthetic"], title, drawn)
        document["synthetic"]["report"] = str(drawn)


def judge_labelled(
    inspector: TrainedInspector, labelled: Sequence[LabelledPart], data: Path, tick: Tick
) -> tuple[list[ScoredPart], list[str], float]:
    """The parts that could be judged, what was wrong with the others, and the time it took."""
    scored: list[ScoredPart] = []
    undecided: list[str] = []
    seconds = 0.0
    for done, part in enumerate(labelled, start=1):
        started = time.perf_counter()
        try:
            scored.append(_score_labelled(inspector, part))
        except (UnreadableImage, PluginFailed) as error:
            undecided.append(str(error))
        seconds += time.perf_counter() - started
        tick(done, len(labelled))
    if not any(p.is_good for p in scored) or all(p.is_good for p in scored):
        raise ImageError(
            f"too few parts below {data} could be judged; the first problem: {undecided[0]}"
        )
    return scored, undecided, seconds


def _score_labelled(inspector: TrainedInspector, part: LabelledPart) -> ScoredPart:
    photograph = read_image(part.path, max_pixels=inspector.max_pixels)
    prepared = inspector.scorer.model.card.preparation(photograph)
    look = inspector.scorer.look_at(prepared)
    score, heatmap, _ = look.appraise()
    height, width = heatmap.shape
    mask = np.zeros((height, width), bool) if part.is_good else _mask_of(part, height, width)
    picture = np.rint((prepared.transpose(1, 2, 0) + 1) * 127.5).astype(np.uint8)
    return ScoredPart(
        path=part.path,
        sha256=photograph.sha256,
        label=part.label,
        is_good=part.is_good,
        score=score,
        p_value=inspector.calibration.p_value(score),
        # A retake has a score, so that figures are about all parts.
        verdict=inspector.verdict_of(look.seen, score),
        heatmap=heatmap,
        mask=mask,
        picture=to_display(picture),
    )


def _mask_of(part: LabelledPart, height: int, width: int) -> npt.NDArray[np.bool_] | None:
    """Where the defect is; None where nobody knows, or the mask shows nothing."""
    if part.mask is None:
        return None
    try:
        mask = read_mask(part.mask, height, width)
    except UnreadableImage:
        return None  # a lost mask is no reason to leave the part out
    return mask if mask.any() else None


def _prepared(inspector: TrainedInspector, path: Path) -> FloatArray:
    photograph = read_image(path, max_pixels=inspector.max_pixels)
    return inspector.scorer.model.card.preparation(photograph)


def count_reading(file: Path, scored: Sequence[ScoredPart]) -> int:
    """Keep count of how often labels have been looked at for the line; the most of any part."""
    try:
        known = {str(key): int(count) for key, count in json.loads(file.read_bytes()).items()}
    except (OSError, ValueError, AttributeError, TypeError):
        known = {}  # it only tells a story
    for sha256 in {part.sha256 for part in scored}:
        known[sha256] = known.get(sha256, 0) + 1
    with contextlib.suppress(StorageError):
        write_durably(file, to_json(known))
    return max(known[part.sha256] for part in scored)


def _read_other(file: Path, picture: Path | None) -> dict[str, JudgedPart]:
    """The parts of another evaluation's JSON report.

    Raises:
        InvalidOption: if it is no such report, or the one that is about to be written.
    """
    if picture is not None and picture.with_suffix(".json").resolve() == file.resolve():
        raise InvalidOption(
            f"--compare {file} is the report that this evaluation writes; copy it, or give "
            "another --report."
        )
    try:
        return judged_parts(json.loads(file.read_bytes()))
    except (OSError, ValueError, InvalidOption) as error:
        raise InvalidOption(
            f"expected --compare to name the JSON report of another evaluation, found {file}: "
            f"{type(error).__name__}: {error}."
        ) from error


def _compared(
    scored: Sequence[ScoredPart], other: Mapping[str, JudgedPart], margin: float
) -> JsonObject:
    """Paired tests on the parts that both have judged."""
    found = compare_judged(judged_parts({"parts": [_part_json(part) for part in scored]}), other)
    if found.escapes is None or found.false_rejects is None or found.image_auroc is None:
        raise InvalidOption(
            "expected --compare to name an evaluation of the same parts, found "
            f"{found.good} good and {found.defective} defective ones in common."
        )
    return {
        "parts": found.good + found.defective,
        "margin": margin,
        "is_no_worse": found.escapes.is_no_worse(margin),
        "escapes": asdict(found.escapes),
        "false_rejects": asdict(found.false_rejects),
        "image_AUROC": asdict(found.image_auroc),
    }


def _part_json(part: ScoredPart) -> JsonObject:
    return {
        "image": str(part.path),
        "sha256": part.sha256,
        "label": part.label,
        "score": part.score,
        "p_value": part.p_value,
        "verdict": part.verdict.value,
    }
