"""What a person sees of a run: a bar on a terminal, a line per epoch elsewhere. All of it goes to stderr."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from repro.console import stderr
from repro.results import EpochRow

HEARTBEAT_SECONDS = 60.0


class Watcher(Protocol):
    """What a run tells."""

    def run(self, name: str, step: int, total: int, history: Sequence[EpochRow]) -> AbstractContextManager[None]:
        """Watch a run from its first step here to its last."""

    def step(self, step: int) -> None:
        """Note the steps so far."""

    def epoch(self, row: EpochRow, epochs: int) -> None:
        """Show an epoch that ended."""

    def say(self, text: str) -> None:
        """Show a line."""


def watcher() -> Watcher:
    """Return the watcher that fits the standard error stream."""
    console = stderr()
    return Bar(console) if console.is_terminal else Lines(console)


def describe(row: EpochRow, epochs: int) -> str:
    """Return an epoch as one line."""
    segmented = f"  IoU {row.iou:.3f}" if row.iou is not None else ""
    return (
        f"epoch {row.epoch}/{epochs}  lr {row.lr:.4g}  train loss {row.train_loss:.3f} error {row.train_error:.2f} %"
        f"  test loss {row.test_loss:.3f} error {row.test_error:.2f} %{segmented}  {row.seconds:.1f} s"
    )


class Lines:
    """A line per epoch, and one a minute within long epochs."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.now = self.total = 0

    @contextmanager
    def run(self, name: str, step: int, total: int, history: Sequence[EpochRow]) -> Iterator[None]:
        """Say where the run begins and how long it is."""
        self.now, self.total = step, total
        self.say(f"{name}: {f'going on from step {step}' if step else 'beginning'}, {total} steps in all")
        yield

    def step(self, step: int) -> None:
        self.now = step
        if time.monotonic() - self.spoken > HEARTBEAT_SECONDS:
            self.say(f"step {step}/{self.total}  {self._left()}")

    def epoch(self, row: EpochRow, epochs: int) -> None:
        self.say(f"{describe(row, epochs)}  {self._left()}")

    def say(self, text: str) -> None:
        self.spoken, self.step_spoken = time.monotonic(), self.now
        self.console.print(text, soft_wrap=True, markup=False)

    def _left(self) -> str:
        """Return the estimate of the time left, at the rate since the last line."""
        per_step = (time.monotonic() - self.spoken) / max(1, self.now - self.step_spoken)
        return f"left {timedelta(seconds=round(per_step * (self.total - self.now)))}"


class Bar:
    """A bar with the rate, the last epoch's figures and the time left."""

    def __init__(self, console: Console) -> None:
        self.console = console

    @contextmanager
    def run(self, name: str, step: int, total: int, history: Sequence[EpochRow]) -> Iterator[None]:
        """Show the bar while the run goes on."""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("step {task.completed:.0f}/{task.total:.0f}  {task.fields[figures]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=False),
        )
        self.say(f"{name}: {f'going on from step {step}' if step else 'beginning'}")
        figures = f"test error {history[-1].test_error:.2f} %" if history else ""
        with Progress(*columns, console=self.console) as self.progress:
            self.task: TaskID = self.progress.add_task("training", total=total, completed=step, figures=figures)
            yield

    def step(self, step: int) -> None:
        self.progress.update(self.task, completed=step)

    def epoch(self, row: EpochRow, epochs: int) -> None:
        self.progress.update(self.task, figures=f"test error {row.test_error:.2f} %")
        self.say(describe(row, epochs))

    def say(self, text: str) -> None:
        self.console.print(text, soft_wrap=True, markup=False)
