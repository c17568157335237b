"""Checksums of files, with progress."""

from __future__ import annotations

import hashlib
from pathlib import Path

from repro.bars import open_with_bar

CHUNK = 1 << 20


def checksum(path: Path, algorithm: str) -> str:
    """Return the checksum of a file in hexadecimal digits; OSError if it cannot be read."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with open_with_bar(path, f"checking {path.name}") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
