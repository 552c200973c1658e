"""Which installed distributions may load: by name, version, and the hash of what is installed."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import Distribution, PackagePath
from pathlib import Path

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
        if requirement.url or requirement.marker or requirement.extras:
            raise ValueError(f"expected name, version and hash alone, found {text!r}")
        return cls(requirement=requirement, sha256=found[1] if found else "")

    def names(self, distribution: str) -> bool:
        """Whether it is about a distribution."""
        return canonicalize_name(self.requirement.name) == canonicalize_name(distribution)


def why_refused(distribution: Distribution | None, module: str, allow: Iterable[str]) -> str:
    """Why a distribution may not load; empty if it may.

    Args:
        distribution: installed; None where an entry point belongs to none.
        module: of the entry point.
        allow: entries as in `plugins.allow`.
    """
    if distribution is None or not distribution.name:
        return "it belongs to no distribution that plugins.allow could name"
    entries = [entry for entry in map(Allowed.parse, allow) if entry.names(distribution.name)]
    if not entries:
        return "not in plugins.allow"
    problems = [_problem(distribution, module, entry) for entry in entries]
    return "" if "" in problems else "; ".join(problems)


def _problem(distribution: Distribution, module: str, entry: Allowed) -> str:
    wanted = entry.requirement.specifier
    if not wanted.contains(distribution.version, prereleases=True):
        return f"plugins.allow wants version {wanted}, found {distribution.version}"
    if not entry.sha256:
        return ""
    try:
        found = digest_of(distribution)
        if found != entry.sha256:
            return f"plugins.allow wants another hash, found {found}"
        _check_origin(distribution, module)
    except (ValueError, OSError) as error:
        return f"plugins.allow wants a hash: {error}"
    return ""


def _check_origin(distribution: Distribution, module: str) -> None:
    """See that what would be imported is one of the files that were hashed, and not its namesake.

    Raises:
        ValueError: if it is not.
    """
    # The outermost package is found without anything being run.
    spec = importlib.util.find_spec(module.partition(".")[0])
    origin = Path(spec.origin).resolve() if spec is not None and spec.origin else None
    hashed = {Path(str(file.locate())).resolve() for file in _files(distribution)}
    if origin not in hashed:
        raise ValueError(f"{module} would be loaded from {origin}, which is none of its files")


def digest_of(distribution: Distribution) -> str:
    """SHA-256 over names and contents of all files that a wheel has put there, hexadecimal.

    The same wheel has the same digest on every machine. Bytecode and what was added later are not
    in it: it tells a swapped or patched package, not what somebody does who may write there.

    Raises:
        ValueError: if the files cannot be told or read, or change without being installed.
    """
    origin = json.loads(distribution.read_text("direct_url.json") or "{}")
    details = origin.get("dir_info", {}) if isinstance(origin, dict) else {}
    if isinstance(details, dict) and details.get("editable"):
        raise ValueError("installed editable, it may change at any time; install a wheel")
    files = _files(distribution)
    if not files:
        raise ValueError("the installation lists no files; install a wheel")
    digest = hashlib.sha256()
    for file in files:
        try:
            content = hashlib.sha256(file.read_binary()).hexdigest()
        except OSError as error:
            raise ValueError(f"{file} cannot be read: {error}") from error
        digest.update(f"{file.as_posix()}\0{content}\n".encode())
    return digest.hexdigest()


def _files(distribution: Distribution) -> list[PackagePath]:
    """What a wheel has put there, sorted."""
    return sorted(
        (
            file
            for file in distribution.files or ()
            # Scripts lie outside and name this machine's interpreter.
            if ".." not in file.parts
            and "__pycache__" not in file.parts
            and file.name not in _OF_THE_INSTALLER
        ),
        key=str,
    )
