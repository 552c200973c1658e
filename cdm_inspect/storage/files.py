"""Images and heat maps as files, each named by the SHA-256 of their bytes."""

from __future__ import annotations

import re
from pathlib import Path

from cdm_inspect.durable import sha256_of, write_durably
from cdm_inspect.errors import StorageError

_NAME = re.compile(r"[0-9a-f]{64}")


class FileStore:
    """Files below one folder, as `aa/<sha256>`; writing the same bytes twice keeps one file."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, data: bytes) -> str:
        """Keep bytes durably; returns their name.

        Raises:
            StorageError: if they cannot be written.
        """
        name = sha256_of(data)
        path = self._path(name)
        try:
            if not path.is_file() or path.stat().st_size != len(data):
                write_durably(path, data)
        except (OSError, StorageError) as error:
            raise StorageError(
                f"an image cannot be kept below {self.root}, and the part was not recorded: {error}"
            ) from error
        return name

    def get(self, name: str) -> bytes:
        """The bytes of a file, checked against its name.

        Raises:
            StorageError: if there is no such file, or its bytes have changed.
        """
        if not _NAME.fullmatch(name):
            raise StorageError(f"expected a SHA-256 of 64 digits, found {name[:80]!r}.")
        try:
            data = self._path(name).read_bytes()
        except OSError as error:
            raise StorageError(
                f"file {name} is missing below {self.root} ({error.strerror or error}). "
                "Restore the folder from a backup."
            ) from error
        if sha256_of(data) != name:
            raise StorageError(f"file {name} below {self.root} has changed. Restore it.")
        return data

    def _path(self, name: str) -> Path:
        return self.root / name[:2] / name
