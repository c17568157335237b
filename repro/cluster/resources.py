"""What the jobs of a submission may use."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from repro.cluster.tasks import Where
from repro.text import number_of

SAVING_SECONDS, SAVING_SHARE = 120, 0.25
"""Longest time between SIGUSR2 and the time limit of a job, in which its run saves, and its share of that limit."""
NO_LIMIT_HOURS = 24 * 365
GPU_OPTIONS = ("gpus", "gres", "tres-per")
"""How the options of sbatch begin that ask for GPUs."""
NUMBER_OF_GPUS = re.compile(r"(?:^|[:=])(\d+)$")
"""The number in a part of such an option, as in gpu:a100:4; without one, it is one GPU."""


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What the jobs of a submission may use."""

    where: Where
    parallel: int
    """Jobs that run at once."""
    hours: float | None = None
    """Time limit of a job, after which it is requeued; None on this machine, whose jobs have none."""
    gpus: int = 0
    """GPUs of each job, on which as many processes train each run together; on this machine jobs may share them."""
    partition: str | None = None
    """As the next one only for Slurm."""
    options: Mapping[str, str] = field(default_factory=dict)
    """Other options of sbatch, by their long names."""

    @property
    def words(self) -> list[str]:
        """What the jobs may use, in a few words each."""
        limits = [f"up to {self.parallel} at once", *([f"{self.hours:g} h each"] if self.hours else [])]
        partition = [f"partition {self.partition}"] if self.partition else []
        shown = self.gpus > 1 or (self.adds_gpus and self.where is Where.SLURM)
        gpus = [f"{number_of(self.gpus, 'GPU')} each"] if shown else []
        return [*limits, *gpus, *partition, *(f"{name}={value}" for name, value in self.options.items())]

    @property
    def processes(self) -> int:
        """How many processes train each run together."""
        return max(1, self.gpus)

    @property
    def adds_gpus(self) -> bool:
        """Whether a job needs GPUs for which no option of sbatch asks."""
        return bool(self.gpus) and self.requested_gpus is None

    @property
    def requested_gpus(self) -> int | None:
        """How many GPUs the options of sbatch ask for; None if they do not."""
        asking = {name: value.split(",") for name, value in self.options.items() if name.startswith(GPU_OPTIONS)}
        parts = [each for name, parts in asking.items() for each in parts if name.startswith("gpus") or "gpu" in each]
        found = [NUMBER_OF_GPUS.search(each) for each in parts]
        return max((int(each[1]) if each else 1 for each in found), default=None)

    @property
    def limit_hours(self) -> float:
        """The time limit of a job."""
        return self.hours or NO_LIMIT_HOURS

    @property
    def saving_seconds(self) -> int:
        """How long before its time limit a job gets SIGUSR2."""
        return min(SAVING_SECONDS, round(SAVING_SHARE * 3600 * self.limit_hours))
