"""The check of a run that SIGTERM stops: resumed, it must end as one without a stop."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from repro.check.setting import EXACT, SHORT, Setting, State, difference, experiments, state
from repro.console import stderr
from repro.errors import Stopped
from repro.experiment import Experiment
from repro.paths import Folders
from repro.runtime import Runtime
from repro.training.checkpoints import checkpoint
from repro.training.progress.course import Course, SharedCourse
from repro.training.progress.watcher import Lines, Watcher
from repro.training.runs.train import train
from repro.training.tasks.in_memory import in_memory_task
from repro.training.tasks.task import Task

STOPPED_AT = 7
"""A step within the second epoch, after which SIGTERM comes."""


def stopped_and_uninterrupted(setting: Setting) -> float:
    """Return how far a run that SIGTERM stopped, trained to its end, is from one without a stop.

    Raises:
        RuntimeError: the run did not stop, or did not resume where it stopped.
    """
    (experiment,) = experiments(setting.small, **SHORT)
    runtime = Runtime(device=setting.device, graph=setting.graphs, **EXACT)
    train_in = partial(train, [experiment], runtime, make_task=partial(_on_random_images, setting))
    with TemporaryDirectory() as root:
        whole, broken = (_folders(Path(root) / name) for name in ("whole", "broken"))
        train_in(whole, StoppingWatcher())
        _stop(train_in, broken)
        resumed = StoppingWatcher()
        train_in(broken, resumed)
        if resumed.first != STOPPED_AT:
            raise RuntimeError(f"stopped after step {STOPPED_AT}, resumed from step {resumed.first}")
        return difference([_end(broken, experiment)], [_end(whole, experiment)])


def _stop(train_in: Callable[[Folders, Watcher], object], folders: Folders) -> None:
    """Train until SIGTERM comes."""
    try:
        train_in(folders, StoppingWatcher(stop_at=STOPPED_AT))
    except Stopped:
        return
    raise RuntimeError("SIGTERM did not stop the run")


def _on_random_images(
    setting: Setting, experiment: Experiment, root: Path, runtime: Runtime, device: torch.device
) -> Task:
    """Return an experiment's task, on random images in place of its dataset."""
    return in_memory_task(experiment.recipe, setting.images(), runtime, device)


def _folders(root: Path) -> Folders:
    return Folders(data=root, runs=root / "runs", results=root / "results")


def _end(folders: Folders, experiment: Experiment) -> State:
    return state(checkpoint.load(folders.runs / experiment.name / checkpoint.NEWEST))


class StoppingWatcher(Lines):
    """Prints nothing, notes the run's first step, and can send SIGTERM to this process after a step."""

    def __init__(self, *, stop_at: int = 0) -> None:
        super().__init__(stderr())
        self.stop_at, self.first = stop_at, 0

    def say(self, text: str) -> None:
        """Print nothing."""
        self.spoken = time.monotonic()

    @contextmanager
    def run(self, course: Course | SharedCourse) -> Iterator[None]:
        """Note the step from which the run continues."""
        self.first = course.step
        with super().run(course):
            yield

    def step(self, step: int, loss: float | None) -> None:
        """Send the signal if it is time."""
        super().step(step, loss)
        if step == self.stop_at:
            signal.raise_signal(signal.SIGTERM)
