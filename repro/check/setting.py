"""The subjects of the checks: a device, some networks, random images, and runs of a few steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from repro.benchmark.random_images import random_data
from repro.data import Dataset, Images
from repro.experiment import Experiment, experiment_for
from repro.models import OptionValue, as_typed
from repro.runtime import Runtime
from repro.training.checkpoints.checkpoint import Checkpoint
from repro.training.engine.engine import Engine
from repro.training.engine.graphs import Graphs
from repro.training.machine.device import prepare
from repro.training.tasks.in_memory import InMemoryClassification

DATASET, RECIPE = "cifar100", "miru2020-cifar100"
IMAGES, BATCH = 71, 16
"""An epoch has five steps, the last one of 7 images."""
SHORT: dict[str, Any] = {"epochs": 3, "batch": BATCH, "warmup_epochs": 1}
"""Fifteen steps, with another learning rate in each epoch."""
EXACT: dict[str, Any] = {"deterministic": True}
CPU_SECONDS = 3.0
"""What a job on a CPU needs: its networks are small, and nothing is compiled."""
STEPS = 9
"""All steps of two epochs except the last; a graph is captured at the fourth step and replayed five times."""

State = Mapping[str, Tensor]
"""All tensors of a run, by name."""


@dataclass(frozen=True)
class Network:
    """The name of a network, and its options that differ from the defaults."""

    model: str
    options: Mapping[str, OptionValue]

    def __str__(self) -> str:
        """Return name and options as on the command line."""
        return f"{self.model} {as_typed(self.options)}".strip()


@dataclass(frozen=True)
class Setting:
    """A device, and networks of a size that suits it."""

    device: str
    """The device, as in Runtime.device."""
    small: Network
    deep: Network
    dense: Network
    side: int
    """Side of an image in the checks, in pixels; at most 32."""
    graphs: bool
    """Whether steps can be replayed from CUDA graphs."""

    @property
    def on_gpu(self) -> bool:
        """Whether the device is a GPU."""
        return self.device != "cpu"

    def needs(self, on_gpu: float) -> float:
        """Return the seconds that must be left for a job to be started, given those that it needs on a GPU."""
        return on_gpu if self.on_gpu else CPU_SECONDS

    def images(self, number: int = IMAGES) -> Dataset:
        """Return `number` random images of the checks' size."""
        data = random_data(DATASET, number)
        pixels = data.train.pixels[:, :, : self.side, : self.side].contiguous()
        images = Images(pixels, data.train.labels)
        return replace(data, train=images, test=images)


SMALL, DEEP = Network("resnet20", {}), Network("resnet110", {})
GPU = Setting("cuda:0", SMALL, DEEP, Network("denseresnet110", {"N": 4}), side=32, graphs=True)
CPU = Setting("cpu", SMALL, DEEP, Network("denseresnet110", {"N": 2}), side=8, graphs=False)


def experiments(network: Network, seeds: int = 1, **changes: Any) -> list[Experiment]:
    """Return experiments of the seeds 0, 1, ..., with changes to the recipe."""
    found = experiment_for(network.model, network.options, seed=0, dataset=DATASET, recipe_name=RECIPE)
    changed = replace(found, recipe=replace(found.recipe, **changes))
    return [replace(changed, seed=seed) for seed in range(seeds)]


def engine(device: str, group: Sequence[Experiment], data: Dataset, **switches: Any) -> Engine:
    """Return an engine of experiments that differ only in the seed; switches are those of a Runtime."""
    runtime = Runtime(device=device, **switches).stacked(len(group))
    place = prepare(runtime)
    return Engine(group, runtime, InMemoryClassification(group[0].recipe, data, runtime, place), place)


def branches(device: str, runs: Sequence[Experiment], data: Dataset, **switches: Any) -> list[Engine]:
    """Return an engine for each run, with graphs that launch the steps of all together."""
    runtime, graphs = Runtime(device=device, **switches).branched(len(runs)), Graphs(shared=True)
    place = prepare(runtime)
    return [
        Engine([each], runtime, InMemoryClassification(each.recipe, data, runtime, place), place, graphs)
        for each in runs
    ]


def trained(started: Engine, steps: int) -> Engine:
    """Train until `steps` steps are taken, with a test after each epoch."""
    while started.step < steps:
        for step in started.steps():
            if step == steps:
                return started
        started.end_epoch()
    return started


def states(ended: Engine) -> list[State]:
    """Return the state of each run."""
    return [state(each) for each in ended.checkpoints()]


def state(saved: Checkpoint) -> State:
    """Return all tensors of a run, as float64 on the CPU: weights, statistics, counters, momenta, sums, losses."""
    momenta = {f"momentum {key}": each["momentum_buffer"] for key, each in saved.optimizer["state"].items()}
    losses = torch.tensor([[row.lr, row.train_loss, row.test_loss] for row in saved.history], dtype=torch.float64)
    parts = {**saved.network, **momenta, "sums": saved.sums, "losses": losses}
    return {name: each.detach().cpu().double() for name, each in parts.items()}


def forward(run: State) -> State:
    """Return what the forward passes left: BatchNorm's statistics, and the sums of losses and errors."""
    return {name: each for name, each in run.items() if "running" in name or name == "sums"}


def gradient(run: State) -> State:
    """Return the momenta, which after one step are the gradients, as one vector."""
    return {"gradient": torch.cat([each.flatten() for name, each in run.items() if "momentum" in name])}


def difference(ones: Sequence[State], others: Sequence[State]) -> float:
    """Return the largest ||a - b|| / ||b|| of any part of any run; 0 only if all are the same bit for bit.

    It is NaN if a part has a NaN.
    """
    found = [
        _relative(one[name], other[name])
        for one, other in zip(ones, others, strict=True)
        for name in one.keys() | other.keys()
    ]
    return float(torch.stack(found).max())  # Python's max would leave out a NaN


def _relative(one: Tensor, other: Tensor) -> Tensor:
    return (one - other).norm() / (other.norm() or 1.0)


@contextmanager
def double_precision() -> Iterator[None]:
    """Let networks be built and trained in float64."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
