"""From the scores of held-out good parts to p-values and a threshold.

Source: Vovk et al. 2005, conformal prediction: for exchangeable scores, P(p <= a) <= a.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from cdm_inspect.durable import sha256_of, write_durably
from cdm_inspect.errors import CalibrationError, NotCalibrated
from cdm_inspect.records import FloatArray, JsonObject

FOLDS = 5


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What was learnt from held-out good parts; lives beside the model, never inside it.

    Attributes:
        options: of the scorer, resolved.
        view: what else fixes the scores: the side of tiles, the hash of the region.
        found: what the scorer says of the parts and of its choices.
        scores: of the held-out good parts, each by statistics fitted without it; ascending.
        max_false_reject: what was asked for.
        false_reject_bound: what the data can promise: the false-reject rate over fresh good parts
            is at most this, on average over calibrations. Never below 1 / (n + 1). A scorer that
            has chosen its pooling on the same parts keeps this nearly, not exactly.
        threshold: a part is flagged at or above it.
        state: fitted statistics of the scorer.
    """

    line: str
    model: str
    scorer: str
    options: JsonObject
    view: JsonObject
    found: JsonObject
    scores: tuple[float, ...]
    max_false_reject: float
    false_reject_bound: float
    threshold: float
    state: Mapping[str, FloatArray] = field(default_factory=dict, compare=False)

    @property
    def id(self) -> str:
        """First 12 digits of a SHA-256 over everything in the record."""
        statistics = [sha256_of(self.state[name].tobytes()) for name in sorted(self.state)]
        return sha256_of(json.dumps([self._facts(), statistics], sort_keys=True).encode())[:12]

    @property
    def parts_needed(self) -> int:
        """Held-out good parts that `max_false_reject` takes to be promised."""
        return math.ceil(1 / self.max_false_reject) - 1

    def p_value(self, score: float) -> float:
        """Share of good parts that look at least as odd, in [1/(n+1), 1]."""
        return conformal_p_value(self.scores, score)

    def save(self, folder: Path) -> None:
        """Write the record; it comes into force when its JSON is replaced."""
        data = safetensors.numpy.save({k: np.ascontiguousarray(v) for k, v in self.state.items()})
        file = f"{self.scorer}-{self.id}.safetensors"
        write_durably(folder / file, data)
        record = {**self._facts(), "id": self.id, "state": file, "state_sha256": sha256_of(data)}
        write_durably(folder / f"{self.scorer}.json", json.dumps(record, indent=2).encode())

    def _facts(self) -> JsonObject:
        facts = {k: v for k, v in asdict(self).items() if k != "state"}
        return {**facts, "scores": list(self.scores)}


def load_calibration(folder: Path, scorer: str, model: str) -> Calibration:
    """Read the calibration of a scorer that is in force.

    Raises:
        NotCalibrated: if there is none, or it belongs to another model.
        CalibrationError: if its files are damaged.
    """
    path = folder / f"{scorer}.json"
    try:
        record = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise NotCalibrated(
            f"expected a calibration of {scorer!r} in {folder}, found none. "
            "Run `cdm-inspect calibrate`."
        ) from error
    except (OSError, ValueError) as error:
        raise CalibrationError(f"{path} is damaged ({error}). Calibrate again.") from error
    try:
        state = folder / Path(record.pop("state")).name
        data = state.read_bytes()
        expected, known = record.pop("state_sha256"), record.pop("id")
        if sha256_of(data) != expected:
            raise CalibrationError(f"{state} is damaged (SHA-256 differs). Calibrate again.")
        calibration = Calibration(
            **{**record, "scores": tuple(record["scores"])}, state=safetensors.numpy.load(data)
        )
    except (OSError, KeyError, TypeError, SafetensorError) as error:
        raise CalibrationError(f"{path} is damaged ({error}). Calibrate again.") from error
    if calibration.id != known:
        raise CalibrationError(f"{path} was changed by hand (id differs). Calibrate again.")
    if calibration.model != model:
        raise NotCalibrated(
            f"the calibration in {folder} belongs to model {calibration.model}, the line now has "
            f"{model}. Run `cdm-inspect calibrate`."
        )
    return calibration


def conformal_p_value(scores: tuple[float, ...], score: float) -> float:
    """(1 + number of calibration scores >= score) / (n + 1), for ascending `scores`."""
    at_least = len(scores) - int(np.searchsorted(np.asarray(scores), score, side="left"))
    return (1 + at_least) / (len(scores) + 1)


def choose_threshold(scores: tuple[float, ...], max_false_reject: float) -> tuple[float, float]:
    """The lowest threshold whose false-reject rate can be promised.

    A part is flagged where its p-value is at most `max_false_reject`, or at most 1/(n+1) where n
    held-out parts cannot carry so small a promise.

    Args:
        scores: of held-out good parts, ascending.
        max_false_reject: share of good parts that may be flagged, in (0, 1).

    Returns:
        The threshold and the promise.

    Raises:
        CalibrationError: if there are no scores.
    """
    if not scores:
        raise CalibrationError("expected scores of held-out good parts, found none.")
    places = len(scores) + 1
    # The small term takes back the rounding of, say, 0.07 * 100.
    allowed = max(1, math.floor(max_false_reject * places + 1e-9))
    highest = scores[-min(allowed, len(scores))]
    return float(np.nextafter(highest, math.inf)), max(max_false_reject, 1 / places)


def folds(count: int) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Index pairs (fit on, score) that score each of `count` parts once, by the others."""
    index = np.arange(count)
    for fold in range(min(FOLDS, count)):
        yield index[index % FOLDS != fold], index[index % FOLDS == fold]
