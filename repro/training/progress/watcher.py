"""The progress of a run on stderr: a line that is redrawn on a terminal, a line per epoch elsewhere."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.text import Text

from repro.bars import joined, time_left
from repro.console import is_live, stderr
from repro.store.results import EpochRow
from repro.text import clock
from repro.training.progress.course import Course, SharedCourse

HEARTBEAT_SECONDS = 60.0
"""Time between two lines within an epoch if there is no terminal."""
RATE_SECONDS = 30.0
"""Time over which a terminal's images per second are averaged; at least one step."""


class Watcher(Protocol):
    """Receives the progress of runs."""

    def run(self, course: Course | SharedCourse) -> AbstractContextManager[None]:
        """Return the context in which a run is trained."""

    def step(self, step: int, loss: float | None) -> None:
        """Receive the number of steps so far and the mean training loss of the epoch so far, if it is known."""

    def testing(self, begins: range) -> Iterable[int]:
        """Wrap the range of the batches of the test after an epoch."""

    def epoch(self, rows: Sequence[EpochRow], epochs: int, name: str = "") -> None:
        """Receive an epoch that has ended, one row per stacked run; `name` is that of a run among others."""

    def say(self, text: str) -> None:
        """Show a line of text."""


def watcher() -> Watcher:
    """Return the watcher for this stderr: one line that is redrawn on a terminal, lines elsewhere."""
    console = stderr()
    return Bar(console) if is_live() else Lines(console)


def epoch_line(rows: Sequence[EpochRow], epochs: int, name: str = "", width: int | None = None) -> str:
    """Return an epoch as one line, after a name if there is one; with stacked runs, each metric has several values.

    The words `loss` and `error` are left out where the line would be longer than `width`.
    """
    line = _epoch_line(rows, epochs, name)
    return line if width is None or len(line) <= width else line.replace(" loss", "").replace(" error", "")


def _epoch_line(rows: Sequence[EpochRow], epochs: int, name: str) -> str:

    def of_all(field: str, digits: int) -> str:
        return " ".join(f"{getattr(row, field):.{digits}f}" for row in rows)

    first = rows[0]
    begin = f"{name}{'  ' if name else ''}epoch {first.epoch}/{epochs}  lr {first.lr:.4g}"
    begin += f"  train loss {of_all('train_loss', 3)}"
    if first.ap is not None:
        return f"{begin}  test AP {of_all('ap', 2)} % AP50 {of_all('ap50', 2)} %  {first.seconds:.1f} s"
    segmented = "" if first.iou is None else f"  IoU {of_all('iou', 3)}"
    validated = "" if first.validation_error is None else f"  validation error {of_all('validation_error', 2)} %"
    return (
        f"{begin} error {of_all('train_error', 2)} %"
        f"  test loss {of_all('test_loss', 3)} error {of_all('test_error', 2)} %{segmented}{validated}"
        f"  {first.seconds:.1f} s"
    )


def _parts(course: Course | SharedCourse, step: int, loss: float | None) -> tuple[str, str, str]:
    """Return the epoch, the step in it and the loss after `step` steps; of the same width throughout a run."""
    epoch, epochs = course.epoch(max(step - 1, 0))  # the last step of an epoch belongs to it
    done, steps = course.within_epoch(step)
    shown = "" if loss is None else f"loss {loss:.3f}"
    return f"epoch {epoch:>{len(str(epochs))}}/{epochs}", f"step {done:>{len(str(steps))}}/{steps}", shown


class Lines:
    """Prints a line per epoch, and one per minute within long epochs."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.now = 0

    @contextmanager
    def run(self, course: Course | SharedCourse) -> Iterator[None]:
        """Print what is trained, the first step and the length of the run."""
        self.course, self.now = course, course.step
        self.timed_from = time.monotonic(), course.step
        for line in course.opening:
            self.say(line)
        yield

    def step(self, step: int, loss: float | None) -> None:
        """Print a line once a minute."""
        if self.now == self.course.step:  # the first step may compile, so its time says nothing about the others
            self.timed_from = time.monotonic(), step
        self.now = step
        if time.monotonic() - self.spoken > HEARTBEAT_SECONDS:
            epoch, place, shown = _parts(self.course, step, loss)
            rate, left = self._pace()
            self.say(joined((epoch, place, rate, shown, left)))

    def testing(self, begins: range) -> Iterator[int]:
        """Print the progress of the test once a minute."""
        started = time.monotonic()
        for number, begin in enumerate(begins):
            if number and time.monotonic() - self.spoken > HEARTBEAT_SECONDS:
                left = time_left(number, len(begins), time.monotonic() - started)
                self.say(joined((f"testing {number + 1}/{len(begins)}", left)))
            yield begin

    def epoch(self, rows: Sequence[EpochRow], epochs: int, name: str = "") -> None:
        """Print the metrics of the epoch."""
        self.say("  ".join(filter(None, (epoch_line(rows, epochs, name), *self._pace()))))
        self.timed_from = time.monotonic(), self.now

    def say(self, text: str) -> None:
        """Print a line and restart the minute until the next one."""
        self.spoken = time.monotonic()
        self.console.print(text, soft_wrap=True, markup=False)

    def _pace(self) -> tuple[str, str]:
        """Return images per second since the epoch's start and the time left; empty before the first measured step."""
        start, step = self.timed_from
        shown, total = self.course.shown(self.now), self.course.shown(self.course.total)
        seconds, images = time.monotonic() - start, shown - self.course.shown(step)
        if not images:
            return "", ""
        left = "" if shown == total else time_left(images, images + total - shown, seconds)
        return f"{images / max(seconds, 1e-9):.0f} img/s", left


class Bar:
    """One line of a terminal, redrawn: epoch, step, images per second, mean training loss of the epoch, time left."""

    loss: float | None
    """Mean training loss of the epoch so far, if it is known."""

    def __init__(self, console: Console) -> None:
        self.console = console

    @contextmanager
    def run(self, course: Course | SharedCourse) -> Iterator[None]:
        """Show the line while the run is trained, and remove it at the end."""
        self.course, self.samples = course, deque[tuple[float, int]]()
        self.at, self.loss, self.testing_at = course.step, None, ""
        for line in course.opening:
            self.say(line)
        with Live(console=self.console, get_renderable=self._line, transient=True):
            yield

    def step(self, step: int, loss: float | None) -> None:
        """Update the line."""
        if not self.samples or step == self.course.step + 1:
            self.samples.clear()  # the first step may compile, so its time says nothing about the others
        self.samples.append((time.monotonic(), self.course.shown(step)))
        while len(self.samples) > 2 and self.samples[-1][0] - self.samples[0][0] > RATE_SECONDS:
            self.samples.popleft()
        self.at, self.loss = step, loss

    def testing(self, begins: range) -> Iterable[int]:
        """Show the progress of the test in place of the step."""
        began = time.monotonic()
        for number, begin in enumerate(begins, 1):
            self.testing_at = f"testing {number}/{len(begins)}"
            yield begin
        self.testing_at = ""
        waited = time.monotonic() - began  # the rate is that of training
        self.samples = deque((at + waited, shown) for at, shown in self.samples)

    def epoch(self, rows: Sequence[EpochRow], epochs: int, name: str = "") -> None:
        """Print the metrics of the epoch above the line."""
        self.say(epoch_line(rows, epochs, name, self.console.width))

    def say(self, text: str) -> None:
        """Print a line above the one that is redrawn."""
        self.console.print(text, soft_wrap=True, markup=False)

    def _line(self) -> Text:
        """Return the parts that fit the width of the terminal; those that matter least go first."""
        epoch, place, loss = _parts(self.course, self.at, self.loss)
        rate, left = self._pace()
        parts = [epoch, self.testing_at or place, rate, loss, left]
        for least in (3, 2, 1, 0):
            if len(joined(parts)) < self.console.width:
                break
            parts[least] = ""
        return Text(joined(parts), no_wrap=True, overflow="crop")

    def _pace(self) -> tuple[str, str]:
        """Return images per second and the time left, however long a step takes; empty before the second step."""
        if len(self.samples) < 2:
            return "", ""
        (start, before), (now, shown) = self.samples[0], self.samples[-1]
        rate = (shown - before) / max(now - start, 1e-9)
        left = (self.course.shown(self.course.total) - shown) / max(rate, 1e-9)
        return f"{rate:5.0f} img/s", f"{clock(left):>7} left"
