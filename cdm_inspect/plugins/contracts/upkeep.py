"""What keeps a store in order: set-up, upgrade, audit, copies, retention."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from cdm_inspect.records import InspectionQuery, JsonObject, StepTick


@dataclass(frozen=True, kw_only=True)
class ChainState:
    """What a check of the audit chain has found.

    Attributes:
        entries: read.
        first_bad: number of the first that is not what it was; None if all are sound.
        anchors: that the chain was held against.
        head: hash of the last entry read.
        anchored_at: when the last anchor was written; None where there is none.
        is_signed: whether anchors are signed with a key that the database does not hold. Without
            one, whoever can write the file of anchors can write false ones.
        unlike: numbers of the inspections, the first hundred, whose verdict or decisions are not
            those that the chain tells of.
        files: image and map files that were read; None if they were not asked for.
        bad_files: names of those that are missing or changed, the first hundred.
    """

    entries: int
    first_bad: int | None
    anchors: int
    head: str
    anchored_at: dt.datetime | None = None
    is_signed: bool = False
    unlike: tuple[int, ...] = ()
    files: int | None = None
    bad_files: tuple[str, ...] = ()

    @property
    def is_sound(self) -> bool:
        """Whether nothing was found."""
        return self.first_bad is None and not self.bad_files and not self.unlike


@dataclass(frozen=True, kw_only=True)
class AuditEntry:
    """One link of the audit chain.

    Attributes:
        number: from 1, without gaps.
        entry: what it tells.
    """

    number: int
    entry: JsonObject
    hash: str


@dataclass(frozen=True, kw_only=True)
class Copied:
    """What a backup holds, or what was restored from it.

    Attributes:
        rows: by table.
        files: images and heat maps.
        missing_files: how many were missing or damaged in the store that was backed up.
        bad_files: names of files that could not be restored, for they are missing or changed.
        schema: version of the tables in the backup.
        audit_number: entries of the audit chain.
    """

    rows: Mapping[str, int]
    files: int
    missing_files: int
    schema: str
    audit_number: int
    bad_files: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """What retention has removed, or would.

    Attributes:
        parts: by retention class.
        held: by retention class, those that are old enough but under a legal hold.
        files: that nothing needs any more.
        bytes: of these files.
        temporaries: files that were left half written.
        longest_seconds: of a transaction that kept others from writing.
    """

    parts: Mapping[str, int]
    held: Mapping[str, int]
    files: int
    bytes: int
    temporaries: int
    longest_seconds: float


@dataclass(frozen=True, kw_only=True)
class StoreSchema:
    """The form that a store has, and that this program writes.

    Attributes:
        found: version; None where nothing was kept yet.
        expected: version.
        where: the store is, for people.
    """

    found: str | None
    expected: str
    where: str


@dataclass(frozen=True, kw_only=True)
class StoreAnchors:
    """Anchors of the audit chain.

    Attributes:
        where: they are, for people.
        is_signed: nobody without the key can add one.
        made_at: when each was made, aware.
    """

    where: str
    is_signed: bool
    made_at: Sequence[dt.datetime]


class StoreUpkeep(Protocol):
    """Keeps a store in order; opens it for each task, and never makes an empty one by the way.

    All raise `StorageError` where the store cannot be opened, read or written.
    """

    def create(self) -> None:
        """Set up an empty store, also beside what is left of a former one, which stays as it is."""
        ...

    def schema(self) -> StoreSchema:
        """The form of what is kept; nothing is made or changed."""
        ...

    def upgrade(self, *, has_backup: bool) -> tuple[str, str]:
        """Bring what an earlier version has written to the form of this one, all or nothing.

        Args:
            has_backup: a copy has been made; else one is made first.

        Returns:
            The version before and where the copy is; both empty where nothing was to be done.
        """
        ...

    def verify(self, *, anchor: Path | None, has_files: bool, progress: StepTick) -> ChainState:
        """Check the audit chain against itself and the anchors, and the files against their names.

        Args:
            anchor: a file of anchors to use instead of the store's own.
            has_files: read every image and map as well.
        """
        ...

    def entries(self, *, before: int | None = None, limit: int = 100) -> Sequence[AuditEntry]:
        """Links of the audit chain, newest first.

        Args:
            before: only those with a smaller number.
            limit: at most so many.
        """
        ...

    def anchor(self) -> ChainState:
        """Write down outside the store where the chain stands."""
        ...

    def anchors(self) -> StoreAnchors:
        """Where the chain was written down outside the store, and when."""
        ...

    def backup(self, folder: Path, *, progress: StepTick) -> Copied:
        """Copy the store as of one moment, while others write; files that are there stay."""
        ...

    def restore(self, folder: Path, *, is_trial: bool, progress: StepTick) -> Copied:
        """Make a store from a backup, and check all of it: counts, chain and files.

        Args:
            is_trial: only prove that it could be done; nothing of the store is touched.
        """
        ...

    def prune(
        self, limits: Mapping[str, dt.timedelta], *, is_dry: bool, progress: StepTick
    ) -> Pruned:
        """Delete inspections past their time, and files that nothing needs.

        Args:
            limits: by retention class, `passed` and `decided`; a class that is missing stays.
            is_dry: only count.
        """
        ...

    def hold(self, query: InspectionQuery, reason: str, *, ends: bool, who: str) -> int:
        """Put what matches under a legal hold, or end the one of this reason; how many changed."""
        ...
