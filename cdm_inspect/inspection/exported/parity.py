"""Does another runtime say what the trained model says? Asked of the golden set; without torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cdm_inspect.errors import ExportMismatch
from cdm_inspect.inspection.exported.bundle import GoldenPart
from cdm_inspect.inspection.inspector import Inspector
from cdm_inspect.records import JsonObject, PartImage, Tick, Verdict


@dataclass(frozen=True, kw_only=True)
class PartParity:
    """One photograph in both.

    Attributes:
        score: by the trained model.
        found: by the other runtime.
        heatmap_difference: the largest of any pixel, absolute.
    """

    name: str
    score: float
    found: float
    heatmap_difference: float
    verdict: Verdict
    verdict_found: Verdict

    @property
    def is_flipped(self) -> bool:
        """Whether the verdict is another."""
        return self.verdict is not self.verdict_found


@dataclass(frozen=True, kw_only=True)
class Parity:
    """All of the golden set.

    Attributes:
        scale: largest absolute value in the maps of the trained model.
        tolerance: of differences, relative to `scale`.
    """

    parts: tuple[PartParity, ...]
    scale: float
    tolerance: float
    calibration: str

    @property
    def score_difference(self) -> float:
        """The largest, absolute."""
        return max(abs(part.score - part.found) for part in self.parts)

    @property
    def heatmap_difference(self) -> float:
        """The largest of any pixel, absolute."""
        return max(part.heatmap_difference for part in self.parts)

    @property
    def flips(self) -> int:
        """Parts with another verdict."""
        return sum(part.is_flipped for part in self.parts)

    def summary(self) -> JsonObject:
        """The figures."""
        verdicts = [part.verdict for part in self.parts]
        return {
            "parts": len(self.parts),
            "verdicts": {v.value: verdicts.count(v) for v in Verdict if v in verdicts},
            "flips": self.flips,
            "score_difference": self.score_difference,
            "heatmap_difference": self.heatmap_difference,
            "scale": self.scale,
            "tolerance": self.tolerance,
            "calibration": self.calibration,
        }

    def to_json(self) -> JsonObject:
        """The figures, and each part."""
        return {**self.summary(), "by_part": [asdict(part) for part in self.parts]}

    def demand(self, what: str, report: Path) -> None:
        """Refuse what differs.

        Args:
            what: was exported.
            report: where the figures of all parts are.

        Raises:
            ExportMismatch: with the largest differences.
        """
        limit = self.tolerance * self.scale
        faults = []
        if self.flips:
            first = next(part for part in self.parts if part.is_flipped)
            faults.append(
                f"{self.flips} of {len(self.parts)} verdicts differ, the first of {first.name}: "
                f"{first.verdict.value} became {first.verdict_found.value} (score "
                f"{first.score:.6g}, {first.found:.6g})"
            )
        for kind, found in (
            ("scores", self.score_difference),
            ("heat maps", self.heatmap_difference),
        ):
            if not found <= limit:  # nor where it is no number
                faults.append(f"{kind} differ by up to {found:.3g}, expected at most {limit:.3g}")
        if faults:
            raise ExportMismatch(
                f"{what} does not say what the trained model says: {'; '.join(faults)}. "
                f"It is not used. Part by part: {report}"
            )


def compare_parts(
    inspector: Inspector[Any],
    golden: Sequence[GoldenPart],
    *,
    tolerance: float,
    tick: Tick,
) -> Parity:
    """Judge the golden set by another runtime.

    Args:
        inspector: by the other runtime; both are held against its thresholds and its envelope.
        golden: with what the trained model says.
        tolerance: of differences, relative to the largest value in the maps.
        tick: called with how many parts are done.

    Raises:
        PluginFailed: if the runtime fails on a part.
    """
    return Parity(
        parts=tuple(_compared(inspector, golden, tick)),
        scale=float(max(np.abs(part.heatmap).max() for part in golden)),
        tolerance=tolerance,
        calibration=inspector.calibration.id,
    )


def _compared(
    inspector: Inspector[Any], golden: Sequence[GoldenPart], tick: Tick
) -> Iterator[PartParity]:
    for done, part in enumerate(golden, start=1):
        image = PartImage(
            path=Path(part.name), sha256="", pixels=part.pixels, media_type="image/png"
        )
        look = inspector.scorer.look(image)
        score, heatmap, _ = look.appraise()
        yield PartParity(
            name=part.name,
            score=part.score,
            found=score,
            heatmap_difference=float(np.abs(heatmap - part.heatmap).max()),
            verdict=inspector.verdict_of(look.seen, part.score),
            verdict_found=inspector.verdict_of(look.seen, score),
        )
        tick(done, len(golden))
