"""How a photograph was taken: exposure, contrast, focus, and whether good parts looked like that.

Measured on prepared images, so that a station measures what training measured, whatever the camera.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from cdm_inspect.records import FloatArray, JsonObject

_BINS = 32
# Grey levels this close to an end of the range count as lost.
_LOST = 1 / 255
# Beyond what good parts have shown, by this share of what they have shown, is outside.
_MARGIN = 0.5
# Never narrower than this about what they have shown: units as in `Acquisition`.
_LEAST = {
    "exposure": 0.04,
    "contrast": 0.04,
    "focus": 0.5,
    "dark": 0.03,
    "bright": 0.03,
    "histogram": 0.02,
}
# Robust standard deviations from the median.
_ODD = 6.0
_MUCH_SHARPER = 3.0
_NAMES = ("exposure", "contrast", "focus", "dark", "bright")
# Those whose slow change a control chart follows; the others follow from them.
CHARTED = ("exposure", "contrast", "focus")
_QUANTILES = 200
_ADVICE = {
    "exposure": "Check lamp, aperture and exposure time",
    "contrast": "Check lamp and lens for dirt or a cover",
    "focus": "Check focus, vibration and the distance to the part",
    "dark": "Check lamp and exposure time",
    "bright": "Check lamp and exposure time for overexposure",
    "histogram": "Check light, lens and whether this is a part of the line at all",
}


@dataclass(frozen=True, kw_only=True)
class Acquisition:
    """What one prepared photograph shows of how it was taken.

    Attributes:
        exposure: mean grey level, in [0, 1].
        contrast: standard deviation of the grey levels, in [0, 0.5].
        focus: ln of the mean squared Laplacian over the variance; a unit less is clearly softer.
        dark: share of pixels at black.
        bright: share of pixels at white.
        histogram: cumulative shares of grey levels at 32 steps.
    """

    exposure: float
    contrast: float
    focus: float
    dark: float
    bright: float
    histogram: tuple[float, ...]

    @property
    def charted(self) -> dict[str, float]:
        """The measures that control charts follow, by name."""
        return {name: getattr(self, name) for name in CHARTED}

    @classmethod
    def of(cls, prepared: FloatArray, region: npt.NDArray[np.bool_] | None = None) -> Acquisition:
        """Measure a prepared image.

        Args:
            prepared: (channels, height, width) in [-1, 1].
            region: (height, width), true where the line looks; None means everywhere.
        """
        image = (prepared.mean(axis=0, dtype=np.float32) + 1) / 2
        inside = np.ones(image.shape, bool) if region is None else region
        grey, laplacian = image[inside], cv2.Laplacian(image, cv2.CV_32F)[inside]
        counts = np.histogram(grey, bins=_BINS, range=(0, 1))[0]
        variance = float(grey.var())
        detail = float((laplacian**2).mean())
        return cls(
            exposure=float(grey.mean()),
            contrast=math.sqrt(variance),
            # A flat picture has no focus to lose; it is found by its contrast.
            focus=math.log((detail + 1e-9) / (variance + 1e-6)),
            dark=float((grey <= _LOST).mean()),
            bright=float((grey >= 1 - _LOST).mean()),
            histogram=tuple(np.round(np.cumsum(counts) / counts.sum(), 5).tolist()),
        )


def find_odd_photographs(seen: Sequence[Acquisition]) -> list[tuple[int, str, str]]:
    """Photographs that were taken unlike the others of a line: darker, softer, overexposed.

    A measure is odd where it lies more than six robust standard deviations (median and median
    absolute deviation) from the median, and clearly so.

    Returns:
        For each odd one its index, the measure that is oddest, and a sentence for people.
    """
    if not seen:
        return []
    ratios, centres = [], {}
    for name in _NAMES:
        values = np.array([getattr(item, name) for item in seen])
        centre = float(np.median(values))
        spread = 1.4826 * float(np.median(np.abs(values - centre)))
        # More detail than usual is nothing to complain of.
        excess = centre - values if name == "focus" else np.abs(values - centre)
        ratios.append(excess / max(_ODD * spread, _LEAST[name]))
        centres[name] = centre
    found = []
    for index, ratio in enumerate(np.array(ratios).T):
        name = _NAMES[int(ratio.argmax())]
        if ratio.max() > 1:
            value = getattr(seen[index], name)
            text = f"{name} {value:.3g}, usually {centres[name]:.3g}. {_ADVICE[name]}"
            found.append((index, name, text))
    return found


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """How good parts were photographed, and how far others may differ before nothing can be said.

    Attributes:
        bounds: lowest and highest accepted value of each measure.
        histogram: mean cumulative histogram.
        distance: mean absolute difference of cumulative histograms (1-Wasserstein distance of grey
            levels) up to which a photograph is accepted.
        usual: for each charted measure its values on the good parts, ascending; evenly spaced
            quantiles where those are more than 200.
        parts: good parts behind all this.
    """

    bounds: dict[str, tuple[float, float]]
    histogram: tuple[float, ...]
    distance: float
    usual: dict[str, tuple[float, ...]]
    parts: int

    @classmethod
    def around(cls, seen: Sequence[Acquisition]) -> Envelope:
        """The envelope of at least one photograph of a good part."""
        bounds = {}
        for name in _NAMES:
            values = np.array([getattr(item, name) for item in seen])
            reach = max(_MARGIN * float(np.ptp(values)), _LEAST[name])
            # Scratches make a part sharper; twenty times the detail is no part any more.
            above = _MUCH_SHARPER if name == "focus" else reach
            bounds[name] = (float(values.min()) - reach, float(values.max()) + above)
        curves = np.array([item.histogram for item in seen])
        mean = curves.mean(axis=0)
        farthest = float(np.abs(curves - mean).mean(axis=1).max())
        return cls(
            bounds=bounds,
            histogram=tuple(np.round(mean, 5).tolist()),
            distance=(1 + _MARGIN) * farthest + _LEAST["histogram"],
            usual={name: _spread([getattr(item, name) for item in seen]) for name in CHARTED},
            parts=len(seen),
        )

    def outside(self, found: Acquisition) -> str:
        """Why a photograph is unlike all that were learnt from, for people; empty if it is not."""
        excess = {name: self._excess(name, getattr(found, name)) for name in _NAMES}
        worst = max(excess, key=lambda name: excess[name])
        if excess[worst] > 0:
            low, high = self.bounds[worst]
            return (
                f"{worst} {getattr(found, worst):.3g}, accepted are {low:.3g} to {high:.3g}. "
                f"{_ADVICE[worst]}, and take the photograph again"
            )
        distance = float(np.abs(np.subtract(found.histogram, self.histogram)).mean())
        if distance > self.distance:
            return (
                f"grey levels differ by {distance:.3g} from those of good parts, accepted are "
                f"{self.distance:.3g}. {_ADVICE['histogram']}, and take the photograph again"
            )
        return ""

    def _excess(self, name: str, value: float) -> float:
        """How far outside, in widths of what is accepted."""
        low, high = self.bounds[name]
        return max(low - value, value - high) / (high - low)

    def to_json(self) -> JsonObject:
        """A JSON object that `from_json` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Envelope:
        """Read what `to_json` wrote."""
        return cls(
            bounds={name: (low, high) for name, (low, high) in data["bounds"].items()},
            histogram=tuple(data["histogram"]),
            distance=data["distance"],
            usual={name: tuple(values) for name, values in data["usual"].items()},
            parts=data["parts"],
        )


def _spread(values: Sequence[float]) -> tuple[float, ...]:
    count = min(len(values), _QUANTILES)
    return tuple(np.quantile(values, (np.arange(count) + 0.5) / count, method="hazen").tolist())
