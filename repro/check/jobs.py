"""What a worker runs: one check or one measurement, which can be sent to another process."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from repro.check.results import Result
from repro.training.machine.device_memory import release_memory

Quiet = Callable[[], None]
"""Returns when nothing else uses the device; called before a measurement of time."""


class Job(Protocol):
    """A check or a measurement."""

    @property
    def name(self) -> str:
        """The job's name in every result."""

    @property
    def needs(self) -> float:
        """Seconds that must be left for it to be started."""

    def run(self, quiet: Quiet) -> Result:
        """Return what was found; any exception is a failure."""

    def without(self, note: str, seconds: float, *, failed: bool = True) -> Result:
        """Return the result of a job that failed, or did not run to its end for lack of time."""


def outcome(job: Job, quiet: Quiet) -> tuple[Result, bool]:
    """Return what a job found, and whether it ended without an exception."""
    begin = time.monotonic()
    try:
        return job.run(quiet), True
    except Exception as error:  # compilers and GPUs raise all kinds of errors
        traceback.print_exc()
        lines = str(error).strip().splitlines()
        note = ": ".join([type(error).__name__, *lines[:1]])
        return job.without(note[:300], time.monotonic() - begin), False
    finally:
        with suppress(RuntimeError):  # after an error of the device, which the job has reported
            release_memory()  # so that the next job measures only its own
