"""Running the checks and measurements of a device within a given time, the most important first."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from repro.check.correctness import checks, compiled_checks
from repro.check.jobs import Job
from repro.check.results import CheckReport, Result
from repro.check.setting import CPU, GPU, Setting
from repro.check.timing import compiled_timings, facts, step_timings
from repro.check.worker import Deadline, run_jobs
from repro.errors import UserError
from repro.runtime import Runtime
from repro.training.machine.device import chosen_device
from repro.training.machine.provenance import machine

FIRST_TIMES = 12
"""Step times that are measured before the facts on a GPU."""


def setting_of(runtime: Runtime) -> Setting:
    """Return the setting of a runtime's device.

    Raises:
        UserError: this machine has no such device.
    """
    device = chosen_device(runtime)
    return CPU if device == "cpu" else replace(GPU, device=device)


def jobs_on(setting: Setting) -> tuple[list[Job], list[Job]]:
    """Return the jobs that run one after another, the most important first, and those that compile in parallel."""
    if not setting.on_gpu:
        return [*checks(setting), *step_timings(setting), *facts(setting)], []
    first, *others = facts(setting)
    times = step_timings(setting)
    beside: list[Job] = [*compiled_timings(setting), *compiled_checks(setting)]
    return [first, *checks(setting), *times[:FIRST_TIMES], *others, *times[FIRST_TIMES:]], beside


def run_check(setting: Setting, seconds: float, only: str, show: Callable[[Result], None]) -> CheckReport:
    """Run the jobs with `only` in their names until `seconds` have passed.

    Args:
        setting: the device and its networks.
        seconds: after which the last job is stopped; what is left does not run.
        only: a part of the names of the jobs.
        show: takes each result as soon as it is known.

    Raises:
        UserError: no job has `only` in its name.
    """
    deadline = Deadline(time.monotonic() + seconds)
    _prepare_environment(setting)
    report = CheckReport(machine(torch.device(setting.device)))

    def add(result: Result) -> None:
        report.results.append(result)
        show(result)

    jobs, beside = (_named(some, only) for some in jobs_on(setting))
    if not jobs and not beside:
        names = ", ".join(each.name for each in jobs_on(setting)[0])
        raise UserError(f"--only {only}: no check has this in its name; they are: {names}")
    run_jobs(jobs, beside, deadline, add)
    return report


def _named(jobs: Sequence[Job], only: str) -> list[Job]:
    return [each for each in jobs if only in each.name]


def _prepare_environment(setting: Setting) -> None:
    """Set what the worker processes inherit."""
    if not setting.on_gpu and "OMP_NUM_THREADS" not in os.environ:
        os.environ["OMP_NUM_THREADS"] = "1"  # in networks this small, more threads only wait for each other
        torch.set_num_threads(1)  # torch has read the variable in this process, whose threads the report names
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is not deterministic without it
