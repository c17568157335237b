"""The check of a run that SIGTERM stops: resumed, it must end as one without a stop."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

from repro.check.setting import EXACT, SHORT, Setting, State, difference, experiments, state
from repro.console import stderr
from repro.data import Dataset
from repro.experiment import Experiment
from repro.paths import Folders
from repro.runtime import Runtime
from repro.training import checkpoint
from repro.training.course import Course, SharedCourse
from repro.training.progress import Lines
from repro.training.run import train
from repro.training.signals import Stopped

STOPPED_AT = 7
"""A step within the second epoch, after which SIGTERM comes."""


def stopped_and_uninterrupted(setting: Setting) -> float:
    """Return how far a run that SIGTERM stopped, trained to its end, is from one without a stop.

    Raises:
        RuntimeError: the run did not stop, or did not resume where it stopped.
    """
    (experiment,) = experiments(setting.small, **SHORT)
    runtime = Runtime(device=setting.device, graph=setting.graphs, **EXACT)
    with TemporaryDirectory() as root, _random_images(setting):
        whole, broken = (_folders(Path(root) / name) for name in ("whole", "broken"))
        train([experiment], runtime, whole, StoppingWatcher())
        _stop(experiment, runtime, broken)
        resumed = StoppingWatcher()
        train([experiment], runtime, broken, resumed)
        if resumed.first != STOPPED_AT:
            raise RuntimeError(f"stopped after step {STOPPED_AT}, resumed from step {resumed.first}")
        return difference([_end(broken, experiment)], [_end(whole, experiment)])


def _stop(experiment: Experiment, runtime: Runtime, folders: Folders) -> None:
    """Train until SIGTERM comes."""
    try:
        train([experiment], runtime, folders, StoppingWatcher(stop_at=STOPPED_AT))
    except Stopped:
        return
    raise RuntimeError("SIGTERM did not stop the run")


def _random_images(setting: Setting) -> AbstractContextManager[object]:
    """Let tasks find random images in place of a dataset."""

    def load(name: str, root: Path) -> Dataset:
        return setting.images()

    return mock.patch("repro.training.tasks.task.load", load)


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
