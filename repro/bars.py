"""Progress on stderr with the time left: a bar on a terminal, a line from time to time elsewhere."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from repro.console import is_live, note, stderr
from repro.text import clock, size

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, Task

T = TypeVar("T")
Done = Callable[["Task"], str]
"""Returns how much of a task is done, and perhaps the speed."""

LINE_SECONDS = 15.0
"""Time between two progress lines if there is no terminal to show a bar."""


def joined(parts: Iterable[str]) -> str:
    """Return the parts of a progress line, without empty ones: how much is done, the speed, and the time left."""
    return " · ".join(filter(None, parts))


def time_left(done: float, total: float, seconds: float) -> str:
    """Return the remaining time as text if `done` of `total` took `seconds`."""
    return f"{clock(seconds / done * (total - done))} left"


def with_bar(items: Sequence[T], what: str) -> Iterator[T]:
    """Yield the items and show progress and the time left on stderr: a bar, which is removed at the end, or lines."""
    if items and is_live():
        with bar(stderr(), items_done) as shown:
            yield from shown.track(items, description=what)
    elif items:
        lines = _Lines(what, len(items))
        for done, item in enumerate(items):
            lines.update(done, f"{done}/{len(items)}")
            yield item


def bar(console: Console, done: Done) -> Progress:
    """Return a bar without a task. If it is too wide, the bar and the description are shortened, the numbers are not.

    Args:
        console: of the terminal.
        done: returns how much of a task is done, and perhaps the speed.
    """
    from rich.progress import BarColumn, Progress, ProgressColumn
    from rich.table import Column
    from rich.text import Text

    class Description(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(task.description, no_wrap=True, overflow="ellipsis")

    class Numbers(ProgressColumn):
        def render(self, task: Task) -> Text:
            left = "" if task.time_remaining is None else f"{clock(task.time_remaining)} left"
            return Text(joined((done(task), left)))

    columns = (Description(), BarColumn(), Numbers(table_column=Column(no_wrap=True)))
    return Progress(*columns, console=console, transient=True)


def items_done(task: Task) -> str:
    """Return how many items are done, as `14/82`."""
    return f"{task.completed:.0f}/{task.total:.0f}" if task.total else ""


def bytes_done(task: Task) -> str:
    """Return how many bytes are done, of how many if that is known, and the speed."""
    total = f"/{size(task.total)}" if task.total else ""
    return joined((f"{size(task.completed)}{total}", "" if task.speed is None else f"{size(task.speed)}/s"))


class _Lines:
    """Progress without a terminal: a first line, and from time to time another one."""

    def __init__(self, what: str, total: int) -> None:
        self.what, self.total = what, total
        self.started = self.printed = time.monotonic()
        note(f"{what} ...")

    def update(self, done: int, shown: str) -> None:
        """Print how much is done, if it is time for a line."""
        now = time.monotonic()
        if done and now - self.printed > LINE_SECONDS:
            note(f"{self.what}: {joined((shown, time_left(done, self.total, now - self.started)))}")
            self.printed = now


class _FileWithLines(io.FileIO):
    """A file that reports from time to time how much of it was read."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(path)
        self.lines = _Lines(what, path.stat().st_size)

    def readinto(self, buffer: Any) -> int | None:
        """Read, and report progress."""
        read = super().readinto(buffer)
        done = self.tell()
        if read:  # an empty file has no percentage
            self.lines.update(done, f"{100 * done / self.lines.total:.0f} %")
        return read


@contextmanager
def open_with_bar(path: Path, what: str) -> Iterator[BinaryIO]:
    """Open a file for reading and show progress and the time left on stderr while it is read."""
    if not is_live():
        with io.BufferedReader(_FileWithLines(path, what)) as file:
            yield file
        return
    with bar(stderr(), bytes_done) as shown, shown.open(path, "rb", description=what) as file:
        yield file


@contextmanager
def arriving(what: str, begin: int, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show progress and the time left of a download on stderr; give each number of new bytes to what this yields.

    Args:
        what: is downloaded.
        begin: bytes that were there before.
        total: bytes of the whole file; None if the server does not say.
    """
    if not is_live():
        lines, arrived = _Lines(what, (total or 0) - begin), 0

        def count(size: int) -> None:
            """Add to the bytes that have arrived."""
            nonlocal arrived
            arrived += size
            if total:
                lines.update(arrived, f"{100 * (begin + arrived) / total:.0f} %")

        yield count
        return
    with bar(stderr(), bytes_done) as shown:
        task = shown.add_task(what, total=total, completed=begin)
        yield lambda size: shown.advance(task, size)
