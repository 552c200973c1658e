"""What a run works with: device, network, objective, optimiser, crops."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from lightning.fabric import Fabric

from cdm_inspect.config import LineConfig
from cdm_inspect.errors import CheckpointMismatch
from cdm_inspect.images import GoodParts
from cdm_inspect.model.checkpoint import TrainedModel
from cdm_inspect.model.diffusion import PRESETS, ConsistentDenoiser, NetworkSize, Objective
from cdm_inspect.model.training.averaging import MovingAverage
from cdm_inspect.model.training.crops import CropSampler, centre_and_spread
from cdm_inspect.model.training.hardware import choose_hardware
from cdm_inspect.model.training.recipes import RECIPES, batch_size, masked_count


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What a run works with; made by `prepare_setup`.

    Attributes:
        precision: of the network, as Fabric names it.
        centre: mean of the good parts by channel, image units.
        sigma_data: their spread around it.
        denoiser: the network; `objective` and `optimizer` move its weights.
        scaler: of the loss, with float16 on CUDA; else None.
        crops: of the parts to learn from.
        held_out: of those held out, without augmentation, on the CPU.
    """

    line: str
    config: LineConfig
    parts: GoodParts
    fabric: Fabric
    precision: str
    size: NetworkSize
    centre: tuple[float, ...]
    sigma_data: float
    denoiser: ConsistentDenoiser
    objective: Any
    optimizer: Any
    scaler: Any
    average: MovingAverage[ConsistentDenoiser]
    crops: CropSampler
    held_out: CropSampler
    batch_size: int
    learning_rate: float

    @property
    def term_count(self) -> int:
        """Crops on which a step computes the consistency term."""
        count = max(1, round(self.config.consistency.share * self.batch_size))
        return min(count, self.batch_size - masked_count(self.config))


def prepare_setup(
    line: str,
    config: LineConfig,
    parts: GoodParts,
    *,
    device: str,
    devices: int,
    start_from: TrainedModel | None,
) -> Setup:
    """Build what a run works with; arguments and errors are those of `Training`."""
    settings, recipe, preset = config.training, RECIPES[config.preset], PRESETS[config.preset]
    fabric, precision = _launch(config, device, devices)
    torch.manual_seed(settings.seed)
    dropout = preset.dropout if settings.dropout is None else settings.dropout
    size = replace(preset, dropout=dropout)
    centre, sigma_data = centre_and_spread(torch.from_numpy(parts.train))
    if start_from is not None:
        centre, sigma_data = start_from.card.centre, start_from.card.sigma_data
    denoiser = ConsistentDenoiser(size=size, centre=centre, sigma_data=sigma_data)
    if start_from is not None:
        _check_start(start_from, config, size, parts)
        denoiser.load_state_dict(start_from.denoiser.state_dict())
    rate = settings.learning_rate or recipe.learning_rate
    objective, optimizer = fabric.setup(
        _objective(denoiser, config),
        torch.optim.AdamW(denoiser.parameters(), rate, weight_decay=settings.weight_decay),
    )
    crop_size = settings.crop_size or recipe.crop_size
    plain = config.augmentation.model_copy(update={"probability": 0.0})
    return Setup(
        line=line,
        config=config,
        parts=parts,
        fabric=fabric,
        precision=precision,
        size=size,
        centre=centre,
        sigma_data=sigma_data,
        denoiser=denoiser,
        objective=objective,
        optimizer=optimizer,
        # Fabric's float16 on CUDA scales the loss; no other precision does.
        scaler=getattr(fabric.strategy.precision, "scaler", None),
        average=MovingAverage(denoiser, settings.ema_half_life),
        crops=CropSampler(
            torch.from_numpy(parts.train).to(fabric.device),
            crop_size=crop_size,
            augmentation=config.augmentation,
        ),
        held_out=CropSampler(
            torch.from_numpy(parts.held_out), crop_size=crop_size, augmentation=plain
        ),
        batch_size=batch_size(config),
        learning_rate=rate,
    )


def _launch(config: LineConfig, device: str, devices: int) -> tuple[Fabric, str]:
    accelerator, precision = choose_hardware(device, config.training.precision, devices)
    fabric = Fabric(
        accelerator=accelerator,
        devices=[int(device.partition(":")[2])] if ":" in device else devices,
        precision=precision,
    )
    fabric.launch()
    return fabric, precision


def _objective(denoiser: ConsistentDenoiser, config: LineConfig) -> Objective:
    count = math.ceil(config.conservativity.share * batch_size(config))
    return Objective(
        denoiser,
        variance_weight=config.training.variance_weight,
        max_jump=config.consistency.max_jump,
        is_flat=config.consistency.weighting == "flat",
        is_bootstrapped=config.consistency.gradient == "upper",
        is_antithetic=config.consistency.antithetic,
        masked_count=masked_count(config),
        conservativity_weight=config.conservativity.weight,
        conservativity_count=count,
    )


def _check_start(
    model: TrainedModel, config: LineConfig, size: NetworkSize, parts: GoodParts
) -> None:
    theirs = replace(model.card.size, dropout=size.dropout), len(model.card.centre)
    if theirs != (size, parts.train.shape[1]):
        raise CheckpointMismatch(
            f"expected a model of preset {config.preset!r} with {parts.train.shape[1]} channels "
            f"to start from, found preset {model.card.config.preset!r} with "
            f"{len(model.card.centre)}. Set the preset of that model, or name another one."
        )
    known = {part.sha256 for part in parts.held_out_origin} & set(model.card.trained_on)
    if known:
        raise CheckpointMismatch(
            f"the model to start from has trained on {len(known)} of the parts that are held "
            "out now, so that nothing honest could be said of the result. Keep training.seed "
            "and training.held_out as they were for that model."
        )
