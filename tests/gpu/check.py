"""Check and time training on this machine's GPU, and stop after the given number of seconds.

python tests/gpu/check.py --seconds 220 --out DIR

Without a GPU the same code runs on the CPU, with small networks and a stand-in for CUDA graphs.
"""

from __future__ import annotations

import argparse
import os
import sys
import tarfile
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the folder with the package `gpu`

import torch

from gpu.correctness import checks, compiled_checks
from gpu.jobs import Job, Quiet
from gpu.results import CheckReport, Result
from gpu.setting import CPU, GPU, Setting
from gpu.stand_in import stand_in
from gpu.timing import compiled_step_times, figures, step_times
from gpu.worker import Deadline, run_jobs
from repro.training.provenance import machine

JSON, CACHE = "check.json", "inductor.tar.xz"
PACKING = 12.0
"""Seconds kept for packing Inductor's cache."""


@dataclass(frozen=True)
class WithStandIn:
    """A job on a CPU, with the stand-in for CUDA graphs."""

    job: Job

    @property
    def name(self) -> str:
        """The job's name."""
        return self.job.name

    @property
    def needs(self) -> float:
        """A fifth of the job's seconds, since everything is small on a CPU."""
        return self.job.needs / 5

    def run(self, quiet: Quiet) -> Result:
        """Return the job's result."""
        with stand_in():
            return self.job.run(quiet)

    def without(self, note: str, seconds: float) -> Result:
        """Return the job's result for a failure."""
        return self.job.without(note, seconds)


def jobs_on(setting: Setting) -> tuple[list[Job], list[Job]]:
    """Return the jobs that run one after another, the most important first, and those that compile in parallel."""
    if not setting.on_gpu:
        jobs: list[Job] = [*checks(setting), *step_times(setting), *figures(setting)]
        return [WithStandIn(each) for each in jobs], []
    first, *others = figures(setting)
    times = step_times(setting)
    beside: list[Job] = [*compiled_step_times(setting), *compiled_checks(setting)]
    return [first, *checks(setting), *times[:12], *others, *times[12:]], beside


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit status: 1 if a check failed or did not run."""
    begin = time.monotonic()
    options = _parser().parse_args(arguments)
    setting = CPU if options.device == "cpu" or not torch.cuda.is_available() else GPU
    options.out.mkdir(parents=True, exist_ok=True)
    cache = _prepare_environment(setting)
    print(f"torch {torch.__version__} on {setting.device}, {os.cpu_count()} cores", flush=True)
    report = CheckReport(options.out / JSON, machine(torch.device(setting.device)))
    jobs, beside = ([each for each in some if options.only in each.name] for some in jobs_on(setting))
    run_jobs(jobs, beside, Deadline(begin + options.seconds - (PACKING if beside else 0)), report.add)
    print(report.table(), flush=True)
    if beside and cache.is_dir():
        pack(cache, options.out / CACHE)
    return 1 if report.failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Check and time training on this machine's GPU.")
    parser.add_argument("--seconds", type=float, default=220, help="Stop after this many seconds (default: 220).")
    parser.add_argument("--out", type=Path, required=True, help="Folder of the results.")
    parser.add_argument("--device", choices=("auto", "cpu"), default="auto", help="auto: the GPU if there is one.")
    parser.add_argument("--only", default="", help="Run only the jobs with this text in their names.")
    return parser


def _prepare_environment(setting: Setting) -> Path:
    """Set what the worker processes inherit, and return the folder of Inductor's cache."""
    if not setting.on_gpu:
        os.environ.setdefault("OMP_NUM_THREADS", "1")  # in networks this small, more threads only wait for each other
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is not deterministic without it
    cache = Path(tempfile.gettempdir()) / "repro-inductor"
    return Path(os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache)))


def pack(folder: Path, archive: Path) -> None:
    """Write a folder into an archive, as `inductor/`."""
    with tarfile.open(archive, "w:xz", preset=1) as file:
        file.add(folder, "inductor")
    print(f"{archive.name}: {archive.stat().st_size / 2**20:.1f} MiB", flush=True)


if __name__ == "__main__":
    sys.exit(main())
