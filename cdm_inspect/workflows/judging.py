"""What is said of parts: new ones, and labelled ones that tell how good the verdicts are."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from cdm_inspect.assembly import open_inspector
from cdm_inspect.comparison import compare_auroc, compare_errors
from cdm_inspect.detectability import draw_detectability, measure_detectability
from cdm_inspect.durable import sha256_of, write_durably
from cdm_inspect.errors import ImageError, InvalidOption, PluginFailed, UnreadableImage
from cdm_inspect.evaluation import ScoredPart, evaluate_scores
from cdm_inspect.evaluation_report import draw_evaluation, write_evaluation_report
from cdm_inspect.images import (
    LabelledPart,
    find_images,
    find_labelled,
    read_image,
    read_mask,
    thin_labelled,
    to_display,
)
from cdm_inspect.inspection import Inspector
from cdm_inspect.project import Project
from cdm_inspect.records import (
    FloatArray,
    InspectionQuery,
    JsonObject,
    StoredInspection,
    Tick,
    Verdict,
    untold,
)
from cdm_inspect.robustness import measure_robustness

# How much more often a detector may let defects pass and still be called no worse.
MARGIN = 0.02


def inspect(
    project: Project,
    line: str,
    paths: Sequence[Path],
    *,
    scorer: str | None = None,
    device: str = "auto",
) -> Iterator[StoredInspection]:
    """Judge files and the images in folders, one by one; each is stored before it is yielded."""
    inspector = open_inspector(project, line, scorer=scorer, device=device)
    with project.open_store() as store:
        judged = InspectionQuery(line=line, calibration=inspector.calibration.id)
        inspector.inspected = store.count(judged)
        for path in expand_paths(paths):
            inspection, evidence = inspector.inspect_file(path)
            stored = store.append(inspection, evidence=evidence)
            # What the store had already, observers have heard of.
            if stored.inspected_at == inspection.inspected_at:
                project.registry.notify("cdm_inspect_verdict_reached", inspection=inspection)
            yield stored


def expand_paths(paths: Iterable[Path]) -> Iterator[Path]:
    """Files as they are, folders as the images in them."""
    for path in paths:
        # os.path says no where pathlib raises: a name that is too long is no folder.
        if os.path.isdir(path):
            yield from find_images(path)
        else:
            yield path


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
    tick: Tick = untold,
) -> JsonObject:
    """Judge labelled parts and compare with their labels; writes an HTML, a JSON and a PNG report.

    Args:
        project: opened.
        line: whose model judges.
        data: labelled folder.
        scorer: another than the line's.
        device: "auto", "cpu" or "cuda".
        report: where the PNG goes, and the others beside it; None means the project's `reports/`.
        is_drawn: False leaves the reports out.
        limit: judge at most so many parts, half of them good; None means all.
        synthetic: also measure how small a synthetic defect is found.
        robustness: also measure what a change of light, focus, place or noise does.
        compare: the JSON report of another evaluation of the same parts.
        margin: by which the escapes may be higher than the other's and still count as no worse.
        tick: told how many of how many are done.

    Returns:
        The JSON of `evaluate`.
    """
    inspector = open_inspector(project, line, scorer=scorer, device=device)
    labelled = find_labelled(data)
    if limit is not None:
        labelled = thin_labelled(labelled, limit)
    other = None if compare is None else _read_other(compare)
    scored, undecided, seconds = _judge_labelled(inspector, labelled, data, tick)
    calibration = inspector.calibration
    document: JsonObject = {
        "line": line,
        "scorer": calibration.scorer,
        "model": inspector.model.id,
        "calibration": calibration.id,
        "data": str(data),
        "readings": _count_reading(project.model_folder(line) / "readings.json", scored),
        **_plain(asdict(evaluate_scores(scored, calibration.threshold))),
        "reject_threshold": calibration.reject_threshold,
        "explanation": calibration.explanation,
        "undecided": undecided,
        "seconds_per_image": round(seconds / len(labelled), 4),
        "synthetic": None,
        "robustness": None,
        "compare": None,
        "report": None,
        "report_html": None,
        "report_json": None,
    }
    if synthetic:
        document["synthetic"] = measure_detectability(
            project, line, scorer=scorer, device=device, tick=tick
        )
    if robustness:
        document["robustness"] = _plain(
            measure_robustness(
                inspector, labelled, lambda part: _prepared(inspector, part.path), tick=tick
            )
        )
    if other is not None:
        document["compare"] = {"with": str(compare), **_compared(scored, other, margin)}
    if is_drawn:
        picture = report or project.root / "reports" / f"{line}-{calibration.scorer}.png"
        _write_reports(document, scored, picture)
    return document


def _write_reports(document: JsonObject, scored: Sequence[ScoredPart], picture: Path) -> None:
    """PNG, HTML and JSON side by side; their names are added to the document."""
    page, record = picture.with_suffix(".html"), picture.with_suffix(".json")
    document |= {"report": str(picture), "report_html": str(page), "report_json": str(record)}
    draw_evaluation(document, scored, picture)
    if document["synthetic"] is not None:
        drawn = picture.with_stem(f"{picture.stem}-detectability")
        title = f"Line {document['line']}, {document['scorer']}: synthetic defects found"
        draw_detectability(document["synthetic"], title, drawn)
        document["synthetic"]["report"] = str(drawn)
    write_evaluation_report(document, scored, page)
    parts = [_part_json(part) for part in scored]
    write_durably(record, json.dumps({**document, "parts": parts}, indent=1).encode())


def _judge_labelled(
    inspector: Inspector, labelled: Sequence[LabelledPart], data: Path, tick: Tick
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


def _score_labelled(inspector: Inspector, part: LabelledPart) -> ScoredPart:
    photograph = read_image(part.path, max_pixels=inspector.max_pixels)
    prepared = inspector.model.card.preparation(photograph)
    batch = inspector.scorer.score(prepared[None])
    score = float(batch.scores[0])
    verdict = inspector.calibration.verdict(score)
    try:
        inspector.prepare(photograph)
    except UnreadableImage:
        # It has a score, so that figures are about all parts; in production nobody would see it.
        verdict = Verdict.UNDECIDED
    height, width = prepared.shape[1:]
    mask = None
    if part.is_good:
        mask = np.zeros((height, width), bool)
    elif part.mask is not None:
        mask = read_mask(part.mask, height, width)
    picture = np.rint((prepared.transpose(1, 2, 0) + 1) * 127.5).astype(np.uint8)
    return ScoredPart(
        path=part.path,
        sha256=photograph.sha256,
        label=part.label,
        is_good=part.is_good,
        score=score,
        p_value=inspector.calibration.p_value(score),
        verdict=verdict,
        heatmap=batch.maps[0].numpy(),
        mask=mask,
        picture=to_display(picture),
    )


def _prepared(inspector: Inspector, path: Path) -> FloatArray:
    return inspector.model.card.preparation(read_image(path, max_pixels=inspector.max_pixels))


def _count_reading(file: Path, scored: Sequence[ScoredPart]) -> int:
    """Keep count of how often the labels of these very parts have been looked at for the line."""
    digest = sha256_of("\n".join(sorted(part.sha256 for part in scored)).encode())[:16]
    try:
        known = {str(key): int(count) for key, count in json.loads(file.read_bytes()).items()}
    except (OSError, ValueError, AttributeError, TypeError):
        known = {}  # it only tells a story
    known[digest] = known.get(digest, 0) + 1
    write_durably(file, json.dumps(known, indent=2).encode())
    return known[digest]


def _read_other(file: Path) -> dict[str, JsonObject]:
    """The parts of another evaluation's JSON report, by the hash of their images."""
    try:
        return {part["sha256"]: part for part in json.loads(file.read_bytes())["parts"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidOption(
            f"expected --compare to name the JSON report of another evaluation, found {file}: "
            f"{type(error).__name__}: {error}."
        ) from error


def _compared(
    scored: Sequence[ScoredPart], other: dict[str, JsonObject], margin: float
) -> JsonObject:
    """Paired tests on the parts that both have judged."""
    both = [part for part in scored if part.sha256 in other]
    labels = np.array([not part.is_good for part in both], bool)
    if labels.sum() < 2 or (~labels).sum() < 2:
        raise InvalidOption(
            "expected --compare to name an evaluation of the same parts, found "
            f"{(~labels).sum()} good and {labels.sum()} defective ones in common."
        )
    theirs = [other[part.sha256] for part in both]
    flagged = np.array([part.verdict is not Verdict.PASS for part in both])
    their_flagged = np.array([part["verdict"] != Verdict.PASS for part in theirs])
    escapes = compare_errors(~flagged[labels], ~their_flagged[labels])
    area = compare_auroc(
        np.array([part.score for part in both]),
        np.array([float(part["score"]) for part in theirs]),
        labels,
    )
    return {
        "parts": len(both),
        "margin": margin,
        "is_no_worse": escapes.is_no_worse(margin),
        "escapes": asdict(escapes),
        "false_rejects": asdict(compare_errors(flagged[~labels], their_flagged[~labels])),
        "image_AUROC": asdict(area),
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


def _plain(value: Any) -> Any:
    """As JSON has it: lists for tuples."""
    return json.loads(json.dumps(value))
