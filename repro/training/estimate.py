"""What an experiment occupies at rest, in training and in plans; loading this module does not load torch."""

from __future__ import annotations

from repro.counting.count import Subject
from repro.counting.demand import Demand
from repro.data import DATASETS
from repro.experiment import Experiment

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


def resting_bytes(experiment: Experiment, demand: Demand) -> int:
    """Return the bytes of weights and gradients, and of what optimizer and moving average keep."""
    return state_bytes(experiment, demand) + NUMBER_BYTES * demand.params
