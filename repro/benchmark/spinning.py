"""Steps in a process whose OpenMP threads wait for each other as torch lets them by default: in a loop."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.connection import Connection

from repro.benchmark.variants import SPINNING, Variant, VariantKind, in_memory_steps
from repro.data import Dataset
from repro.experiment import Experiment
from repro.runtime import OPENMP, Precision, Runtime
from repro.training.machine.device import prepare


def threads_sleep() -> bool:
    """Whether this process has set that OpenMP's threads sleep; a user's own choice is not measured against torch's."""
    return all(os.environ.get(name) == value for name, value in OPENMP.items())


def spinning_variants(experiment: Experiment, runtime: Runtime, data: Dataset) -> list[Variant]:
    """Return the eager step in fp32 with threads that spin, if those of this process sleep and are several."""
    if not threads_sleep() or runtime.threads == 1:
        return []
    eager = replace(runtime, precision=Precision.FP32, compile=False, save_memory=False)
    steps = spinning_steps(experiment, eager, data)
    return [Variant(VariantKind.TRAINING, Precision.FP32, steps, switches=[SPINNING])]


def spinning_steps(experiment: Experiment, runtime: Runtime, data: Dataset) -> Iterator[int]:
    """Take steps on a CPU in a process of their own, yielding the number of images of each step."""
    spawned = multiprocessing.get_context("spawn")  # torch reads the variables when it is loaded
    ours, theirs = spawned.Pipe()
    process = spawned.Process(target=_serve, args=(theirs, experiment, runtime, data), daemon=True)
    with _usual_waiting():
        process.start()
    theirs.close()
    try:
        while True:
            ours.send(None)
            images: int = ours.recv()
            yield images
    finally:
        process.kill()
        process.join()


@contextmanager
def _usual_waiting() -> Iterator[None]:
    """Let processes that start meanwhile not inherit how OpenMP's threads wait."""
    chosen = {name: os.environ.pop(name) for name in OPENMP}
    try:
        yield
    finally:
        os.environ.update(chosen)


def _serve(connection: Connection, experiment: Experiment, runtime: Runtime, data: Dataset) -> None:
    """Take a step for each message, and answer with its number of images."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this process
    for images in in_memory_steps(experiment, runtime, data, prepare(runtime)):
        connection.recv()
        connection.send(images)
