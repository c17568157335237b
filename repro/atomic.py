"""Atomic writing: a file is written under another name and then renamed."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO


def write_atomically(path: Path, content: bytes | Callable[[BinaryIO], object]) -> None:
    """Write a file so that a crash or a full disk leaves the old or the new content, never a part.

    Args:
        path: its folder is created if needed. A link stays a link; pipes and devices are written directly.
        content: the bytes, or a function that writes them to an open file.

    Raises:
        OSError: the file could not be written; the old one is unchanged.
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
    """Remove partial files of killed processes from a folder to which no other process writes."""
    for part in folder.glob(".*.part"):
        part.unlink(missing_ok=True)
