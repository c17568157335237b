"""Submitting the tasks of a command through submitit."""

from __future__ import annotations

import io
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, suppress
from dataclasses import replace
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING

from repro.cluster.job import Job
from repro.cluster.program import copy_papers, copy_program
from repro.cluster.queue import SECONDS
from repro.cluster.resources import Resources
from repro.cluster.tasks import JOBS, Submission, Where
from repro.console import loading, point_to_nowhere
from repro.data import load
from repro.errors import PackageMissing, RunFailed, UserError, is_disk_full, os_error_text
from repro.experiment import Experiment
from repro.paths import Folders
from repro.recipes import current_library
from repro.runtime import Runtime
from repro.store.run_folders import SUBMISSIONS
from repro.text import number_of

if TYPE_CHECKING:
    from submitit import Job as Started

REQUEUES = 10_000
"""How often a job of Slurm may reach its time limit."""
STDOUT, STDERR = 1, 2
"""The file descriptors of a process's output."""
VISIBLE = "CUDA_VISIBLE_DEVICES"
"""The environment variable that names the GPUs of a process."""
CANCEL_SECONDS = 10.0
"""Longest wait until stopped jobs of this machine have ended."""
PROGRAM = "program"
"""The copied program in the folder of a submission."""
NOT_IN_PATHS = {
    "%": "Slurm replaces in the paths of logs",  # by a job's ID in place of %j and the like, as does submitit
    os.pathsep: "separates the folders of PYTHONPATH",
}
"""What the folder of jobs cannot have in its path, and what the sign does there."""
SET_HERE = {
    "time": "use --hours",
    "array": "use --parallel",
    **dict.fromkeys(("nodes", "ntasks", "ntasks-per-node"), "a job is one task; leave it out"),
    **dict.fromkeys(("job-name", "open-mode", "output", "signal"), "it is set already; leave it out"),
    **dict.fromkeys(("no-requeue", "requeue"), "a job is always requeued at its time limit; leave it out"),
}
"""Options of sbatch that the user cannot give, and what to do instead."""


def submit(
    tasks: Sequence[Sequence[Experiment]], runtime: Runtime, folders: Folders, resources: Resources, name: str
) -> Submission:
    """Submit a job for each task and return at once.

    Jobs of this machine are submitted only if their datasets can be read. The program and the papers are copied first,
    so that later edits do not reach the jobs.

    Args:
        tasks: the experiments of each job.
        runtime: how the jobs train.
        folders: of the runs; the jobs must reach them under the same paths.
        resources: what the jobs may use.
        name: the name of jobs of Slurm.

    Raises:
        PackageMissing: submitit is not installed.
        UserError: there is no Slurm here, it refuses the jobs, this machine has too few GPUs, a dataset that its jobs
            need is missing, or the jobs cannot lie in the folder of the runs.
        RunFailed: the disk is full, or a dataset cannot be downloaded.
    """
    check_available(resources)
    local = resources.where is Where.LOCAL
    if local:
        for dataset in {each.dataset: None for task in tasks for each in task}:
            _ = load(dataset, folders.data).fingerprint  # computed from all images, which the jobs need
    place = folders.runs.absolute()
    for sign, what in NOT_IN_PATHS.items():
        if sign in str(place):
            raise UserError(f"--runs {place} contains {sign}, which {what}; choose another folder")
    now = datetime.now(UTC)
    folder = place / SUBMISSIONS / f"{now:%Y%m%d-%H%M%S}-{socket.gethostname()}-{os.getpid()}"
    folder.mkdir(parents=True)
    jobs = [Job(str(folder), task, resources.processes) for task in range(len(tasks))]
    with _removed_if_refused(folder, resources.where):
        submission = _prepared(folder, now, tasks, runtime, folders, resources.where)
        started = _start(jobs, folder, resources) if local else _queue(jobs, folder, resources, name)
        return _recorded(submission, started)


def _prepared(
    folder: Path,
    now: datetime,
    tasks: Sequence[Sequence[Experiment]],
    runtime: Runtime,
    folders: Folders,
    where: Where,
) -> Submission:
    """Write a submission, and what its jobs need, into its folder."""
    copy_program(folder / PROGRAM)
    submission = Submission(
        folder=folder,
        where=where,
        host=socket.gethostname(),
        submitted=now.isoformat(" ", "seconds"),
        tasks=[[each.name for each in task] for task in tasks],
        experiments={each.name: each.to_json() for task in tasks for each in task},
        runtime={**runtime.values(), "unset": sorted(runtime.unset)},
        folders=Folders(**{name: path.absolute() for name, path in vars(folders).items()}),
        papers=copy_papers(current_library().papers, folder / "papers", [folder.parent, *vars(folders).values()]),
    )
    submission.write()
    return submission


def check_available(resources: Resources) -> None:
    """Raise UserError if jobs cannot be submitted from this machine."""
    if find_spec("submitit") is None:
        raise PackageMissing("submitit", "submitting jobs")
    if resources.where is Where.SLURM:
        if not (which("sbatch") and which("srun")):
            raise UserError("--on slurm needs Slurm's commands, and sbatch is not found; submit from a login node")
    elif resources.processes > 1 and resources.gpus > (here := len(_gpus_here())):
        raise UserError(f"--gpus {resources.gpus}: torch finds {number_of(here, 'GPU')} on this machine")


def _python(folder: Path, *variables: str) -> str:
    """Return the command that runs Python with the copied program, and with variables, each as NAME=VALUE."""
    path = os.pathsep.join(filter(None, [str(folder / PROGRAM), os.environ.get("PYTHONPATH", "")]))
    # Without PYTHONSAFEPATH a package `repro` in the working folder would come first.
    return shlex.join(["env", f"PYTHONPATH={path}", "PYTHONSAFEPATH=1", *variables, sys.executable])


def _queue(jobs: Sequence[Job], folder: Path, resources: Resources, name: str) -> Sequence[Started[None]]:
    """Submit jobs to Slurm as an array."""
    from submitit import SlurmExecutor

    executor = SlurmExecutor(folder / JOBS, max_num_timeout=REQUEUES, python=_python(folder))
    executor.update_parameters(
        job_name=name,
        time=max(1, round(60 * resources.limit_hours)),
        signal_delay_s=resources.saving_seconds,
        array_parallelism=resources.parallel,
        partition=resources.partition,
        gpus_per_node=resources.gpus if resources.adds_gpus else None,
        wckey=None,
        stderr_to_stdout=True,
        additional_parameters={"requeue": True, **resources.options},
    )
    with executor.batch():
        return [executor.submit(job) for job in jobs]


def _start(jobs: Sequence[Job], folder: Path, resources: Resources) -> Sequence[Started[None]]:
    """Start jobs in the background, with the GPUs assigned in turn."""
    from submitit import LocalExecutor

    started: list[Started[None]] = []
    gpus = _gpus_here() if resources.gpus else []
    try:
        for number, job in enumerate(jobs):
            # submitit itself knows GPUs only by their numbers.
            visible = f"{VISIBLE}={','.join(assigned_gpus(number, resources.gpus, gpus))}"
            executor = LocalExecutor(folder / JOBS, python=_python(folder, visible))
            executor.update_parameters(timeout_min=60 * resources.limit_hours, stderr_to_stdout=True)
            with _detached():
                started.append(executor.submit(job))
    except BaseException:
        _cancel(started)
        raise
    return started


def _recorded(submission: Submission, started: Sequence[Started[None]]) -> Submission:
    """Write a submission with the IDs of its jobs; if that fails, they are cancelled, since no command knows them."""
    try:
        known = replace(submission, jobs=[each.job_id for each in started])
        known.write()
    except BaseException:
        if submission.where is Where.LOCAL:
            _cancel(started)
        else:
            _cancel_queued(started[0].job_id.split("_")[0])
        raise
    return known


def _cancel_queued(array: str) -> None:
    """Cancel an array of Slurm's jobs; UserError, which says how to, if that fails."""
    command = ["scancel", array]
    try:
        subprocess.run(command, capture_output=True, check=True, timeout=SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        line = shlex.join(command)
        raise UserError(f"the jobs were submitted, but not recorded, and {line} failed; run it again") from error


def _cancel(started: Sequence[Started[None]]) -> None:
    """Stop jobs of this machine, so that nothing writes into their folder; those that do not end soon are interrupted.

    SIGTERM reaches their runs and prints nothing, unlike SIGINT, which `cancel` sends.
    """
    for job in started:
        if not job.done():
            os.kill(int(job.job_id), signal.SIGTERM)
    end = time.monotonic() + CANCEL_SECONDS
    while not all(job.done() for job in started) and time.monotonic() < end:
        time.sleep(0.05)
    for job in started:
        job.cancel()  # no effect on one that has ended


def assigned_gpus(job: int, each: int, gpus: Sequence[str]) -> list[str]:
    """Return a job's GPUs, if jobs have `each` of `gpus` in turn, and none twice; none if there are none."""
    return [gpus[(job * each + number) % len(gpus)] for number in range(min(each, len(gpus)))]


def _gpus_here() -> list[str]:
    """Return the GPUs that this process sees, as VISIBLE names them: by number or by UUID."""
    with loading():
        import torch
    count = torch.cuda.device_count()
    named = os.environ.get(VISIBLE)
    return [*map(str, range(count))] if named is None else [each.strip() for each in named.split(",")[:count]]


@contextmanager
def _detached() -> Iterator[None]:
    """Context whose new processes neither end with the terminal nor keep a pipe open that this command writes to."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    kept = {stream: os.dup(stream) for stream in (STDOUT, STDERR)}
    try:
        for stream in kept:
            point_to_nowhere(stream)
        yield
    finally:
        for stream, copy in kept.items():
            os.dup2(copy, stream)
            os.close(copy)
        signal.signal(signal.SIGHUP, before)


@contextmanager
def _removed_if_refused(folder: Path, where: Where) -> Iterator[None]:
    """Remove the folder of a submission that fails, and those above it that are empty, and say why in one line."""
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    try:
        with redirect_stderr(io.StringIO()):  # submitit repeats there what the error says
            yield
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):
            folder.parent.rmdir()
            folder.parents[1].rmdir()
        if isinstance(error, OSError):
            cause = _first_of(error) if isinstance(error, shutil.Error) else error
            kind = RunFailed if is_disk_full(cause) else UserError
            raise kind(f"the jobs cannot be submitted: {os_error_text(cause)}") from error
        if isinstance(error, (FailedJobError, FailedSubmissionError)):
            options = "; check --hours, --partition and --slurm" if where is Where.SLURM else ""
            raise UserError(f"the jobs cannot be submitted: {_reason(str(error))}{options}") from error
        raise


def _first_of(error: shutil.Error) -> OSError:
    """Return the first error of a copy of several files, of which shutil keeps Python's text."""
    _, copy, text = error.args[0][0]
    number = re.match(r"\[Errno (\d+)\]", text)
    found = OSError(int(number[1]), os.strerror(int(number[1])), str(copy)) if number else OSError(text)
    return found if is_disk_full(found) else OSError(text)  # the text of other errors names the file that is copied


def _reason(refusal: str) -> str:
    """Return the last line of a refusal that says what is wrong."""
    lines = refusal.strip().splitlines()
    return next((each for each in reversed(lines) if not each.startswith("Try ")), lines[-1])
