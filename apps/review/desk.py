"""The only module of the app that talks to the product."""

from __future__ import annotations

import datetime as dt
import os
import threading
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from cdm_inspect.accounts import USERS_FILE, Accounts
from cdm_inspect.by_hand import save_thresholds
from cdm_inspect.contracts import AuditEntry, ChainState, PageOffer
from cdm_inspect.costs import Costs
from cdm_inspect.errors import CdmInspectError
from cdm_inspect.line_statistics import LineStatistics, summarise_line
from cdm_inspect.people import Actor
from cdm_inspect.project import Project, open_project
from cdm_inspect.records import JsonObject, Review, StepTick, StoredInspection
from cdm_inspect.review import ReviewDesk, check_audit, hold_part, read_audit
from cdm_inspect.signing import Signer, plant_secret
from cdm_inspect.watching import drift
from cdm_inspect.what_if import WhatIf, open_what_if

PROJECT_VARIABLE = "CDM_INSPECT_PROJECT"


class Plant:
    """A project as the app sees it: one a server, for the pages and the routes.

    Args:
        root: the project directory.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._lock = threading.Lock()
        self._desk: ReviewDesk | None = None
        self._has_users = False

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

    def reject_threshold(self, line: str, calibration: str) -> float | None:
        """Of the calibration in force, if it is this one; None where nobody knows, or never."""
        try:
            found = self.line_project(line).calibration(line)
        except CdmInspectError:
            return None  # a desk without the models
        return found.reject_threshold if found.id == calibration else None

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
        """Put thresholds into force; the version of the calibration. See `by_hand`."""
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


_plants: dict[str, Plant] = {}
_lock = threading.Lock()


def plant() -> Plant:
    """The one of the project that the server was started for."""
    root = os.environ.get(PROJECT_VARIABLE, ".")
    with _lock:
        if root not in _plants:
            _plants[root] = Plant(Path(root))
        return _plants[root]
