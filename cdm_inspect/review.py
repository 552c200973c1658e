"""What the review app asks and tells: queues, pictures and decisions. Loads without torch."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cdm_inspect.contracts import VerdictStore
from cdm_inspect.errors import ImageError, StorageError
from cdm_inspect.images import decode_heatmap, decode_image, overlay_heatmap, to_display
from cdm_inspect.records import (
    Decision,
    FloatArray,
    InspectionQuery,
    Order,
    Review,
    StoredInspection,
    Verdict,
)

FLAGGED = (Verdict.REVIEW, Verdict.REJECT, Verdict.UNDECIDED)
Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Counts:
    """How many inspections of a line there are of each kind."""

    inspected: int
    flagged: int
    waiting: int


class ReviewDesk:
    """One store, seen by the people who decide.

    Args:
        store: where inspections are kept.
        notify: told of every decision after it is stored.
    """

    def __init__(
        self, store: VerdictStore, notify: Callable[[Review], None] = lambda review: None
    ) -> None:
        self.store, self._notify = store, notify

    def lines(self) -> Sequence[str]:
        """Lines with inspections."""
        return self.store.lines()

    def counts(self, line: str) -> Counts:
        """Numbers for the head of the page."""
        flagged = InspectionQuery(line=line, verdicts=FLAGGED)
        waiting = InspectionQuery(line=line, is_waiting=True)
        return Counts(
            inspected=self.store.count(InspectionQuery(line=line)),
            flagged=self.store.count(flagged),
            waiting=self.store.count(waiting),
        )

    def waiting(self, line: str, limit: int = 100) -> Sequence[StoredInspection]:
        """Flagged parts nobody has decided: first those without a score, then the oddest."""
        return self.store.find(
            InspectionQuery(line=line, is_waiting=True, order=Order.ODDEST, limit=limit)
        )

    def sample(
        self, line: str, calibration: str | None = None, limit: int = 20
    ) -> Sequence[StoredInspection]:
        """Passed parts drawn at random that nobody has decided: what escapes is seen only there.

        Args:
            line: of the parts.
            calibration: id of the one that judged them, or any; thresholds learn from no other.
            limit: at most so many.
        """
        return self.store.find(
            InspectionQuery(
                line=line,
                verdicts=(Verdict.PASS,),
                is_decided=False,
                calibration=calibration,
                order=Order.RANDOM,
                limit=limit,
            )
        )

    def decided(self, line: str, limit: int = 100) -> Sequence[StoredInspection]:
        """Parts a person has decided, newest inspection first."""
        return self.store.find(
            InspectionQuery(line=line, is_decided=True, order=Order.NEWEST, limit=limit)
        )

    def get(self, inspection_id: int) -> StoredInspection | None:
        """One inspection by its number."""
        return self.store.get(inspection_id)

    def picture(self, inspection: StoredInspection) -> Picture | None:
        """The part as 8-bit RGB at its original size; None where no file could be read."""
        if not inspection.image_sha256:
            return None
        try:
            data = self.store.read_file(inspection.image_sha256)
            return to_display(decode_image(data, Path(inspection.image)).pixels)
        except (ImageError, StorageError):
            return None  # the page says so; the reason is in the inspection

    def heatmap(self, inspection: StoredInspection) -> FloatArray | None:
        """The heat map in calibrated units; None where there is none that could be read."""
        if not inspection.heatmap_sha256:
            return None
        try:
            data = self.store.read_file(inspection.heatmap_sha256)
            return decode_heatmap(data, inspection.heatmap_scale, inspection.heatmap_offset)
        except (ImageError, StorageError):
            return None  # the part can be judged by its picture

    def overlay(
        self, picture: Picture, heatmap: FloatArray, threshold: float, opacity: float
    ) -> Picture:
        """The part with its heat map over it; see `images.overlay_heatmap`."""
        return overlay_heatmap(picture, heatmap, threshold, opacity)

    def decide(
        self,
        inspection_id: int,
        decision: Decision,
        *,
        reviewer: str,
        comment: str = "",
        client_id: str | None = None,
        version: int | None = None,
    ) -> StoredInspection:
        """Record a decision; a second one on the same part is a new entry beside the first.

        Args:
            inspection_id: of the part.
            decision: on it.
            reviewer: who decides.
            comment: why, in words.
            client_id: names this decision, so that sent twice it counts once.
            version: of the inspection as it was shown; None decides whatever has come since.

        Raises:
            DecisionConflict: if somebody else has decided since the part was shown.
            StorageError: if it cannot be recorded.
        """
        review = Review(
            client_id=client_id or uuid.uuid4().hex,
            inspection_id=inspection_id,
            decision=decision,
            reviewer=reviewer,
            comment=comment,
            version=version,
        )
        stored = self.store.record_review(review)
        self._notify(review)
        return stored

    def story(self, inspection_id: int) -> Sequence[Review]:
        """Every decision on a part, oldest first."""
        return self.store.reviews(inspection_id)
