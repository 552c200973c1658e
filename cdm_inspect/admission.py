"""Which installed distributions may load: by name, version, and the hash of what is installed."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import Distribution

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

_HASH = re.compile(r"\s+--hash=sha256:([0-9a-f]{64})\s*$")
# Written by whoever installs, and not by who made the distribution.
_OF_THE_INSTALLER = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}


@dataclass(frozen=True, kw_only=True)
class Allowed:
    """One entry of `plugins.allow`, as a line of pip's requirements: `name==1.2 --hash=sha256:...`.

    Attributes:
        requirement: name of the distribution, and which versions of it.
        sha256: of what is installed, as `cdm-inspect plugins --hashes` prints it; empty means any.
    """

    requirement: Requirement
    sha256: str = ""

    @classmethod
    def parse(cls, text: str) -> Allowed:
        """Read an entry.

        Raises:
            ValueError: if it is none.
        """
        found = _HASH.search(text)
        try:
            requirement = Requirement(text[: found.start()] if found else text)
        except InvalidRequirement as error:
            raise ValueError(
                f"expected a distribution such as cdm-inspect-mqtt, cdm-inspect-mqtt==1.2, or that "
                f"with --hash=sha256:..., found {text!r}"
            ) from error
        return cls(requirement=requirement, sha256=found[1] if found else "")

    def names(self, distribution: str) -> bool:
        """Whether it is about a distribution."""
        return canonicalize_name(self.requirement.name) == canonicalize_name(distribution)


def why_refused(distribution: Distribution | None, allow: Iterable[str]) -> str:
    """Why a distribution may not load; empty if it may.

    Args:
        distribution: installed; None where an entry point belongs to none.
        allow: entries as in `plugins.allow`.
    """
    if distribution is None:
        return "it belongs to no distribution that plugins.allow could name"
    entries = [entry for entry in map(Allowed.parse, allow) if entry.names(distribution.name)]
    if not entries:
        return "not in plugins.allow"
    problems = [_problem(distribution, entry) for entry in entries]
    return "" if "" in problems else "; ".join(problems)


def _problem(distribution: Distribution, entry: Allowed) -> str:
    wanted = entry.requirement.specifier
    if not wanted.contains(distribution.version, prereleases=True):
        return f"plugins.allow wants version {wanted}, found {distribution.version}"
    if not entry.sha256:
        return ""
    try:
        found = digest_of(distribution)
    except ValueError as error:
        return f"plugins.allow wants a hash: {error}"
    return "" if found == entry.sha256 else f"plugins.allow wants another hash, found {found}"


def digest_of(distribution: Distribution) -> str:
    """SHA-256 over names and contents of all files that a wheel has put there, hexadecimal.

    The same wheel has the same digest on every machine. Nothing is believed of what the
    installation says about itself but the list of its files; a file that nobody listed is loaded by
    nobody that is listed, or else listed there.

    Raises:
        ValueError: if the files cannot be told or read, or change without being installed.
    """
    origin = json.loads(distribution.read_text("direct_url.json") or "{}")
    if origin.get("dir_info", {}).get("editable"):
        raise ValueError("installed editable, it may change at any time; install a wheel")
    files = [
        file
        for file in distribution.files or ()
        # Scripts lie outside and name this machine's interpreter; bytecode follows from the source.
        if ".." not in file.parts
        and "__pycache__" not in file.parts
        and file.name not in _OF_THE_INSTALLER
    ]
    if not files:
        raise ValueError("the installation lists no files; install a wheel")
    digest = hashlib.sha256()
    for file in sorted(files, key=str):
        try:
            content = hashlib.sha256(file.read_binary()).hexdigest()
        except OSError as error:
            raise ValueError(f"{file} cannot be read: {error}") from error
        digest.update(f"{file.as_posix()}\0{content}\n".encode())
    return digest.hexdigest()
