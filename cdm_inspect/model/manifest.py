"""Which model is in force in a folder; read without torch."""

from __future__ import annotations

import json
from pathlib import Path

from cdm_inspect.errors import CheckpointCorrupt, CheckpointMismatch
from cdm_inspect.records import JsonObject

FORMAT = 1
MANIFEST = "manifest.json"


def read_manifest(folder: Path) -> JsonObject:
    """The manifest of the model in force, checked for its format.

    Raises:
        CheckpointMismatch: if there is none, or it is of another format.
        CheckpointCorrupt: if it is damaged.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_bytes())
        version = manifest["format"]
        manifest["weights"], manifest["weights_sha256"]
    except FileNotFoundError as error:
        raise CheckpointMismatch(
            f"expected a trained model in {folder}, found none. Run `cdm-inspect train` first."
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointCorrupt(
            f"{path} is damaged ({error}). Restore it from a backup or train again."
        ) from error
    if version != FORMAT:
        raise CheckpointMismatch(
            f"{path}: expected format {FORMAT}, found {version!r}. Use the version of cdm-inspect "
            "that wrote it, or train again."
        )
    return dict(manifest)


def model_id(folder: Path) -> str:
    """First 12 digits of the SHA-256 of the weights; see `read_manifest` for what it raises."""
    return str(read_manifest(folder)["weights_sha256"])[:12]
