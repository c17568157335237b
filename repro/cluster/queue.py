"""The jobs of submissions that are queued or running now."""

from __future__ import annotations

import getpass
import socket
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from repro.cluster.tasks import JOBS, Submission, Where
from repro.errors import UserError

SECONDS = 30
"""Longest wait for squeue."""


class JobState(StrEnum):
    """The state of a job that has not ended."""

    QUEUED = "queued"
    RUNNING = "running"


@dataclass(frozen=True)
class QueuedJob:
    """A job that has not ended."""

    id: str
    state: JobState
    host: str
    """Where it runs; empty while it is queued."""
    submission: Submission
    task: int

    @property
    def names(self) -> Iterable[str]:
        """The names of the experiments that it trains."""
        return self.submission.tasks[self.task]


def live_jobs(submissions: Iterable[Submission]) -> list[QueuedJob]:
    """Return the jobs that have not ended; UserError if SLURM does not answer."""
    submissions = list(submissions)
    found = list[QueuedJob]()
    slurm = _of_slurm() if any(each.where is Where.SLURM for each in submissions) else {}
    for each in submissions:
        known = slurm if each.where is Where.SLURM else dict(_of_this_machine(each))
        for task, job in enumerate(each.jobs):
            if job in known:
                found.append(QueuedJob(job, *known[job], each, task))
    return found


def _of_slurm() -> Mapping[str, tuple[JobState, str]]:
    """Return state and host of all jobs of this user in SLURM, by ID."""
    command = ["squeue", "--noheader", "--array", f"--user={getpass.getuser()}", "--format=%i|%T|%N"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=SECONDS).stdout
    except FileNotFoundError:
        raise UserError("some runs are in SLURM's queue, and squeue is not found; ask from a login node") from None
    except (OSError, subprocess.SubprocessError) as error:
        raise UserError(f"squeue does not answer ({error}); try again later") from error
    fields = (line.split("|") for line in answer.splitlines())
    return {job: (JobState.RUNNING if host else JobState.QUEUED, host) for job, _, host in fields}


def _of_this_machine(submission: Submission) -> Iterator[tuple[str, tuple[JobState, str]]]:
    """Yield the jobs of a submission to this machine whose processes are running."""
    if submission.host != socket.gethostname():
        return
    for job in submission.jobs:
        try:
            command = Path(f"/proc/{job}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if str(submission.folder / JOBS).encode() in command:
            yield job, (JobState.RUNNING, submission.host)
