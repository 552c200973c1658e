"""Files that are either whole or not there, whatever is killed while they are written."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from cdm_inspect.errors import StorageError

# Asked once, for asking means setting it for a moment, for all threads.
_UMASK = os.umask(0o077)
os.umask(_UMASK)


def open_to_others(descriptor: int) -> None:
    """Let a temporary file, which is its maker's alone, be read like any other."""
    if hasattr(os, "fchmod"):
        # Some disks know no rights, and refuse.
        with contextlib.suppress(OSError):
            os.fchmod(descriptor, 0o666 & ~_UMASK)


def write_durably(path: Path, data: bytes, *, is_synced: bool = True) -> None:
    """Write a file through a temporary one in the same folder, synced, renamed, folder synced.

    Args:
        path: of the file.
        data: its bytes.
        is_synced: False leaves it to the caller to sync all that it has written at once.

    Raises:
        StorageError: if the disk is full, read-only, or the folder cannot be made; `path` is then
            as it was.
    """
    try:
        _write(path, data, is_synced)
    except OSError as error:
        raise StorageError(
            f"{path} cannot be written: {error.strerror or error}. Free space there or correct "
            "the rights, and do it again."
        ) from error


def _write(path: Path, data: bytes, is_synced: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            open_to_others(file.fileno())
            if is_synced:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    if is_synced:
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return  # Windows cannot open a folder to sync it, and its rename is journaled
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
