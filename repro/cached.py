"""Values in the cache: files in JSON, each with a digest, so that a damaged file counts as missing."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from repro.atomic import write_atomically

T = TypeVar("T")


class _File(msgspec.Struct):
    """The content of a file."""

    sha256: str
    """Of the file's name and the value, so that a file under another name counts as missing, too."""
    value: msgspec.Raw


def read_cached(path: Path, kind: type[T]) -> T | None:
    """Return the value in a file; None if the file is missing, or is not what `write_cached` wrote."""
    with suppress(OSError, ValueError, RecursionError):
        found = msgspec.json.decode(path.read_bytes(), type=_File)
        if found.sha256 == _digest(path, bytes(found.value)):
            return msgspec.json.decode(found.value, type=kind)
    return None


def write_cached(path: Path, value: object) -> None:
    """Write a value; without a writable cache it is computed again next time."""
    content = msgspec.json.encode(value)
    with suppress(OSError):
        write_atomically(path, msgspec.json.encode(_File(_digest(path, content), msgspec.Raw(content))))


def _digest(path: Path, content: bytes) -> str:
    return hashlib.sha256(path.name.encode() + content).hexdigest()
