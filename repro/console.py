"""Where words go: the answer to stdout, everything else to stderr."""

from __future__ import annotations

import io
import json
import os
import signal
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

if TYPE_CHECKING:
    from rich.console import Console


T = TypeVar("T")

SPOKEN_SECONDS = 15.0
"""Between two lines on how far a work is, where there is no terminal to show a bar."""


@cache
def stdout() -> Console:
    """Return the console of the answer; without a terminal it neither colours nor wraps narrowly."""
    return _console(stderr=False)


@cache
def stderr() -> Console:
    """Return the console of progress and warnings."""
    return _console(stderr=True)


def with_bar(items: Sequence[T], what: str) -> Iterable[T]:
    """Return the items, with a bar and the time left on stderr while they are worked on."""
    if not items:
        return items
    if not stderr().is_terminal:
        return _with_lines(items, what)
    from rich.progress import track

    return track(items, what, console=stderr(), transient=True)


def _with_lines(items: Sequence[T], what: str) -> Iterator[T]:
    """Give the items, saying what begins and, now and then, how many are done and the time left."""
    lines = _Lines(what, len(items))
    for done, item in enumerate(items):
        lines.tell(done, f"{done}/{len(items)}")
        yield item


class _Lines:
    """What is said of a work where there is no terminal: that it begins, and now and then how far it is."""

    def __init__(self, what: str, total: int) -> None:
        self.what, self.total = what, total
        self.began = self.spoken = time.monotonic()
        _say(f"{what} ...")

    def tell(self, done: int, shown: str) -> None:
        """Say how much is done, if it is time to."""
        now = time.monotonic()
        if done and now - self.spoken > SPOKEN_SECONDS:
            _say(f"{self.what}: {shown}  {time_left(done, self.total, now - self.began)}")
            self.spoken = now


class _ToldFile(io.FileIO):
    """A file that says now and then how much of it was read."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(path)
        self.lines = _Lines(what, path.stat().st_size)

    def readinto(self, buffer: Any) -> int | None:
        """Read, and say how far that is."""
        read = super().readinto(buffer)
        done = self.tell()
        if read:  # of an empty file there is no share
            self.lines.tell(done, f"{100 * done / self.lines.total:.0f} %")
        return read


def time_left(done: float, total: float, seconds: float) -> str:
    """Return in words how long the rest takes, after `done` of `total` took some seconds."""
    return f"left {timedelta(seconds=round(seconds / done * (total - done)))}"


@contextmanager
def waiting(what: str, *, seconds: bool = False) -> Iterator[None]:
    """Show on stderr what is being done where no steps can be counted; if it takes seconds, on a terminal alone."""
    if not stderr().is_terminal:
        if not seconds:
            _say(f"{what} ...")
        yield
        return
    with stderr().status(what):
        yield


@contextmanager
def loading() -> Iterator[None]:
    """Show on a terminal that torch is being loaded, which takes seconds.

    Ctrl-C waits for its end: broken off in the midst of its imports, torch would go on half loaded.
    """
    asked: list[int] = []
    here = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, lambda number, frame: asked.append(number)) if here else None
    try:
        with waiting("loading torch", seconds=True):
            yield
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)
    if asked:
        raise KeyboardInterrupt


@contextmanager
def open_with_bar(path: Path, what: str) -> Iterator[BinaryIO]:
    """Open a file for reading, with a bar and the time left on stderr while it is read."""
    if not stderr().is_terminal:
        with io.BufferedReader(_ToldFile(path, what)) as told:
            yield told
        return
    from rich.progress import open as open_with_progress

    with open_with_progress(path, "rb", description=what, console=stderr(), transient=True) as file:
        yield file


def _say(line: str) -> None:
    stderr().print(line, soft_wrap=True, markup=False)


def _console(*, stderr: bool) -> Console:
    from rich.console import Console

    quiet = os.environ.get("RANK", "0") != "0"  # of several processes that torchrun started, the first one speaks
    console = Console(stderr=stderr, highlight=False, quiet=quiet)
    if not console.is_terminal:
        console.width = 160
    return console


def print_json(content: object) -> None:
    """Write the answer as JSON to stdout."""
    if not stdout().quiet:
        print(json.dumps(content, indent=2, ensure_ascii=False))
