"""The variants of training that are measured, each as an endless iterator over the images of its steps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, TypeVar

import torch

from repro.benchmark.baseline import BASELINE_PREFETCH, baseline, folder_batches, shown_on, train_on
from repro.counting.demand import saved_bytes_per_image
from repro.data import Dataset
from repro.data.readers.folder import ImageFolder
from repro.experiment import Experiment
from repro.recipes import Recipe
from repro.runtime import Precision, Runtime, Together
from repro.training.engine.engine import Engine
from repro.training.engine.graphs import Graphs
from repro.training.initialise import network_without_memory
from repro.training.machine.device import check_stacked
from repro.training.schedule import images_per_epoch
from repro.training.tasks.from_files import FileClassification
from repro.training.tasks.in_memory import InMemoryClassification
from repro.training.tasks.stream import PREFETCH, workers_of
from repro.training.tasks.task import Batch, Task

T = TypeVar("T")
BRANCHES = (2, 3, 4, 6)
"""How many branches of a graph are measured."""
DTYPES = {Precision.FP32: torch.float32, Precision.TF32: torch.float32, Precision.BF16: torch.bfloat16}

SPINNING = "threads spin"
"""What stands for a switch where OpenMP's threads wait in a loop, which no command asks for."""


@dataclass
class Queue:
    """Batches that are ready when a window starts. They are discarded, since they make the input look too fast."""

    length: int = 0
    """How many batches can be ready."""
    waiting: int = 0
    """How many of them are still to be discarded."""

    def drained(self, batches: Iterable[T]) -> Iterator[T]:
        """Yield the batches except those that were ready."""
        for batch in batches:
            if self.waiting:
                self.waiting -= 1
            else:
                yield batch


class VariantKind(StrEnum):
    """What a variant measures."""

    BASELINE = "baseline"
    """The loop of popular repositories."""
    TRAINING = "repro"
    """Our training, from images to update."""
    BASELINE_INPUT = "baseline, input only"
    """The baseline's reading of image files, without a network."""
    INPUT = "repro, input only"
    """Reading, decoding and augmenting image files, without a network."""
    NETWORK = "network only"
    """Our training on one repeated batch, without reading."""

    @property
    def ours(self) -> bool:
        """Whether it measures this program."""
        return self not in (VariantKind.BASELINE, VariantKind.BASELINE_INPUT)


@dataclass
class Variant:
    """A variant of training and the results of its windows."""

    kind: VariantKind
    precision: Precision | None
    """Precision of training; None without a network."""
    steps: Iterator[int]
    """The number of images of each step. The first step sets everything up, so an invalid variant fails there."""
    queue: Queue = field(default_factory=Queue)
    rates: list[float] = field(default_factory=list)
    """Images per second in each window."""
    kept_bytes: int | None = None
    """Bytes that a step in fp32 saves for its backward pass."""
    peak_bytes: int | None = None
    """Bytes of GPU memory above those in use between two steps."""
    switches: Sequence[str] = ()
    """Names of the switches that are on, of those that `combinations` returns, or SPINNING."""
    seeds: int = 1
    """Seeds trained at once; a step shows each of them a batch."""
    together: Together = Together.OFF
    """How several seeds share the device."""
    workers: set[int] = field(default_factory=set)
    """Process IDs of the workers that read its files."""

    @property
    def name(self) -> str:
        """A readable name, such as `repro, bf16, 5 seeds, graph`."""
        what = "branches" if self.together is Together.BRANCHES else "seeds"
        seeds = [f"{self.seeds} {what}"] if self.seeds > 1 else []
        return ", ".join([self.kind, *filter(None, [self.precision]), *seeds, *self.switches])

    @property
    def runtime_values(self) -> dict[str, str | bool] | None:
        """The values of a Runtime that train one run in this way; None if it is no such training."""
        if self.kind is not VariantKind.TRAINING or not self.precision or self.seeds > 1 or SPINNING in self.switches:
            return None
        return {"precision": self.precision.value, **dict.fromkeys(self.switches, True)}

    @property
    def graph(self) -> bool:
        """Whether steps are replayed; the memory of a graph's pool counts as free between two replays."""
        return "graph" in self.switches


class Drained(FileClassification):
    """A task whose ready batches can be discarded."""

    def __init__(self, recipe: Recipe, data: ImageFolder, runtime: Runtime, device: torch.device, queue: Queue) -> None:
        super().__init__(recipe, data, runtime, device)
        self.queue = queue

    def batches(self, seed: int, epoch: int, begin: int) -> Iterator[Batch]:
        """Yield the task's batches except those that were ready."""
        return self.queue.drained(super().batches(seed, epoch, begin))


class Repeated(FileClassification):
    """A task that repeats its first batch."""

    def batches(self, seed: int, epoch: int, begin: int) -> Iterator[Batch]:
        """Yield the task's first batch forever."""
        batch = next(super().batches(seed, epoch, begin))  # the processes that read ahead end here
        while True:
            yield batch


def in_memory_variants(
    experiment: Experiment,
    runtime: Runtime,
    precisions: Sequence[Precision],
    seeds: int,
    data: Dataset,
    device: torch.device,
) -> list[Variant]:
    """Return the baseline and our training in some precisions, for images in memory.

    Compiled steps, CUDA graphs, steps that save memory and several seeds at once are measured in addition to the eager
    step if requested.
    """
    kept: dict[tuple[str, ...], int] = {(): _saved_bytes(experiment, memory_saved=False)}
    if runtime.save_memory:
        kept["save_memory",] = _saved_bytes(experiment, memory_saved=True)
    variants = [
        Variant(VariantKind.BASELINE, Precision.FP32, baseline(experiment, data.train, device), kept_bytes=kept[()])
    ]
    for precision in precisions:
        for switches, number, mode in combinations(runtime, seeds, precision):
            switched = replace(runtime, **switches, precision=precision)
            precise = switched.branched(number) if mode is Together.BRANCHES else switched.stacked(number)
            on = [name for name, value in switches.items() if value]
            variants.append(
                Variant(
                    VariantKind.TRAINING,
                    precision,
                    in_memory_steps(experiment, precise, data, device),
                    kept_bytes=kept.get(tuple(on)) if DTYPES[precision] is torch.float32 and number == 1 else None,
                    switches=on,
                    seeds=number,
                    together=mode,
                )
            )
    return variants


def in_memory_steps(experiment: Experiment, runtime: Runtime, data: Dataset, device: torch.device) -> Iterator[int]:
    """Take steps of as many seeds as the runtime says at once, yielding the number of images of each step."""
    check_stacked(runtime, device)
    several = [replace(experiment, seed=seed) for seed in range(runtime.at_once or 1)]
    task = InMemoryClassification(experiment.recipe, data, runtime, device)
    if runtime.together == Together.BRANCHES:
        graphs = Graphs(shared=True)
        yield from endless_together([Engine([each], runtime, task, device, graphs) for each in several])
    else:
        yield from endless(Engine(several, runtime, task, device))


def _saved_bytes(experiment: Experiment, *, memory_saved: bool) -> int:
    network = network_without_memory(experiment, memory_saved=memory_saved)
    return round(saved_bytes_per_image(network, experiment.input) * experiment.recipe.batch)


def combinations(runtime: Runtime, seeds: int, precision: Precision) -> list[tuple[dict[str, Any], int, Together]]:
    """Return the switches, the number of seeds and how these share the device, for each kind of step to measure.

    The eager step is the first. `compile`, `fused` and `save_memory` are measured one at a time, and each also within a
    graph if one is asked for, alone and in several branches. There are no fused kernels in fp32 and for stacked seeds.
    """
    asked = _asked(runtime, precision)
    off = dict.fromkeys(asked, False)
    alone = [{**off, name: True} for name, on in asked.items() if on]
    in_graph = [{**each, "graph": True} for each in alone if not each["graph"]] if runtime.graph else []
    switched = [off, *alone, *in_graph]
    stacked = [each for each in switched if not each["fused"]] if seeds > 1 else []
    graphs = [each for each in switched if each["graph"]]
    return [
        *((each, 1, Together.OFF) for each in switched),
        *((each, seeds, Together.STACKED) for each in stacked),
        *((each, number, Together.BRANCHES) for each in graphs for number in BRANCHES),
    ]


def _asked(runtime: Runtime, precision: Precision) -> dict[str, bool]:
    """Return the switches that add variants in a precision."""
    return {
        "compile": runtime.compile,
        "graph": runtime.graph,
        "fused": runtime.fused and precision != Precision.FP32,
        "save_memory": bool(runtime.save_memory),
    }


def image_file_variants(
    experiment: Experiment, runtime: Runtime, precisions: Sequence[Precision], data: ImageFolder, device: torch.device
) -> list[Variant]:
    """Return the baseline and our training for image files, then the input and the networks separately.

    The tuning of the classifier, with which some recipes end, is not measured.
    """
    experiment = replace(experiment, recipe=experiment.recipe.phases[0])
    workers = workers_of(runtime)
    queue = Queue(BASELINE_PREFETCH * workers)
    batches = folder_batches(experiment.recipe, data.train, workers, device)
    usual = train_on(queue.drained(batches), experiment, device)
    variants = [Variant(VariantKind.BASELINE, Precision.FP32, usual, queue)]
    networks: list[Variant] = []
    for precision in precisions:
        precise = replace(runtime, precision=precision)
        on = [name for name, asked in _asked(runtime, precision).items() if asked]
        queue = Queue(PREFETCH * workers)
        steps = _image_file_steps(experiment, precise, Drained(experiment.recipe, data, precise, device, queue), device)
        variants.append(Variant(VariantKind.TRAINING, precision, steps, queue, switches=on))
        steps = _image_file_steps(experiment, precise, Repeated(experiment.recipe, data, precise, device), device)
        networks.append(Variant(VariantKind.NETWORK, precision, steps, switches=on))
    queue = Queue(PREFETCH * workers)
    task = Drained(experiment.recipe, data, runtime, device, queue)
    usual_queue = Queue(BASELINE_PREFETCH * workers)
    batches = folder_batches(experiment.recipe, data.train, workers, device)
    files = shown_on(usual_queue.drained(batches), device)
    inputs = [
        Variant(VariantKind.BASELINE_INPUT, None, files, usual_queue),
        Variant(VariantKind.INPUT, None, read_forever(task), queue),
    ]
    return [*variants, *inputs, *networks]


def _image_file_steps(experiment: Experiment, runtime: Runtime, task: Task, device: torch.device) -> Iterator[int]:
    """Take steps of an engine that is made at the first one, so that an invalid variant fails there."""
    yield from endless(Engine([experiment], runtime, task, device))


def read_forever(task: Task) -> Iterator[int]:
    """Yield the number of images of each batch when it is on the device, epoch after epoch."""
    epoch = 0
    while True:
        for batch in task.batches(0, epoch, 0):
            yield len(batch.targets)
        epoch += 1


def endless_together(engines: Sequence[Engine]) -> Iterator[int]:
    """Take steps of several engines with the same graphs at once, yielding the number of images of all."""
    each = [endless(engine) for engine in engines]
    while True:
        images = sum(map(next, each))
        engines[0].graphs.launch()
        yield images


def endless(engine: Engine) -> Iterator[int]:
    """Take steps, epoch after epoch without a test, yielding the number of images of each."""
    batch, images = engine.recipe.batch, images_per_epoch(engine.recipe, engine.task.images)
    while True:
        for _ in engine.steps():
            whole = engine.step % engine.steps_per_epoch
            shown = batch if whole else images - (engine.steps_per_epoch - 1) * batch
            yield shown * len(engine.experiments)
        engine.step = 0
