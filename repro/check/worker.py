"""Runs jobs in separate processes, so that a job that crashes or hangs loses only its own result."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from repro.check.jobs import Job, outcome
from repro.check.results import Result

READY, GO = "ready", "go"
"""A worker asks for a quiet device; the device is quiet."""
JOB_SECONDS = 60.0
"""Longest time of a job that others wait for."""


@dataclass(frozen=True)
class Deadline:
    """The time by which everything must be finished."""

    at: float
    """The deadline on the monotonic clock."""

    @property
    def left(self) -> float:
        """Seconds left, never below 0."""
        return max(0.0, self.at - time.monotonic())


def serve(connection: Connection, niceness: int) -> None:
    """Run incoming jobs one after another until one raises: it may have left the device unusable."""
    os.nice(niceness)

    def quiet() -> None:
        connection.send(READY)
        assert connection.recv() == GO

    usable = True
    with suppress(EOFError, OSError):  # the parent has ended
        while usable:
            result, usable = outcome(connection.recv(), quiet)
            connection.send((result, usable))


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Context whose new processes ignore Ctrl-C, which a terminal sends to them too: their parent ends them."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@dataclass
class Worker:
    """A process for jobs, started when the first one comes and again after a failure."""

    niceness: int = 0
    process: BaseProcess | None = None
    connection: Connection = field(init=False)
    job: Job = field(init=False)
    started: float = field(init=False)

    def begin(self, job: Job) -> None:
        """Send a job."""
        if self.process is None or not self.process.is_alive():
            self._start()
        self.job, self.started = job, time.monotonic()
        self.connection.send(job)

    @property
    def asks(self) -> bool:
        """Whether the process waits for a quiet device, has a result, or has crashed."""
        return self.connection.poll(0)

    def result(self, deadline: Deadline, longest: float = math.inf) -> Result:
        """Return the result of the job, which gets a quiet device when it asks for one.

        The job is stopped at the deadline, and fails if it takes more than `longest` seconds from now.
        """
        end = Deadline(min(deadline.at, time.monotonic() + longest))
        try:
            while self.connection.poll(end.left):
                message = self.connection.recv()
                if message != READY:
                    result: Result
                    result, usable = message
                    if not usable:
                        self.stop()
                    return result
                self.connection.send(GO)
        except (EOFError, ConnectionError):
            return self._lost("the process crashed", patience=5.0)
        if end == deadline:
            self.stop()
            return self.job.without("stopped: no time left", time.monotonic() - self.started, failed=False)
        return self._lost("stopped: it took too long", patience=0.0)

    def stop(self, patience: float = 0.0) -> int | None:
        """End the process after waiting `patience` seconds for it to exit, and return its exit status."""
        if self.process is None:
            return None
        self.process.join(patience)
        self.process.kill()
        self.process.join()
        self.connection.close()
        status, self.process = self.process.exitcode, None
        return status

    def _start(self) -> None:
        spawned = multiprocessing.get_context("spawn")  # a forked process could not use the GPU
        self.connection, theirs = spawned.Pipe()
        self.process = spawned.Process(target=serve, args=(theirs, self.niceness), daemon=True)
        with _uninterrupted():
            self.process.start()
        theirs.close()

    def _lost(self, why: str, *, patience: float) -> Result:
        status = self.stop(patience)
        return self.job.without(f"{why}, exit status {status}", time.monotonic() - self.started)


def run_jobs(jobs: Sequence[Job], beside: Sequence[Job], deadline: Deadline, report: Callable[[Result], None]) -> None:
    """Run jobs one after another until the deadline; others compile in parallel and are measured in between.

    Args:
        jobs: in the order of their importance.
        beside: each in a separate process with low priority, which asks for a quiet device before it measures.
        deadline: when the last process is stopped.
        report: takes each result.
    """
    waiting = [Worker(niceness=10) for _ in beside]
    for worker, job in zip(waiting, beside, strict=True):
        worker.begin(job)
    first = Worker()
    for job in jobs:
        if deadline.left < job.needs:
            report(job.without("no time left", 0.0, failed=False))
            continue
        first.begin(job)
        report(first.result(deadline, JOB_SECONDS))
        for worker in [each for each in waiting if each.asks]:
            report(worker.result(deadline, JOB_SECONDS))
            worker.stop()
            waiting.remove(worker)
    first.stop()
    for worker in waiting:
        report(worker.result(deadline))
        worker.stop()
