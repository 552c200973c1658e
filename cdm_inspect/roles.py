"""Who does something, in which role, and what that role may do. Loads without torch."""

from __future__ import annotations

import getpass
import os
from dataclasses import dataclass
from enum import StrEnum

from cdm_inspect.errors import NotAllowed


class Role(StrEnum):
    """What somebody is to the plant."""

    OPERATOR = "operator"
    """Judges flagged parts."""
    QA = "qa"
    """Quality: settles what operators leave open, signs reports, sets thresholds."""
    ENGINEER = "engineer"
    """Looks after lines, models, users and the machine."""
    AUDITOR = "auditor"
    """Sees everything and changes nothing."""


class Right(StrEnum):
    """What somebody may do, beside looking."""

    DECIDE = "decide"
    """On parts of the queue and of samples, and take back a decision of one's own."""
    SETTLE = "settle"
    """What was left open, unless by a disagreement of one's own; correct others, and keep parts as
    limit samples."""
    ACKNOWLEDGE = "acknowledge"
    """Alarms."""
    REPORT = "report"
    """Make a shift report, which anchors the audit chain."""
    SET_THRESHOLDS = "set-thresholds"
    AUDIT = "audit"
    """Read the audit chain."""
    ADMINISTER = "administer"
    """Users."""


_RIGHTS: dict[Role, frozenset[Right]] = {
    Role.OPERATOR: frozenset({Right.DECIDE}),
    Role.QA: frozenset(Right) - {Right.ADMINISTER},
    Role.ENGINEER: frozenset(Right),
    Role.AUDITOR: frozenset({Right.AUDIT, Right.REPORT}),
}


def rights_of(role: Role) -> frozenset[Right]:
    """What a role may do, beside looking."""
    return _RIGHTS[role]


@dataclass(frozen=True)
class Actor:
    """A person at the desk.

    Attributes:
        name: under which things are recorded.
    """

    name: str
    role: Role

    def may(self, right: Right) -> bool:
        """Whether the role has a right, and the person a name to be recorded under."""
        return bool(self.name) and right in _RIGHTS[self.role]

    def require(self, right: Right) -> None:
        """Go on only if the person may.

        Raises:
            NotAllowed: if not, with who may.
        """
        if not self.name:
            raise NotAllowed("a name is needed for this: it is recorded. Say who you are.")
        if not self.may(right):
            roles = ", ".join(role.value for role in Role if right in _RIGHTS[role])
            raise NotAllowed(
                f"{self.name} ({self.role.value}) may not do this ({right.value}). Ask somebody of "
                f"the role {roles}. Nothing was changed."
            )


def administrator() -> Actor:
    """Who types a command: whoever can write the files of the machine may do all that it does."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # in a container, a number without a name
        name = f"uid {os.getuid()}"
    return Actor(name, Role.ENGINEER)
