"""One prepared image → score → verdict; whatever goes wrong on the way is `undecided`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Generic, NamedTuple, Protocol, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from cdm_inspect.calibration.record import Calibration
from cdm_inspect.encoding import sha256_of
from cdm_inspect.errors import CdmInspectError, UnreadableImage
from cdm_inspect.images import Acquisition, Envelope, Preparation, decode_image, read_bytes
from cdm_inspect.inspection.time_limit import TimeLimit
from cdm_inspect.records import (
    FloatArray,
    Inspection,
    JsonObject,
    PartImage,
    Region,
    Verdict,
)

_MAX_REGIONS = 20


class Scored(NamedTuple):
    """What is said of one part before any threshold.

    Attributes:
        score: higher is more abnormal.
        heatmap: (height, width) float32 in calibrated units.
        restored: (1 or 3, height, width) float32 in image units, what the model makes of the part;
            None where the scorer restores nothing.
    """

    score: float
    heatmap: FloatArray
    restored: FloatArray | None = None


class Look(NamedTuple):
    """A part as its judge sees it.

    Attributes:
        seen: (channels, height, width) float32 in [-1, 1], level where the line does not look.
        appraise: what is said of it.
    """

    seen: FloatArray
    appraise: Callable[[], Scored]


class PartScorer(Protocol):
    """What scores decoded photographs: a trained model, or what was exported from one.

    Both leave reading, acquisition, thresholds and verdicts to the inspector, so that there is one
    of each.
    """

    @property
    def model_id(self) -> str:
        """Of the trained model."""
        ...

    @property
    def model_record(self) -> JsonObject:
        """What is known of the model: of what data it is, with which settings and code."""
        ...

    @property
    def preparation(self) -> Preparation:
        """Of photographs."""
        ...

    @property
    def region(self) -> npt.NDArray[np.bool_] | None:
        """(height, width) of a prepared image, true where the line looks; None is everywhere."""
        ...

    def look(self, part: PartImage) -> Look:
        """Prepare a photograph.

        Raises:
            UnreadableImage: if the line does not take such photographs.
        """
        ...


S = TypeVar("S", bound=PartScorer)


class Inspector(Generic[S]):
    """Judges parts of one line with one scorer and calibration.

    Args:
        scorer: that the calibration was made with.
        calibration: in force.
        max_pixels: larger photographs are not decoded.
        time_limit: seconds for scoring one part.
        inspected: parts that the calibration has judged before.

    Attributes:
        inspected: parts that the calibration has judged so far.
        drifted: what a control chart has found since, for people; empty if nothing.
        envelope: how good parts were photographed; None where nobody knows.
    """

    def __init__(
        self,
        line: str,
        scorer: S,
        calibration: Calibration,
        *,
        max_pixels: int,
        time_limit: float = 120.0,
        inspected: int = 0,
    ) -> None:
        self.line, self.scorer, self.max_pixels = line, scorer, max_pixels
        self.take_up(calibration, inspected=inspected)
        self._limited = TimeLimit(
            time_limit, advice=f"Mend the scorer, or raise lines.{line}.time_limit."
        )

    def take_up(self, calibration: Calibration, *, inspected: int) -> None:
        """Judge by another calibration of the same scores from now on.

        Args:
            calibration: with the `scoring_id` of the one before.
            inspected: parts that it has judged before.
        """
        self.calibration, self.inspected = calibration, inspected
        self.drifted = ""
        self.envelope = Envelope.from_json(seen) if (seen := calibration.envelope) else None

    def inspect_file(self, path: Path) -> tuple[Inspection, bytes | None]:
        """Read and judge one file; a file that cannot be judged is `undecided`, with the reason.

        Returns:
            What is said of the part, and the very bytes that it was said of, where there were any.
        """
        try:
            data = read_bytes(path)
        except UnreadableImage as error:
            return self._set_aside(path, error.reason, str(error)), None
        return self.inspect_bytes(data, path), data

    def inspect_bytes(self, data: bytes, path: Path) -> Inspection:
        """Judge the bytes of an image file; `path` is what it is called."""
        try:
            part = decode_image(data, path, max_pixels=self.max_pixels)
        except UnreadableImage as error:
            return self._set_aside(path, error.reason, str(error), sha256_of(data))
        return self.inspect(part)

    def inspect(self, part: PartImage) -> Inspection:
        """Judge one decoded photograph; never raises for what the part or a plugin does."""
        path, taken = part.path, {}
        try:
            look = self._limited(lambda: self.scorer.look(part))
            acquisition = self._acquisition(look.seen)
            taken = acquisition.charted
            if why := self._outside(acquisition):
                detail = f"{path}: {why}."
                return replace(
                    self._set_aside(path, "retake", detail, part.sha256), acquisition=taken
                )
            score, heatmap, restored = self._limited(look.appraise)
        except UnreadableImage as error:
            return self._set_aside(path, error.reason, str(error), part.sha256)
        # Whatever else goes wrong, the part goes to a person.
        except Exception as error:  # noqa: BLE001
            kind = "" if isinstance(error, CdmInspectError) else f"{type(error).__name__}: "
            detail = f"scorer {self.calibration.scorer!r} failed: {kind}{error}"
            return replace(
                self._set_aside(path, "scorer_failed", detail, part.sha256), acquisition=taken
            )
        verdict, reason = self._judge(score)
        return Inspection(
            image=path,
            sha256=part.sha256,
            line=self.line,
            verdict=verdict,
            reason=reason,
            model=self.scorer.model_id,
            calibration=self.calibration.id,
            scorer=self.calibration.scorer,
            threshold=self.calibration.threshold,
            score=score,
            p_value=self.calibration.p_value(score),
            heatmap=heatmap,
            regions=find_regions(heatmap, self.calibration.threshold, part.pixels.shape[:2]),
            acquisition=taken,
            # Few parts are flagged, and nobody looks at the others: the store hardly grows.
            restoration=None
            if restored is None or verdict is Verdict.PASS
            else self.scorer.preparation.picture(restored, part.pixels),
        )

    def verdict_of(self, seen: FloatArray, score: float) -> Verdict:
        """What is said of what was seen with this score, the calibration being in date."""
        is_outside = self._outside(self._acquisition(seen))
        return Verdict.UNDECIDED if is_outside else self.calibration.verdict(score)

    def _acquisition(self, seen: FloatArray) -> Acquisition:
        return Acquisition.of(seen, self.scorer.region)

    def _outside(self, found: Acquisition) -> str:
        """Why it was taken as no good part was; empty if it was not, or nobody knows."""
        return "" if self.envelope is None else self.envelope.outside(found)

    def _judge(self, score: float) -> tuple[Verdict, str]:
        """The verdict; nothing passes by a calibration that is out of date."""
        verdict = self.calibration.verdict(score)
        expired = self.calibration.expired(self.inspected, drifted=self.drifted)
        self.inspected += 1
        if verdict is Verdict.PASS and expired:
            return Verdict.REVIEW, f"calibration_expired: {expired}"
        return verdict, ""

    def _set_aside(self, path: Path, reason: str, detail: str, sha256: str = "") -> Inspection:
        return Inspection(
            image=path,
            sha256=sha256 or _identity_without_bytes(path),
            line=self.line,
            verdict=Verdict.UNDECIDED,
            model=self.scorer.model_id,
            calibration=self.calibration.id,
            scorer=self.calibration.scorer,
            threshold=self.calibration.threshold,
            reason=f"{reason}: {detail}",
        )


def _identity_without_bytes(path: Path) -> str:
    """What keeps two unreadable files apart, and one that is written anew from what it was."""
    facts = os.fsencode(path.absolute())
    with contextlib.suppress(OSError):
        facts += f"\n{path.stat().st_mtime_ns}".encode()
    return sha256_of(facts)


def find_regions(
    heatmap: FloatArray, threshold: float, size: tuple[int, ...]
) -> tuple[Region, ...]:
    """Connected areas at or above the threshold, strongest first, at most 20.

    Args:
        heatmap: (height, width).
        threshold: in the units of the heat map.
        size: height and width of the original image, whose pixels the regions are given in.
    """
    scale_y, scale_x = size[0] / heatmap.shape[0], size[1] / heatmap.shape[1]
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        (heatmap >= threshold).astype(np.uint8), connectivity=8
    )
    peaks = np.full(count, -np.inf, np.float32)
    np.maximum.at(peaks, labels.ravel(), heatmap.ravel())
    regions = [
        Region(
            x=round(stats[i, cv2.CC_STAT_LEFT] * scale_x),
            y=round(stats[i, cv2.CC_STAT_TOP] * scale_y),
            width=max(1, round(stats[i, cv2.CC_STAT_WIDTH] * scale_x)),
            height=max(1, round(stats[i, cv2.CC_STAT_HEIGHT] * scale_y)),
            area=max(1, round(stats[i, cv2.CC_STAT_AREA] * scale_x * scale_y)),
            peak=float(peaks[i]),
        )
        for i in range(1, count)
    ]
    return tuple(sorted(regions, key=lambda region: -region.peak)[:_MAX_REGIONS])
