"""A task: what a network is trained on and tested with. One file per kind of data set implements it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from repro.data import DATASETS, load
from repro.experiment import Experiment
from repro.runtime import Runtime

Progress = Callable[[range], Iterable[int]]
"""Wraps the beginnings of the batches of a test, for a bar."""


class Batch(NamedTuple):
    """Some of the training images, on the device; of several processes each has its share of them."""

    inputs: Tensor
    """(n, C, H, W), float32, normalised and augmented, in the runtime's memory format."""
    targets: Tensor
    """What the loss compares the outputs with; n in front. Labels: (n,) int64."""


@dataclass(frozen=True)
class Metrics:
    """Means over the test images, each counted once."""

    error: float
    """%, of the first guess; of segmentations: of pixels."""
    error5: float | None
    """%, of the first five; None where there are no five to guess."""
    loss: float
    """Cross-entropy in nats."""
    images: int
    validation_error: float | None = None
    """%, of the images that the recipe leaves out of training, if it does."""
    extra: Mapping[str, float] = field(default_factory=dict)
    """What a task measures besides, by the names that these figures have in an EpochRow and a Record."""


class Task(Protocol):
    """The images of a data set as a recipe shows them, the loss, and the test."""

    images: int
    """In the training set."""
    fingerprint: str
    """Of the bytes that the images were read from."""

    def batches(self, seed: int, epoch: int, begin: int) -> Iterator[Batch]:
        """Yield the batches of an epoch from number `begin` on; order and augmentation follow from the arguments."""

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of a batch."""

    def wrong(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the errors of a batch, in images."""

    def test(self, network: nn.Module, progress: Progress = iter) -> Metrics:
        """Return the metrics of a network on the test images; it is left in evaluation mode."""


def task_for(experiment: Experiment, root: Path, runtime: Runtime, device: torch.device) -> Task:
    """Return an experiment's task, with the images read from `root`.

    Raises:
        UserError: the images are not there and cannot be downloaded, or are not the published ones.
    """
    file, name = DATASETS[experiment.dataset].task.split(":")
    make: Callable[..., Task] = getattr(import_module(f"repro.training.tasks.{file}"), name)
    return make(experiment.recipe, load(experiment.dataset, root), runtime, device)
