"""Whether results can be written, checked before hours of training, and the lock of a file of results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from repro.atomic import write_atomically
from repro.errors import UserError, unwritten
from repro.locks import Held, locked

LOCK_SECONDS, QUICK_SECONDS = 600.0, 30.0
"""Longest waits for the lock of a file: at the end of a training, and before it."""


def check_writable(file: Path, *, beside: Sequence[str] = ()) -> None:
    """Try everything that adding a line to a file of results needs; the file stays as it is.

    Args:
        file: runs.csv, times.csv or weights.csv; its folder is created if needed.
        beside: folders next to it that get files too, such as `curves`.

    Raises:
        UserError: its folder, one beside it, the file or its lock cannot be written, another process holds the
            lock, or the file system has no locks.
        RunFailed: the disk is full.
    """
    try:
        for folder in (file.parent, *(file.parent / each for each in beside)):
            folder.mkdir(parents=True, exist_ok=True)
            _probe(folder)
        with locked_results(file, QUICK_SECONDS):
            if file.exists():  # where several users share a folder, only a file's owner may be allowed to replace it
                write_atomically(file, file.read_bytes())
    except OSError as error:
        reason = f"{error.filename or file.parent}: {error.strerror}"
        raise unwritten(f"{file} cannot be written ({reason})", error, "choose another --results folder") from error


def _probe(folder: Path) -> None:
    """Write a file and remove it; an error names the folder."""
    try:
        write_atomically(folder / ".probe", b"")
        (folder / ".probe").unlink(missing_ok=True)
    except OSError as error:
        error.filename = str(folder)
        raise


@contextmanager
def locked_results(file: Path, seconds: float = LOCK_SECONDS) -> Iterator[None]:
    """Hold the lock of a file of results; its folder is created if needed.

    Raises:
        UserError: another process has held it for so many seconds, or the file system has no locks.
    """
    lock = file.with_name(f".{file.stem}.lock")
    file.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        try:
            held.enter_context(locked(lock, seconds))
        except Held as holder:
            raise UserError(
                f"{file} is locked: {holder} has held {lock} for over {seconds:g} seconds; wait for that process or "
                "end it, and run the same command again"
            ) from None
        yield
