"""JSON that any reader accepts, text that can be stored, and hashes."""

from __future__ import annotations

import hashlib
import json
import math
import os
from pathlib import Path
from typing import Any


def to_json(document: object, *, indent: int | None = None) -> bytes:
    """A JSON document that any reader accepts: it has no NaN, and what is not known is null."""
    text = json.dumps(as_json(document), indent=indent, ensure_ascii=False, allow_nan=False)
    return text.encode()


def as_json(value: Any) -> Any:
    """The same, with null for each number that is not finite, and text that is valid UTF-8."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, str):
        return readable(value)
    if isinstance(value, dict):
        return {as_json(key): as_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(item) for item in value]
    return value


def readable(text: str | Path) -> str:
    """Text that can be stored and shown, although a file name in it may be no valid UTF-8."""
    try:
        data = os.fsencode(text)
    except UnicodeEncodeError:  # half of a pair that stands for no byte of a file name
        data = str(text).encode("utf-8", "backslashreplace")
    # No database takes a NUL in a text.
    return data.decode("utf-8", "backslashreplace").replace("\0", "\\x00")


def sha256_of(data: bytes) -> str:
    """SHA-256 of the bytes, lower-case hexadecimal."""
    return hashlib.sha256(data).hexdigest()
