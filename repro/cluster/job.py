"""The job of a task: it runs the copied program, and lets the scheduler run it again after a time limit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from submitit.helpers import DelayedSubmission

POLL_SECONDS = 0.2


@dataclass
class Job:
    """What submitit calls in a job. The training has a process of its own, so that it saves before the job is requeued.

    SIGUSR2 announces a time limit or a preemption: submitit calls `checkpoint`, and requeues the job. SIGTERM is passed
    on: the run saves and the job ends.
    """

    submission: str
    """Folder of the submission."""
    task: int
    """Number of the task."""
    _process: subprocess.Popen[bytes] | None = None

    def __call__(self) -> None:
        """Run the task; RuntimeError if it fails."""
        command = [sys.executable, "-m", "repro", "work", self.submission, str(self.task)]
        self._process = subprocess.Popen(command)
        signal.signal(signal.SIGTERM, self._pass_on)
        while self._process.poll() is None:  # a blocking wait would hold a lock that `checkpoint` needs
            time.sleep(POLL_SECONDS)
        if self._process.returncode:
            raise RuntimeError(f"{' '.join(command)} ended with status {self._process.returncode}")

    def checkpoint(self) -> DelayedSubmission:
        """Let the run save, and return the same job, which resumes it."""
        from submitit.helpers import DelayedSubmission

        self._pass_on(signal.SIGUSR2)
        if self._process:
            with suppress(ChildProcessError):  # the loop of `__call__` has just found its end
                os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        return DelayedSubmission(Job(self.submission, self.task))

    def _pass_on(self, number: int, _frame: Any = None) -> None:
        if self._process:
            self._process.send_signal(number)
