"""What a person sees of a run: a bar on a terminal, a line per epoch elsewhere. All of it goes to stderr."""

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


@dataclass(frozen=True)
class Course:
    """What a watcher is told of a run, or of several side by side, before it goes on."""

    name: str
    recipe: Recipe
    images: int
    """In the training set."""
    runs: int
    """Side by side."""
    step: int
    """Steps taken already."""
    last: Sequence[EpochRow]
    """The last epoch of each run; empty in the first one."""

    @property
    def total(self) -> int:
        """Steps of the whole run."""
        return total_steps(self.recipe, self.images)

    def epoch(self, step: int) -> str:
        """Return the epoch after so many steps, as `2/300`."""
        return f"{epoch_at(self.recipe, step, self.images) + 1}/{self.recipe.all_epochs}"

    def shown(self, step: int) -> int:
        """Return the images shown to all runs in so many steps: batches of the phases may differ, images do less."""
        return self.runs * images_shown(self.recipe, step, self.images)


class Watcher(Protocol):
    """What a run tells."""

    def run(self, course: Course) -> AbstractContextManager[None]:
        """Watch a run from its first step here to its last."""

    def step(self, step: int, lr: float) -> None:
        """Note the steps so far and the learning rate of the next one."""

    def testing(self, begins: range) -> Iterable[int]:
        """Watch the test after an epoch, whose batches begin there."""

    def epoch(self, rows: Sequence[EpochRow], epochs: int) -> None:
        """Show an epoch that ended, with a row for each run."""

    def say(self, text: str) -> None:
        """Show a line."""


def watcher() -> Watcher:
    """Return the watcher that fits the standard error stream."""
    console = stderr()
    return Bar(console) if console.is_terminal else Lines(console)


def describe(rows: Sequence[EpochRow], epochs: int) -> str:
    """Return an epoch as one line; losses and errors of several runs stand one after the other."""

    def of_all(name: str, digits: int) -> str:
        return " ".join(f"{getattr(row, name):.{digits}f}" for row in rows)

    first = rows[0]
    segmented = "" if first.iou is None else f"  IoU {of_all('iou', 3)}"
    validated = "" if first.validation_error is None else f"  validation error {of_all('validation_error', 2)} %"
    return (
        f"epoch {first.epoch}/{epochs}  lr {first.lr:.4g}"
        f"  train loss {of_all('train_loss', 3)} error {of_all('train_error', 2)} %"
        f"  test loss {of_all('test_loss', 3)} error {of_all('test_error', 2)} %{segmented}{validated}"
        f"  {first.seconds:.1f} s"
    )


class Lines:
    """A line per epoch, and one a minute within long epochs."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.now = 0

    @contextmanager
    def run(self, course: Course) -> Iterator[None]:
        """Say where the run begins and how long it is."""
        self.course, self.now = course, course.step
        self.timed_from = time.monotonic(), course.step
        begun = f"going on from step {course.step}" if course.step else "beginning"
        self.say(f"{course.name}: {begun}, {course.total} steps in all")
        yield

    def step(self, step: int, lr: float) -> None:
        """Say once a minute how far the run is."""
        if self.now == self.course.step:  # the first step here, which compiles, say, tells nothing of the others
            self.timed_from = time.monotonic(), step
        self.now = step
        if time.monotonic() - self.spoken > HEARTBEAT_SECONDS:
            self.say(f"step {step}/{self.course.total}  lr {lr:.4g}{self._pace()}")

    def testing(self, begins: range) -> Iterator[int]:
        """Say once a minute how far the test is."""
        began = time.monotonic()
        for number, begin in enumerate(begins):
            if number and time.monotonic() - self.spoken > HEARTBEAT_SECONDS:
                left = time_left(number, len(begins), time.monotonic() - began)
                self.say(f"testing, batch {number + 1}/{len(begins)}  {left}")
            yield begin

    def epoch(self, rows: Sequence[EpochRow], epochs: int) -> None:
        """Say what the epoch gave."""
        self.say(f"{describe(rows, epochs)}{self._pace()}")
        self.timed_from = time.monotonic(), self.now

    def say(self, text: str) -> None:
        """Print a line, after which the minute begins anew."""
        self.spoken = time.monotonic()
        self.console.print(text, soft_wrap=True, markup=False)

    def _pace(self) -> str:
        """Return images a second and the time left at the rate since the epoch began; nothing before a step tells."""
        began, step = self.timed_from
        shown, total = self.course.shown(self.now), self.course.shown(self.course.total)
        seconds, images = time.monotonic() - began, shown - self.course.shown(step)
        if not images:
            return ""
        left = time_left(images, images + total - shown, seconds)
        return f"  {images / max(seconds, 1e-9):.0f} images/s  {left}"


class Bar:
    """A bar with epoch, rate, learning rate, the last epoch's figures and the time left."""

    def __init__(self, console: Console) -> None:
        self.console = console

    @contextmanager
    def run(self, course: Course) -> Iterator[None]:
        """Show the bar while the run goes on."""
        columns = (
            TextColumn("{task.fields[figures]}", table_column=Column(no_wrap=False)),  # gives way on a narrow terminal
            BarColumn(bar_width=None),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=False),
        )
        self.course = course
        self.say(f"{course.name}: {f'going on from step {course.step}' if course.step else 'beginning'}")
        self.tested = _tested(course.last)
        with Progress(*columns, console=self.console) as self.progress:
            self.task: TaskID = self.progress.add_task(
                "training", total=course.shown(course.total), completed=course.shown(course.step), figures=self.tested
            )
            yield

    def step(self, step: int, lr: float) -> None:
        """Move the bar on, with the rate and the learning rate."""
        course, task = self.course, self.progress.tasks[0]
        rate = f"  {task.speed:.0f} images/s" if task.speed else ""
        figures = f"epoch {course.epoch(step)}{rate}  lr {lr:.4g}{self.tested}"
        self.progress.update(self.task, completed=course.shown(step), figures=figures)

    def testing(self, begins: range) -> Iterable[int]:
        """Show a second bar while the test goes on."""
        task = self.progress.add_task("testing", total=len(begins), figures="testing")
        yield from self.progress.track(begins, task_id=task)
        self.progress.remove_task(task)

    def epoch(self, rows: Sequence[EpochRow], epochs: int) -> None:
        """Say what the epoch gave, and keep it beside the bar."""
        self.tested = _tested(rows)
        self.say(describe(rows, epochs))

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self.console.print(text, soft_wrap=True, markup=False)


def _tested(rows: Sequence[EpochRow]) -> str:
    """Return the last epoch's loss and error, of several runs their means."""
    if not rows:
        return ""
    loss, error = fmean(row.train_loss for row in rows), fmean(row.test_error for row in rows)
    return f"  loss {loss:.3f}  test error {error:.2f} %"
