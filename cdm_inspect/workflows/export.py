"""From a calibrated line to a folder that a station runs, if it says what the line says."""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cdm_inspect.encoding import sha256_of, to_json
from cdm_inspect.errors import (
    CheckpointMismatch,
    ExportError,
    UnreadableImage,
    attribute_to_plugin,
)
from cdm_inspect.files import write_durably
from cdm_inspect.images import (
    KINDS,
    Preparation,
    Shape,
    damage,
    decode_image,
    find_images,
    read_bytes,
    read_image,
    spread_evenly,
)
from cdm_inspect.inspection.exported.bundle import (
    CALIBRATION,
    GOLDEN,
    REGION,
    Artefact,
    GoldenPart,
    read_artefact,
    replace_folder,
    write_golden,
)
from cdm_inspect.inspection.exported.parity import compare_parts
from cdm_inspect.inspection.exported.station import exporter_of, open_exported
from cdm_inspect.inspection.inspector import Inspector
from cdm_inspect.plugins import Exporter, ExporterOffer
from cdm_inspect.project import Project
from cdm_inspect.records import JsonObject, PartImage, PixelArray, StepTick, Tick
from cdm_inspect.scoring.graph import ScoringGraph
from cdm_inspect.workflows.assembly import TrainedInspector, open_inspector

# Good parts of the golden set, and how their damaged copies are damaged: a set that takes a minute,
# in which scores lie below, between and above the thresholds.
_GOOD_PARTS = 12
_DAMAGED = 24
_SIZES, _CONTRASTS = (0.06, 0.15, 0.3), (1.0, 3.0, 9.0)
_SEED = 7
# Of the pixels in the golden set; large photographs are fewer, but a third of them is good.
_MOST_BYTES = 96 * 2**20
_LEAST, _LEAST_GOOD = 9, 2
NO_LICENCE = "not stated"


def export(
    project: Project,
    line: str,
    exporter: str,
    *,
    name: str | None = None,
    options: JsonObject | None = None,
    scorer: str | None = None,
    any_size: bool = True,
    licence: str = NO_LICENCE,
    tick: StepTick,
) -> JsonObject:
    """Export a calibrated line; fails unless the other runtime gives the same verdicts.

    Args:
        exporter: its name, such as "onnx".
        name: that it is exported under; None means the exporter's, and a precision other than its
            first.
        options: of the exporter, over those of the project file.
        any_size: whether the graph takes photographs of any size.
        licence: under which the model may be used, as a text for its metadata.
        tick: called with what is done, and how far it is.

    Returns:
        `line`, `name`, `folder`, `files` with sizes in bytes, `model`, `scorer`, `calibration`,
        `exporter`, `options`, `parity`, and `report`, the file that holds it part by part.

    Raises:
        ExportError: if the scorer cannot be exported.
        ExportMismatch: if scores, maps or verdicts differ; nothing is then exported.
    """
    inspector = open_inspector(project, line, scorer=scorer, device="cpu")
    built, resolved = exporter_of(project, line, exporter, options or {}, is_exported=False)
    name = name or _name_of(project, exporter, resolved)
    folder = project.export_folder(line, name)
    report = project.root / "reports" / f"{line}-{name}-parity.json"
    good, golden = _golden_set(project, inspector, any_size, partial(tick, "golden set"))
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{name}.") as temporary:
        made = Path(temporary) / name
        made.mkdir()
        tick("graph", 0, 1)
        draft = _draft(inspector, made, exporter, resolved, golden, any_size, licence)
        files = _write_graph(inspector, built, good, draft, any_size)
        tick("graph", 1, 1)
        _write_beside(project, inspector, made, golden)
        draft = replace(draft, graph=tuple(f.relative_to(made).as_posix() for f in files)).sealed()
        parity = compare_parts(
            _inspector_of(project, draft, inspector),
            golden,
            tolerance=built.tolerance,
            tick=partial(tick, "parity"),
        )
        write_durably(report, to_json(parity.to_json(), indent=1))
        parity.demand(f"{name} of line {line!r}", report)
        write_durably(made / "parity.json", report.read_bytes())
        replace(draft, parity=parity.summary()).sealed().write_manifest()
        replace_folder(made, folder)
    return {**_document(line, name, folder), "options": resolved, "report": str(report)}


def _inspector_of(project: Project, draft: Artefact, like: TrainedInspector) -> Inspector[Any]:
    """Judges by the exported graph as another inspector does by the model."""
    graph = open_exported(project, draft)
    return Inspector(like.line, graph, like.calibration, max_pixels=like.max_pixels)


def _document(line: str, name: str, folder: Path) -> JsonObject:
    """What was written."""
    written = read_artefact(folder)
    return {
        "line": line,
        "name": name,
        "folder": str(folder),
        "files": {file: (folder / file).stat().st_size for file in written.files},
        "model": written.model,
        "scorer": written.scorer,
        "calibration": written.calibration,
        "exporter": written.exporter,
        "parity": written.parity,
    }


def _write_graph(
    inspector: TrainedInspector,
    exporter: Exporter,
    good: Sequence[tuple[str, PixelArray]],
    draft: Artefact,
    any_size: bool,
) -> list[Path]:
    """Let the exporter write what scores parts; whatever stops it is an `ExportError`."""
    graph = ScoringGraph(
        inspector.scorer.model.denoiser,
        inspector.scorer.line,
        inspector.scorer.model.card.preparation,
        inspector.calibration.scores,
    )
    # Other defects than those that it is judged by.
    count = min(_DAMAGED, _room(good) - len(good))
    hurt = _damaged(good, graph.preparation, count, seed=_SEED + 1)
    examples = [pixels[None] for _, pixels in [*good, *hurt]]
    failed = (
        f"scorer {draft.scorer!r} cannot be exported as {draft.exporter}: {{error}}\nOnly what is "
        "made of operations that the format has can be; name another scorer, or another format."
    )
    with attribute_to_plugin(ExportError, failed):
        files = exporter.export(
            graph.eval(), examples, draft.folder, any_size=any_size, metadata=draft.metadata
        )
    return list(files)


def _name_of(project: Project, exporter: str, options: JsonObject) -> str:
    """The exporter's name; where it rounds, that it does so."""
    field = project.registry.named(ExporterOffer, exporter).options.model_fields.get("precision")
    precision = options.get("precision")
    return exporter if field is None or precision == field.default else f"{exporter}-{precision}"


def _golden_set(
    project: Project, inspector: TrainedInspector, any_size: bool, tick: Tick
) -> tuple[list[tuple[str, PixelArray]], list[GoldenPart]]:
    """Good parts that the model has not seen, and those with copies that have synthetic defects.

    Photographs of the size that the camera gave them, so that resampling is part of what is
    compared; colour is grey already where the line looks at grey.

    Raises:
        CheckpointMismatch: if too few of the held-out parts are still there.
    """
    preparation = inspector.scorer.preparation
    paths = list(_held_out(project, inspector))
    if len(paths) < _LEAST_GOOD:
        raise CheckpointMismatch(
            f"expected at least {_LEAST_GOOD} good parts that were held out from "
            f"{inspector.scorer.model_id}, found {len(paths)}. Restore the images, or train again."
        )
    good: list[tuple[str, PixelArray]] = []
    for index in spread_evenly(len(paths), min(_GOOD_PARTS, len(paths))):
        part = read_image(paths[index], max_pixels=inspector.max_pixels)
        pixels = preparation.admit(part)
        # A graph for one size is that of the first.
        if any_size or not good or pixels.shape == good[0][1].shape:
            good.append((part.path.name, pixels))
        if len(good) >= max(_LEAST_GOOD, _room(good) // 3):
            break
    damaged = _damaged(good, preparation, min(_DAMAGED, _room(good) - len(good)))
    chosen = [*good, *damaged]
    golden = []
    for done, (name, pixels) in enumerate(chosen, start=1):
        part = PartImage(path=Path(name), sha256="", pixels=pixels, media_type="image/png")
        score, heatmap, _ = inspector.scorer.look(part).appraise()
        golden.append(GoldenPart(name, pixels, score, heatmap))
        tick(done, len(chosen))
    return good, golden


def _room(good: Sequence[tuple[str, PixelArray]]) -> int:
    """Photographs of such a size that memory is spent on: at least a few, of which some are odd."""
    return int(max(_LEAST, _MOST_BYTES // max(pixels.nbytes for _, pixels in good)))


def _held_out(project: Project, inspector: TrainedInspector) -> Iterator[Path]:
    """Files of parts that were held out and can still be judged."""
    config, card = project.config.line(inspector.line), inspector.scorer.model.card
    kept = set(card.held_out)
    for path in find_images(project.path(config.normal)):
        try:
            data = read_bytes(path)
            if sha256_of(data) in kept:
                part = decode_image(data, path, max_pixels=inspector.max_pixels)
                card.preparation.refuse(Shape.of(part), path)
                yield path
        except UnreadableImage:
            continue  # nobody calibrates with it either


def _damaged(
    chosen: Sequence[tuple[str, PixelArray]],
    preparation: Preparation,
    count: int,
    *,
    seed: int = _SEED,
) -> Iterator[tuple[str, PixelArray]]:
    """Copies with defects of all kinds, from faint and small to plain and large."""
    random = np.random.default_rng(seed)
    kinds = list(KINDS)
    for number in range(count):
        name, pixels = chosen[number % len(chosen)]
        kind, size, contrast = (
            kinds[number % len(kinds)],
            _SIZES[number % len(_SIZES)],
            _CONTRASTS[number // len(_SIZES) % len(_CONTRASTS)],
        )
        image = pixels.astype(np.float32).transpose(2, 0, 1) * (2 / preparation.white) - 1
        hurt = damage(image, kind, size=size, contrast=contrast, random=random).image
        samples = np.rint((hurt + 1) * (preparation.white / 2)).clip(0, preparation.white)
        changed = samples.transpose(1, 2, 0).astype(pixels.dtype)
        yield f"{name}, {kind} of {size:g} at {contrast:g}", np.ascontiguousarray(changed)


def _draft(
    inspector: TrainedInspector,
    folder: Path,
    exporter: str,
    options: JsonObject,
    golden: Sequence[GoldenPart],
    any_size: bool,
    licence: str,
) -> Artefact:
    """All that is known before there is a graph."""
    card, calibration = inspector.scorer.model.card, inspector.calibration
    height, width, channels = golden[0].pixels.shape
    return Artefact(
        folder=folder,
        line=inspector.line,
        exporter=exporter,
        options=options,
        graph=(),
        model=inspector.scorer.model_id,
        data_sha256=card.data_sha256,
        config_sha256=card.config.digest,
        scorer=calibration.scorer,
        scoring_id=calibration.scoring_id,
        calibration=calibration.id,
        preparation=card.preparation.to_json(),
        level=inspector.scorer.line.level,
        input={
            "dtype": str(golden[0].pixels.dtype),
            "layout": "batch, height, width, channels",
            "channels": channels,
            "height": None if any_size else height,
            "width": None if any_size else width,
        },
        parity={},
        licence=licence,
        version=version("cdm-inspect"),
        made_at=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        files={},
    )


def _write_beside(
    project: Project, inspector: TrainedInspector, folder: Path, golden: Sequence[GoldenPart]
) -> None:
    """What a station needs beside the graph: calibration, region, golden set."""
    inspector.calibration.copy_to(project.calibration_folder(inspector.line), folder / CALIBRATION)
    write_golden(folder / GOLDEN, golden)
    if (region := inspector.scorer.region) is not None:
        Image.fromarray(region.astype(np.uint8) * 255).save(folder / REGION)
