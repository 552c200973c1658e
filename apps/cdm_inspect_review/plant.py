"""The only module of the app that talks to the product."""

from __future__ import annotations

import datetime as dt
import hashlib
import math
import os
import threading
import time
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from cdm_inspect.calibration.costs import Costs
from cdm_inspect.calibration.what_if import WhatIf, open_what_if
from cdm_inspect.config.shifts import Shift
from cdm_inspect.monitoring.drift import drift
from cdm_inspect.monitoring.health import Check, check_health
from cdm_inspect.monitoring.summary import LineStatistics, summarise_line
from cdm_inspect.plugins import AuditEntry, ChainState, PageOffer
from cdm_inspect.project import Project, open_project
from cdm_inspect.records import Event, JsonObject, Review, StepTick, StoredInspection
from cdm_inspect.review import ReviewDesk, check_audit, hold_part, read_audit
from cdm_inspect.review.line_status import LineModels, describe_line
from cdm_inspect.review.report_index import LineReports, find_reports
from cdm_inspect.review.shift_report.making import FOLDER, MadeReport, make_shift_report
from cdm_inspect.review.thresholds import save_thresholds
from cdm_inspect.roles import Actor
from cdm_inspect_review.sessions import Signer, plant_secret
from cdm_inspect_review.users import USERS_FILE, Accounts

PROJECT_VARIABLE = "CDM_INSPECT_PROJECT"
_UNKNOWN_S = 60.0


class Plant:
    """A project as the app sees it: one a server, for the pages and the routes."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._lock = threading.Lock()
        self._desk: ReviewDesk | None = None
        self._has_users = False
        # By line and calibration, until when; what is recorded of one never changes.
        self._thresholds: dict[tuple[str, str], tuple[float, float | None]] = {}

    @property
    def name(self) -> str:
        """Tells this plant from others that a browser has seen under the same address."""
        return hashlib.sha256(str(self.root).encode()).hexdigest()[:12]

    @cached_property
    def project(self) -> Project:
        """Opened once; a change of its file takes a restart."""
        return open_project(self.root)

    @cached_property
    def accounts(self) -> Accounts:
        """Users of the plant."""
        return Accounts(self.root / USERS_FILE)

    @property
    def has_users(self) -> bool:
        """Whether people log in with a password; once they do, a lost file opens nothing.

        Raises:
            AccessError: if the file of users cannot be read.
        """
        self._has_users = self._has_users or self.accounts.exist
        return self._has_users

    @cached_property
    def signer(self) -> Signer:
        """Signs sessions and the addresses of pictures."""
        return Signer(plant_secret(self.root))

    @property
    def desk(self) -> ReviewDesk:
        """The desk on the project's store; opened anew until it can be.

        Raises:
            CdmInspectError: if the project or its store cannot be opened.
        """
        with self._lock:
            if self._desk is None:
                registry = self.project.registry

                def notify(review: Review) -> None:
                    registry.notify("cdm_inspect_review_recorded", review=review)

                self._desk = ReviewDesk(self.project.open_store(), self.project.config, notify)
            return self._desk

    def pages(self) -> list[PageOffer]:
        """Pages that plugins add."""
        return list(self.project.registry.usable(PageOffer).values())

    def line_project(self, line: str) -> Project:
        """The project as of now, with what a line's own file says.

        Raises:
            CdmInspectError: if it cannot be opened, or has no such line.
        """
        return open_project(self.root, line=line)

    def reject_threshold(self, part: StoredInspection) -> float | None:
        """Of the calibration that judged a part, as it was recorded; None where none is known.

        Raises:
            CdmInspectError: if the store cannot be read.
        """
        key = part.line, part.calibration
        until, reject = self._thresholds.get(key, (-math.inf, None))
        now = time.monotonic()
        if now < until:
            return reject
        setup = self.desk.store.judged_with(part.id)
        found = setup.calibration_record.get("reject_threshold") if setup is not None else None
        reject = float(found) if isinstance(found, (int, float)) else None
        self._thresholds[key] = math.inf if setup is not None else now + _UNKNOWN_S, reject
        return reject

    def statistics(self, line: str, since: dt.datetime, until: dt.datetime) -> LineStatistics:
        """What happened on a line; see `line_statistics.summarise_line`."""
        config = self.project.config.review
        return summarise_line(self.desk.store, line, since=since, until=until, config=config)

    def what_if(self, line: str) -> WhatIf:
        """What other thresholds of a line would cost; see `what_if.open_what_if`."""
        return open_what_if(self.line_project(line), line, self.desk.store)

    def save_thresholds(
        self,
        what_if: WhatIf,
        *,
        actor: Actor,
        review: float,
        reject: float | None,
        reason: str,
        costs: Costs,
        parts_per_day: float,
    ) -> int:
        """Put thresholds into force; the version of the calibration."""
        saved = save_thresholds(
            self.line_project(what_if.calibration.line),
            self.desk.store,
            what_if,
            actor=actor,
            review=review,
            reject=reject,
            reason=reason,
            costs=costs,
            parts_per_day=parts_per_day,
        )
        return saved.version

    def make_report(self, actor: Actor, line: str, shift: Shift, language: str) -> MadeReport:
        """Make the report of a shift, as PDF and CSV; see `reporting.make_shift_report`."""
        return make_shift_report(
            self.desk.store,
            self.project.store_upkeep(),
            self.project.config,
            actor=actor,
            line=line,
            shift=shift,
            folder=self.root / FOLDER,
            language=language,
        )

    def audit_entries(
        self, actor: Actor, *, before: int | None, limit: int
    ) -> Sequence[AuditEntry]:
        """Entries of the audit chain; see `review.read_audit`."""
        return read_audit(actor, self.project.store_upkeep(), before=before, limit=limit)

    def check_audit(self, actor: Actor, progress: StepTick) -> ChainState:
        """Whether the audit chain is what it was; see `review.check_audit`."""
        return check_audit(actor, self.project.store_upkeep(), progress)

    def hold(self, actor: Actor, part: StoredInspection, reason: str, *, ends: bool) -> bool:
        """Keep a part from being deleted, or no longer; see `review.hold_part`."""
        return hold_part(actor, self.project.store_upkeep(), part, reason, ends=ends)

    def line_drift(self, line: str) -> JsonObject:
        """Where the control charts of a line stand; see `watching.drift`."""
        return drift(self.line_project(line), line)

    def models(self, line: str) -> LineModels:
        """What judges a line; see `line_models.describe_line`."""
        return describe_line(self.line_project(line), self.desk.store, line)

    def reports(self, line: str) -> LineReports:
        """What `evaluate`, `diagnose` and others have written; see `line_reports.find_reports`."""
        return find_reports(self.root / "reports", line, lines=self.project.config.lines)

    def health(self) -> tuple[Check, ...]:
        """Whether machine and record are as they should be; see `health.check_health`."""
        return check_health(self.project, lambda: self.desk.store)

    def record(self, event: Event) -> None:
        """Keep what was done about users."""
        self.desk.store.record_event(event)


_plants: dict[str, Plant] = {}
_lock = threading.Lock()


def current_plant() -> Plant:
    """The one of the project that the server was started for."""
    root = os.environ.get(PROJECT_VARIABLE, ".")
    with _lock:
        if root not in _plants:
            _plants[root] = Plant(Path(root))
        return _plants[root]
