"""Images and heat maps as files, each named by the SHA-256 of its bytes, as `aa/<sha256>`."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import fsspec
from fsspec.implementations.local import LocalFileSystem

from cdm_inspect.encoding import sha256_of
from cdm_inspect.errors import PLUGIN_EXCEPTIONS, DamagedFile, StorageError
from cdm_inspect.files import write_durably

_NAME = re.compile(r"[0-9a-f]{64}")
_FOLDER = re.compile(r"[0-9a-f]{2}")
# What a program that was killed leaves of its own; files of others are none of our business.
_HALF_WRITTEN = re.compile(r"\.[0-9a-f]{64}\.[A-Za-z0-9_]+")
# A file that is put again is made young, so that no sweep takes it from under a new row.
_YOUNG_SECONDS = 3600.0
_TRASH = ".swept"


@dataclass(frozen=True, kw_only=True)
class Swept:
    """What a sweep has removed, or would."""

    files: int
    bytes: int
    temporaries: int


class FileStore(Protocol):
    """Files that are never changed; writing the same bytes twice keeps one."""

    where: str

    def put(self, data: bytes) -> str:
        """Keep bytes durably; returns their name.

        Raises:
            StorageError: if they cannot be written.
        """
        ...

    def get(self, name: str) -> bytes:
        """The bytes of a file, checked against its name.

        Raises:
            DamagedFile: if there is no such file, or its bytes have changed.
            StorageError: if it cannot be read.
        """
        ...

    def size(self, name: str) -> int | None:
        """Bytes of a file, which are not read; None where there is none.

        Raises:
            StorageError: if nobody can tell.
        """
        ...

    def read_note(self, name: str) -> str:
        """What was written under a name beside the files; empty if nothing was."""
        ...

    def write_note(self, name: str, text: str) -> None:
        """Write it."""
        ...

    def is_empty(self) -> bool:
        """Whether there is no file yet."""
        ...

    def sweep(
        self, in_use: Callable[[Sequence[str]], Set[str]], *, age: float, is_dry: bool
    ) -> Swept:
        """Remove what is not in use and older than `age` seconds, and what was left half written.

        Raises:
            StorageError: if the files cannot be listed or removed.
        """
        ...


def open_files(images: str, root: Path) -> FileStore:
    """The files at a folder, or at an address of fsspec such as `s3://bucket/folder`.

    Args:
        images: a relative folder counts from `root`.

    Raises:
        StorageError: if what the address needs is not installed.
    """
    if "://" not in images:
        return LocalFiles(root / images)
    try:
        system, path = fsspec.url_to_fs(images, use_listings_cache=False)
    except (ImportError, ValueError) as error:
        raise StorageError(
            f"store.images: expected a folder or an address such as s3://bucket/folder, found "
            f"{images!r} ({error}). For S3: pip install 'cdm-inspect[s3]'."
        ) from error
    except PLUGIN_EXCEPTIONS as error:
        raise StorageError(f"{images} cannot be used: {error}.") from error
    if isinstance(system, LocalFileSystem):
        return LocalFiles(Path(path))
    return RemoteFiles(system, path, images)


class LocalFiles:
    """Files below a folder of this machine or of a share.

    Args:
        is_synced: whether each file is on the disk before `put` returns.
    """

    def __init__(self, root: Path, *, is_synced: bool = True) -> None:
        self.root, self.where, self._is_synced = root, str(root), is_synced

    def put(self, data: bytes) -> str:
        """Keep bytes durably; see `FileStore`."""
        name = sha256_of(data)
        path = self._path(name)
        try:
            if not self._is_kept(path, len(data)):
                write_durably(path, data, is_synced=self._is_synced)
        except (OSError, StorageError) as error:
            raise StorageError(
                f"an image cannot be kept below {self.root}, and the part was not recorded: {error}"
            ) from error
        return name

    def get(self, name: str) -> bytes:
        """The bytes of a file; see `FileStore`."""
        _check(name)
        try:
            data = self._path(name).read_bytes()
        except FileNotFoundError as error:
            raise _missing(name, self.where) from error
        except OSError as error:
            raise _unreadable(name, self.where, error.strerror or error) from error
        return _checked(data, name, self.where)

    def size(self, name: str) -> int | None:
        """Bytes of a file; see `FileStore`."""
        try:
            return self._path(name).stat().st_size
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unreadable(name, self.where, error.strerror or error) from error

    def read_note(self, name: str) -> str:
        """What was written under a name beside the files; empty if nothing was."""
        try:
            return (self.root / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            return ""
        except (OSError, UnicodeDecodeError) as error:
            raise StorageError(f"{self.root / name} cannot be read: {error}.") from error

    def write_note(self, name: str, text: str) -> None:
        """Write it."""
        write_durably(self.root / name, text.encode())

    def is_empty(self) -> bool:
        """Whether there is no file yet."""
        return next(self._names(), None) is None

    def sweep(
        self, in_use: Callable[[Sequence[str]], Set[str]], *, age: float, is_dry: bool
    ) -> Swept:
        """Remove what nobody needs; see `FileStore`."""
        before = time.time() - age
        files = size = temporaries = 0
        try:
            for folder in sorted(self.root.glob("[0-9a-f][0-9a-f]")):
                if not is_dry:
                    _put_back(folder)
                old = {path.name: found for path, found in _files_of(folder) if found[1] < before}
                kept = in_use([name for name in old if _NAME.fullmatch(name)])
                for name, (length, _) in old.items():
                    is_half = bool(_HALF_WRITTEN.fullmatch(name))
                    if name in kept or not (is_half or _NAME.fullmatch(name)):
                        continue
                    if not is_dry and not _remove_old(folder / name, before):
                        continue
                    files, size = files + (not is_half), size + (0 if is_half else length)
                    temporaries += is_half
        except OSError as error:
            raise StorageError(
                f"the files below {self.root} cannot be swept: {error.strerror or error}. Correct "
                "the rights there; nothing that is in use was removed."
            ) from error
        return Swept(files=files, bytes=size, temporaries=temporaries)

    def _is_kept(self, path: Path, length: int) -> bool:
        try:
            found = path.stat()
            if found.st_size != length:
                return False
            if time.time() - found.st_mtime > _YOUNG_SECONDS:
                os.utime(path)
        except (FileNotFoundError, PermissionError):
            return False  # another owner's, too, is written anew: only so does it become young
        return True

    def _names(self) -> Iterator[str]:
        for folder in self.root.glob("[0-9a-f][0-9a-f]"):
            yield from (path.name for path in folder.iterdir() if _NAME.fullmatch(path.name))

    def _path(self, name: str) -> Path:
        return self.root / name[:2] / name


class RemoteFiles:
    """Files on a file system of fsspec, such as an S3 bucket.

    Args:
        system: of fsspec.
        root: path within it.
        where: the address, for people.
    """

    def __init__(self, system: Any, root: str, where: str) -> None:
        self._system, self._root, self.where = system, root.rstrip("/"), where

    def put(self, data: bytes) -> str:
        """Keep bytes durably; see `FileStore`."""
        name = sha256_of(data)
        path = self._path(name)
        try:
            if not self._is_kept(path, len(data)):
                self._system.pipe_file(path, data)
                found = self._system.info(path)["size"]
                if found != len(data):
                    raise StorageError(f"{found} of {len(data)} bytes arrived.")
        except PLUGIN_EXCEPTIONS as error:
            raise StorageError(
                f"an image cannot be kept at {self.where}, and the part was not recorded: {error}"
            ) from error
        return name

    def get(self, name: str) -> bytes:
        """The bytes of a file; see `FileStore`."""
        _check(name)
        try:
            data = self._system.cat_file(self._path(name))
        except FileNotFoundError as error:
            raise _missing(name, self.where) from error
        except PLUGIN_EXCEPTIONS as error:
            raise _unreadable(name, self.where, error) from error
        return _checked(data, name, self.where)

    def size(self, name: str) -> int | None:
        """Bytes of a file; see `FileStore`."""
        try:
            return int(self._system.info(self._path(name))["size"])
        except FileNotFoundError:
            return None
        except PLUGIN_EXCEPTIONS as error:
            raise _unreadable(name, self.where, error) from error

    def read_note(self, name: str) -> str:
        """What was written under a name beside the files; empty if nothing was."""
        try:
            return str(self._system.cat_file(f"{self._root}/{name}").decode())
        except FileNotFoundError:
            return ""
        except PLUGIN_EXCEPTIONS as error:
            raise StorageError(f"{self.where}/{name} cannot be read: {error}.") from error

    def write_note(self, name: str, text: str) -> None:
        """Write it.

        Raises:
            StorageError: if it cannot be written.
        """
        try:
            self._system.pipe_file(f"{self._root}/{name}", text.encode())
        except PLUGIN_EXCEPTIONS as error:
            raise StorageError(f"{self.where}/{name} cannot be written: {error}.") from error

    def is_empty(self) -> bool:
        """Whether there is no file yet."""
        try:
            found = self._system.ls(self._root, detail=False)
            return not any(_FOLDER.fullmatch(path.rpartition("/")[2]) for path in found)
        except FileNotFoundError:
            return True
        except PLUGIN_EXCEPTIONS as error:
            raise StorageError(f"{self.where} cannot be read: {error}.") from error

    def sweep(
        self, in_use: Callable[[Sequence[str]], Set[str]], *, age: float, is_dry: bool
    ) -> Swept:
        """Remove what nobody needs; see `FileStore`. Objects appear whole: none is half written.

        Each is looked at again right before it goes; between that look and the deletion, of one
        request, no file system of this kind can be stopped from taking the same bytes again.
        """
        before = time.time() - age
        files = size = 0
        try:
            for number in range(256):
                found = self._listed(f"{self._root}/{number:02x}")
                names = [name for name in found if _NAME.fullmatch(name)]
                for name in sorted(set(names) - in_use(names)):
                    if self._system.modified(self._path(name)).timestamp() >= before:
                        continue
                    if not is_dry:
                        self._system.rm_file(self._path(name))
                    files, size = files + 1, size + found[name]
        except PLUGIN_EXCEPTIONS as error:
            raise StorageError(f"the files at {self.where} cannot be swept: {error}.") from error
        return Swept(files=files, bytes=size, temporaries=0)

    def _is_kept(self, path: str, length: int) -> bool:
        try:
            found = self._system.info(path)
            age = time.time() - self._system.modified(path).timestamp()
        except FileNotFoundError:
            return False
        return bool(found["size"] == length and age < _YOUNG_SECONDS)

    def _listed(self, folder: str) -> dict[str, int]:
        try:
            entries = self._system.ls(folder, detail=True)
        except FileNotFoundError:
            return {}
        return {entry["name"].rpartition("/")[2]: int(entry["size"] or 0) for entry in entries}

    def _path(self, name: str) -> str:
        return f"{self._root}/{name[:2]}/{name}"


def _files_of(folder: Path) -> Iterator[tuple[Path, tuple[int, float]]]:
    """Files of a folder with their size and age; what goes meanwhile is left out."""
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            found = path.stat()
            if path.is_file():
                yield path, (found.st_size, found.st_mtime)


def _put_back(folder: Path) -> None:
    """What a sweep that was killed has moved out of the way."""
    for aside in folder.glob(f"*{_TRASH}"):
        name = aside.name.removesuffix(_TRASH)
        if _NAME.fullmatch(name):
            with contextlib.suppress(FileNotFoundError):
                aside.replace(folder / name)


def _remove_old(path: Path, before: float) -> bool:
    """Remove a file unless it was made young meanwhile.

    Out of the way first, then looked at: who puts the same bytes now either finds nothing and
    writes them, or has made the file young before, and then it comes back.
    """
    aside = path.with_name(f"{path.name}{_TRASH}")
    try:
        os.rename(path, aside)
        if aside.stat().st_mtime < before:
            os.unlink(aside)
            return True
        os.replace(aside, path)
    except FileNotFoundError:
        pass  # another sweep was faster
    return False


def _check(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise StorageError(f"expected a SHA-256 of 64 digits, found {name[:80]!r}.")


def _checked(data: bytes, name: str, where: str) -> bytes:
    if sha256_of(data) != name:
        raise DamagedFile(f"file {name} below {where} has changed. Restore it.")
    return data


def _missing(name: str, where: str) -> DamagedFile:
    return DamagedFile(f"file {name} is missing below {where}. Restore the folder from a backup.")


def _unreadable(name: str, where: str, why: object) -> StorageError:
    return StorageError(f"file {name} below {where} cannot be read: {why}.")
