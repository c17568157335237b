"""The disk and the memory that runs need."""

from __future__ import annotations

from dataclasses import dataclass

from repro.counting.demand import Demand
from repro.experiment import Experiment
from repro.planning.image_time import Measurements
from repro.recipes import RECIPES
from repro.store.results import is_cpu
from repro.training.estimate import peak_bytes, state_bytes

CHECKPOINTS = 2
"""Checkpoints that a run keeps: the newest and the one before; curves and records are small."""


@dataclass(frozen=True)
class Memory:
    """The memory that a run needs on its device, with the seeds that are trained at once with it."""

    bytes: int
    measured: bool
    """Whether a record has its peak; else it is an estimate."""

    @property
    def text(self) -> str:
        """What it rests on, in words."""
        return "peak of records" if self.measured else "estimate from activations"


def disk_bytes(experiment: Experiment, demand: Demand) -> int:
    """Return the bytes of the checkpoints of a run."""
    return CHECKPOINTS * state_bytes(experiment, demand)


def memory_of(experiment: Experiment, demand: Demand, known: Measurements, at_once: int) -> Memory:
    """Return the memory that a run needs.

    Args:
        experiment: the run.
        demand: what its network demands.
        known: what was measured on the device.
        at_once: number of seeds that are trained at once.
    """
    batch = experiment.recipe.batch
    same = [each for each in known.of_network(experiment) if each.recipe in RECIPES]
    measured = [each for each in same if each.peak_bytes and RECIPES[each.recipe].batch == batch]
    peaks, alike = known.alike(measured, experiment, at_once > 1)
    if peaks and alike:
        alone = max(each.peak_bytes / known.at_once(each) for each in peaks if each.peak_bytes)
        return Memory(round(alone * at_once), measured=True)
    alone = peak_bytes(experiment, demand, known.runtime, on_gpu=not is_cpu(known.device))
    return Memory(alone * at_once, measured=False)
