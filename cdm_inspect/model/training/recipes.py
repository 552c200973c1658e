"""How each preset is trained, where the line does not say otherwise."""

from __future__ import annotations

from dataclasses import dataclass

from cdm_inspect.config import LineConfig


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Numbers that belong to a preset rather than to a line."""

    crop_size: int
    batch_size: int
    learning_rate: float


RECIPES = {
    "tiny": Recipe(crop_size=64, batch_size=16, learning_rate=2e-3),
    "small": Recipe(crop_size=64, batch_size=16, learning_rate=1e-3),
    "base": Recipe(crop_size=128, batch_size=32, learning_rate=4e-4),
}


def batch_size(config: LineConfig) -> int:
    """Crops in a step, on each device."""
    return config.training.batch_size or RECIPES[config.preset].batch_size


def masked_count(config: LineConfig) -> int:
    """Crops of a batch that learn to restore hidden cells; at least one is always left open."""
    size = batch_size(config)
    return min(size - 1, round(config.training.masked_share * size))
