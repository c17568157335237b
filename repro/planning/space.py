"""The disk and the memory that runs need."""

from __future__ import annotations

from dataclasses import dataclass

from repro.counting.demand import Demand
from repro.experiment import Experiment
from repro.planning.pace import Measurements

NUMBER_BYTES = 4
"""Bytes of a weight: weights, gradients and momentum are in fp32 in every precision."""
CHECKPOINTS = 2
"""Checkpoints that a run keeps: the newest and the one before; curves and records are small."""


@dataclass(frozen=True)
class Memory:
    """The memory that a run needs on its device, with the seeds that are trained at once with it."""

    bytes: int
    measured: bool
    """Whether a record has its peak; else it is an estimate: weights, gradients, momentum and saved activations in
    fp32, without images and the workspace of libraries."""

    @property
    def text(self) -> str:
        """What it rests on, in words."""
        return "peak of records" if self.measured else "estimate from activations"


def disk_bytes(experiment: Experiment, demand: Demand) -> int:
    """Return the bytes of the checkpoints of a run: weights and, if the recipe has momentum, as many numbers again."""
    return CHECKPOINTS * NUMBER_BYTES * demand.params * _kinds(experiment)


def memory_of(experiment: Experiment, demand: Demand, known: Measurements, at_once: int) -> Memory:
    """Return the memory that a run needs.

    Args:
        experiment: the run.
        demand: what its network demands.
        known: what was measured on the device.
        at_once: number of seeds that are trained at once.
    """
    peaks, alike = known.alike([each for each in known.of_network(experiment) if each.peak_bytes], at_once > 1)
    if peaks and alike:
        alone = max(each.peak_bytes / known.at_once(each) for each in peaks if each.peak_bytes)
        return Memory(round(alone * at_once), measured=True)
    resting = NUMBER_BYTES * demand.params * (1 + _kinds(experiment))
    return Memory(round((resting + demand.saved_bytes * experiment.recipe.batch) * at_once), measured=False)


def _kinds(experiment: Experiment) -> int:
    """Return how many numbers a checkpoint has for each weight."""
    return 2 if experiment.recipe.momentum else 1
