"""A trained model on disk: safetensors weights and a JSON manifest; never pickle.

`manifest.json` names the weights file and its SHA-256. A new model is written beside the old one
and comes into force when the manifest is replaced, so that a reader sees one or the other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from cdm_inspect.config import LineConfig
from cdm_inspect.encoding import sha256_of, to_json
from cdm_inspect.errors import CheckpointCorrupt
from cdm_inspect.files import write_durably
from cdm_inspect.images import Preparation
from cdm_inspect.model.diffusion import ConsistentDenoiser, NetworkSize
from cdm_inspect.model.manifest import FORMAT, MANIFEST, read_manifest
from cdm_inspect.records import JsonObject


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """Everything about a model but its weights; what the manifest holds.

    Attributes:
        config: the resolved configuration of the line at training time.
        preparation: how images become arrays.
        centre: mean of the training images per channel, in image units.
        sigma_data: standard deviation about it.
        data_sha256: over all good parts and the side of the split each was on.
        trained_on: SHA-256 of the files it was trained on.
        held_out: SHA-256 of the files kept out of training, for calibration.
        restores_cells: whether it has learnt to restore hidden cells.
        training: the figures of the training report.
    """

    line: str
    config: LineConfig
    preparation: Preparation
    size: NetworkSize
    centre: tuple[float, ...]
    sigma_data: float
    data_sha256: str
    trained_on: tuple[str, ...]
    held_out: tuple[str, ...]
    restores_cells: bool
    training: JsonObject

    def to_json(self) -> JsonObject:
        """The manifest, but for the fields that describe the weights file."""
        return {
            "line": self.line,
            "config": json.loads(self.config.model_dump_json()),
            "config_sha256": self.config.digest,
            "preparation": self.preparation.to_json(),
            "network": self.size.to_json(),
            "centre": list(self.centre),
            "sigma_data": self.sigma_data,
            "data_sha256": self.data_sha256,
            "trained_on": list(self.trained_on),
            "held_out": list(self.held_out),
            "restores_cells": self.restores_cells,
            "training": self.training,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ModelCard:
        """Read what `to_json` wrote."""
        return cls(
            line=data["line"],
            config=LineConfig.model_validate(data["config"]),
            preparation=Preparation(**data["preparation"]),
            size=NetworkSize.from_json(data["network"]),
            centre=tuple(data["centre"]),
            sigma_data=data["sigma_data"],
            data_sha256=data["data_sha256"],
            trained_on=tuple(data["trained_on"]),
            held_out=tuple(data["held_out"]),
            restores_cells=data["restores_cells"],
            training=data["training"],
        )

    def build(self) -> ConsistentDenoiser:
        """A denoiser of the right shape with untrained weights."""
        return ConsistentDenoiser(
            size=self.size,
            centre=self.centre,
            sigma_data=self.sigma_data,
            restores_cells=self.restores_cells,
        )


@dataclass(frozen=True, kw_only=True)
class TrainedModel:
    """A model ready to use.

    Attributes:
        id: first 12 digits of the SHA-256 of the weights file.
    """

    id: str
    card: ModelCard
    denoiser: ConsistentDenoiser

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.denoiser.parameters()).device


def save_model(folder: Path, card: ModelCard, weights: Mapping[str, Tensor]) -> str:
    """Put a model into force.

    Returns:
        Its id.
    """
    data = safetensors.torch.save({name: w.contiguous() for name, w in weights.items()})
    sha256 = sha256_of(data)
    file = f"model-{sha256[:12]}.safetensors"
    write_durably(folder / file, data)
    manifest = {"format": FORMAT, "weights": file, "weights_sha256": sha256, **card.to_json()}
    write_durably(folder / MANIFEST, to_json(manifest, indent=2))
    for old in folder.glob("model-*.safetensors"):
        if old.name != file:
            old.unlink(missing_ok=True)
    return sha256[:12]


def load_model(folder: Path, device: torch.device | str = "cpu") -> TrainedModel:
    """Load the model in force.

    Raises:
        CheckpointMismatch: if there is none, or it is of another format.
        CheckpointCorrupt: if its files are damaged or do not belong together.
    """
    manifest = read_manifest(folder)
    file = folder / Path(manifest["weights"]).name
    try:
        data = file.read_bytes()
    except OSError as error:
        raise CheckpointCorrupt(
            f"{folder / MANIFEST} names {file.name}, which cannot be read: {error}. "
            "Restore the file from a backup or train again."
        ) from error
    sha256 = sha256_of(data)
    if sha256 != manifest["weights_sha256"]:
        raise CheckpointCorrupt(
            f"{file}: expected SHA-256 {manifest['weights_sha256']}, found {sha256}. "
            "Restore the file from a backup or train again."
        )
    try:
        card = ModelCard.from_json(manifest)
        denoiser = card.build()
        denoiser.load_state_dict(parse_tensors(data, file)[0])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointCorrupt(
            f"{folder / MANIFEST} does not describe {file.name}: {type(error).__name__}: {error}. "
            "Use the version of cdm-inspect that wrote it, restore it, or train again."
        ) from error
    denoiser.eval().requires_grad_(False).to(device)
    return TrainedModel(id=sha256[:12], card=card, denoiser=denoiser)


def dump_tensors(tensors: Mapping[str, Tensor], facts: JsonObject) -> bytes:
    """Tensors and a JSON object as one safetensors file."""
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    # Position and losses may hold infinity and NaN; Python reads them back.
    return safetensors.torch.save(contiguous, {"facts": json.dumps(facts)})


def parse_tensors(data: bytes, source: Path) -> tuple[dict[str, Tensor], JsonObject]:
    """Read what `dump_tensors` wrote; the facts are empty for plain safetensors.

    Raises:
        CheckpointCorrupt: if the bytes are no sound safetensors file.
    """
    try:
        tensors = safetensors.torch.load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        facts = json.loads(header.get("__metadata__", {}).get("facts", "{}"))
    except (SafetensorError, ValueError) as error:
        raise CheckpointCorrupt(
            f"{source} is no sound safetensors file ({error}). Restore it from a backup."
        ) from error
    return tensors, facts
