"""A reduced DDPM++ U-Net, fully convolutional, with two outputs.

Sources: Song et al. 2021, arXiv:2011.13456 (DDPM++: residual blocks, skips scaled by 1/sqrt(2));
Karras et al. 2022, arXiv:2206.00364 (noise and augmentation labels in one embedding). Attention is
left out: at this size and data it is not needed (SPR, ICCV 2023), and without it the network sees
crops and whole images alike.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cdm_inspect.records import JsonObject

LABEL_SIZE = 9
"""Numbers that describe an augmentation; all zero means none."""

_GROUP_SIZE = 8
_NOISE_FREQUENCIES = 16
# The log variance is bounded softly, so that one bad batch cannot fling it away.
_LOG_VARIANCE_LIMIT = 8.0


@dataclass(frozen=True, kw_only=True)
class NetworkSize:
    """What fixes the shape of the network.

    Attributes:
        width: feature maps at full resolution.
        multipliers: of `width`, one a resolution; each following one halves height and width.
        blocks: residual blocks a resolution on the way down; one more on the way up.
        dropout: probability that a feature map is dropped inside a block.
    """

    width: int
    multipliers: tuple[int, ...]
    blocks: int
    dropout: float = 0.0

    def to_json(self) -> JsonObject:
        """A JSON object; `from_json` makes the same again."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: JsonObject) -> NetworkSize:
        """Read what `to_json` wrote."""
        return cls(**{**data, "multipliers": tuple(data["multipliers"])})


PRESETS = {
    "tiny": NetworkSize(width=16, multipliers=(1, 2, 2), blocks=1),
    "small": NetworkSize(width=24, multipliers=(1, 2, 2, 3), blocks=1),
    "base": NetworkSize(width=64, multipliers=(1, 2, 2, 3), blocks=2, dropout=0.1),
}


class NetworkOutput(NamedTuple):
    """Both heads, (batch, channels, height, width) float32.

    Attributes:
        mean: F of the preconditioning, unit variance at the optimum of an unknowing network.
        log_variance: of the error of `mean`, within +-8.
    """

    mean: Tensor
    log_variance: Tensor


class UNet(nn.Module):
    """The network F of the preconditioning; see `cdm_inspect.model.diffusion.noise`."""

    def __init__(self, channels: int, size: NetworkSize) -> None:
        super().__init__()
        self.size = size
        embedding = 4 * size.width
        self.embed_noise = nn.Conv2d(2 * _NOISE_FREQUENCIES, embedding, 1)
        self.embed_label = nn.Conv2d(LABEL_SIZE, embedding, 1, bias=False)
        self.embed = nn.Conv2d(embedding, embedding, 1)
        # Geometric, so that both coarse and fine differences of ln(sigma)/4 can be distinguished.
        frequencies = torch.logspace(0, 1.5, _NOISE_FREQUENCIES).view(1, -1, 1, 1)
        self.frequencies: Tensor
        self.register_buffer("frequencies", frequencies, persistent=False)

        # The image, two coordinate channels and the noise level.
        self.enter = nn.Conv2d(channels + 3, size.width, 3, padding=1)
        widths = [size.width * multiplier for multiplier in size.multipliers]
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        kept, current = [size.width], size.width
        for level, width in enumerate(widths):
            for _ in range(size.blocks):
                self.down.append(Block(current, width, embedding))
                current = width
                kept.append(current)
            if level < len(widths) - 1:
                self.down.append(Downsample(current))
                kept.append(current)
        self.middle = Block(current, current, embedding)
        for level, width in reversed(list(enumerate(widths))):
            for _ in range(size.blocks + 1):
                self.up.append(Block(current + kept.pop(), width, embedding))
                current = width
            if level > 0:
                self.up.append(Upsample(current))
        self.leave = nn.GroupNorm(_groups(current), current)
        self.to_mean = _zeroed(nn.Conv2d(current, channels, 3, padding=1))
        self.to_log_variance = _zeroed(nn.Conv2d(current, channels, 3, padding=1))

    @property
    def stride(self) -> int:
        """Height and width of the input must be multiples of this."""
        return int(2 ** (len(self.size.multipliers) - 1))

    def draw_dropout(self, batch: int, generator: torch.Generator) -> list[Tensor] | None:
        """Masks for one pass, one a block, each (batch, width, 1, 1); None without dropout.

        Explicit, so that the passes whose outputs the consistency term compares can share them.
        """
        if self.size.dropout == 0.0:
            return None
        keep = 1.0 - self.size.dropout
        shapes = [(batch, block.width, 1, 1) for block in self._blocks()]
        device = generator.device
        return [
            (torch.rand(shape, generator=generator, device=device) < keep).float() / keep
            for shape in shapes
        ]

    def forward(
        self,
        scaled: Tensor,
        noise: Tensor,
        position: Tensor,
        labels: Tensor | None = None,
        dropout: list[Tensor] | None = None,
    ) -> NetworkOutput:
        """Run the network.

        Args:
            scaled: (batch, channels, height, width) float32 of unit variance.
            noise: ln(sigma)/4, (batch, 1, 1, 1) or (batch, 1, height, width). Where it differs
                between pixels the highest modulates the whole, and each pixel sees its own as an
                input channel: this costs nothing, and tells all where there are two levels.
            position: (batch, 2, height, width), y and x of each pixel in the whole image, [-1, 1].
            labels: (batch, 9) of the augmentation; None is the same as zeros.
            dropout: masks of `draw_dropout`.
        """
        features = self.activations(scaled, noise, position, labels, dropout)[-1]
        features = F.silu(self.leave(features))
        log_variance = self.to_log_variance(features).float()
        limit = _LOG_VARIANCE_LIMIT
        return NetworkOutput(
            mean=self.to_mean(features).float(),
            log_variance=limit * torch.tanh(log_variance / limit),
        )

    def activations(
        self,
        scaled: Tensor,
        noise: Tensor,
        position: Tensor,
        labels: Tensor | None = None,
        dropout: list[Tensor] | None = None,
    ) -> list[Tensor]:
        """Features on the way up, one tensor a resolution, coarse to fine; see `forward`."""
        angles = noise.amax(dim=(2, 3), keepdim=True) * self.frequencies
        embedding = self.embed_noise(torch.cat([angles.cos(), angles.sin()], dim=1))
        if labels is not None:
            embedding = embedding + self.embed_label(labels[:, :, None, None])
        embedding = F.silu(self.embed(F.silu(embedding)))

        masks = iter(dropout) if dropout is not None else None
        level = noise.expand(-1, -1, *scaled.shape[-2:])
        features = self.enter(torch.cat([scaled, position, level], dim=1))
        kept = [features]
        for layer in self.down:
            features = (
                layer(features, embedding, masks) if isinstance(layer, Block) else layer(features)
            )
            kept.append(features)
        features = self.middle(features, embedding, masks)
        found = []
        for layer in self.up:
            if isinstance(layer, Block):
                joined = torch.cat([features, kept.pop()], dim=1)
                features = layer(joined, embedding, masks)
            else:
                found.append(features)
                features = layer(features)
        return [*found, features]

    def _blocks(self) -> list[Block]:
        layers = [*self.down, self.middle, *self.up]
        return [layer for layer in layers if isinstance(layer, Block)]


class Block(nn.Module):
    """A residual block whose second normalisation is scaled and shifted by the embedding."""

    def __init__(self, entering: int, width: int, embedding: int) -> None:
        super().__init__()
        self.width = width
        self.norm1 = nn.GroupNorm(_groups(entering), entering)
        self.conv1 = nn.Conv2d(entering, width, 3, padding=1)
        self.modulate = _zeroed(nn.Conv2d(embedding, 2 * width, 1))
        self.norm2 = nn.GroupNorm(_groups(width), width)
        self.conv2 = _zeroed(nn.Conv2d(width, width, 3, padding=1))
        self.skip = nn.Conv2d(entering, width, 1) if entering != width else nn.Identity()

    def forward(self, features: Tensor, embedding: Tensor, masks: object | None = None) -> Tensor:
        """Features of the same height and width, (batch, width, height, width)."""
        hidden = self.conv1(F.silu(self.norm1(features)))
        scale, shift = self.modulate(embedding).chunk(2, dim=1)
        hidden = F.silu(self.norm2(hidden) * (1 + scale) + shift)
        if masks is not None:
            hidden = hidden * next(masks)  # type: ignore[call-overload]
        return (self.skip(features) + self.conv2(hidden)) * math.sqrt(0.5)  # type: ignore[no-any-return]


class Downsample(nn.Module):
    """Halves height and width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, stride=2, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """(batch, width, height / 2, width / 2)."""
        return self.conv(features)  # type: ignore[no-any-return]


class Upsample(nn.Module):
    """Doubles height and width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """(batch, width, 2 height, 2 width)."""
        return self.conv(F.interpolate(features, scale_factor=2.0))  # type: ignore[no-any-return]


def _groups(width: int) -> int:
    return math.gcd(width, max(1, width // _GROUP_SIZE)) if width >= _GROUP_SIZE else 1


def _zeroed(layer: nn.Conv2d) -> nn.Conv2d:
    # Blocks start as identities and the whole network as F = 0: the best guess before learning.
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
