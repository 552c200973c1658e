"""What judges a line: its model, the calibration in force and those before, and what runs where.

Loads without torch.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from cdm_inspect.calibration.guarantees import Guarantee
from cdm_inspect.calibration.in_force import calibration_in_force, count_judged
from cdm_inspect.calibration.record import Calibration, Expiry, read_history
from cdm_inspect.errors import CdmInspectError, CheckpointCorrupt
from cdm_inspect.inspection.exported.bundle import MANIFEST, Artefact, read_artefact
from cdm_inspect.model.manifest import read_manifest
from cdm_inspect.plugins import VerdictStore
from cdm_inspect.project import Project
from cdm_inspect.records import Event, InspectionQuery, JsonObject, Order, StoredInspection

_NEWEST = 500
"""Inspections that are looked at for what has judged lately."""
_MOST_EVENTS = 1000
SAVED = "save-thresholds"


class ExportProblem(StrEnum):
    """Why an export cannot be used, for programs that say it in their own words."""

    DAMAGED = "damaged"
    OTHER_MODEL = "other-model"
    OTHER_SCORES = "other-scores"


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """The model in force; None is what its manifest does not say.

    Attributes:
        id: first 12 digits of the SHA-256 of its weights.
        size: height and width of prepared images, pixels.
        trained_at: when training ended; of older models, when the manifest was written.
        n_train: good parts it was trained on.
        n_held_out: good parts kept out of training.
        budget: of training, as it was configured: a time, or images to see.
        images_seen: crops.
        seconds: of training.
        loss_held_out: DSM loss on held-out parts, 1 for an untrained network.
        has_consistency: whether the consistency term was on at any time.
        cost_ratio: wall-clock of a step with the term over one without; None where it was off, or
            too few steps of either kind were timed.
    """

    id: str
    preset: str
    size: tuple[int, int]
    trained_at: dt.datetime
    n_train: int | None
    n_held_out: int | None
    budget: str
    images_seen: int | None
    seconds: float | None
    loss_held_out: float | None
    has_consistency: bool
    cost_ratio: float | None


@dataclass(frozen=True, kw_only=True)
class CalibrationFacts:
    """The calibration in force.

    Attributes:
        guarantee: what can be claimed of the threshold.
        holds_days: None if time does not end it.
        expires_after: inspected parts that end it; None if none do.
        ends_by_drift: whether an alarm of a control chart ends it.
        judged: parts that it has judged.
        expired: why it is out of date by time or parts, for people; empty while it is not.
        expiry: by which of them; None while it is not.
    """

    id: str
    version: int
    scorer: str
    rule: str
    threshold: float
    reject_threshold: float | None
    guarantee: Guarantee
    explanation: str
    made_at: dt.datetime
    held_out: int
    holds_days: float | None
    expires_at: dt.datetime | None
    expires_after: int | None
    ends_by_drift: bool
    judged: int
    expired: str
    expiry: Expiry | None


@dataclass(frozen=True, kw_only=True)
class CalibrationVersion:
    """One version of the calibrations of a line's scorer.

    Attributes:
        who: saved it by hand, as the audited event tells; empty where `calibrate` made it.
        reason: that was given.
        is_recorded: False where it says it was saved by hand, but no event tells of it.
        is_in_force: whether it judges now.
    """

    version: int
    id: str
    model: str
    rule: str
    threshold: float | None
    reject_threshold: float | None
    made_at: dt.datetime | None
    who: str
    role: str
    reason: str
    is_recorded: bool
    is_in_force: bool


@dataclass(frozen=True, kw_only=True)
class ExportFacts:
    """What was exported under a name.

    Attributes:
        exporter: that has written it; empty where it cannot be read.
        made_at: ISO 8601.
        fits: it has the model in force, and scores as the line does.
        thresholds_differ: it fits, but has the thresholds of another calibration.
        problem: why it does not fit, or cannot be read; empty if it fits.
        misfit: the kind of the problem; None if it fits.
    """

    name: str
    exporter: str
    model: str
    calibration: str
    made_at: str
    fits: bool
    thresholds_differ: bool
    problem: str
    misfit: ExportProblem | None


@dataclass(frozen=True, kw_only=True)
class Running:
    """What a station has judged its newest parts with.

    Attributes:
        station: empty where none is named.
        parts: of the newest ones of the line, those that it has judged with this.
        last_at: when the newest of them was inspected.
        is_last: nothing else has judged at this station since.
        is_model_in_force: whether the model is that of the line.
        is_calibration_in_force: whether the calibration is that of the line.
    """

    station: str
    model: str
    calibration: str
    scorer: str
    parts: int
    last_at: dt.datetime
    is_last: bool
    is_model_in_force: bool
    is_calibration_in_force: bool


@dataclass(frozen=True, kw_only=True)
class LineModels:
    """All there is to say of what judges a line.

    Attributes:
        preset: as the line is configured now; the model may be of another.
        problem: why there is no model or no calibration that can judge, for people; else empty.
        error: that the problem comes from.
        versions: newest first.
        running: newest first.
    """

    line: str
    preset: str
    scorer: str
    model: ModelFacts | None
    calibration: CalibrationFacts | None
    problem: str
    error: CdmInspectError | None
    versions: tuple[CalibrationVersion, ...]
    exports: tuple[ExportFacts, ...]
    running: tuple[Running, ...]

    @property
    def strays(self) -> tuple[Running, ...]:
        """Stations that at last have judged with another model than the one in force."""
        return tuple(
            found for found in self.running if found.is_last and not found.is_model_in_force
        )


def describe_line(project: Project, store: VerdictStore, line: str) -> LineModels:
    """Say what judges a line.

    What is damaged or missing is said in the answer, so that a page shows the rest.

    Raises:
        UnknownLine: if the project file describes no such line.
        StorageError: if the store cannot be read.
    """
    config = project.config.line(line)
    model, calibration, problem = None, None, None
    try:
        model = _model(project.model_folder(line))
        calibration = calibration_in_force(project, line)
    except CdmInspectError as error:
        problem = error
    in_force = "" if model is None else model.id
    return LineModels(
        line=line,
        preset=config.preset,
        scorer=config.scorer,
        model=model,
        calibration=None if calibration is None else _calibration(store, calibration),
        problem="" if problem is None else str(problem),
        error=problem,
        versions=_versions(project, store, line, calibration),
        exports=tuple(_exports(project, line, in_force, calibration)),
        running=_running(store, line, in_force, calibration),
    )


def _model(folder: Path) -> ModelFacts:
    manifest = read_manifest(folder)
    try:
        written = dt.datetime.fromtimestamp((folder / "manifest.json").stat().st_mtime, dt.UTC)
        return _facts(manifest, written)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise CheckpointCorrupt(
            f"the manifest in {folder} says something that cannot be read ({error}). Restore it "
            "from a backup or train again."
        ) from error


def _facts(manifest: JsonObject, written: dt.datetime) -> ModelFacts:
    config, training, prepared = (
        found if isinstance(found := manifest.get(name), dict) else {}
        for name in ("config", "training", "preparation")
    )
    asked = config.get("training") or {}
    images, preset = asked.get("images"), str(config.get("preset") or "")
    has_term = training.get("consistency_started") is not None
    return ModelFacts(
        id=str(manifest["weights_sha256"])[:12],
        preset=preset,
        size=(int(prepared.get("height") or 0), int(prepared.get("width") or 0)),
        trained_at=_time(training.get("finished_at")) or written,
        n_train=_number(training, "n_train"),
        n_held_out=_number(training, "n_held_out"),
        budget=str(images or asked.get("budget") or ""),
        images_seen=_number(training, "images_seen"),
        seconds=training.get("seconds"),
        loss_held_out=training.get("loss_held_out"),
        has_consistency=has_term,
        cost_ratio=training.get("consistency_cost_ratio") if has_term else None,
    )


def _number(facts: JsonObject, name: str) -> int | None:
    value = facts.get(name)
    return None if value is None else int(value)


def _time(text: object) -> dt.datetime | None:
    try:
        found = dt.datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=dt.UTC)


def _calibration(store: VerdictStore, found: Calibration) -> CalibrationFacts:
    judged = count_judged(store, found.line, found)
    days = found.expiry_days
    return CalibrationFacts(
        id=found.id,
        version=found.version,
        scorer=found.scorer,
        rule=found.rule,
        threshold=found.threshold,
        reject_threshold=found.reject_threshold,
        guarantee=Guarantee(**found.basis["guarantee"]),
        explanation=found.explanation,
        made_at=found.made_at,
        held_out=len(found.scores),
        holds_days=days,
        expires_at=None if days is None else found.made_at + dt.timedelta(days=days),
        expires_after=found.expiry_parts,
        ends_by_drift=found.expiry_drift,
        judged=judged,
        expired=found.expired(judged),
        expiry=found.expiry(judged),
    )


def _versions(
    project: Project, store: VerdictStore, line: str, calibration: Calibration | None
) -> tuple[CalibrationVersion, ...]:
    saved: dict[tuple[str, int], Event] = {}
    for event in store.events(line=line, action=SAVED, limit=_MOST_EVENTS):
        facts = event.facts.get("saved") or {}
        saved.setdefault((str(facts.get("calibration")), int(facts.get("version") or 0)), event)
    scorer = project.config.line(line).scorer
    found = []
    for record in reversed(read_history(project.calibration_folder(line), scorer)):
        key = str(record.get("id", "")), record["version"]
        found.append(_version(record, saved.get(key), calibration))
    return tuple(found)


def _version(
    record: JsonObject, event: Event | None, calibration: Calibration | None
) -> CalibrationVersion:
    basis: dict[str, Any] = record.get("basis") or {}
    is_manual = "who" in basis
    return CalibrationVersion(
        version=record["version"],
        id=str(record.get("id", "")),
        model=str(record.get("model", "")),
        rule=str(record.get("rule", "")),
        threshold=record.get("threshold"),
        reject_threshold=record.get("reject_threshold"),
        made_at=_time(record.get("made_at")),
        who=event.who if event else str(basis.get("who", "")),
        role=event.role if event else str(basis.get("role", "")),
        reason=event.reason if event else str(basis.get("reason", "")),
        is_recorded=event is not None or not is_manual,
        is_in_force=calibration is not None
        and (calibration.id, calibration.version) == (record.get("id"), record["version"]),
    )


def _exports(
    project: Project, line: str, model: str, calibration: Calibration | None
) -> Sequence[ExportFacts]:
    folders = sorted(project.export_folder(line, "").glob(f"[!.]*/{MANIFEST}"))
    found = []
    for folder in (path.parent for path in folders):
        try:
            artefact = read_artefact(folder)
        except CdmInspectError as error:
            found.append(_export(folder.name, None, str(error), ExportProblem.DAMAGED))
            continue
        misfit: ExportProblem | None = None
        if artefact.model != model:
            misfit = ExportProblem.OTHER_MODEL
            problem = (
                f"it has the model {artefact.model}, the line now has {model or 'none'}. Export "
                "again."
            )
        elif calibration is None or artefact.scoring_id != calibration.scoring_id:
            misfit = ExportProblem.OTHER_SCORES
            problem = (
                f"it scores as by calibration {artefact.calibration}, which is no longer how the "
                "line scores. Export again."
            )
        else:
            problem = ""
        differs = calibration is not None and artefact.calibration != calibration.id
        found.append(_export(folder.name, artefact, problem, misfit, differs=differs))
    return found


def _export(
    name: str,
    artefact: Artefact | None,
    problem: str,
    misfit: ExportProblem | None,
    *,
    differs: bool = False,
) -> ExportFacts:
    return ExportFacts(
        name=name,
        exporter="" if artefact is None else artefact.exporter,
        model="" if artefact is None else artefact.model,
        calibration="" if artefact is None else artefact.calibration,
        made_at="" if artefact is None else artefact.made_at,
        fits=not problem,
        thresholds_differ=not problem and differs,
        problem=problem,
        misfit=misfit,
    )


def _running(
    store: VerdictStore, line: str, model: str, calibration: Calibration | None
) -> tuple[Running, ...]:
    query = InspectionQuery(line=line, order=Order.NEWEST, limit=_NEWEST)
    groups: dict[tuple[str, str, str, str], list[StoredInspection]] = {}
    stations: dict[str, tuple[str, str, str, str]] = {}
    for part in store.find(query):
        key = part.station, part.model, part.calibration, part.scorer
        groups.setdefault(key, []).append(part)
        stations.setdefault(part.station, key)
    in_force = "" if calibration is None else calibration.id
    return tuple(
        Running(
            station=key[0],
            model=key[1],
            calibration=key[2],
            scorer=key[3],
            parts=len(parts),
            last_at=max(part.inspected_at for part in parts),
            is_last=stations[key[0]] == key,
            is_model_in_force=key[1] == model,
            is_calibration_in_force=key[2] == in_force,
        )
        for key, parts in groups.items()
    )
