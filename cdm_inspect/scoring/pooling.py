"""From a map to a score: smooth it, and take the mean of its highest pixels."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from cdm_inspect.plugins import ScoreBatch
from cdm_inspect.records import FloatArray
from cdm_inspect.scoring.pixel_statistics import box_blur

_SMOOTH = (1, 5, 9, 17)
_TOP = (1e-6, 0.001, 0.003, 0.01, 0.03, 0.1)
# Share of a map's pixels that are its peak.
_PEAK = 0.001
# Gain in AUROC over the synthetic defects below which the default stays, however sure.
_WORTH = 0.005
# Standard errors: more than the usual two, since the best of many is what is asked about.
_SURE = 3


class Area(NamedTuple):
    """Pixels that count.

    Attributes:
        inside: (height, width) boolean.
        size: how many they are; known beforehand, since no graph could be traced that asks.
    """

    inside: Tensor
    size: int

    @classmethod
    def of(cls, region: Tensor) -> Area:
        """Count them."""
        return cls(inside=region, size=int(region.sum()))


@dataclass(frozen=True, kw_only=True)
class Pooling:
    """How a map becomes a score.

    Attributes:
        smooth: side of a box, in prepared pixels, over which the map is averaged first.
        top: share of its pixels, the highest, whose mean is the score; at least one pixel.
    """

    smooth: int
    top: float

    def __call__(self, maps: Tensor, area: Area | None = None) -> ScoreBatch:
        """Score maps, (batch, height, width), by what lies in an area."""
        if area is None:
            smoothed = box_blur(maps[:, None], self.smooth)[:, 0]
            flat, count = smoothed.flatten(1), smoothed[0].numel()
        else:
            inside = area.inside.to(maps.device)
            smoothed = box_blur(maps[:, None], self.smooth, inside)[:, 0]
            flat, count = smoothed.masked_fill(~inside, -math.inf).flatten(1), area.size
        highest = flat.topk(max(1, round(self.top * count)), dim=1).values
        return ScoreBatch(scores=highest.mean(dim=1), maps=smoothed)

    def describe(self) -> dict[str, object]:
        """Both, by name."""
        return {"smooth": self.smooth, "top": self.top}

    def state(self) -> dict[str, FloatArray]:
        """Both, as a scorer keeps them."""
        return {"pooling": np.array([self.smooth, self.top])}

    @classmethod
    def restored(cls, state: Mapping[str, FloatArray]) -> Pooling:
        """What `state` returned."""
        smooth, top = state["pooling"]
        return cls(smooth=int(smooth), top=float(top))


def choose_pooling(good: Tensor, damaged: Tensor, *, default: float, area: Area | None) -> Pooling:
    """The pooling that best tells damaged parts from good ones, by the AUROC of their scores.

    Another than the default must be better by three standard errors; see `is_worth_it`.

    Args:
        good: (count, height, width) maps of good parts.
        damaged: the same of synthetic defects.
        default: `top` of the default, which does not smooth.
        area: pixels that count; None means all.
    """
    first = Pooling(smooth=1, top=default)
    found = {
        pooling: won_pairs(pooling(good, area).scores, pooling(damaged, area).scores)
        for pooling in (first, *candidates())
    }
    best = max(found, key=lambda pooling: float(found[pooling].mean()))
    return best if is_worth_it(found[best], found[first]) else first


def with_peaks(maps: Tensor, scores: Tensor, area: Area | None) -> Tensor:
    """Maps, each shifted as a whole so that the mean of its highest pixels is the score.

    A threshold of scores then means the same on the map.
    """
    peaks = Pooling(smooth=1, top=_PEAK)(maps, area).scores
    return maps + (scores - peaks)[:, None, None]


def candidates() -> Iterator[Pooling]:
    """What may be chosen."""
    for smooth in _SMOOTH:
        for top in _TOP:
            yield Pooling(smooth=smooth, top=top)


def is_worth_it(won: Tensor, former: Tensor) -> bool:
    """Whether one choice is better than another, by more than chance and more than a trifle.

    By three standard errors of the difference of two AUROCs on the same parts, over the damaged and
    over the good parts (DeLong, DeLong and Clarke-Pearson 1988).

    Args:
        won: pairs won by the one, (damaged, good); see `won_pairs`.
        former: the same by the other.
    """
    gain = won - former
    damaged, good = gain.shape
    variance = gain.mean(dim=1).var(unbiased=False) / damaged
    variance += gain.mean(dim=0).var(unbiased=False) / good
    return float(gain.mean()) > max(_SURE * math.sqrt(float(variance)), _WORTH)


def won_pairs(good: Tensor, damaged: Tensor) -> Tensor:
    """(damaged, good): 1 where the damaged part scores higher, 1/2 at a tie; the mean is AUROC."""
    difference = damaged[:, None] - good[None]
    return (difference > 0).double() + 0.5 * (difference == 0).double()


def region_at(region: Tensor, stride: int) -> Tensor:
    """A region for evidence that is smaller than the image: true where most of it lies inside.

    Where none of it is most of a pixel, what comes closest counts.

    Args:
        region: (height, width) boolean.
        stride: its pixels along a side of a pixel of the evidence.
    """
    if stride == 1:
        return region
    share = F.avg_pool2d(region[None, None].float(), stride)[0, 0]
    return share > 0.5 if bool((share > 0.5).any()) else share >= share.max()
