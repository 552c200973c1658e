"""Mean and spread of evidence on good parts: at each place, or overall where places say nothing."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cdm_inspect.errors import NotCalibrated
from cdm_inspect.records import FloatArray

# Of a spread, in image units (about one step of an 8-bit camera) or in logarithms (1 %): what
# varies less than this between good parts may vary so much on the next one.
_LEAST_SCALE = 0.01


class PixelStatistics:
    """Mean and spread that good parts have at each channel and pixel.

    Where parts are registered, what one has at a place says something of the next: both statistics
    are then those of the place, shrunk towards those of the whole map as if `prior` more parts had
    been seen. Where it says nothing, they are those of the whole map. Which of the two holds is
    measured: whether the mean of the place, from all other parts, predicts a part better than the
    mean of the whole map does.

    Args:
        prior: parts that the whole map counts for.
        smooth_mean: side of the box over which the mean is averaged; 1 keeps every pixel's own.
        smooth_variance: side of the box over which the variance is averaged.
        least: spread below which evidence is taken to vary by chance, in its own units.

    Attributes:
        explained: share of the variance of a part left out that its places explain; negative where
            they mislead.
    """

    def __init__(
        self,
        *,
        prior: float,
        smooth_mean: int,
        smooth_variance: int,
        least: float = _LEAST_SCALE,
    ) -> None:
        self.least = least
        self.prior = prior
        self.smooth_mean, self.smooth_variance = smooth_mean, smooth_variance
        self.explained = 0.0
        self._mean: Tensor | None = None
        self._scale: Tensor | None = None

    @property
    def is_aligned(self) -> bool:
        """Whether the place of a pixel says something of it."""
        return self.explained > 0.0

    def fit(self, evidence: Tensor, region: Tensor | None = None) -> None:
        """Learn from (count, channels, height, width); the whole map is what lies in `region`."""
        count, prior = evidence.shape[0], self.prior
        overall = _over(evidence, region)
        mean = (count * evidence.mean(dim=0, keepdim=True) + prior * overall) / (count + prior)
        mean = box_blur(mean, self.smooth_mean, region)
        overall_variance = _over((evidence - overall).square(), region)
        squares = (evidence - mean).square()
        # A part lies farther by this from the shrunk mean of all the others than from that of all.
        farther = (count + prior) / (count - 1 + prior)
        left = farther**2 * _over(squares, region)
        # A channel that is the same everywhere says nothing of layouts.
        speaks = overall_variance > self.least**2
        gain = (1 - left / overall_variance.clamp(min=1e-12))[speaks]
        self.explained = float(gain.mean()) if count > 1 and len(gain) else 0.0
        if self.is_aligned:
            variance = squares.sum(dim=0, keepdim=True) + prior * _over(squares, region)
            variance = variance / (count + prior)
            variance = box_blur(variance, self.smooth_variance, region)
        else:
            mean, variance = overall, overall_variance
        self._mean, self._scale = mean, variance.sqrt().clamp(min=self.least)

    def standardise(self, evidence: Tensor) -> Tensor:
        """Evidence in standard deviations of good parts."""
        mean, scale = self._fitted()
        return (evidence - mean.to(evidence)) / scale.to(evidence)

    def describe(self) -> dict[str, object]:
        """Whether parts are registered, and how much their places explain."""
        return {
            "layout": "aligned" if self.is_aligned else "unaligned",
            "explained": round(self.explained, 4),
        }

    def state(self, prefix: str = "") -> dict[str, FloatArray]:
        """The statistics, by name."""
        mean, scale = self._fitted()
        return {
            f"{prefix}mean": mean.cpu().numpy(),
            f"{prefix}scale": scale.cpu().numpy(),
            f"{prefix}explained": np.array([self.explained], np.float32),
        }

    def restore(self, state: Mapping[str, FloatArray], prefix: str = "") -> None:
        """Take back what `state` returned."""
        self._mean = torch.from_numpy(state[f"{prefix}mean"])
        self._scale = torch.from_numpy(state[f"{prefix}scale"])
        self.explained = float(state[f"{prefix}explained"][0])

    def _fitted(self) -> tuple[Tensor, Tensor]:
        if self._mean is None or self._scale is None:
            raise NotCalibrated("this scorer has not been fitted. Run `cdm-inspect calibrate`.")
        return self._mean, self._scale


class ValueScale:
    """Mean and standard deviation of each of several values over good parts."""

    def __init__(self) -> None:
        self._centre: Tensor | None = None
        self._spread = torch.empty(0)

    @property
    def is_fitted(self) -> bool:
        """Whether it has learnt."""
        return self._centre is not None

    def fit(self, values: Tensor) -> None:
        """Learn from (count, size).

        The variance is shrunk towards 1 as if one more value had been seen: the values are scores
        in units of good pixels, and a few of them must not happen to have none.
        """
        self._centre = values.mean(dim=0)
        squares = (values - self._centre).square().sum(dim=0)
        self._spread = ((squares + 1) / (len(values) + 1)).sqrt()

    def __call__(self, values: Tensor) -> Tensor:
        """(..., size) in standard deviations from the mean."""
        if self._centre is None:
            raise NotCalibrated("this scorer has not been fitted. Run `cdm-inspect calibrate`.")
        return (values - self._centre.to(values)) / self._spread.to(values)

    def state(self, name: str) -> dict[str, FloatArray]:
        """Both, under one name."""
        if self._centre is None:
            raise NotCalibrated("this scorer has not been fitted. Run `cdm-inspect calibrate`.")
        return {name: torch.stack([self._centre, self._spread]).cpu().numpy()}

    def restore(self, state: Mapping[str, FloatArray], name: str) -> None:
        """Take back what `state` returned."""
        self._centre, self._spread = torch.from_numpy(state[name])


def box_blur(maps: Tensor, side: int, region: Tensor | None = None) -> Tensor:
    """Mean over a box of odd side about each pixel, cut at the border and to the region.

    Args:
        maps: (count, channels, height, width).
        side: pixels; an even one is rounded up.
        region: (height, width) boolean; pixels without any of it in their box become 0.
    """
    if side <= 1:
        return maps
    side += 1 - side % 2

    def mean(values: Tensor) -> Tensor:
        # Rows, then columns: every row of a box holds as many pixels, also where it is cut.
        for box in ((side, 1), (1, side)):
            padding = (box[0] // 2, box[1] // 2)
            values = F.avg_pool2d(values, box, stride=1, padding=padding, count_include_pad=False)
        return values

    if region is None:
        return mean(maps)
    inside = region.to(maps)[None, None]
    return mean(maps * inside) / mean(inside).clamp(min=1e-6)


def _over(evidence: Tensor, region: Tensor | None) -> Tensor:
    """Mean over parts and the places of the region: (1, channels, 1, 1)."""
    if region is None:
        return evidence.mean(dim=(0, 2, 3), keepdim=True)
    return evidence[..., region].mean(dim=(0, 2))[None, :, None, None]
