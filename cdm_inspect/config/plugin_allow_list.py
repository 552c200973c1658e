"""Which installed distributions may load: by name and version.

What their files hold is checked where they are installed: `pip install --require-hashes`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.metadata import Distribution

    from packaging.requirements import Requirement


def parse_allowed(text: str) -> Requirement:
    """An entry of `plugins.allow`: name of a distribution, and which versions of it.

    Raises:
        ValueError: if it is none.
    """
    # Few projects have such a list, and every command reads this module.
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        raise ValueError(
            "expected a distribution such as cdm-inspect-mqtt or cdm-inspect-mqtt==1.2, found "
            f"{text!r}"
        ) from error
    if requirement.url or requirement.marker or requirement.extras:
        raise ValueError(f"expected name and version alone, found {text!r}")
    return requirement


def why_refused(distribution: Distribution | None, allow: Iterable[str]) -> str:
    """Why a distribution may not load; empty if it may.

    Args:
        distribution: installed; None where an entry point belongs to none.
        allow: entries as in `plugins.allow`.
    """
    from packaging.utils import canonicalize_name

    if distribution is None or not distribution.name:
        return "it belongs to no distribution that plugins.allow could name"
    name = canonicalize_name(distribution.name)
    entries = [
        entry for entry in map(parse_allowed, allow) if canonicalize_name(entry.name) == name
    ]
    if not entries:
        return "not in plugins.allow"
    if any(entry.specifier.contains(distribution.version, prereleases=True) for entry in entries):
        return ""
    wanted = " or ".join(str(entry.specifier) for entry in entries)
    return f"plugins.allow wants version {wanted}, found {distribution.version}"
