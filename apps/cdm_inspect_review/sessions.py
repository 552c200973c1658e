"""What only the plant's own programs may read, and what they sign. Loads without itsdangerous."""

from __future__ import annotations

import hashlib
import hmac
import math
import os
import re
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from cdm_inspect.errors import AccessError
from cdm_inspect.files import locked, write_durably
from cdm_inspect.roles import Actor, Role

if TYPE_CHECKING:
    from itsdangerous import Signer as Seal, URLSafeSerializer

KEY_FILE = "dashboard.key"

_KEY_BYTES = 32
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

    Raises:
        AccessError: if others can read the file, or it is damaged.
        StorageError: if it cannot be written.
    """
    path = root / KEY_FILE
    key = read_private(path)
    if key is None:
        with locked(lock_of(path)):
            key = read_private(path)  # another process may have been faster
            if key is None:
                key = secrets.token_bytes(_KEY_BYTES)
                write_durably(path, key, is_private=True)
    if len(key) != _KEY_BYTES:
        raise AccessError(
            f"{path} is damaged: expected {_KEY_BYTES} bytes, found {len(key)}. Remove it and "
            "start again; everybody has to log in again."
        )
    return key


def lock_of(path: Path) -> Path:
    """The lock that keeps others from changing a file meanwhile."""
    return path.with_name(f".{path.name}.lock")


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
