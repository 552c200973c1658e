"""How each preset is trained, where the line does not say otherwise."""

from __future__ import annotations

from dataclasses import dataclass


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
