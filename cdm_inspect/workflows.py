"""The story, verb by verb: check, train, calibrate, evaluate, inspect. Each reads top to bottom."""

from __future__ import annotations

import math
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torchvision.utils import save_image

from cdm_inspect.assembly import (
    build_scorer,
    check_scorer_fits,
    good_parts_of,
    load_line_model,
    open_inspector,
)
from cdm_inspect.calibration import Calibration, choose_threshold
from cdm_inspect.checkpoint import load_model
from cdm_inspect.config import LineConfig
from cdm_inspect.diagnosis import diagnose_model, mean_function, restore
from cdm_inspect.diffusion import SAMPLERS, SIGMA_MAX, karras_sigmas
from cdm_inspect.errors import (
    CheckpointMismatch,
    ImageError,
    InvalidOption,
    PluginFailed,
    UnreadableImage,
)
from cdm_inspect.evaluation import Evaluation, ScoredPart, draw_report, evaluate_scores
from cdm_inspect.figures import draw_diagnosis
from cdm_inspect.fitting import fit_scorer
from cdm_inspect.images import (
    LabelledPart,
    Preparation,
    Shape,
    content_of,
    find_images,
    find_labelled,
    find_others,
    load_good_parts,
    read_image,
    read_images,
    read_mask,
    spread_evenly,
    thin_labelled,
    to_display,
)
from cdm_inspect.inspection import Inspector
from cdm_inspect.project import Project
from cdm_inspect.records import (
    FloatArray,
    ImageProblem,
    JsonObject,
    StoredInspection,
    TrainingReport,
    TrainingTick,
)
from cdm_inspect.training import Training

Tick = Callable[[int, int], None]
"""Told how many of how many are done."""


def _silent(done: int, total: int) -> None: ...


@dataclass(frozen=True, kw_only=True)
class CheckReport:
    """What `check` found among the good parts of a line.

    Attributes:
        passed_over: files that are no PNG, JPEG, BMP or TIFF by their names, by ending.
    """

    line: str
    folder: str
    files: int
    usable: int
    needed: int
    sizes: dict[str, int]
    kinds: dict[str, int]
    passed_over: dict[str, int]
    problems: tuple[ImageProblem, ...]


def check(project: Project, line: str, *, tick: Tick = _silent) -> CheckReport:
    """Read every good part of a line and say which cannot be used, and why."""
    config = project.config.line(line)
    folder = project.path(config.normal)
    paths = find_images(folder)
    problems: list[ImageProblem] = []
    found: list[tuple[Path, Shape]] = []
    seen: dict[str, Path] = {}
    for done, item in enumerate(read_images(paths, max_pixels=config.images.max_pixels), start=1):
        tick(done, len(paths))
        if isinstance(item, ImageProblem):
            problems.append(item)
        elif (first := seen.setdefault(content_of(item), item.path)) != item.path:
            detail = f"{item.path}: the same picture as {first}."
            problems.append(ImageProblem(path=item.path, reason="duplicate", detail=detail))
        else:
            found.append((item.path, Shape.of(item)))
    usable = list(_usable(config, found, problems))
    return CheckReport(
        line=line,
        folder=str(folder),
        files=len(paths),
        usable=len(usable),
        needed=config.training.min_images,
        sizes=_counts(f"{shape.width} x {shape.height}" for shape in usable),
        kinds=_counts(
            f"{'grey' if shape.channels == 1 else 'colour'}, {16 if shape.is_deep else 8}-bit"
            for shape in usable
        ),
        passed_over=_counts(path.suffix or path.name for path in find_others(folder)),
        problems=tuple(sorted(problems, key=lambda problem: problem.path)),
    )


def _counts(names: Iterable[str]) -> dict[str, int]:
    return dict(Counter(names))


def _usable(
    config: LineConfig, found: Sequence[tuple[Path, Shape]], problems: list[ImageProblem]
) -> Iterator[Shape]:
    """The shapes that training would take; the others become problems."""
    if not found:
        return
    preparation = Preparation.for_shapes(
        [shape for _, shape in found],
        image_size=config.image_size,
        channels=config.images.channels,
        max_aspect_change=config.images.max_aspect_change,
    )
    for path, shape in found:
        try:
            preparation.refuse(shape, path)
        except UnreadableImage as error:
            problems.append(ImageProblem(path=path, reason=error.reason, detail=str(error)))
        else:
            yield shape


def train(
    project: Project,
    line: str,
    *,
    device: str = "auto",
    devices: int = 1,
    resume: bool = False,
    tick: Callable[[TrainingTick], None] = lambda tick: None,
) -> TrainingReport:
    """Train the model of a line and put it into force; an interrupted run can be resumed."""
    config = project.config.line(line)
    # Better now than after a night of training.
    check_scorer_fits(project, config)
    parts = load_good_parts(project.path(config.normal), config)
    start = config.consistency.checkpoint
    training = Training(
        line,
        config,
        parts,
        project.model_folder(line),
        device=device,
        devices=devices,
        start_from=load_model(project.path(start)) if start is not None else None,
    )
    told_at = 0.0
    try:
        for progress in training.run(resume=resume):
            tick(progress)
            if progress.seconds - told_at >= 1.0:
                told_at = progress.seconds
                project.registry.notify("cdm_inspect_training_ticked", line=line, tick=progress)
    except KeyboardInterrupt:
        training.save()
        raise
    assert training.report is not None
    return training.report


def calibrate(
    project: Project,
    line: str,
    *,
    scorer: str | None = None,
    max_false_reject: float | None = None,
    device: str = "auto",
    tick: Tick = _silent,
) -> Calibration:
    """Fit a scorer on good parts and set the threshold by those that were held out.

    See `fit_scorer` for how each held-out part comes to the score that the threshold stands on.
    """
    config = project.config.line(line)
    model = load_line_model(project, line, device)
    name = scorer or config.scorer
    built = build_scorer(project, config, model, name)
    known, held_out = good_parts_of(project, config, model)
    ordered = tuple(sorted(fit_scorer(built, held_out, trained_on=known, tick=tick)))
    rate = max_false_reject if max_false_reject is not None else config.max_false_reject
    threshold, bound = choose_threshold(ordered, rate)
    calibration = Calibration(
        line=line,
        model=model.id,
        scorer=name,
        options=built.options,
        view=built.view,
        found=built.describe(),
        scores=ordered,
        max_false_reject=rate,
        false_reject_bound=bound,
        threshold=threshold,
        state=built.state(),
    )
    calibration.save(project.calibration_folder(line))
    return calibration


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
    tick: Tick = _silent,
) -> JsonObject:
    """Judge labelled parts and compare with their labels; writes a PNG report.

    Args:
        project: opened.
        line: whose model judges.
        data: labelled folder.
        scorer: another than the line's.
        device: "auto", "cpu" or "cuda".
        report: where the PNG goes; None means the project's `reports/`.
        is_drawn: False leaves the PNG out.
        limit: judge at most so many parts, half of them good; None means all.
        tick: told how many of how many are done.

    Returns:
        The JSON of `evaluate`.
    """
    inspector = open_inspector(project, line, scorer=scorer, device=device)
    labelled = find_labelled(data)
    if limit is not None:
        labelled = thin_labelled(labelled, limit)
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
    calibration = inspector.calibration
    evaluation = evaluate_scores(scored, calibration.threshold)
    destination = report or project.root / "reports" / f"{line}-{calibration.scorer}.png"
    if is_drawn:
        draw_report(scored, evaluation, f"Line {line}, {calibration.scorer}", destination)
    return {
        "line": line,
        "scorer": calibration.scorer,
        "model": inspector.model.id,
        "calibration": calibration.id,
        "data": str(data),
        **_evaluation_json(evaluation),
        "undecided": undecided,
        "seconds_per_image": round(seconds / len(labelled), 4),
        "report": str(destination) if is_drawn else None,
    }


def diagnose(
    project: Project,
    line: str,
    *,
    compare: Path | None = None,
    parts: int = 24,
    device: str = "auto",
    report: Path | None = None,
    tick: Tick = _silent,
) -> JsonObject:
    """Measure the model of a line on held-out good parts; draws one page.

    Args:
        project: opened.
        line: whose model it is.
        compare: folder of another model of the same line, measured beside it.
        parts: at most so many held-out parts, and as many training parts.
        device: "auto", "cpu" or "cuda".
        report: where the PNG goes; None means the project's `reports/`.
        tick: told how many measurements are done.

    Returns:
        The JSON of `diagnose`.
    """
    config = project.config.line(line)
    models = [load_line_model(project, line, device)]
    if compare is not None:
        models.append(load_model(compare, models[0].device))
        if models[1].card.preparation != models[0].card.preparation:
            raise CheckpointMismatch(
                f"the model in {compare} prepares images differently from that of line {line!r}: "
                "their figures would not compare."
            )
    known, fresh = good_parts_of(project, config, *models)
    found = [
        diagnose_model(model, _spread(known, parts), _spread(fresh, parts), tick=tick)
        for model in models
    ]
    shown = _spread(fresh, 8)
    examples = [("held-out parts", shown)]
    for model in models:
        with torch.inference_mode():
            restored = restore(model, torch.from_numpy(shown).to(model.device), start=1.0, steps=8)
        examples.append((f"{model.id}:\nfrom noise 1, 8 steps", restored.cpu().numpy()))
    destination = report or project.root / "reports" / f"{line}-diagnosis.png"
    draw_diagnosis(found, examples, f"Line {line}: {len(_spread(fresh, parts))} parts", destination)
    document = {"line": line, **asdict(found[0]), "report": str(destination)}
    if compare is not None:
        document["compare"] = {"checkpoint": str(compare), **asdict(found[1])}
    return document


def sample(
    project: Project,
    line: str,
    *,
    count: int = 16,
    sampler: str = "heun",
    steps: int = 18,
    sigma_max: float = SIGMA_MAX,
    seed: int = 0,
    device: str = "auto",
    destination: Path | None = None,
) -> Path:
    """Draw good parts from the model of a line and write them as one grid.

    Args:
        project: opened.
        line: whose model it is.
        count: parts to draw.
        sampler: a name of `SAMPLERS`.
        steps: of the sampler.
        sigma_max: noise level to start from, image units.
        seed: of all noise.
        device: "auto", "cpu" or "cuda".
        destination: of the PNG; None means the project's `reports/`.

    Raises:
        InvalidOption: if there is no such sampler.
    """
    if sampler not in SAMPLERS:
        raise InvalidOption(f"expected --sampler {', '.join(SAMPLERS)}, found {sampler!r}.")
    model = load_line_model(project, line, device)
    size = model.card.preparation
    generator = torch.Generator(device=model.device).manual_seed(seed)
    shape = (count, size.channels, size.height, size.width)
    x = sigma_max * torch.randn(shape, generator=generator, device=model.device)
    x += model.denoiser.centre
    sigmas = karras_sigmas(steps, sigma_max=sigma_max)
    with torch.inference_mode():
        drawn = SAMPLERS[sampler](mean_function(model), x, sigmas, generator)
    path = destination or project.root / "reports" / f"{line}-samples.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    side = math.ceil(math.sqrt(count))
    save_image((drawn.clamp(-1, 1) + 1) / 2, path, nrow=side)
    return path


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


def _spread(parts: FloatArray, count: int) -> FloatArray:
    """At most `count` parts, evenly spread over all."""
    return np.asarray(parts[spread_evenly(len(parts), count)])


def _score_labelled(inspector: Inspector, part: LabelledPart) -> ScoredPart:
    photograph = read_image(part.path, max_pixels=inspector.max_pixels)
    prepared = inspector.model.card.preparation(photograph)
    batch = inspector.scorer.score(prepared[None])
    height, width = prepared.shape[1:]
    mask = None
    if part.is_good:
        mask = np.zeros((height, width), bool)
    elif part.mask is not None:
        mask = read_mask(part.mask, height, width)
    picture = np.rint((prepared.transpose(1, 2, 0) + 1) * 127.5).astype(np.uint8)
    return ScoredPart(
        path=part.path,
        label=part.label,
        is_good=part.is_good,
        score=float(batch.scores[0]),
        heatmap=batch.maps[0].numpy(),
        mask=mask,
        picture=to_display(picture),
    )


def _evaluation_json(evaluation: Evaluation) -> JsonObject:
    return {**asdict(evaluation), "image_AUROC_interval": list(evaluation.image_AUROC_interval)}
