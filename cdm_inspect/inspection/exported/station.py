"""An exported line as an inspector: the same reading, envelope, thresholds and verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from cdm_inspect.calibration.record import Calibration, load_calibration
from cdm_inspect.config.units import parse_duration
from cdm_inspect.errors import (
    ExportError,
    ExportMismatch,
    NotCalibrated,
    PluginFailed,
    attribute_to_plugin,
)
from cdm_inspect.images import Preparation
from cdm_inspect.inspection.exported.bundle import REGION, Artefact, read_artefact
from cdm_inspect.inspection.inspector import Inspector, Look, Scored
from cdm_inspect.model.manifest import MANIFEST, model_id
from cdm_inspect.plugins import ExportedGraph, Exporter, ExporterOffer, build_options
from cdm_inspect.project import Project
from cdm_inspect.records import FloatArray, JsonObject, PartImage, PixelArray


@dataclass(frozen=True)
class ExportedScorer:
    """A graph that takes photographs as they are; see `inspection.PartScorer`.

    Attributes:
        model_id: of the model that it was exported from.
        model_record: what the export says of it.
        preparation: that says which photographs the line takes.
        region: where the line looks.
        level: (channels,) image units; what pixels elsewhere become.
    """

    model_id: str
    model_record: JsonObject
    preparation: Preparation
    region: npt.NDArray[np.bool_] | None
    level: tuple[float, ...]
    graph: ExportedGraph

    def look(self, part: PartImage) -> Look:
        """Prepare a photograph, as the product does, for the check of exposure and focus.

        The graph is given the photograph as it is and prepares it anew: it may round, and what is
        measured must not.

        Raises:
            UnreadableImage: if the line does not take such photographs.
        """
        pixels = self.preparation.admit(part)
        seen = np.ascontiguousarray(self.preparation.scaled(pixels.astype(np.float32), np))
        if self.region is not None:
            seen = np.where(self.region, seen, np.asarray(self.level, np.float32)[:, None, None])
        return Look(seen, lambda: self._appraise(pixels))

    def _appraise(self, pixels: PixelArray) -> Scored:
        """Run the graph.

        Raises:
            PluginFailed: if what the runtime says has the wrong shape or is not finite.
        """
        with attribute_to_plugin():
            found = self.graph(pixels[None])
        size = (self.preparation.height, self.preparation.width)
        _check_finite(found.score, (1,))
        _check_finite(found.heatmap, (1, *size))
        if found.restored is None:
            return Scored(float(found.score[0]), found.heatmap[0])
        _check_finite(found.restored, (1, self.preparation.channels, *size))
        return Scored(float(found.score[0]), found.heatmap[0], found.restored[0])


ExportedInspector = Inspector[ExportedScorer]


def open_station(
    project: Project, line: str, runtime: str, *, scorer: str | None = None
) -> ExportedInspector:
    """Everything that judges parts of a line by what was exported of it.

    Args:
        project: opened; neither good parts nor the model's weights need be there.
        runtime: the name that it was exported under, such as "onnx" or "onnx-int8".
        scorer: that it must have been exported with; None means the line's.

    Raises:
        ExportError: if nothing was exported under that name, or it cannot be opened.
        ExportMismatch: if a file was changed, belongs to another line, or the line has been trained
            or calibrated anew since.
    """
    config = project.config.line(line)
    artefact = read_artefact(project.export_folder(line, runtime))
    wanted = scorer or config.scorer
    if (artefact.line, artefact.scorer) != (line, wanted):
        raise ExportMismatch(
            f"expected in {artefact.folder} line {line!r} with scorer {wanted!r}, found line "
            f"{artefact.line!r} with {artefact.scorer!r}. Run `cdm-inspect export --line {line}`."
        )
    return Inspector(
        line,
        open_exported(project, artefact),
        _calibration_for(project, artefact),
        max_pixels=config.images.max_pixels,
        time_limit=parse_duration(config.time_limit),
    )


def open_exported(project: Project, artefact: Artefact) -> ExportedScorer:
    """The scorer in an exported folder.

    Raises:
        ExportError: if it cannot be opened.
        ExportMismatch: if the graph is not the one that the manifest speaks of.
    """
    exporter, _ = exporter_of(
        project, artefact.line, artefact.exporter, artefact.options, is_exported=True
    )
    return ExportedScorer(
        model_id=artefact.model,
        model_record=artefact.metadata,
        preparation=Preparation(**artefact.preparation),
        region=_read_region(artefact.folder / REGION) if REGION in artefact.files else None,
        level=artefact.level,
        graph=open_graph(exporter, artefact.graph_files, artefact),
    )


def open_graph(exporter: Exporter, files: Sequence[Path], artefact: Artefact) -> ExportedGraph:
    """Open a graph, and see that what stands in it is what stands in its manifest.

    Raises:
        ExportError: if it cannot be opened.
        ExportMismatch: if it is another.
    """
    failed = f"{files[0]} cannot be opened: {{error}}. Export again."
    with attribute_to_plugin(ExportError, failed):
        graph = exporter.open(files)
        inside = dict(graph.metadata)
    for name, expected in artefact.metadata.items():
        if inside.get(name) != expected:
            raise ExportMismatch(
                f"{files[0]} is not the graph of its manifest: expected {name} = {expected!r}, "
                f"found {inside.get(name)!r}. Export again."
            )
    return graph


def exporter_of(
    project: Project, line: str, name: str, options: JsonObject, *, is_exported: bool
) -> tuple[Exporter, JsonObject]:
    """An exporter, and its options.

    Args:
        options: before a graph is exported, those that outdo the line's configuration; afterwards
            those that it was exported with, of which the configuration may change where it runs.
        is_exported: whether there is a graph already.

    Raises:
        PluginUnavailable: if nobody offers it.
        ConfigError: with every mistake in the options.
        PluginFailed: if it cannot be built.
    """
    offer = project.registry.named(ExporterOffer, name)
    configured = project.config.line(line).exporters.get(name, {})
    if is_exported:
        placed = {key: v for key, v in configured.items() if key in offer.set_by_station}
        given = {**options, **placed}
    else:
        given = {**configured, **options}
    with attribute_to_plugin(PluginFailed, f"exporter {name!r} could not be built: {{error}}."):
        resolved = build_options(offer, given, f"exporters.{name}")
        return offer.build(resolved), resolved.model_dump(mode="json")


def _calibration_for(project: Project, artefact: Artefact) -> Calibration:
    """The calibration that is newer: the line's own, where it has one here, or the export's."""
    folder = project.calibration_folder(artefact.line)
    advice = f"Run `cdm-inspect export --line {artefact.line}`."
    exported = artefact.load_calibration()
    if (exported.id, exported.scoring_id) != (artefact.calibration, artefact.scoring_id):
        raise ExportMismatch(
            f"{artefact.folder} holds calibration {exported.id}, and was exported with "
            f"{artefact.calibration}. {advice}"
        )
    if (manifest := project.model_folder(artefact.line) / MANIFEST).is_file():
        model = model_id(manifest.parent)
        if model != artefact.model:
            raise ExportMismatch(
                f"{artefact.folder} was exported from model {artefact.model}, and the line has "
                f"been trained anew since: it has {model}. {advice}"
            )
    if not (folder / f"{artefact.scorer}.json").is_file():
        return exported
    try:
        calibration = load_calibration(folder, artefact.scorer, artefact.model)
    except NotCalibrated as error:
        raise ExportMismatch(
            f"{artefact.folder} was exported from model {artefact.model}, and the line's "
            f"calibration is for another: it has been trained anew since. {advice}"
        ) from error
    if calibration.scoring_id != artefact.scoring_id:
        raise ExportMismatch(
            f"{artefact.folder} was exported with calibration {artefact.calibration}; in that in "
            f"force, {calibration.id}, more has changed than thresholds. {advice}"
        )
    return max(calibration, exported, key=lambda one: one.made_at)


def _check_finite(values: FloatArray, shape: tuple[int, ...]) -> None:
    if values.shape != shape or not np.isfinite(values).all():
        raise PluginFailed(f"expected finite values {shape}, found {values.shape}.")


def _read_region(file: Path) -> npt.NDArray[np.bool_]:
    with Image.open(file) as picture:
        return np.asarray(picture.convert("L")) > 0
