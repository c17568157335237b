"""Locks between processes, also of several machines on one file system; a lock ends with its process."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from typing import BinaryIO

import msgspec

from repro.atomic import write_atomically
from repro.errors import UserError

POLL_SECONDS = 0.05
ATTEMPTS = 40
"""To lock the file that is now at a path, while others delete it."""


@dataclass(frozen=True)
class Holder:
    """The process that holds a lock, as it stands beside the lock file."""

    host: str
    process: int
    """ID of the process on its host, or in its container."""
    since: str
    """UTC."""

    def __str__(self) -> str:
        return f"process {self.process} on {self.host} since {self.since}"


class Held(Exception):
    """Another process holds a lock."""

    def __init__(self, holder: Holder | None) -> None:
        super().__init__(str(holder or "an unknown process"))


@contextmanager
def locked(path: Path, seconds: float = inf) -> Iterator[None]:
    """Hold a lock, and state beside it who holds it.

    Only a process that holds the lock may `delete` the file. One that waits for it then locks a new file, in a new
    folder if the folder is deleted, too.

    Args:
        path: the lock file; its folder is created if needed.
        seconds: longest wait for another process.

    Raises:
        Held: another process holds the lock.
        UserError: the file system has no locks, or the file is deleted again and again.
    """
    with _locked_file(path, seconds) as file:
        try:
            with suppress(OSError):  # on a full disk the lock still holds
                write_atomically(_beside(path), msgspec.json.encode(_this_process()))
            yield
        finally:
            with suppress(OSError):
                if _is_at(file, path):  # else the file beside it is of the process that locked a new one
                    _beside(path).unlink(missing_ok=True)
            fcntl.flock(file, fcntl.LOCK_UN)  # closing does not unlock while a forked worker has the file open


def delete(path: Path) -> None:
    """Delete the file of a lock that this process holds; one that waits for it notices."""
    _beside(path).unlink(missing_ok=True)
    path.unlink()


@contextmanager
def _locked_file(path: Path, seconds: float) -> Iterator[BinaryIO]:
    """Yield the locked file that is now at a path."""
    end = time.monotonic() + seconds
    for _ in range(ATTEMPTS):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            file = path.open("ab")
        except FileNotFoundError:  # the folder was deleted before the file was made
            time.sleep(POLL_SECONDS)
            continue
        with file:
            _lock(file, path, end)
            if _is_at(file, path):
                yield file
                return
        time.sleep(POLL_SECONDS)
    raise UserError(f"{path} cannot be locked: it is deleted again and again, or is a link to a folder that is missing")


def _is_at(file: BinaryIO, path: Path) -> bool:
    """Whether an open file is still the one at a path."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ESTALE):  # the second one if another machine deleted it
            return False
        raise


def holder_of(path: Path) -> str | None:
    """Return the process that holds a lock, in words; None if there is none, or the file system has no locks.

    The lock may be of another user: a shared lock, which that of `locked` excludes, needs no permission to write.

    Raises:
        PermissionError: the file may not be read.
    """
    try:
        with path.open("rb") as file:
            _lock(file, path, time.monotonic(), fcntl.LOCK_SH)
            return None
    except Held as held:
        return str(held)
    except PermissionError:
        raise
    except (OSError, UserError):
        return None


def _lock(file: BinaryIO, path: Path, end: float, kind: int = fcntl.LOCK_EX) -> None:
    """Lock an open file before a time of the monotonic clock; closing it unlocks it."""
    while True:
        try:
            return fcntl.flock(file, kind | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):  # some network file systems answer EACCES
            if time.monotonic() >= end:
                raise Held(_holder(path)) from None
        except OSError as error:
            if error.errno == errno.ESTALE:  # another machine deleted the file, so nobody holds its lock
                return None
            raise UserError(
                f"the file system of {path.parent} has no file locks ({error.strerror}), without which two processes "
                "could write the same files; choose a folder on another file system"
            ) from error
        time.sleep(POLL_SECONDS)


def _this_process() -> Holder:
    return Holder(socket.gethostname(), os.getpid(), datetime.now(UTC).isoformat(" ", "seconds"))


def _holder(path: Path) -> Holder | None:
    """Return who holds a lock; None if it is not stated, as in the moment after locking."""
    try:
        return msgspec.json.decode(_beside(path).read_bytes(), type=Holder)
    except (OSError, ValueError, RecursionError):
        return None


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")
