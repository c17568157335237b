"""The progress of a run on stderr: a line that is redrawn on a terminal, a line per epoch elsewhere."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from statistics import fmean
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.text import Text

from repro.console import is_live, stderr, time_left
from repro.recipes import Recipe
from repro.store.results import EpochRow
from repro.training.schedule import (
    epoch_at,
    first_step_of_epoch,
    images_shown,
    phase_of_step,
    steps_per_epoch,
    total_steps,
)

HEARTBEAT_SECONDS = 60.0
"""Time between two lines within an epoch if there is no terminal."""
RATE_SECONDS = 30.0
"""Time over which a terminal's images per second are averaged; at least one step."""


@dataclass(frozen=True)
class Course:
    """The facts about a run, or about several runs at once, that a watcher gets before the first step."""

    name: str
    recipe: Recipe
    images: int
    """Number of images trained on."""
    runs: int
    """Number of runs at once."""
    step: int
    """Steps taken already."""
    last: Sequence[EpochRow]
    """The last epoch of each run; empty before the end of the first epoch."""

    @property
    def start(self) -> str:
        """Whether the run starts or resumes, in words."""
        return f"resuming from step {self.step}" if self.step else "starting"

    @property
    def total(self) -> int:
        """Steps of the whole run."""
        return total_steps(self.recipe, self.images)

    def epoch(self, step: int) -> str:
        """Return the epoch after `step` steps, as `2/300`."""
        return f"{epoch_at(self.recipe, step, self.images) + 1}/{self.recipe.all_epochs}"

    def within_epoch(self, step: int) -> tuple[int, int]:
        """Return the steps of the current epoch after `step` steps, and those of a whole one."""
        before = max(step - 1, 0)  # the last step of an epoch belongs to it
        first = first_step_of_epoch(self.recipe, epoch_at(self.recipe, before, self.images), self.images)
        return step - first, steps_per_epoch(phase_of_step(self.recipe, before, self.images).recipe, self.images)

    def shown(self, step: int) -> int:
        """Return the images shown to all runs in `step` steps; unlike steps, images are comparable between phases."""
        return self.runs * images_shown(self.recipe, step, self.images)


@dataclass(frozen=True)
class SharedCourse:
    """The courses of runs that take their steps at the same time; the steps are those of the longest one."""

    name: str
    courses: Sequence[Course]

    @property
    def longest(self) -> Course:
        """The course with the most steps left."""
        return max(self.courses, key=lambda each: each.total - each.step)

    @property
    def last(self) -> Sequence[EpochRow]:
        """The last epoch of each run."""
        return [row for each in self.courses for row in each.last]

    @property
    def start(self) -> str:
        """Whether the longest run starts or resumes, in words."""
        return self.longest.start

    @property
    def step(self) -> int:
        """Steps that the longest run has taken already."""
        return self.longest.step

    @property
    def total(self) -> int:
        """Steps of the longest run."""
        return self.longest.total

    def epoch(self, step: int) -> str:
        """Return the epoch of the longest run, as `2/300`."""
        return self.longest.epoch(step)

    def within_epoch(self, step: int) -> tuple[int, int]:
        """Return the steps of the longest run's epoch after `step` steps, and those of a whole one."""
        return self.longest.within_epoch(step)

    def shown(self, step: int) -> int:
        """Return the images shown to all runs when the longest one has taken `step` steps."""
        taken = step - self.step
        return sum(each.shown(min(each.step + taken, each.total)) for each in self.courses)


class Watcher(Protocol):
    """Receives the progress of runs."""

    def run(self, course: Course | SharedCourse) -> AbstractContextManager[None]:
        """Return the context in which a run is trained."""

    def step(self, step: int, lr: float) -> None:
        """Receive the number of steps so far and the next learning rate."""

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


def describe(rows: Sequence[EpochRow], epochs: int, name: str = "") -> str:
    """Return an epoch as one line, after a name if there is one; with stacked runs, each metric has several values."""

    def of_all(name: str, digits: int) -> str:
        return " ".join(f"{getattr(row, name):.{digits}f}" for row in rows)

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


class Lines:
    """Prints a line per epoch, and one per minute within long epochs."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.now = 0

    @contextmanager
    def run(self, course: Course | SharedCourse) -> Iterator[None]:
        """Print the first step and the length of the run."""
        self.course, self.now = course, course.step
        self.timed_from = time.monotonic(), course.step
        self.say(f"{course.name}: {course.start}, {course.total} steps in all")
        yield

    def step(self, step: int, lr: float) -> None:
        """Print a line once a minute."""
        if self.now == self.course.step:  # the first step may compile, so its time says nothing about the others
            self.timed_from = time.monotonic(), step
        self.now = step
        if time.monotonic() - self.spoken > HEARTBEAT_SECONDS:
            self.say(f"step {step}/{self.course.total}  lr {lr:.4g}{self._pace()}")

    def testing(self, begins: range) -> Iterator[int]:
        """Print the progress of the test once a minute."""
        started = time.monotonic()
        for number, begin in enumerate(begins):
            if number and time.monotonic() - self.spoken > HEARTBEAT_SECONDS:
                left = time_left(number, len(begins), time.monotonic() - started)
                self.say(f"testing, batch {number + 1}/{len(begins)}  {left}")
            yield begin

    def epoch(self, rows: Sequence[EpochRow], epochs: int, name: str = "") -> None:
        """Print the metrics of the epoch."""
        self.say(f"{describe(rows, epochs, name)}{self._pace()}")
        self.timed_from = time.monotonic(), self.now

    def say(self, text: str) -> None:
        """Print a line and restart the minute until the next one."""
        self.spoken = time.monotonic()
        self.console.print(text, soft_wrap=True, markup=False)

    def _pace(self) -> str:
        """Return images per second since the epoch's start and the time left; empty before the first measured step."""
        start, step = self.timed_from
        shown, total = self.course.shown(self.now), self.course.shown(self.course.total)
        seconds, images = time.monotonic() - start, shown - self.course.shown(step)
        if not images:
            return ""
        left = time_left(images, images + total - shown, seconds)
        return f"  {images / max(seconds, 1e-9):.0f} images/s  {left}"


class Bar:
    """One line of a terminal, redrawn: epoch, step, images per second, training loss and the time left."""

    def __init__(self, console: Console) -> None:
        self.console = console

    @contextmanager
    def run(self, course: Course | SharedCourse) -> Iterator[None]:
        """Show the line while the run is trained, and remove it at the end."""
        self.course, self.samples = course, deque[tuple[float, int]]()
        self.loss = _loss(course.last)
        self.place = ""
        self.say(f"{course.name}: {course.start}")
        self._at(course.step)
        with Live(console=self.console, get_renderable=self._line, transient=True):
            yield

    def step(self, step: int, lr: float) -> None:
        """Update the line."""
        if not self.samples or step == self.course.step + 1:
            self.samples.clear()  # the first step may compile, so its time says nothing about the others
        self.samples.append((time.monotonic(), self.course.shown(step)))
        while len(self.samples) > 2 and self.samples[-1][0] - self.samples[0][0] > RATE_SECONDS:
            self.samples.popleft()
        self._at(step)

    def testing(self, begins: range) -> Iterable[int]:
        """Show the progress of the test in place of the step."""
        began = time.monotonic()
        for number, begin in enumerate(begins, 1):
            self.place = f"testing {number}/{len(begins)}"
            yield begin
        waited = time.monotonic() - began  # the rate is that of training
        self.samples = deque((at + waited, shown) for at, shown in self.samples)

    def epoch(self, rows: Sequence[EpochRow], epochs: int, name: str = "") -> None:
        """Print the metrics of the epoch above the line."""
        self.loss = _loss(rows)
        self.say(describe(rows, epochs, name))

    def say(self, text: str) -> None:
        """Print a line above the one that is redrawn."""
        self.console.print(text, soft_wrap=True, markup=False)

    def _at(self, step: int) -> None:
        """Set the place to the step within its epoch."""
        done, steps = self.course.within_epoch(step)
        self.at, self.place = step, f"step {done:>{len(str(steps))}}/{steps}"

    def _line(self) -> Text:
        """Return the parts that fit the width of the terminal; those that matter least go first."""
        epoch = self.course.epoch(max(self.at - 1, 0))  # the last step of an epoch belongs to it
        rate, left = self._pace()
        parts = [f"epoch {epoch:>{2 * len(epoch.split('/')[1]) + 1}}", self.place, rate, self.loss, left]
        for least in (3, 2, 1, 0):
            if len(" · ".join(filter(None, parts))) < self.console.width:
                break
            parts[least] = ""
        return Text(" · ".join(filter(None, parts)), no_wrap=True, overflow="crop")

    def _pace(self) -> tuple[str, str]:
        """Return images per second and the time left, however long a step takes; empty before the second step."""
        if len(self.samples) < 2:
            return "", ""
        (start, before), (now, shown) = self.samples[0], self.samples[-1]
        rate = (shown - before) / max(now - start, 1e-9)
        left = timedelta(seconds=round((self.course.shown(self.course.total) - shown) / max(rate, 1e-9)))
        return f"{rate:5.0f} img/s", f"{left!s:>7} left"


def _loss(rows: Sequence[EpochRow]) -> str:
    """Return the training loss of the last epoch, averaged over the runs."""
    return f"loss {fmean(row.train_loss for row in rows):.3f}" if rows else ""
