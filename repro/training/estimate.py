"""The memory and the disk that an experiment needs; loading this module does not load torch."""

from __future__ import annotations

from repro.counting.count import Subject
from repro.counting.demand import Demand
from repro.data import DATASETS
from repro.experiment import Experiment
from repro.runtime import Precision, Runtime

WORKSPACE = 2**28
"""Bytes for the workspaces of a GPU's libraries and for images on it."""
GRAPH_GAPS = 1.0
"""As GAPS, on a GPU: the gradients of activations need about as much as the activations that a step saves.

For ResNet-110 and DenseResNet-110, N = 4, in batches of 64 this gives 1.3 and 1.6 GiB; 1.5 and 1.7 GiB were reserved on
an H100.
"""
GAPS = 0.5
"""What a step allocates and frees again, and the gaps between tensors, as a share of all activations.

On a CPU, the steps of DenseNet (k = 12, L = 100, batch size 64), whose activations take 7.0 GiB, took 9.6 GiB; if these
are recomputed, 0.4 GiB are saved and the steps took 4.4 GiB.
"""
NUMBER_BYTES = 4
"""Bytes of a weight: weights, gradients and momentum are in fp32 in every precision."""


def trained_subject(experiment: Experiment) -> Subject:
    """Return the network of an experiment, with the size of its training images."""
    classes = DATASETS[experiment.dataset].classes
    return Subject(experiment.model, experiment.options, experiment.input, classes)


def state_bytes(experiment: Experiment, demand: Demand) -> int:
    """Return the bytes of a checkpoint: weights, and what optimizer and moving average keep of each."""
    recipe = experiment.recipe
    optimizer = 2 if recipe.optimizer != "sgd" else 1 if recipe.momentum else 0
    return NUMBER_BYTES * demand.params * (1 + optimizer + (1 if recipe.ema else 0))


def peak_bytes(
    experiment: Experiment, demand: Demand, runtime: Runtime, *, on_gpu: bool, saved_bytes: float | None = None
) -> int:
    """Return the estimated peak of the memory that a run takes in training, in bytes.

    Processes of torchrun share the memory of a machine, and each has a GPU and a share of every batch.

    Args:
        experiment: the run.
        demand: what its network demands.
        runtime: how it is trained.
        on_gpu: whether that is on a GPU.
        saved_bytes: of the activations that a step saves, per image in fp32; those of the demand if None.
    """
    batch = experiment.recipe.batch / (runtime.processes if on_gpu else 1)
    saved = demand.saved_bytes if saved_bytes is None else saved_bytes
    activations = saved + (GRAPH_GAPS if on_gpu else GAPS) * demand.saved_bytes
    narrow = 0.5 if runtime.precision == Precision.BF16 else 1.0
    resting = state_bytes(experiment, demand) + NUMBER_BYTES * demand.params
    return round(resting + narrow * batch * activations) + (WORKSPACE if on_gpu else 0)
