"""Whether a plant's machine, store, files and record are as they should be. Loads without torch."""

from __future__ import annotations

import datetime as dt
import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from cdm_inspect.errors import CdmInspectError
from cdm_inspect.plugins import StoreUpkeep, VerdictStore
from cdm_inspect.project import Project
from cdm_inspect.records import InspectionQuery, JsonObject, Order, StoredInspection

PACKAGES = (
    "cdm-inspect",
    "numpy",
    "opencv-python",
    "pillow",
    "sqlalchemy",
    "streamlit",
    "torch",
    "lightning",
    "onnxruntime",
    "onnxruntime-gpu",
    "psycopg",
)

_LEAST_FREE = 5 * 2**30
"""Bytes: about a day of photographs of a fast line."""
_LEAST_FREE_SHARE = 0.05
_OLDEST_ANCHOR = dt.timedelta(hours=36)
"""They are written once a day, by whoever records something then."""
_CLOCK_SLACK = dt.timedelta(minutes=5)


class Problem(StrEnum):
    """What can be wrong, for programs that say it in their own words.

    Of those that end in `unreadable` only the sentence of the check says which error it was.
    """

    STORE = "store-unreadable"
    SCHEMA = "schema-unreadable"
    OTHER_SCHEMA = "schema-differs"
    PICTURE = "picture-unreadable"
    DISK = "disk-unreadable"
    FULL_DISK = "disk-full"
    ANCHORS = "anchors-unreadable"
    LATE_ANCHOR = "anchors-late"
    CLOCK = "clock-behind"


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: in kebab-case.
        is_good: None where it only informs, or nothing can be said.
        facts: what was found, JSON.
        problem: what is wrong and what to do, a sentence; empty if nothing is.
        kind: of the problem; None if there is none.
    """

    name: str
    is_good: bool | None
    facts: JsonObject = field(default_factory=dict)
    problem: str = ""
    kind: Problem | None = None


def check_health(
    project: Project,
    open_store: Callable[[], VerdictStore],
    *,
    now: dt.datetime | None = None,
) -> tuple[Check, ...]:
    """Look at all of it; whatever fails is said in its check, and the others go on.

    Args:
        open_store: gives the store of the project, opened.
        now: aware; None asks the clock.
    """
    at = now or dt.datetime.now(dt.UTC)
    store, check = _store(open_store)
    upkeep = _upkeep(project)
    newest = _newest(store)
    return (
        check,
        _schema(project, upkeep),
        _pictures(project, store, newest),
        *_disks(project),
        _anchors(project, upkeep, newest, at),
        _clock(project, newest, at),
        Check(name="packages", is_good=None, facts=package_versions()),
    )


def package_versions() -> JsonObject:
    """Version of Python, of this package and of those that it stands on, where installed."""
    found: JsonObject = {"python": platform.python_version(), "system": platform.platform()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _store(open_store: Callable[[], VerdictStore]) -> tuple[VerdictStore | None, Check]:
    try:
        store = open_store()
        lines = list(store.lines())
        waiting = store.count(InspectionQuery(is_waiting=True))
    except CdmInspectError as error:
        kind = Problem.STORE
        return None, Check(name="store", is_good=False, problem=str(error), kind=kind)
    return store, Check(name="store", is_good=True, facts={"lines": lines, "waiting": waiting})


def _newest(store: VerdictStore | None) -> StoredInspection | None:
    if store is None:
        return None
    try:
        found = store.find(InspectionQuery(order=Order.NEWEST, limit=1))
    except CdmInspectError:
        return None  # the check of the store has said so, or will the next time
    return found[0] if found else None


def _upkeep(project: Project) -> StoreUpkeep | None:
    try:
        return project.store_upkeep()
    except CdmInspectError:
        return None  # the check of the store says so where it is missing; others bring none


def _schema(project: Project, upkeep: StoreUpkeep | None) -> Check:
    if upkeep is None:
        facts = {"backend": project.config.store.backend}
        return Check(name="schema", is_good=None, facts=facts)
    try:
        schema = upkeep.schema()
    except CdmInspectError as error:
        return Check(name="schema", is_good=False, problem=str(error), kind=Problem.SCHEMA)
    found, expected = schema.found, schema.expected
    is_good = found == expected
    return Check(
        name="schema",
        is_good=is_good if found else None,
        facts=asdict(schema),
        problem=""
        if is_good or not found
        else (
            f"expected schema {expected}, found {found}. Stop what writes to the store and run "
            "`cdm-inspect store upgrade`."
        ),
        kind=None if is_good or not found else Problem.OTHER_SCHEMA,
    )


def _pictures(
    project: Project, store: VerdictStore | None, newest: StoredInspection | None
) -> Check:
    """Where they are, and whether the newest one can be read."""
    images = project.config.store.images
    where = images if "://" in images else str(project.path(images))
    facts: JsonObject = {"where": where}
    if store is None or newest is None or not newest.image_sha256:
        return Check(name="pictures", is_good=None, facts=facts)
    try:
        store.read_file(newest.image_sha256)
    except CdmInspectError as error:
        kind = Problem.PICTURE
        return Check(name="pictures", is_good=False, facts=facts, problem=str(error), kind=kind)
    return Check(name="pictures", is_good=True, facts=facts)


def _disks(project: Project) -> Iterator[Check]:
    """Free room where the project lies, and where its pictures do if that is another disk."""
    images = project.config.store.images
    folders = [project.root]
    if "://" not in images:
        folders.append(project.path(images))
    seen: set[int] = set()
    for folder in folders:
        # What is not there yet will lie where the next folder above it does.
        place = next(path for path in (folder, *folder.parents) if path.exists())
        try:
            device = place.stat().st_dev
            usage = shutil.disk_usage(place)
        except OSError as error:
            problem = f"{place} cannot be read: {error.strerror or error}. Correct the rights."
            where: JsonObject = {"where": str(place)}
            kind = Problem.DISK
            yield Check(name="disk", is_good=False, facts=where, problem=problem, kind=kind)
            continue
        if device in seen:
            continue
        seen.add(device)
        is_good = usage.free >= min(_LEAST_FREE, _LEAST_FREE_SHARE * usage.total)
        yield Check(
            name="disk",
            is_good=is_good,
            facts={"where": str(place), "free": usage.free, "total": usage.total},
            problem=""
            if is_good
            else (
                f"{place} has {usage.free / 2**30:.1f} GiB left. Free space there, or let "
                "`cdm-inspect store prune` delete what store.retention allows."
            ),
            kind=None if is_good else Problem.FULL_DISK,
        )


def _anchors(
    project: Project,
    upkeep: StoreUpkeep | None,
    newest: StoredInspection | None,
    now: dt.datetime,
) -> Check:
    if upkeep is None:
        return Check(name="anchors", is_good=None, facts={"backend": project.config.store.backend})
    facts: JsonObject = {"where": str(project.path(project.config.store.anchor))}
    try:
        found = upkeep.anchors()
    except CdmInspectError as error:
        kind = Problem.ANCHORS
        return Check(name="anchors", is_good=False, facts=facts, problem=str(error), kind=kind)
    facts = {"where": found.where, "signed": found.is_signed, "anchors": len(found.made_at)}
    if not found.made_at:
        return Check(name="anchors", is_good=None, facts=facts)
    last = max(found.made_at)
    facts["last"] = last.isoformat()
    # While nobody records anything there is nothing new to anchor.
    is_late = newest is not None and newest.inspected_at - last > _OLDEST_ANCHOR
    return Check(
        name="anchors",
        is_good=not is_late,
        facts={**facts, "age_hours": round((now - last).total_seconds() / 3600, 1)},
        problem=""
        if not is_late
        else (
            f"the newest anchor of the audit chain is of {last:%Y-%m-%d %H:%M} UTC, and parts were "
            "recorded long after it. See that the file can be written, and run "
            "`cdm-inspect store anchor`."
        ),
        kind=Problem.LATE_ANCHOR if is_late else None,
    )


def _clock(project: Project, newest: StoredInspection | None, now: dt.datetime) -> Check:
    local = now.astimezone(project.config.review.zone)
    facts: JsonObject = {"now": local.isoformat(timespec="seconds"), "zone": str(local.tzname())}
    if newest is None or newest.inspected_at <= now + _CLOCK_SLACK:
        return Check(name="clock", is_good=None if newest is None else True, facts=facts)
    return Check(
        name="clock",
        is_good=False,
        facts={**facts, "newest": newest.inspected_at.isoformat(timespec="seconds")},
        kind=Problem.CLOCK,
        problem=(
            f"the newest part was inspected at {newest.inspected_at:%Y-%m-%d %H:%M} UTC, and this "
            f"machine says it is {now:%Y-%m-%d %H:%M} UTC. Set the clocks of both by the same "
            "time server."
        ),
    )


def can_train() -> bool:
    """Whether what `train` needs (the extra `train`) is installed, without loading it."""
    return all(find_spec(name) is not None for name in ("torch", "lightning", "jinja2"))
