"""Files that are either whole or not there, whatever is killed meanwhile, and locks on them."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout

from cdm_inspect.errors import FileLocked, StorageError

_LOCK_S = 30.0
# Asked once, for asking means setting it for a moment, for all threads.
_UMASK = os.umask(0o077)
os.umask(_UMASK)


def write_durably(
    path: Path, data: bytes, *, is_synced: bool = True, is_private: bool = False
) -> None:
    """Write a file; arguments and errors are those of `whole_file`."""
    with whole_file(path, is_synced=is_synced, is_private=is_private) as file:
        file.write(data)


@contextmanager
def whole_file(
    path: Path, *, is_synced: bool = True, is_private: bool = False
) -> Iterator[BinaryIO]:
    """A file to write through a temporary one beside it: synced, renamed, folder synced.

    Args:
        path: of the file; its folder is made.
        is_synced: False leaves it to the caller to sync all that it has written at once.
        is_private: nobody else can read the file at any moment.

    Raises:
        StorageError: if the disk is full, read-only, knows no rights although the file is private,
            or the folder cannot be made; `path` is then as it was.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                if not is_private:
                    _open_to_others(file.fileno())
                elif os.name == "posix" and os.fstat(file.fileno()).st_mode & 0o077:
                    raise StorageError(
                        f"the disk of {path} knows no rights, so others could read the file. Keep "
                        "the project directory on another one."
                    )
                yield file
                file.flush()
                if is_synced:
                    os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        if is_synced:
            _sync_folder(path.parent)
    except OSError as error:
        raise _unwritable(path, error) from error


@contextmanager
def locked(path: Path, *, seconds: float = _LOCK_S) -> Iterator[None]:
    """Keep other processes and threads that ask for the same lock away meanwhile.

    Args:
        path: of the lock; its folder is made.
        seconds: to wait for it at most.

    Raises:
        FileLocked: if another holds it for longer.
        StorageError: if the folder cannot be written to.
    """
    lock = FileLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=seconds)
    except Timeout as error:
        raise FileLocked(
            f"another program holds {path}. Wait until it has ended, and do it again."
        ) from error
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        yield
    finally:
        lock.release()


def _unwritable(path: Path, error: OSError) -> StorageError:
    return StorageError(
        f"{path} cannot be written: {error.strerror or error}. Free space there or correct the "
        "rights, and do it again."
    )


def _open_to_others(descriptor: int) -> None:
    """Let a temporary file, which is its maker's alone, be read like any other."""
    if hasattr(os, "fchmod"):
        # Some disks know no rights, and refuse.
        with contextlib.suppress(OSError):
            os.fchmod(descriptor, 0o666 & ~_UMASK)


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return  # Windows cannot open a folder to sync it, and its rename is journaled
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
