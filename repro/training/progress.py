"""The progress of a run on stderr: a bar on a terminal, a line per epoch elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from statistics import fmean
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column

from repro.console import stderr, time_left
from repro.recipes import Recipe
from repro.store.results import EpochRow
from repro.training.schedule import epoch_at, images_shown, total_steps

HEARTBEAT_SECONDS = 60.0
"""Time between two lines within an epoch if there is no terminal for a bar."""


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
    """Return the watcher for this stderr: a bar on a terminal, lines elsewhere."""
    console = stderr()
    return Bar(console) if console.is_terminal else Lines(console)


def describe(rows: Sequence[EpochRow], epochs: int, name: str = "") -> str:
    """Return an epoch as one line, after a name if there is one; with stacked runs, each metric has several values."""

    def of_all(name: str, digits: int) -> str:
        return " ".join(f"{getattr(row, name):.{digits}f}" for row in rows)

    first = rows[0]
    segmented = "" if first.iou is None else f"  IoU {of_all('iou', 3)}"
    validated = "" if first.validation_error is None else f"  validation error {of_all('validation_error', 2)} %"
    return (
        f"{name}{'  ' if name else ''}epoch {first.epoch}/{epochs}  lr {first.lr:.4g}"
        f"  train loss {of_all('train_loss', 3)} error {of_all('train_error', 2)} %"
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
    """A bar with epoch, images per second, learning rate, the last epoch's metrics and the time left."""

    def __init__(self, console: Console) -> None:
        self.console = console

    @contextmanager
    def run(self, course: Course | SharedCourse) -> Iterator[None]:
        """Show the bar while the run is trained."""
        columns = (
            TextColumn("{task.fields[figures]}", table_column=Column(no_wrap=False)),  # wraps on a narrow terminal
            BarColumn(bar_width=None),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=False),
        )
        self.course = course
        self.say(f"{course.name}: {course.start}")
        self.tested = _tested(course.last)
        with Progress(*columns, console=self.console) as self.progress:
            self.task: TaskID = self.progress.add_task(
                "training", total=course.shown(course.total), completed=course.shown(course.step), figures=self.tested
            )
            yield

    def step(self, step: int, lr: float) -> None:
        """Advance the bar and update its text."""
        course, task = self.course, self.progress.tasks[0]
        rate = f"  {task.speed:.0f} images/s" if task.speed else ""
        figures = f"epoch {course.epoch(step)}{rate}  lr {lr:.4g}{self.tested}"
        self.progress.update(self.task, completed=course.shown(step), figures=figures)

    def testing(self, begins: range) -> Iterable[int]:
        """Show a second bar during the test."""
        task = self.progress.add_task("testing", total=len(begins), figures="testing")
        yield from self.progress.track(begins, task_id=task)
        self.progress.remove_task(task)

    def epoch(self, rows: Sequence[EpochRow], epochs: int, name: str = "") -> None:
        """Print the metrics of the epoch and show them next to the bar."""
        self.tested = _tested(rows)
        self.say(describe(rows, epochs, name))

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self.console.print(text, soft_wrap=True, markup=False)


def _tested(rows: Sequence[EpochRow]) -> str:
    """Return the last epoch's loss and error, averaged over the runs."""
    if not rows:
        return ""
    loss, error = fmean(row.train_loss for row in rows), fmean(row.test_error for row in rows)
    return f"  loss {loss:.3f}  test error {error:.2f} %"
