"""Judging files and folders: each part is stored before anybody is notified. Without torch."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from cdm_inspect.calibration.in_force import count_judged
from cdm_inspect.calibration.record import Calibration, load_calibration
from cdm_inspect.errors import CdmInspectError, NotCalibrated, StorageError, attribute_to_plugin
from cdm_inspect.images import find_images
from cdm_inspect.inspection.inspector import Inspector
from cdm_inspect.inspection.outbox import Deliveries, delivering
from cdm_inspect.monitoring.drift import LineWatch, charts_of
from cdm_inspect.plugins import VerdictStore
from cdm_inspect.project import Project
from cdm_inspect.records import (
    Inspection,
    JudgingSetup,
    PartImage,
    StoredInspection,
)

# What is lost of the charts is read again from the inspections.
_SAVED_EVERY = 50
_WRITTEN_FOR_S = 1.0

_log = logging.getLogger(__name__)


def inspect_with(
    project: Project, inspector: Inspector[Any], paths: Iterable[Path]
) -> Iterator[StoredInspection]:
    """Judge files and the images in folders, one by one; each is stored before it is yielded."""
    with recording(project, inspector) as record:
        for path in expand_paths(paths):
            yield record.file(path)


@contextmanager
def recording(project: Project, inspector: Inspector[Any]) -> Iterator[Recorder]:
    """A recorder with the project's store and sinks, which are closed behind it."""
    with project.open_store() as store, delivering(project, store) as deliveries:
        yield Recorder(project, inspector, store, deliveries)


class Recorder:
    """Judges parts of one line and stores what is said of them, before anybody is notified."""

    def __init__(
        self,
        project: Project,
        inspector: Inspector[Any],
        store: VerdictStore,
        deliveries: Deliveries,
    ) -> None:
        self._project, self._inspector = project, inspector
        self._store, self._deliveries = store, deliveries
        self._config = project.config.line(inspector.line)
        self._in_force = _InForce(project.calibration_folder(inspector.line), inspector)
        self._take_up(inspector.calibration)

    def file(self, path: Path) -> StoredInspection:
        """Judge a file.

        Raises:
            StorageError: if it cannot be recorded.
        """
        self._keep_up()
        return self._keep(*self._inspector.inspect_file(path))

    def photograph(
        self, data: bytes, name: Path, identity: Mapping[str, str] | None = None
    ) -> StoredInspection:
        """Judge the bytes of an image file.

        Args:
            name: what it is called.
            identity: serial, lot, station or camera, where the sender knows better than the name.

        Raises:
            StorageError: if it cannot be recorded.
        """
        self._keep_up()
        return self._keep(self._inspector.inspect_bytes(data, name), data, identity)

    def judge(self, part: PartImage) -> Inspection:
        """Judge a decoded photograph, and neither record nor count it."""
        self._keep_up()
        counted = self._inspector.inspected
        try:
            return self._inspector.inspect(part)
        finally:
            self._inspector.inspected = counted

    def _keep_up(self) -> None:
        """With thresholds that have come into force, and with what the charts have found since."""
        if (fresh := self._in_force.newer()) is not None:
            self._take_up(fresh)
        if self._watch is not None:
            # Other stations may have stored parts of the line as well.
            self._watch.catch_up()
            self._watch.save(after=_SAVED_EVERY)
            self._inspector.drifted = self._watch.found

    def _take_up(self, calibration: Calibration) -> None:
        """Record what parts are judged with from now on, and judge them so."""
        inspector = self._inspector
        watch = (
            LineWatch(self._store, calibration, charts_of(calibration)[0])
            if calibration.expiry_drift
            else None
        )
        self._store.record_setup(
            JudgingSetup(
                line=inspector.line,
                configuration=self._config.model_dump(mode="json"),
                model=inspector.scorer.model_id,
                model_record=inspector.scorer.model_record,
                calibration=calibration.id,
                calibration_record=calibration.record,
            )
        )
        inspector.take_up(
            calibration, inspected=count_judged(self._store, inspector.line, calibration)
        )
        self._watch = watch

    def _keep(
        self,
        inspection: Inspection,
        evidence: bytes | None,
        identity: Mapping[str, str] | None = None,
    ) -> StoredInspection:
        named: dict[str, Any] = self._config.identity.of(inspection.image.as_posix())
        inspection = replace(inspection, **named | dict(identity or {}))
        stored = _append(self._store, inspection, evidence)
        # What the store had already, observers have received.
        if stored.inspected_at == inspection.inspected_at:
            self._project.registry.notify("cdm_inspect_verdict_reached", inspection=inspection)
            self._deliveries.wake()
        return stored


_FileState = tuple[int, int, int]
"""Time of the last change, size and number; of another file at least one of them is another."""


class _InForce:
    """The file of the calibration in force, read again once it has been replaced.

    Only thresholds are taken up while parts are judged: what else fixes a score belongs to the
    scorer that was opened.
    """

    def __init__(self, folder: Path, inspector: Inspector[Any]) -> None:
        self._folder, self._inspector = folder, inspector
        self._file = folder / f"{inspector.calibration.scorer}.json"
        self._settled: _FileState | None = None
        self._told: _FileState | None = None

    def newer(self) -> Calibration | None:
        """What is to be judged by from now on, if that has changed since the last time."""
        try:
            found = self._file.stat()
        except OSError:
            return None  # a station may have none but the one that was exported
        # Somebody may be copying it here.
        is_fresh = 0 <= time.time() - found.st_mtime < _WRITTEN_FOR_S
        state = found.st_mtime_ns, found.st_size, found.st_ino
        if is_fresh or state == self._settled:
            return None
        current = self._inspector.calibration
        try:
            calibration = load_calibration(self._folder, current.scorer, current.model)
            if calibration.scoring_id != current.scoring_id:
                raise NotCalibrated("more has changed than thresholds.")
        except CdmInspectError as error:
            # What could not be read is read again with the next part.
            if isinstance(error, NotCalibrated):
                self._settled = state
            self._tell(state, str(error))
            return None
        # Settled once it is in force: the store may fail while it is taken up.
        if calibration.made_at > current.made_at:
            return calibration
        self._settled = state
        return None

    def _tell(self, state: _FileState, why: str) -> None:
        if state != self._told:
            _log.warning(
                "%s is another now: %s Line %s goes on with calibration %s; start again to have "
                "the other.",
                self._file,
                why,
                self._inspector.line,
                self._inspector.calibration.id,
            )
        self._told = state


def expand_paths(paths: Iterable[Path]) -> Iterator[Path]:
    """Files as they are, folders as the images in them."""
    for path in paths:
        # os.path says no where pathlib raises: a name that is too long is no folder.
        if os.path.isdir(path):
            yield from find_images(path)
        else:
            yield path


def _append(
    store: VerdictStore, inspection: Inspection, evidence: bytes | None
) -> StoredInspection:
    """Store, or end the inspection: no part is judged whose verdict would be lost."""
    failed = (
        f"the store failed: {{error}}. {inspection.image} was not recorded; inspect it again when "
        "the store works."
    )
    with attribute_to_plugin(StorageError, failed):
        return store.append(inspection, evidence=evidence)
