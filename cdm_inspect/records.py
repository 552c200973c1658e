"""Frozen values that cross rooms."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float32]
    DoubleArray = npt.NDArray[np.float64]
    PixelArray = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
else:
    # Only type checkers read these; commands that have no arrays start without NumPy.
    FloatArray = DoubleArray = PixelArray = Any


class Verdict(StrEnum):
    """What the machine says of a part."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    REVIEW = "review"
    REJECT = "reject"
    UNDECIDED = "undecided"


class Decision(StrEnum):
    """What a person says of a part."""

    ACCEPT = "accept"
    REJECT = "reject"
    UNSURE = "unsure"
    UNDO = "undo"
    """Takes back the one that stands: the part waits again."""


JUDGED = (Decision.ACCEPT, Decision.REJECT)
"""Decisions that say what a part is."""


class Purpose(StrEnum):
    """Why a part was looked at."""

    QUEUE = "queue"
    """It was flagged."""
    AUDIT = "audit"
    """It passed, and was drawn at random to see how many defects escape."""
    SECOND = "second"
    """A second person says what they see without knowing what the first has said.

    What stands is not touched by it.
    """
    CORRECTION = "correction"
    """Somebody came back to it."""
    DISAGREEMENT = "disagreement"
    """Two did not agree; the program leaves it open. An entry of nobody: it has no reviewer."""


class Order(StrEnum):
    """In which order a store gives inspections."""

    OLDEST = "oldest"
    NEWEST = "newest"
    ODDEST = "oddest"
    """Parts without a score first, then by how far the score lies above its threshold."""
    UNCERTAIN = "uncertain"
    """Parts without a score first, then by how near the score lies to its threshold."""
    RANDOM = "random"
    """Has nothing to do with part, time or score, and stays the same."""


@dataclass(frozen=True, kw_only=True)
class PartImage:
    """One decoded photograph.

    Attributes:
        path: where it was read from.
        sha256: hash of the file's bytes, lower-case hexadecimal.
        pixels: (height, width, channels), uint8 or uint16, RGB order, orientation applied.
        media_type: fixed by the decoder, never guessed from the name.
    """

    path: Path
    sha256: str
    pixels: PixelArray
    media_type: str

    @property
    def channels(self) -> int:
        """1 for grey, 3 for colour."""
        return int(self.pixels.shape[2])


@dataclass(frozen=True, kw_only=True)
class ImageProblem:
    """A file that was set aside, with a stable reason and a sentence for people."""

    path: Path
    reason: str
    detail: str


@dataclass(frozen=True, kw_only=True)
class Region:
    """A connected area at or above the threshold, in pixels of the original image."""

    x: int
    y: int
    width: int
    height: int
    area: int
    peak: float


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """One part, judged or set aside.

    Attributes:
        score: higher is more abnormal; None where the part could not be scored.
        p_value: share of held-out good parts that look at least as odd, in (0, 1].
        threshold: the part is flagged at or above it.
        heatmap: (height, width) float32 in calibrated units at the model's resolution.
        reason: why the verdict is `undecided`, or `review` for want of a calibration that holds;
            else empty.
        acquisition: how the photograph was taken, by name of the measure; empty if it was not read.
        serial: number of the part, where it is known; so are lot, station and camera.
        restoration: (height, width, 3) RGB at the model's resolution, what the model makes of the
            part; None where the scorer restores nothing, or nobody has to look.
    """

    image: Path
    sha256: str
    line: str
    verdict: Verdict
    model: str
    calibration: str
    scorer: str
    threshold: float | None = None
    score: float | None = None
    p_value: float | None = None
    heatmap: FloatArray | None = field(default=None, compare=False)
    regions: tuple[Region, ...] = ()
    reason: str = ""
    acquisition: Mapping[str, float] = field(default_factory=dict)
    serial: str = ""
    lot: str = ""
    station: str = ""
    camera: str = ""
    restoration: npt.NDArray[np.uint8] | None = field(default=None, compare=False)
    inspected_at: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.UTC))


@dataclass(frozen=True, kw_only=True)
class StoredInspection:
    """An inspection as the store knows it; files are named by the SHA-256 of their bytes.

    Attributes:
        id: the store's number for it, ascending in the order of arrival.
        image_sha256: name of the kept image file; empty where it could not be kept.
        heatmap_sha256: name of the kept heat-map file (16-bit PNG), if there is one.
        heatmap_scale: heat-map units per PNG step; multiply to get calibrated units back.
        heatmap_offset: calibrated units at PNG value 0.
        acquisition: how the photograph was taken, by name of the measure; empty if it was not read.
        serial: number of the part, where it is known; so are lot, station and camera.
        decision: the standing decision, if any; of a person, or of the program where two did not
            agree (`Decision.UNSURE`).
        reviewer: whose it is; empty where there is none, or it is the program's.
        version: how many decisions there have been.
        restoration_sha256: name of the kept restoration (8-bit PNG), if there is one.
        hold: why the record must not be deleted; empty where it may be.
    """

    id: int
    image: str
    sha256: str
    line: str
    verdict: Verdict
    model: str
    calibration: str
    scorer: str
    threshold: float | None
    score: float | None
    p_value: float | None
    regions: tuple[Region, ...]
    reason: str
    inspected_at: dt.datetime
    image_sha256: str
    heatmap_sha256: str
    heatmap_scale: float
    heatmap_offset: float
    acquisition: Mapping[str, float] = field(default_factory=dict)
    serial: str = ""
    lot: str = ""
    station: str = ""
    camera: str = ""
    decision: Decision | None = None
    reviewer: str = ""
    decided_at: dt.datetime | None = None
    version: int = 0
    hold: str = ""
    restoration_sha256: str = ""


@dataclass(frozen=True, kw_only=True)
class Review:
    """A person's decision on one inspection, or the program's entry that two did not agree.

    Attributes:
        client_id: chosen by the client, unique; sending the same one twice records it once.
        reviewer: who decided; empty in an entry of the program (`Purpose.DISAGREEMENT`).
        reason: code of why, from the line's list.
        region: what of the photograph is meant, in pixels of the original image.
        role: in which the person decided.
        seen_ms: for how long the part was shown before.
        version: that the inspection had when it was shown; None decides whatever it is now.
        purpose: why the part was looked at; `Purpose.SECOND` leaves what stands as it is.
    """

    client_id: str
    inspection_id: int
    decision: Decision
    reviewer: str
    comment: str = ""
    reason: str = ""
    region: Region | None = None
    role: str = ""
    seen_ms: int | None = None
    version: int | None = None
    purpose: Purpose = Purpose.QUEUE
    decided_at: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.UTC))


def standing_review(known: Sequence[Review]) -> Review | None:
    """The decision on a part that stands; None where nobody has decided, or it was taken back.

    Args:
        known: all on the part, oldest first.
    """
    own = [review for review in known if review.purpose is not Purpose.SECOND]
    return own[-1] if own and own[-1].decision is not Decision.UNDO else None


@dataclass(frozen=True, kw_only=True)
class Event:
    """What somebody has done that is no decision on a part; it goes into the audit chain.

    Attributes:
        action: what, in kebab-case, such as `save-thresholds`.
        who: did it.
        role: in which.
        line: that it is about; empty if none.
        inspection_id: that it is about, if any.
        reason: why, in words.
        facts: what else there is to know, as JSON.
    """

    action: str
    who: str
    role: str = ""
    line: str = ""
    inspection_id: int | None = None
    reason: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    at: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.UTC))


@dataclass(frozen=True, kw_only=True)
class InspectionQuery:
    """What to look for in the store; None means any.

    Attributes:
        is_waiting: flagged, and nobody has decided.
        decision: that stands.
        version: how many decisions there have been.
        ids: numbers of inspections; empty means any.
        calibration: id of the one that judged.
        serial: number of the part, the whole of it.
        serial_prefix: with which it begins; no character in it stands for others.
        since: earliest time of inspection.
        until: end of the time of inspection; that moment is no longer part of it.
        share: of all these parts only this share, chosen by a hash of each, so that a larger share
            holds every smaller one; 0 to 1.
        after_id: page by key: only what comes, in this order, after the inspection of that number.
    """

    line: str | None = None
    verdicts: tuple[Verdict, ...] = ()
    is_decided: bool | None = None
    is_waiting: bool | None = None
    decision: Decision | None = None
    reviewer: str | None = None
    version: int | None = None
    ids: tuple[int, ...] = ()
    calibration: str | None = None
    serial: str | None = None
    serial_prefix: str | None = None
    lot: str | None = None
    since: dt.datetime | None = None
    until: dt.datetime | None = None
    share: float | None = None
    after_id: int | None = None
    order: Order = Order.OLDEST
    limit: int = 100


def hour_of(moment: dt.datetime) -> dt.datetime:
    """The beginning of the hour that an aware moment lies in, UTC; stores count parts by it."""
    return moment.astimezone(dt.UTC).replace(minute=0, second=0, microsecond=0)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class HourlyCount:
    """How many parts of a line were inspected in an hour, with one verdict and decision.

    Attributes:
        hour: its beginning, UTC.
        decision: that stands; None where there is none. `Decision.UNSURE` is what is left open,
            also where two did not agree.
        calibration: id of the one that judged.
        parts: also those whose records have been deleted since.
    """

    line: str
    hour: dt.datetime
    verdict: Verdict
    decision: Decision | None
    calibration: str
    parts: int


@dataclass(frozen=True, kw_only=True)
class JudgingSetup:
    """With what a line judges: kept once, so that every verdict can be traced back.

    Attributes:
        model_record: what the model's manifest says.
        calibration_record: the whole of it, with its thresholds.
    """

    line: str
    configuration: Mapping[str, Any]
    model: str
    model_record: Mapping[str, Any]
    calibration: str
    calibration_record: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class TrainingTick:
    """Where a training stands.

    Attributes:
        progress: share of the budget used, 0 to 1.
        loss_dsm: smoothed DSM loss, in units where 1 is the loss of an untrained network.
        loss_consistency: smoothed two-sample consistency loss; signed, near 0 when consistent.
        loss_held_out: DSM loss of the averaged weights on held-out parts, NaN before the first.
        warnings: all so far.
    """

    step: int
    images_seen: int
    seconds: float
    progress: float
    images_per_second: float
    loss_dsm: float
    loss_consistency: float
    loss_held_out: float
    seconds_left: float
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TrainingReport:
    """What `train` prints; the names are those of its JSON."""

    line: str
    checkpoint: str
    model: str
    images_seen: int
    steps: int
    seconds: float
    images_per_second: float
    loss_dsm: float
    loss_consistency: float
    loss_held_out: float
    consistency_cost_ratio: float | None
    consistency_share: float
    consistency_started: float | None
    device: str
    precision: str
    parameters: int
    n_train: int
    n_held_out: int
    set_aside: tuple[ImageProblem, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PilotProgress:
    """Where a pilot stands, and what it is doing.

    Attributes:
        done: runs that are trained and measured.
        arms: that are trained side by side, or the one that is measured.
        overall: share of the whole pilot that is done, about; runs count alike.
    """

    done: int
    runs: int
    arms: tuple[str, ...]
    seed: int
    stage: str
    overall: float

    @property
    def text(self) -> str:
        """In words."""
        arms = ", ".join(self.arms)
        return f"{self.done} of {self.runs} runs done: {self.stage} {arms}, seed {self.seed}"


JsonObject = dict[str, Any]


def inspection_json(inspection: StoredInspection) -> JsonObject:
    """An inspection as `inspect --json` and sinks tell it; names as in the product's contract."""
    return {
        "id": inspection.id,
        "image": inspection.image,
        "sha256": inspection.sha256,
        "line": inspection.line,
        "serial": inspection.serial,
        "lot": inspection.lot,
        "station": inspection.station,
        "camera": inspection.camera,
        "score": inspection.score,
        "p_value": inspection.p_value,
        "verdict": inspection.verdict.value,
        "threshold": inspection.threshold,
        "model": inspection.model,
        "calibration": inspection.calibration,
        "scorer": inspection.scorer,
        "heatmap": inspection.heatmap_sha256 or None,
        "restoration": inspection.restoration_sha256 or None,
        "regions": [vars(region) for region in inspection.regions],
        "reason": inspection.reason,
        "inspected_at": inspection.inspected_at.isoformat(),
    }


Tick = Callable[[int, int], None]
"""Told how many of how many are done."""

StepTick = Callable[[str, int, int], None]
"""Told what is done, and how many of how many are."""


def no_progress(done: int, total: int) -> None:
    """A `Tick` that nobody listens to."""
