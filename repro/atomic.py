"""Files that are whole or not there: written beside their place and renamed."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO


def write_atomically(path: Path, content: bytes | Callable[[BinaryIO], object]) -> None:
    """Write a file so that a crash or a full disk leaves the old one or the new one, never a part.

    Args:
        path: its folder is made if need be; a link stays one, and into a pipe or a device it is simply written.
        content: the bytes, or what writes them to an open file.

    Raises:
        OSError: it could not be written; the old file is as it was.
    """
    if path.exists() and not path.is_file():
        with path.open("wb") as file:
            _write(content, file)
        return
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with beside.open("wb") as file:
            _write(content, file)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _write(content: bytes | Callable[[BinaryIO], object], file: BinaryIO) -> None:
    if callable(content):
        content(file)
    else:
        file.write(content)


def remove_unfinished(folder: Path) -> None:
    """Remove what killed writers left behind in a folder in which nobody else writes now."""
    for part in folder.glob(".*.part"):
        part.unlink(missing_ok=True)
