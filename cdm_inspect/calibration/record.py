"""The record of a calibration: p-values, thresholds, versions, expiry.

Source: Vovk et al. 2005, conformal prediction: for exchangeable scores, P(p <= a) <= a.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from pathlib import Path

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from cdm_inspect.encoding import sha256_of
from cdm_inspect.errors import CalibrationError, NotCalibrated
from cdm_inspect.files import locked, write_durably
from cdm_inspect.records import FloatArray, JsonObject, Verdict

# Of how parts are prepared and scored; what was calibrated under another knows other scores.
_SCORING = 2

# When it was made and as which version says nothing of what it is.
_CIRCUMSTANCES = ("version", "made_at", "part_scores")


class Expiry(StrEnum):
    """By what a calibration is out of date, for programs that say it in their own words."""

    FUTURE = "future"
    DAYS = "days"
    PARTS = "parts"
    DRIFT = "drift"


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What was learnt from held-out good parts; lives beside the model, never inside it.

    Attributes:
        options: of the scorer, resolved.
        view: what else fixes the scores: the side of tiles, the hash of the region.
        found: what the scorer says of the parts and of its choices.
        scores: of the held-out good parts, each by statistics fitted without it; ascending.
        part_scores: the same by the SHA-256 of the photograph.
        max_false_reject: what was asked for.
        confidence: with which `false_reject_bound` is kept.
        false_reject_bound: what the data can promise: at most this share of fresh good parts is
            flagged. A scorer that has chosen its pooling on the same parts keeps this nearly, not
            exactly.
        parts_needed: held-out good parts that `max_false_reject` takes to be promised.
        threshold: a part is flagged at or above it.
        reject_threshold: a flagged part is rejected without review at or above it; None means
            never.
        rule: "false-reject" or "cost".
        basis: what the rule was given and what it found.
        explanation: of the thresholds, one paragraph for people.
        envelope: how good parts were photographed, as `Envelope` writes it; empty if nobody knows.
        expiry_days: after which it is to be renewed; None means never.
        expiry_parts: after how many inspected parts; None means never.
        expiry_drift: whether an alarm of a control chart ends it.
        version: counts the calibrations of the scorer for the model, from 1; 0 before it is saved.
        made_at: when it was made.
        scoring: revision of how parts are prepared and scored.
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
    confidence: float
    false_reject_bound: float
    parts_needed: int
    threshold: float
    reject_threshold: float | None
    rule: str
    basis: JsonObject
    explanation: str
    envelope: JsonObject = field(default_factory=dict)
    expiry_days: float | None = None
    expiry_parts: int | None = None
    expiry_drift: bool = False
    scoring: int = _SCORING
    part_scores: Mapping[str, float] = field(default_factory=dict, compare=False)
    version: int = field(default=0, compare=False)
    made_at: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.UTC), compare=False)
    state: Mapping[str, FloatArray] = field(default_factory=dict, compare=False)

    @cached_property
    def id(self) -> str:
        """First 12 digits of a SHA-256 over all but when it was made, as which version."""
        facts = {k: v for k, v in self._facts().items() if k not in _CIRCUMSTANCES}
        return sha256_of(json.dumps([facts, self._statistics()], sort_keys=True).encode())[:12]

    @cached_property
    def scoring_id(self) -> str:
        """First 12 digits of a SHA-256 over all that fixes scores and p-values.

        Calibrations that differ by their thresholds alone have the same.
        """
        fixed = (self.model, self.scorer, self.options, self.view, self.scores)
        return sha256_of(json.dumps([fixed, self._statistics()], sort_keys=True).encode())[:12]

    @property
    def lineage(self) -> tuple[JsonObject, ...]:
        """The last one that `calibrate` made, and those saved by hand since, up to this one.

        They differ by thresholds alone. Each as its id (`calibration`), `version` and `made_at`.
        """
        own = {"calibration": self.id, "version": self.version}
        former: Sequence[JsonObject] = self.basis.get("follows", ())
        return (*former, {**own, "made_at": self.made_at.isoformat()})

    @property
    def record(self) -> JsonObject:
        """All that an auditor asks for: without the statistics, and the scores of single parts."""
        facts = {
            name: value
            for name, value in self._facts().items()
            if name not in ("scores", "part_scores")
        }
        return {**facts, "held_out_parts": len(self.scores), "version": self.version}

    @property
    def flagged_held_out(self) -> int:
        """Held-out good parts at or above the threshold."""
        return sum(score >= self.threshold for score in self.scores)

    def p_value(self, score: float) -> float:
        """Share of good parts that look at least as odd, in [1/(n+1), 1]."""
        return conformal_p_value(self.scores, score)

    def verdict(self, score: float) -> Verdict:
        """What the thresholds say of a score."""
        if score < self.threshold:
            return Verdict.PASS
        is_rejected = self.reject_threshold is not None and score >= self.reject_threshold
        return Verdict.REJECT if is_rejected else Verdict.REVIEW

    def expiry(
        self, inspected: int, now: dt.datetime | None = None, *, drifted: str = ""
    ) -> Expiry | None:
        """By what it is out of date; None while it is not. See `expired`."""
        days = ((now or dt.datetime.now(dt.UTC)) - self.made_at).total_seconds() / 86400
        if days < -1:
            return Expiry.FUTURE
        if self.expiry_days is not None and days > self.expiry_days:
            return Expiry.DAYS
        if self.expiry_parts is not None and inspected >= self.expiry_parts:
            return Expiry.PARTS
        return Expiry.DRIFT if self.expiry_drift and drifted else None

    def expired(self, inspected: int, now: dt.datetime | None = None, *, drifted: str = "") -> str:
        """Why it is out of date, for people; empty while it is not.

        Args:
            inspected: parts judged by it since it was made.
            now: None means now.
            drifted: what a control chart has found since, for people; empty if nothing.
        """
        made = f"calibration {self.id} of {self.made_at:%Y-%m-%d}"
        advice = "See that the line is as it was, then run `cdm-inspect calibrate`"
        match self.expiry(inspected, now, drifted=drifted):
            case Expiry.FUTURE:
                return f"{made} lies in the future. Set the clock of this machine"
            case Expiry.DAYS:
                return f"{made} holds for {self.expiry_days:g} days. {advice}"
            case Expiry.PARTS:
                judged = f"has judged {inspected} parts and holds for {self.expiry_parts}"
                return f"{made} {judged}. {advice}"
            case Expiry.DRIFT:
                return f"since {made} {drifted}. {advice}"
        return ""

    def save(self, folder: Path) -> Calibration:
        """Write the record as the next version; it comes into force when its JSON is replaced.

        Returns:
            The calibration with its version.
        """
        data = _packed(self.state)
        file = f"{self.scorer}-{sha256_of(data)[:12]}.safetensors"
        write_durably(folder / file, data)
        # Two that calibrate at once must not take the same version.
        with locked(folder / f".{self.scorer}.lock"):
            versions = [int(p.stem) for p in _versions(folder, self.scorer)]
            saved = replace(self, version=max(versions, default=0) + 1)
            record = {**saved._facts(), "id": self.id, "state": file}
            record["state_sha256"] = sha256_of(data)
            record["seal"] = _seal(record)
            text = json.dumps(record, indent=2).encode()
            write_durably(_history(folder, self.scorer) / f"{saved.version:06}.json", text)
            write_durably(folder / f"{self.scorer}.json", text)
        return saved

    def copy_to(self, folder: Path, destination: Path) -> None:
        """Copy the record in force and its statistics, byte by byte, to another folder.

        Raises:
            CalibrationError: if another has come into force meanwhile.
        """
        record = (folder / f"{self.scorer}.json").read_bytes()
        if json.loads(record)["id"] != self.id:
            raise CalibrationError(f"the calibration in {folder} has just changed. Do it again.")
        state = Path(json.loads(record)["state"]).name
        write_durably(destination / state, (folder / state).read_bytes())
        write_durably(destination / f"{self.scorer}.json", record)

    def _statistics(self) -> list[str]:
        return [sha256_of(self.state[name].tobytes()) for name in sorted(self.state)]

    def _facts(self) -> JsonObject:
        facts = {k: v for k, v in asdict(self).items() if k != "state"}
        return {**facts, "scores": list(self.scores), "made_at": self.made_at.isoformat()}


def read_history(folder: Path, scorer: str) -> list[JsonObject]:
    """The records of all versions of a scorer's calibration that can be read, oldest first."""
    records = []
    for path in _versions(folder, scorer):
        try:
            record = json.loads(path.read_bytes())
            records.append({**record, "version": int(record["version"])})
        except (OSError, ValueError, KeyError, TypeError):
            # What is in force is checked where it is used; an old version only tells a story.
            continue
    return records


def equal_calibrations(
    folder: Path, scorer: str, facts: JsonObject, state: Mapping[str, FloatArray]
) -> set[str]:
    """Ids of the versions under which a part has the same score, whatever their thresholds.

    Args:
        scorer: whose.
        facts: fields of the record that fix scores: model, options, view.
        state: fitted statistics.
    """
    statistics = sha256_of(_packed(state))
    return {
        str(record.get("id"))
        for record in read_history(folder, scorer)
        if record.get("state_sha256") == statistics
        and all(record.get(name) == value for name, value in facts.items())
    }


def _packed(state: Mapping[str, FloatArray]) -> bytes:
    return bytes(safetensors.numpy.save({k: np.ascontiguousarray(v) for k, v in state.items()}))


def _versions(folder: Path, scorer: str) -> list[Path]:
    return sorted(p for p in _history(folder, scorer).glob("*.json") if p.stem.isdecimal())


def _seal(record: JsonObject) -> str:
    """Against a slip of the hand, in the date as well; who means harm can make a new one."""
    return sha256_of(json.dumps(record, sort_keys=True).encode())


def _history(folder: Path, scorer: str) -> Path:
    return folder / "history" / scorer


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
    another = CalibrationError(
        f"{path} was written by another version of cdm-inspect. Calibrate again."
    )
    if isinstance(record, dict) and ("seal" not in record or record.get("scoring") != _SCORING):
        raise another
    try:
        seal = record.pop("seal")
        is_whole = _seal(record) == seal
        state = folder / Path(record.pop("state")).name
        data = state.read_bytes()
        expected, known_id = record.pop("state_sha256"), record.pop("id")
        if sha256_of(data) != expected:
            raise CalibrationError(f"{state} is damaged (SHA-256 differs). Calibrate again.")
        parsed = {
            "scores": tuple(record["scores"]),
            "made_at": dt.datetime.fromisoformat(record["made_at"]),
        }
        calibration = Calibration(**{**record, **parsed}, state=safetensors.numpy.load(data))
    except (OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
        raise CalibrationError(f"{path} is damaged ({error}). Calibrate again.") from error
    if not is_whole:
        raise CalibrationError(f"{path} was changed by hand (its seal differs). Calibrate again.")
    # Whole, but read with fields that its writer did not know: it would say something else now.
    if calibration.id != known_id:
        raise another
    if calibration.model != model:
        raise NotCalibrated(
            f"the calibration in {folder} belongs to model {calibration.model}, the line now has "
            f"{model}. Run `cdm-inspect calibrate`."
        )
    return calibration


def conformal_p_value(scores: Sequence[float], score: float) -> float:
    """(1 + number of calibration scores >= score) / (n + 1), for ascending `scores`."""
    at_least = len(scores) - int(np.searchsorted(np.asarray(scores), score, side="left"))
    return (1 + at_least) / (len(scores) + 1)
