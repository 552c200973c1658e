"""Judging files and folders: each part is stored before anybody hears of it. Without torch."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from cdm_inspect.contracts import VerdictStore
from cdm_inspect.delivery import delivering
from cdm_inspect.errors import STRANGERS, CdmInspectError, StorageError
from cdm_inspect.images import find_images
from cdm_inspect.inspection import Inspector
from cdm_inspect.project import Project
from cdm_inspect.records import Inspection, InspectionQuery, StoredInspection
from cdm_inspect.watching import LineWatch, charts_of

# What is lost of the charts is read again from the inspections.
_SAVED_EVERY = 50


def inspect_with(
    project: Project, inspector: Inspector[Any], paths: Iterable[Path]
) -> Iterator[StoredInspection]:
    """Judge files and the images in folders, one by one; each is stored before it is yielded."""
    with project.open_store() as store, delivering(project, store) as deliveries:
        inspector.inspected = store.count(
            InspectionQuery(
                line=inspector.line,
                calibration=inspector.calibration.id,
                since=inspector.calibration.made_at,
            )
        )
        calibration = inspector.calibration
        is_watched = calibration.expiry_drift
        watch = LineWatch(store, calibration, charts_of(calibration)[0]) if is_watched else None
        for path in expand_paths(paths):
            if watch is not None:
                # Other stations may have stored parts of the line as well.
                watch.catch_up()
                watch.save(after=_SAVED_EVERY)
                inspector.drifted = watch.found
            inspection, evidence = inspector.inspect_file(path)
            stored = _append(store, inspection, evidence)
            # What the store had already, observers have heard of.
            if stored.inspected_at == inspection.inspected_at:
                project.registry.notify("cdm_inspect_verdict_reached", inspection=inspection)
                deliveries.wake()
            yield stored


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
    try:
        return store.append(inspection, evidence=evidence)
    except CdmInspectError:
        raise
    except STRANGERS as error:
        raise StorageError(
            f"the store failed: {type(error).__name__}: {error}. {inspection.image} was not "
            "recorded; inspect it again when the store works."
        ) from error
