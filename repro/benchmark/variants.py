"""The ways to train that are measured, each as an endless iterator over the images of its steps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from repro.benchmark.baseline import PLAIN_PREFETCH, plain_folder, plain_loop
from repro.benchmark.roofline import kept_bytes
from repro.data import DATASETS, Dataset
from repro.data.folder import ImageFolder
from repro.experiment import Experiment
from repro.runtime import Runtime
from repro.training.device import check_side_by_side
from repro.training.engine import Engine, network_of
from repro.training.schedule import images_per_epoch
from repro.training.tasks.from_files import PREFETCH, Streamed, workers_of
from repro.training.tasks.in_memory import Resident
from repro.training.tasks.task import Batch, Metrics, Progress, Task

T = TypeVar("T")
DTYPES = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16}


@dataclass
class Queue:
    """Batches that wait ready-made when a window begins; thrown away, or the input would look faster than it is."""

    length: int = 0
    waiting: int = 0

    def drained(self, batches: Iterable[T]) -> Iterator[T]:
        """Yield the batches without those that were waiting."""
        for batch in batches:
            if self.waiting:
                self.waiting -= 1
            else:
                yield batch


@dataclass
class Way:
    """A way to train and what its windows gave."""

    name: str
    precision: str | None
    """None where no network is trained."""
    steps: Iterator[int]
    """Makes what it needs when its first step is taken, so that what is impossible fails there."""
    queue: Queue = field(default_factory=Queue)
    rates: list[float] = field(default_factory=list)
    kept: int | None = None
    """Bytes that a step in fp32 keeps for its backward pass."""
    peak: int | None = None
    seeds: int = 1
    """Trained side by side; a step shows each of them a batch."""
    graph: bool = False
    """Replayed: its memory lies in the graph's pool, which counts as free between two replays."""


class Measured:
    """A task whose waiting batches can be thrown away, or whose first batch stands for all."""

    def __init__(self, task: Task, queue: Queue, *, repeat: bool = False) -> None:
        self.task, self.queue, self.repeat = task, queue, repeat
        self.images, self.fingerprint = task.images, task.fingerprint

    def batches(self, seed: int, epoch: int, begin: int) -> Iterator[Batch]:
        """Yield the task's batches, or for ever its first one."""
        batches = self.task.batches(seed, epoch, begin)
        if not self.repeat:
            yield from self.queue.drained(batches)
            return
        batch = next(batches)
        del batches  # and with it the processes that read ahead
        while True:
            yield batch

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the task's loss."""
        return self.task.loss(outputs, targets)

    def wrong(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the task's errors."""
        return self.task.wrong(outputs, targets)

    def test(self, network: nn.Module, progress: Progress = iter) -> Metrics:
        """Return the task's metrics."""
        return self.task.test(network, progress)


def resident_ways(
    experiment: Experiment, runtime: Runtime, precisions: Sequence[str], seeds: int, data: Dataset, device: torch.device
) -> list[Way]:
    """Return the plain loop and ours in some precisions, for images in memory.

    Compiling, CUDA graphs and seeds side by side are measured beside the eager step where they are asked for.
    """
    plain = plain_loop(experiment, data.train, device)
    ways = [Way("plain loop, fp32", "fp32", plain, kept=_kept(experiment, memory_saved=False))]
    kept = _kept(experiment, memory_saved=runtime.save_memory)
    for precision in precisions:
        for switches, number in variants(runtime, seeds):
            precise = replace(runtime, **switches, precision=precision).together(number)
            words = [f"{number} seeds"] * (number > 1) + [name for name, on in switches.items() if on]
            ways.append(
                Way(
                    name=", ".join(["repro", precision, *words]),
                    precision=precision,
                    steps=_resident_steps(experiment, precise, number, data, device),
                    kept=kept if DTYPES[precision] is torch.float32 and not words else None,
                    seeds=number,
                    graph=precise.graph,
                )
            )
    return ways


def _resident_steps(
    experiment: Experiment, runtime: Runtime, seeds: int, data: Dataset, device: torch.device
) -> Iterator[int]:
    check_side_by_side(runtime, device.type)
    several = [replace(experiment, seed=seed) for seed in range(seeds)]
    yield from endless(Engine(several, runtime, Resident(experiment.recipe, data, runtime, device), device))


def _kept(experiment: Experiment, *, memory_saved: bool) -> int:
    with torch.device("meta"):
        network = network_of(experiment, memory_saved=memory_saved)
    return kept_bytes(network, shape_of(experiment), experiment.recipe.batch)


def shape_of(experiment: Experiment) -> tuple[int, int, int]:
    """Return C, H, W of an image as it is trained on."""
    side = experiment.recipe.scaled_crop
    return (3, side, side) if side else DATASETS[experiment.dataset].input


def variants(runtime: Runtime, seeds: int) -> list[tuple[dict[str, Any], int]]:
    """Return the switches of each step to measure, with the number of seeds: the plain one first."""
    asked = {"compile": runtime.compile, "graph": runtime.graph}
    off = dict.fromkeys(asked, False)
    each_alone = [{**off, name: True} for name, on in asked.items() if on]
    switched = [off, *each_alone, *([asked] if all(asked.values()) else [])]
    return [(switches, number) for number in ([1, seeds] if seeds > 1 else [1]) for switches in switched]


def streamed_ways(
    experiment: Experiment, runtime: Runtime, precisions: Sequence[str], data: ImageFolder, device: torch.device
) -> list[Way]:
    """Return the same for image files, then the input without a network and the networks without the input.

    The tuning of the classifier that some recipes end with is not measured.
    """
    experiment = replace(experiment, recipe=experiment.recipe.phases[0])
    workers = workers_of(runtime)
    queue = Queue(PLAIN_PREFETCH * workers)
    plain = plain_folder(experiment, data.train, workers, device, queue.drained)
    ways = [Way("plain loop, fp32", "fp32", plain, queue)]
    alone: list[Way] = []
    for precision in precisions:
        precise = replace(runtime, precision=precision)
        for name, made, repeat in (("repro", ways, False), ("network alone", alone, True)):
            queue = Queue(0 if repeat else PREFETCH * workers)
            task = Measured(Streamed(experiment.recipe, data, precise, device), queue, repeat=repeat)
            steps = _streamed_steps(experiment, precise, task, device)
            made.append(Way(f"{name}, {precision}", precision, steps, queue, graph=precise.graph))
    queue = Queue(PREFETCH * workers)
    task = Measured(Streamed(experiment.recipe, data, runtime, device), queue)
    return [*ways, Way("input alone", None, shown(task), queue), *alone]


def _streamed_steps(experiment: Experiment, runtime: Runtime, task: Task, device: torch.device) -> Iterator[int]:
    yield from endless(Engine([experiment], runtime, task, device))


def shown(task: Measured) -> Iterator[int]:
    """Yield the images of each batch as it is ready on the device, epoch after epoch."""
    epoch = 0
    while True:
        for batch in task.batches(0, epoch, 0):
            yield len(batch.targets)
        epoch += 1


def endless(engine: Engine) -> Iterator[int]:
    """Take the engine's steps, epoch after epoch without a test, yielding the images of each."""
    batch, images = engine.recipe.batch, images_per_epoch(engine.recipe, engine.task.images)
    while True:
        for _ in engine.steps():
            whole = engine.step % engine.steps_per_epoch
            shown = batch if whole else images - (engine.steps_per_epoch - 1) * batch
            yield shown * len(engine.experiments)
        engine.step = 0
