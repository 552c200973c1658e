"""What only the plant's own programs may read, and what they sign. Loads without itsdangerous."""

from __future__ import annotations

import hashlib
import hmac
import math
import os
import re
import secrets
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from filelock import FileLock, Timeout

from cdm_inspect.errors import AccessError, StorageError
from cdm_inspect.files import write_durably
from cdm_inspect.roles import Actor, Role

if TYPE_CHECKING:
    from itsdangerous import Signer as Seal
    from itsdangerous import URLSafeSerializer

KEY_FILE = "dashboard.key"

_KEY_BYTES = 32
_LOCK_S = 30.0
_HOUR_S = 3600
_SKEW_S = 60.0
"""By so much a clock may be set back before sessions end."""
_LONGEST_SESSION = 4096


class Signer:
    """Signs sessions and addresses with the secret of a plant (HMAC-SHA256), each for itself.

    Args:
        secret: of at least 32 bytes, such as `plant_secret` gives.
    """

    def __init__(self, secret: bytes) -> None:
        if len(secret) < _KEY_BYTES:
            raise AccessError(
                f"expected a secret of {_KEY_BYTES} bytes or more, found {len(secret)}. Use that "
                "of the plant."
            )
        self._secret = secret

    def session(self, actor: Actor, epoch: int, *, now: float | None = None) -> str:
        """A text that says who is logged in, fit for a cookie; signed, not encrypted.

        Args:
            actor: who.
            epoch: of the user, as it was when the password was checked.
            now: seconds since 1970; None asks the clock.
        """
        at = int(time.time() if now is None else now)
        text = self._sessions().dumps([actor.name, actor.role.value, epoch, at])
        return text if isinstance(text, str) else text.decode()

    def read_session(
        self, text: str | None, max_age_s: float, *, now: float | None = None
    ) -> tuple[str, Role, int] | None:
        """Name, role and epoch of a session; None if it is too old or not signed by this plant.

        The role is that of the moment of the login: ask `Accounts.actor` what holds now.
        """
        from itsdangerous import BadData

        if not text or len(text) > _LONGEST_SESSION or not text.isascii():
            return None
        try:
            name, role, epoch, at = self._sessions().loads(text)
        except BadData:
            return None
        age = (time.time() if now is None else now) - at
        return (name, Role(role), epoch) if -_SKEW_S <= age <= max_age_s else None

    def sign_path(self, path: str, seconds: float, *, now: float | None = None) -> str:
        """An address that opens a path for a while, to whoever has it.

        It ends at a full hour, so that the same path has the same address for that long, and
        browsers need not fetch a picture again.

        Args:
            path: as the server sees it: decoded, without a query.
            seconds: for which it opens at the least; at the most an hour longer.
            now: seconds since 1970; None asks the clock.
        """
        if "?" in path or "#" in path:
            raise AccessError(f"expected a path without a query, found {path!r}. Sign the path.")
        end = (time.time() if now is None else now) + seconds
        expiry = str(math.ceil(end / _HOUR_S) * _HOUR_S)
        return f"{quote(path)}?e={expiry}&s={self._seal_of(path, expiry)}"

    def is_signed(
        self, path: str, expiry: str | None, signature: str | None, *, now: float | None = None
    ) -> bool:
        """Whether `sign_path` made the address, and it still holds.

        Args:
            path: that was asked for, decoded.
            expiry: the parameter `e` of the query.
            signature: its parameter `s`.
            now: seconds since 1970; None asks the clock.
        """
        if not expiry or not signature or not signature.isascii():
            return False
        if not re.fullmatch("[0-9]{1,12}", expiry):
            return False
        is_ours = hmac.compare_digest(self._seal_of(path, expiry), signature)
        return is_ours and (time.time() if now is None else now) < int(expiry)

    def _seal_of(self, path: str, expiry: str) -> str:
        from itsdangerous import Signer as Seal

        seal: Seal = Seal(self._secret, salt="cdm-inspect.path", **_fingerprint())
        value = f"{expiry}:{path}".encode("utf-8", "surrogatepass")
        return seal.get_signature(value).decode()

    def _sessions(self) -> URLSafeSerializer:
        from itsdangerous import URLSafeSerializer

        return URLSafeSerializer(
            self._secret, salt="cdm-inspect.session", signer_kwargs=_fingerprint()
        )


def _fingerprint() -> dict[str, Any]:
    """By default it would be SHA-1."""
    return {"key_derivation": "hmac", "digest_method": hashlib.sha256}


def plant_secret(root: Path) -> bytes:
    """The secret of a plant, 32 random bytes in `dashboard.key`; made when first asked for.

    Args:
        root: the project directory.

    Raises:
        AccessError: if others can read the file, or it is damaged.
        StorageError: if it cannot be written.
    """
    path = root / KEY_FILE
    key = read_private(path)
    if key is None:
        with locked(path):
            key = read_private(path)  # another process may have been faster
            if key is None:
                key = secrets.token_bytes(_KEY_BYTES)
                write_private(path, key)
    if len(key) != _KEY_BYTES:
        raise AccessError(
            f"{path} is damaged: expected {_KEY_BYTES} bytes, found {len(key)}. Remove it and "
            "start again; everybody has to log in again."
        )
    return key


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other processes and threads from changing a file meanwhile.

    Raises:
        StorageError: if another program has been changing it for half a minute, or the folder
            cannot be written.
    """
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire(timeout=_LOCK_S)
    except Timeout as error:
        raise StorageError(
            f"another program is changing {path}. Wait until it has ended, and do it again."
        ) from error
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        yield
    finally:
        lock.release()


def read_private(path: Path) -> bytes | None:
    """The bytes of a file that nobody else can read; None if there is none.

    Raises:
        AccessError: if others can read or write it, or it cannot be read at all.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            # Windows tells nothing by these bits.
            if os.name == "posix" and mode & 0o077:
                raise AccessError(
                    f"others can read or change {path} (mode {mode & 0o777:03o}), and perhaps have "
                    f"done so. Run: chmod 600 '{path}'. If people that should not can log in to "
                    "this machine, change the passwords as well."
                )
            return file.read()
    except FileNotFoundError as error:
        if path.is_symlink():
            raise AccessError(
                f"{path} points to a file that is not there. Mend the link, or remove it."
            ) from error
        return None
    except OSError as error:
        raise AccessError(
            f"{path} cannot be read: {error.strerror or error}. It has to be a file that belongs "
            "to whoever runs this, with mode 600."
        ) from error


def write_private(path: Path, data: bytes) -> None:
    """Write a file durably, whole or not at all, that nobody else can read at any moment.

    Raises:
        AccessError: if the disk keeps nobody from reading.
        StorageError: if it cannot be written; `path` is then as it was.
    """
    try:
        # Nobody else can look into this folder, while what is in it is still open to all.
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
            inner = Path(folder) / path.name
            write_durably(inner, data)
            inner.chmod(0o600)
            if os.name == "posix" and inner.stat().st_mode & 0o077:
                raise AccessError(
                    f"the disk of {path} knows no rights, so others could read the file. Keep the "
                    "project directory on another one."
                )
            _sync(inner)
            inner.replace(path)
        _sync(path.parent)
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> StorageError:
    return StorageError(
        f"{path} cannot be written: {error.strerror or error}. Free space there or correct the "
        "rights, and do it again."
    )


def _sync(path: Path) -> None:
    if os.name != "posix":
        return  # Windows syncs neither folders nor what is open for reading
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
