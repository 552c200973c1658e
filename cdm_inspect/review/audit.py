"""What people may ask of what keeps the store: parts that must stay, and the audit chain."""

from __future__ import annotations

from collections.abc import Sequence

from cdm_inspect.plugins import AuditEntry, ChainState, StoreUpkeep
from cdm_inspect.records import InspectionQuery, StepTick, StoredInspection
from cdm_inspect.roles import Actor, Right


def hold_part(
    actor: Actor, upkeep: StoreUpkeep, part: StoredInspection, reason: str, *, ends: bool = False
) -> bool:
    """Put a part under a legal hold, or end the one of this reason; others stay.

    Args:
        actor: who does it; the audit chain tells.
        part: that retention must not delete, or may again.
        ends: whether it ends.

    Returns:
        Whether that changed anything.

    Raises:
        NotAllowed: if the person may not.
        StorageError: without a reason, or if it cannot be recorded.
    """
    actor.require(Right.SETTLE)
    query = InspectionQuery(ids=(part.id,))
    return upkeep.hold(query, reason, ends=ends, who=actor.name) > 0


def read_audit(
    actor: Actor, upkeep: StoreUpkeep, *, before: int | None = None, limit: int = 100
) -> Sequence[AuditEntry]:
    """Entries of the audit chain, newest first.

    Args:
        actor: who reads.
        before: only those with a smaller number.
        limit: at most so many.

    Raises:
        NotAllowed: if the person may not.
        StorageError: if the store cannot be read.
    """
    actor.require(Right.AUDIT)
    return upkeep.entries(before=before, limit=limit)


def check_audit(actor: Actor, upkeep: StoreUpkeep, progress: StepTick) -> ChainState:
    """Read the whole audit chain, and hold it against its anchors and the decisions.

    A million entries take about 20 s.

    Args:
        actor: who asks.

    Raises:
        NotAllowed: if the person may not.
        StorageError: if the store or its anchors cannot be read.
    """
    actor.require(Right.AUDIT)
    return upkeep.verify(anchor=None, has_files=False, progress=progress)
