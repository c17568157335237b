"""Checksums of files, with progress."""

from __future__ import annotations

import hashlib
from pathlib import Path

from repro.bars import open_with_bar

CHUNK = 1 << 20


def checksum(algorithm: str, *files: Path) -> str:
    """Return the checksum of files, one after another, in hexadecimal digits; OSError, with its file, if one fails."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    for each in files:
        try:
            with open_with_bar(each, f"checking {each.name}") as file:
                while chunk := file.read(CHUNK):
                    digest.update(chunk)
        except OSError as error:
            error.filename = str(each)  # an error in reading names no file
            raise
    return digest.hexdigest()
