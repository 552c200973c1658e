"""What `export` writes for a station: a folder that says what is in it, and is checked when opened.

It holds the graph, `manifest.json` with the SHA-256 of every file, the calibration that it was
exported with, and the golden set: photographs with what the trained model says of them. Loads
without torch.
"""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cdm_inspect.calibration.record import Calibration, load_calibration
from cdm_inspect.encoding import sha256_of, to_json
from cdm_inspect.errors import ExportError, ExportMismatch, StorageError
from cdm_inspect.files import write_durably
from cdm_inspect.records import FloatArray, JsonObject, PixelArray

FORMAT = 1
MANIFEST = "manifest.json"
GOLDEN = "golden.npz"
REGION = "region.png"
CALIBRATION = "calibration"
PREFIX = "cdm_inspect."


@dataclass(frozen=True, kw_only=True)
class Artefact:
    """An exported line.

    Attributes:
        line: that it judges.
        exporter: that has written the graph, and can open it.
        options: of the exporter, resolved.
        graph: files of the graph, the main one first; paths inside the folder.
        model: id of the trained model.
        data_sha256: over the good parts that it was trained on and calibrated with.
        config_sha256: over the configuration it was trained by.
        scorer: traced into the graph.
        scoring_id: of the calibrations that it may be used with; see `Calibration.scoring_id`.
        calibration: id of the one that was in force.
        preparation: of photographs, as `Preparation.to_json` writes it.
        level: (channels,) image units; what a prepared image becomes where the line does not look.
        input: what the graph takes: `dtype`, `layout`, `channels`, and `height` and `width`, null
            where it takes any.
        parity: how far it was from the trained model on the golden set.
        licence: under which the model may be used.
        version: of the program that has written it.
        made_at: ISO 8601.
        files: SHA-256 of every file but the manifest, by its path inside the folder.
    """

    folder: Path
    line: str
    exporter: str
    options: JsonObject
    graph: tuple[str, ...]
    model: str
    data_sha256: str
    config_sha256: str
    scorer: str
    scoring_id: str
    calibration: str
    preparation: JsonObject
    level: tuple[float, ...]
    input: JsonObject
    parity: JsonObject
    licence: str
    version: str
    made_at: str
    files: Mapping[str, str]

    @property
    def metadata(self) -> dict[str, str]:
        """What is written into the graph itself, so that it can be distinguished from any other."""
        kept = {
            "line": self.line,
            "model": self.model,
            "data_sha256": self.data_sha256,
            "config_sha256": self.config_sha256,
            "scorer": self.scorer,
            "scoring_id": self.scoring_id,
            "calibration": self.calibration,
            "preparation": self.preparation,
            "input": self.input,
            "licence": self.licence,
            "version": self.version,
        }
        return {
            PREFIX + name: value if isinstance(value, str) else json.dumps(value, sort_keys=True)
            for name, value in {**kept, "format": FORMAT}.items()
        }

    @property
    def graph_files(self) -> list[Path]:
        """The main file first."""
        return [self.folder / name for name in self.graph]

    def load_calibration(self) -> Calibration:
        """The calibration that it was exported with."""
        return load_calibration(self.folder / CALIBRATION, self.scorer, self.model)

    def sealed(self) -> Artefact:
        """The artefact with the hashes of the files that its folder holds now."""
        paths = sorted(p for p in self.folder.rglob("*") if p.is_file() and p.name != MANIFEST)
        files = {p.relative_to(self.folder).as_posix(): sha256_of(p.read_bytes()) for p in paths}
        return replace(self, files=files)

    def write_manifest(self) -> None:
        """Write `manifest.json`, with a seal against slips of the hand."""
        facts = {k: v for k, v in asdict(self).items() if k != "folder"}
        record = json.loads(to_json({"format": FORMAT, **facts}))
        record["seal"] = _seal(record)
        write_durably(self.folder / MANIFEST, to_json(record, indent=1))


def read_artefact(folder: Path) -> Artefact:
    """Read a manifest, and check that every file is as it was when it was written.

    Raises:
        ExportError: if there is none, it is damaged, or of another version.
        ExportMismatch: if a file is missing or was changed.
    """
    path = folder / MANIFEST
    try:
        record = json.loads(path.read_bytes())
        seal = record.pop("seal")
        version = record.pop("format")
    except FileNotFoundError as error:
        raise ExportError(
            f"expected an exported line in {folder}, found none. Run `cdm-inspect export`, or copy "
            "the folder that it has written."
        ) from error
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise ExportError(
            f"{path} is damaged ({type(error).__name__}: {error}). Export again, or copy it again."
        ) from error
    if version != FORMAT:
        raise ExportError(
            f"{path}: expected format {FORMAT}, found {version!r}. Export again with this version "
            "of cdm-inspect."
        )
    if _seal({"format": version, **record}) != seal:
        raise ExportMismatch(f"{path} was changed since it was written. Export again.")
    try:
        lists = {name: tuple(record[name]) for name in ("graph", "level")}
        artefact = Artefact(folder=folder, **{**record, **lists})
    except (KeyError, TypeError) as error:
        raise ExportError(f"{path} lacks something ({error}). Export again.") from error
    for name, expected in artefact.files.items():
        _check_file(folder, name, expected)
    if unlisted := [name for name in artefact.graph if name not in artefact.files]:
        raise ExportMismatch(f"{path} has no SHA-256 of {unlisted[0]}. Export again.")
    return artefact


def _check_file(folder: Path, name: str, expected: str) -> None:
    file = (folder / name).resolve()
    if not file.is_relative_to(folder.resolve()):
        raise ExportMismatch(f"{folder / MANIFEST} names a file outside its folder: {name}.")
    try:
        found = sha256_of(file.read_bytes())
    except OSError as error:
        raise ExportMismatch(
            f"{file} cannot be read ({error.strerror or error}). Copy the whole folder again."
        ) from error
    if found != expected:
        raise ExportMismatch(
            f"{file} was changed since it was exported: expected SHA-256 {expected[:12]}, found "
            f"{found[:12]} ({file.stat().st_size} bytes). Copy the folder again, or export again."
        )


class GoldenPart(NamedTuple):
    """A photograph, and what the trained model says of it.

    Attributes:
        name: of the photograph, and of what was done to it.
        pixels: (height, width, channels), as the graph is given them.
    """

    name: str
    pixels: PixelArray
    score: float
    heatmap: FloatArray


def write_golden(file: Path, parts: Sequence[GoldenPart]) -> None:
    """Write golden parts as one file."""
    arrays: dict[str, Any] = {
        "names": np.array([part.name for part in parts]),
        "scores": np.array([part.score for part in parts], np.float64),
        "heatmaps": np.stack([part.heatmap for part in parts]),
    }
    arrays |= {f"pixels_{number:04}": part.pixels for number, part in enumerate(parts)}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_durably(file, buffer.getvalue())


def read_golden(file: Path) -> list[GoldenPart]:
    """Read what `write_golden` wrote.

    Raises:
        ExportError: if it is something else.
    """
    try:
        with np.load(file, allow_pickle=False) as data:
            return [
                GoldenPart(str(name), data[f"pixels_{number:04}"], float(score), heatmap)
                for number, (name, score, heatmap) in enumerate(
                    zip(data["names"], data["scores"], data["heatmaps"], strict=True)
                )
            ]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ExportError(f"{file} holds no golden parts ({error}). Export again.") from error


def replace_folder(made: Path, folder: Path) -> None:
    """Put a folder that is complete in the place of an older one.

    Raises:
        StorageError: if that cannot be done; the older one is then as it was.
    """
    former = folder.with_name(f".{folder.name}.former")
    try:
        if former.exists() and not folder.exists():
            former.rename(folder)  # who was to put a new one there was killed
        shutil.rmtree(former, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        if folder.exists():
            folder.rename(former)
        try:
            made.rename(folder)
        except OSError:
            if former.exists():
                former.rename(folder)
            raise
    except OSError as error:
        raise StorageError(
            f"{folder} cannot be written: {error.strerror or error}. Close what uses it, and "
            "export again."
        ) from error
    shutil.rmtree(former, ignore_errors=True)


def _seal(record: JsonObject) -> str:
    return sha256_of(json.dumps(record, sort_keys=True).encode())
