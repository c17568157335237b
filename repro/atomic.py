"""Atomic writing: a file or a folder is written under another name and then renamed."""

import fcntl
import os
import shutil
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO

PART = ".part"
"""How the names of unfinished files and folders end."""


def write_atomically(path: Path, content: bytes | Callable[[BinaryIO], object]) -> None:
    """Write a file so that a crash or a full disk leaves the old or the new content, never a part.

    What killed processes left of the same file is removed.

    Args:
        path: its folder is created if needed. A link stays a link; pipes and devices are written directly.
        content: the bytes, or a function that writes them to an open file.

    Raises:
        OSError: the file could not be written; the old one is unchanged.
    """
    with naming(path):
        if path.exists() and not path.is_file():
            with path.open("wb") as device:
                _write(content, device)
        else:
            _replace(path.resolve(), content)


def _replace(path: Path, content: bytes | Callable[[BinaryIO], object]) -> None:
    """Write a file under another name and rename it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_unfinished(path.parent, path.name)
    part, file = _new_part(path)
    try:
        with file:
            _write(content, file)
            file.flush()
            os.fsync(file.fileno())
            part.replace(path)  # while the file is locked
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let errors of the system name the file that is written, not its unfinished one or none."""
    try:
        yield
    except OSError as error:
        if not error.filename or str(error.filename).endswith(PART):
            error.filename = str(path)
        raise


def write_folder_atomically(folder: Path, files: Mapping[Path, bytes]) -> None:
    """Write a new folder so that a stopped process or a full disk leaves all of it or nothing.

    Args:
        folder: does not exist or is empty; the folders above it are created if needed.
        files: the contents by path within the folder.

    Raises:
        OSError: the folder could not be written, or is not empty.
    """
    folder = folder.resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    remove_unfinished(folder.parent, folder.name)
    part = part_of(folder)
    part.mkdir()
    try:
        with _opened(part) as number:
            with suppress(OSError):
                fcntl.flock(number, fcntl.LOCK_EX)
            for path, content in files.items():
                (part / path).parent.mkdir(parents=True, exist_ok=True)
                (part / path).write_bytes(content)
            part.replace(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def part_of(path: Path) -> Path:
    """Return the path for an unfinished file; host and a random part keep machines with equal process IDs apart."""
    host = socket.gethostname().partition(".")[0]
    return path.with_name(f".{path.name}.{host}-{os.getpid()}-{token_hex(4)}{PART}")


def _new_part(path: Path) -> tuple[Path, BinaryIO]:
    """Open an unfinished file that is locked against `remove_unfinished`, if the file system has locks."""
    while True:
        part = part_of(path)
        file = part.open("xb")
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        if part.exists():  # else it was removed before it was locked
            return part, file
        file.close()


def _write(content: bytes | Callable[[BinaryIO], object], file: BinaryIO) -> None:
    if callable(content):
        content(file)
    else:
        file.write(content)


def remove_unfinished(folder: Path, name: str | None = None) -> None:
    """Remove the partial files and folders of killed processes from a folder; those that are being written are locked.

    Args:
        folder: holds them.
        name: of the file or folder that they were to become (default: any).
    """
    for part in folder.glob(f".{escape(name)}.*.part" if name else ".*.part"):
        with suppress(OSError), _opened(part) as number:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(part) if part.is_dir() else part.unlink()


@contextmanager
def _opened(part: Path) -> Iterator[int]:
    """Context with the descriptor of an unfinished file or folder; network file systems lock only writable files."""
    number = os.open(part, os.O_RDONLY if part.is_dir() else os.O_RDWR)
    try:
        yield number
    finally:
        os.close(number)
