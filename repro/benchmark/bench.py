"""Windows of the plain loop and of ours, in turn, so that a machine that drifts drifts for all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import torch

from repro.benchmark.plain import plain_loop
from repro.benchmark.roofline import copy_rate, kept_bytes, matmul_rate, synchronise, work_of
from repro.data import DATASETS, Dataset, Images
from repro.errors import UserError
from repro.experiment import Experiment
from repro.recipes import Recipe
from repro.runtime import Runtime
from repro.training.device import prepare
from repro.training.engine import Engine, network_of
from repro.training.resident import Resident
from repro.training.schedule import steps_per_epoch, total_steps

IMAGES = 12_800
"""Random ones: what they show changes nothing about speed."""
ROUNDS = 7


@dataclass(frozen=True)
class Speed:
    """One way to train, as fast as it was here."""

    name: str
    images_per_second: float
    """Median over the windows."""
    slowest: float
    fastest: float
    ratio: float
    """To the plain loop, median of the windows' ratios."""
    recipe_seconds: float
    """The whole recipe's training at this rate."""
    matmul_share: float
    """Of the device's measured rate of matrix products, in the precision used."""
    copy_share: float
    """Of the device's measured rate of copying."""
    peak_bytes: int | None
    """Of GPU memory, above what lies there between steps; None on a CPU."""
    kept_bytes: int | None
    """What a step keeps for its backward pass in fp32; None in another precision."""


@dataclass
class _Way:
    """A way to train and what its windows gave."""

    name: str
    dtype: torch.dtype
    steps: Iterator[int]
    rates: list[float]
    kept: int | None = None
    peak: int | None = None


def bench(
    experiment: Experiment,
    runtime: Runtime,
    window_seconds: float,
    progress: Callable[[range], Iterable[int]] = iter,
) -> list[Speed]:
    """Return the speeds of the plain loop and of ours in fp32 and bf16; the first window of each only warms up."""
    if DATASETS[experiment.dataset].loader is None:
        raise UserError(f"{experiment.model} cannot be trained on {experiment.dataset} here yet, and so not measured")
    device = prepare(runtime)
    data = random_data(experiment.dataset)
    plain = plain_loop(experiment, data.train, device)
    ways = [_Way("plain loop, fp32", torch.float32, plain, [], _kept(experiment, memory_saved=False))]
    kept = _kept(experiment, memory_saved=runtime.save_memory)
    for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        precise = replace(runtime, precision=precision)
        engine = Engine(experiment, precise, Resident(experiment.recipe, data, precise, device), device)
        ways.append(_Way(f"repro, {precision}", dtype, _endless(engine), [], kept if precision == "fp32" else None))
    for number in progress(range(ROUNDS + 1)):
        for way in ways:
            rate = _window(way, device, window_seconds)
            if number > 0:
                way.rates.append(rate)
    return [_speed(way, ways[0], experiment, device) for way in ways]


def random_data(dataset: str) -> Dataset:
    """Return random images in the shape of a data set."""
    spec = DATASETS[dataset]
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (IMAGES, *spec.input), dtype=torch.uint8, generator=generator)
    labels = torch.randint(spec.classes, (IMAGES,), generator=generator)
    images = Images(pixels, labels)
    return Dataset(images, images, "random")


def _endless(engine: Engine) -> Iterator[int]:
    """Take the engine's steps, epoch after epoch without a test, yielding the images of each."""
    while True:
        for _ in engine.steps():
            whole = engine.step % engine.steps_per_epoch
            yield engine.recipe.batch if whole else IMAGES - (engine.steps_per_epoch - 1) * engine.recipe.batch
        engine.step = 0


def _kept(experiment: Experiment, *, memory_saved: bool) -> int:
    with torch.device("meta"):
        network = network_of(experiment, memory_saved=memory_saved)
    return kept_bytes(network, DATASETS[experiment.dataset].input, experiment.recipe.batch)


def _window(way: _Way, device: torch.device, seconds: float) -> float:
    """Return the images a second of one window."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        resting = torch.cuda.memory_allocated(device)
    images = 0
    synchronise(device)
    begin = time.perf_counter()
    while images == 0 or time.perf_counter() - begin < seconds:
        images += next(way.steps)
    synchronise(device)
    elapsed = time.perf_counter() - begin
    if device.type == "cuda":
        way.peak = max(way.peak or 0, torch.cuda.max_memory_allocated(device) - resting)
    return images / elapsed


def images_of(recipe: Recipe, train_images: int) -> int:
    """Return how many images a whole run shows; the last batch of an epoch is smaller."""
    epochs, steps = divmod(total_steps(recipe, train_images), steps_per_epoch(recipe, train_images))
    return epochs * train_images + steps * recipe.batch


def _speed(way: _Way, plain: _Way, experiment: Experiment, device: torch.device) -> Speed:
    recipe, rate = experiment.recipe, statistics.median(way.rates)
    with torch.device("meta"):
        work = work_of(network_of(experiment), DATASETS[experiment.dataset].input)
    size = way.dtype.itemsize
    return Speed(
        name=way.name,
        images_per_second=rate,
        slowest=min(way.rates),
        fastest=max(way.rates),
        ratio=statistics.median(ours / theirs for ours, theirs in zip(way.rates, plain.rates, strict=True)),
        recipe_seconds=images_of(recipe, DATASETS[experiment.dataset].train_images) / rate,
        matmul_share=work.flops * rate / matmul_rate(device, way.dtype),
        copy_share=work.elements * size * rate / copy_rate(device),
        peak_bytes=way.peak,
        kept_bytes=way.kept,
    )
