"""The job of a task: it runs the copied program, and lets the scheduler run it again after a time limit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repro.store.command_text import command_with
from repro.torchrun import environments

if TYPE_CHECKING:
    from submitit.helpers import DelayedSubmission

POLL_SECONDS = 0.2
LAST_SECONDS = 30
"""How long the other processes of a run may still report an error once one has failed; they would wait for it."""


def resuming(runs: Path) -> str:
    """Return how to find the commands that resume the runs of a job, given their folder."""
    return f"{command_with('repro list runs', {'runs': runs})} shows how to resume"


@dataclass
class Job:
    """What submitit calls in a job. The training has processes of its own, so that it saves before it is requeued.

    SIGUSR2 announces a time limit or a preemption: submitit calls `checkpoint`, and requeues the job. SIGTERM is passed
    on: the run saves and the job ends.
    """

    submission: str
    """Folder of the submission."""
    task: int
    """Number of the task."""
    processes: int = 1
    """How many train each run together."""
    _started: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _stopped: bool = False

    def __call__(self) -> None:
        """Run the task; SystemExit if it fails, so that the log ends with what the training said."""
        command = [sys.executable, "-m", "repro", "work", self.submission, str(self.task)]
        for environment in environments(self.processes):
            self._started.append(subprocess.Popen(command, env={**os.environ, **environment}))
        signal.signal(signal.SIGTERM, self._pass_on)
        if failed := self._failure():
            print(f"{' '.join(command)} {self._ended(failed)}", file=sys.stderr, flush=True)
            raise SystemExit(failed if failed > 0 else 128 - failed)  # below 0: the signal that killed it

    def checkpoint(self) -> DelayedSubmission:
        """Let the run save, and return the same job, which resumes it."""
        from submitit.helpers import DelayedSubmission

        self._pass_on(signal.SIGUSR2)
        for each in self._started:
            with suppress(ChildProcessError):  # the loop of `_failure` has just found its end
                os.waitid(os.P_PID, each.pid, os.WEXITED | os.WNOWAIT)
        return DelayedSubmission(Job(self.submission, self.task, self.processes))

    def _ended(self, status: int) -> str:
        """Return how a process ended, in words."""
        number = -status if status < 0 else status - 128  # the second one if the run saved
        if number not in {*signal.Signals}:
            return f"ended with status {status}"
        ended = f"was ended by {signal.Signals(number).name}"
        if number == signal.SIGUSR2:  # the job is queued again
            return ended
        return f"{ended}; {resuming(Path(self.submission).parents[1])}"

    def _failure(self) -> int:
        """Wait for all processes and return the exit status of the first that failed, or 0.

        If one fails, the others are killed after a while.
        """
        end, failed = float("inf"), 0
        # A blocking wait would hold a lock that `checkpoint` needs.
        while None in (found := [each.poll() for each in self._started]):
            failed = failed or next(filter(None, found), 0)
            if failed and not self._stopped:
                end = min(end, time.monotonic() + LAST_SECONDS)
            if time.monotonic() > end:
                for each in self._started:
                    each.kill()
            time.sleep(POLL_SECONDS)
        return failed or next(filter(None, found), 0)

    def _pass_on(self, number: int, _frame: Any = None) -> None:
        self._stopped = True
        for each in self._started:
            each.send_signal(number)
