"""The jobs of submissions that have not ended."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from repro.cluster.tasks import FILE, JOBS, Submission, Where, submissions_in
from repro.errors import UserError
from repro.store.results import read_records

SECONDS = 30
"""Longest wait for a command of Slurm."""
Hosts = Mapping[str, str]
"""Where each job runs, by its ID; empty while it is queued."""


@dataclass(frozen=True)
class LiveJob:
    """A job that has not ended, or several of this machine that share their runs."""

    ids: Sequence[str]
    host: str
    """Where it runs; empty while it is queued."""
    names: Sequence[str]
    """The names of the runs that it trains."""

    @property
    def place(self) -> str:
        """The job in words."""
        job = f"job{'s' if len(self.ids) > 1 else ''} {', '.join(self.ids)}"
        return f"{job} on {self.host}" if self.host else job


@dataclass(frozen=True)
class JobLog:
    """What the newest job of a run prints."""

    path: Path
    """The file of the job; the folder of all if several jobs of this machine share their runs."""
    newest: bool
    """Whether no later command submitted jobs."""
    submission: Submission


def logs_of(runs: Path) -> dict[str, JobLog]:
    """Return where the jobs of submitted runs print, by the names of the runs; not those of other machines."""
    found = dict[str, JobLog]()
    submissions = submissions_in(runs)
    for submission in submissions:
        if submission.where is Where.LOCAL and submission.host != socket.gethostname():
            continue
        for job, names in zip(submission.jobs, submission.tasks, strict=True):
            file = "" if submission.shared else f"{job}_0_log.out"
            log = JobLog(submission.folder / JOBS / file, submission is submissions[-1], submission)
            found |= dict.fromkeys(names, log)
    return found


def recorded_by(submissions: Iterable[Submission]) -> dict[Path, set[str]]:
    """Return the names of the recorded runs in each folder of results that some submissions have."""
    found = dict[Path, set[str]]()
    for folder in {each.folders.results for each in submissions}:
        found[folder] = set()
        with suppress(UserError):  # a file that cannot be read must not hide the runs
            found[folder] = {each.name for each in read_records([folder])}
    return found


def live_jobs(
    runs: Path, ended: Iterable[str] = (), unended: Iterable[str] = (), where: Collection[Where] = tuple(Where)
) -> dict[str, LiveJob]:
    """Return the jobs that have not ended, by the names of their runs; a running job before a queued one.

    Slurm is asked only if some submitted run has not ended.

    Args:
        runs: the folder of the runs.
        ended: names of runs that have ended, besides those in the results of the submission.
        unended: names of runs that have not ended, although they may be recorded: they are still to be tested.
        where: where the jobs were submitted to.

    Raises:
        UserError: Slurm does not answer.
    """
    over, left = {*ended}, list[tuple[Submission, set[str]]]()
    submissions = [each for each in submissions_in(runs) if each.where in where]
    recorded = recorded_by(submissions)
    for each in submissions:
        if names := each.experiments.keys() - over - (recorded[each.folders.results] - {*unended}):
            left.append((each, names))
    in_slurm = [each for each, _ in left if each.where is Where.SLURM]
    slurm = _of_slurm(in_slurm) if in_slurm else {}
    jobs = [(job, names.intersection(job.names)) for each, names in left for job in _of(each, slurm)]
    found = dict[str, LiveJob]()
    for job, names in sorted(jobs, key=lambda each: bool(each[0].host)):
        found |= dict.fromkeys(names, job)
    return found


def _of(submission: Submission, slurm: Hosts) -> Iterator[LiveJob]:
    hosts = slurm if submission.where is Where.SLURM else dict(_of_this_machine(submission))
    if submission.shared and hosts:
        yield LiveJob(list(hosts), submission.host, list(submission.experiments))
        return
    for job, names in zip(submission.jobs, submission.tasks, strict=True):
        if job in hosts:
            yield LiveJob([job], hosts[job], names)


def _of_slurm(submissions: Iterable[Submission]) -> Hosts:
    """Return where all jobs in Slurm run of this user and of those who made some submissions."""
    users = {os.getuid(), *((each.folder / FILE).stat().st_uid for each in submissions)}
    command = ["squeue", "--noheader", "--array", f"--user={','.join(map(str, sorted(users)))}", "--format=%i|%N"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=SECONDS).stdout
    except FileNotFoundError:
        raise UserError(
            "runs were submitted to Slurm, but squeue is not found here; run this command on a login node"
        ) from None
    except subprocess.CalledProcessError as error:
        raise UserError(f"squeue failed, so it is unknown which runs are queued: {error.stderr.strip()}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(f"squeue failed, so it is unknown which runs are queued: {error}") from error
    jobs = (line.partition("|") for line in answer.splitlines())
    return {job.strip(): host.strip() for job, bar, host in jobs if bar}  # others are a login message of the cluster


def _of_this_machine(submission: Submission) -> Iterator[tuple[str, str]]:
    """Yield the jobs of a submission whose processes run on this machine, and its name."""
    if submission.host != socket.gethostname():
        return
    place = os.path.realpath(os.fsencode(submission.folder / JOBS))
    for job in submission.jobs:
        try:
            command = Path(f"/proc/{job}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        folders = (each for each in command if each.startswith(b"/"))
        if place in map(os.path.realpath, folders):  # the job may name the folder by way of links and of ..
            yield job, submission.host
