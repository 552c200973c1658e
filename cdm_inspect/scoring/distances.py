"""How a part differs from its restoration, pixel by pixel, in several senses of the word.

Every distance takes the part and its restoration, (batch, channels, height, width) float32 in image
units, and returns (batch, height, width) >= 0, each image for itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from cdm_inspect.errors import ConfigError, PluginUnavailable
from cdm_inspect.plugins import Denoiser
from cdm_inspect.scoring.shared_evaluations import level

Distance = Callable[[Tensor, Tensor], Tensor]

# Low enough that what the network sees is the part, high enough that it has seen such levels.
_FEATURE_SIGMA = 0.1
_SSIM_SCALES = (1, 2, 4)
_SSIM_WINDOW = 11
# What nearly all pretrained networks were trained with, for images in [0, 1].
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def l1(part: Tensor, restored: Tensor) -> Tensor:
    """|x - r|, mean over channels."""
    return (part - restored).abs().mean(dim=1)


def l2(part: Tensor, restored: Tensor) -> Tensor:
    """(x - r)^2, mean over channels."""
    return (part - restored).square().mean(dim=1)


def gradient(part: Tensor, restored: Tensor) -> Tensor:
    """Squared difference of the slopes, by central differences; blind to brightness."""
    down, right = torch.gradient(part - restored, dim=(2, 3))
    return (down.square() + right.square()).mean(dim=1)


def ssim(part: Tensor, restored: Tensor) -> Tensor:
    """(1 - SSIM) / 2 at full, half and quarter size, mean over those that a window fits into.

    Source: Wang, Simoncelli and Bovik 2003 (several scales); the local map, not its mean.
    """
    height, width = part.shape[-2:]
    found = []
    for scale in _SSIM_SCALES:
        if min(height, width) // scale <= _SSIM_WINDOW:
            continue
        small = [F.avg_pool2d(images, scale) for images in (part, restored)]
        _, similarity = structural_similarity_index_measure(
            *small,
            kernel_size=_SSIM_WINDOW,
            data_range=2.0,
            reduction="none",
            return_full_image=True,
        )
        unlike = ((1 - similarity) / 2).clamp(min=0).mean(dim=1, keepdim=True)
        found.append(_enlarge(unlike, part))
    return torch.stack(found).mean(dim=0)


def feature_distance(denoiser: Denoiser) -> Distance:
    """1 - cosine between the denoiser's own features, mean over its resolutions."""

    def distance(part: Tensor, restored: Tensor) -> Tensor:
        sides = [denoiser.features(x, level(_FEATURE_SIGMA, x)) for x in (part, restored)]
        return _cosine_distance(*sides, size=part)

    return distance


def backbone_distance(name: str, weights: Path) -> Distance:
    """1 - cosine between the features of a pretrained network that timm knows.

    Args:
        name: of the network, as timm spells it.
        weights: its file, .safetensors, which the user has brought; nothing is ever downloaded.

    Raises:
        PluginUnavailable: if timm is not installed.
        ConfigError: if it does not know the network, or the file is of another kind or network.
    """
    try:
        import timm
    except ImportError as error:
        raise PluginUnavailable(
            "a backbone needs timm. Install it with `pip install 'cdm-inspect[backbone]'`."
        ) from error
    if not weights.is_file():
        raise ConfigError(f"expected the weights of backbone {name!r} in {weights}, found no file.")
    if weights.suffix != ".safetensors":
        # Other formats may hold code that would run when they are read.
        raise ConfigError(f"expected weights as .safetensors, found {weights}. Convert the file.")
    try:
        network = timm.create_model(name, pretrained=False, features_only=True)
        missing, _ = network.load_state_dict(load_file(weights), strict=False)
        if missing:
            raise ValueError(f"it lacks {missing[0]}")
    except (RuntimeError, ValueError, KeyError, OSError, SafetensorError) as error:
        raise ConfigError(f"backbone {name!r} with {weights}: {error}.") from error
    network.eval().requires_grad_(False)

    def features(images: Tensor) -> Sequence[Tensor]:
        colour = (images.expand(-1, 3, -1, -1) + 1) / 2
        mean, std = (colour.new_tensor(v).view(1, 3, 1, 1) for v in (_IMAGENET_MEAN, _IMAGENET_STD))
        # The deepest say what the whole image shows, not what is at a place.
        found: Sequence[Tensor] = network.to(images.device)((colour - mean) / std)[:-1]
        return found

    return lambda part, restored: _cosine_distance(features(part), features(restored), size=part)


def _cosine_distance(ours: Sequence[Tensor], theirs: Sequence[Tensor], *, size: Tensor) -> Tensor:
    found = []
    for one, other in zip(ours, theirs, strict=True):
        unlike = (1 - F.cosine_similarity(one, other, dim=1)).clamp(min=0)
        found.append(_enlarge(unlike[:, None], size))
    return torch.stack(found).mean(dim=0)


def _enlarge(maps: Tensor, images: Tensor) -> Tensor:
    """(batch, 1, h, w) as large as the images: (batch, height, width)."""
    return F.interpolate(maps, images.shape[-2:], mode="bilinear")[:, 0]


DISTANCES: dict[str, Distance] = {"l1": l1, "l2": l2, "gradient": gradient, "ssim": ssim}
"""Those that need nothing but the two images, by name."""
