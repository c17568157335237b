"""Windows of the plain loop and of ours, in turn, so that a machine that drifts drifts for all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from repro.benchmark.roofline import copy_rate, matmul_rate, synchronise, work_of
from repro.benchmark.synthetic import random_data, random_folder
from repro.benchmark.ways import Way, resident_ways, shape_of, streamed_ways
from repro.data import DATASETS, Dataset, load
from repro.data.folder import ImageFolder, is_there
from repro.errors import UserError
from repro.experiment import Experiment
from repro.recipes import Recipe
from repro.runtime import Runtime
from repro.training.device import prepare
from repro.training.engine import network_of
from repro.training.schedule import images_shown, total_steps

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
    matmul_share: float | None
    """Of the device's measured rate of matrix products, in the precision used; None without a network."""
    copy_share: float | None
    """Of the device's measured rate of copying."""
    peak_bytes: int | None
    """Of GPU memory, above what lies there between steps; None on a CPU."""
    kept_bytes: int | None
    """What a step keeps for its backward pass in fp32; None in another precision."""


def bench(
    experiment: Experiment,
    runtime: Runtime,
    window_seconds: float,
    root: Path,
    seeds: int = 1,
    progress: Callable[[range], Iterable[int]] = iter,
) -> list[Speed]:
    """Return the speeds of the plain loop and of ours in fp32 and bf16; the first window of each only warms up.

    Of several seeds, those side by side are measured too. Image files are read from `root`; where they are not there,
    random ones stand for them.

    Raises:
        UserError: the experiment cannot be trained here.
    """
    if DATASETS[experiment.dataset].loader is None:
        raise UserError(f"{experiment.model} cannot be trained on {experiment.dataset} here yet, and so not measured")
    if experiment.recipe.tile:
        raise UserError(f"{experiment.recipe.name} trains on tiles of slices, whose speed is not measured here yet")
    if seeds > 1 and runtime.save_memory:
        raise UserError("--save-memory trains one network at a time; leave out --seeds")
    device = prepare(runtime)
    with data_of(experiment, root) as data:
        if isinstance(data, ImageFolder):
            ways = streamed_ways(experiment, runtime, data, device)
        else:
            ways = resident_ways(experiment, runtime, seeds, data, device)
        for number in progress(range(ROUNDS + 1)):
            for way in ways:
                rate = _window(way, device, window_seconds)
                if number > 0:
                    way.rates.append(rate)
        speeds = [_speed(way, ways[0], experiment, device) for way in ways]
        ways.clear()  # and with them the processes that read the files
    return speeds


@contextmanager
def data_of(experiment: Experiment, root: Path) -> Iterator[Dataset | ImageFolder]:
    """Provide the images to measure with: the real files, or random images in a data set's shape."""
    dataset = experiment.dataset
    if not DATASETS[dataset].task.startswith("streamed:"):
        held_out = torch.arange(experiment.recipe.validation_images)
        yield replace(random_data(dataset), validation=held_out)
    elif is_there(dataset, root):
        data = load(dataset, root)
        assert isinstance(data, ImageFolder)
        yield data
    else:
        with TemporaryDirectory(prefix="repro-bench-") as folder:
            yield random_folder(dataset, Path(folder))


def _window(way: Way, device: torch.device, seconds: float) -> float:
    """Return the images a second of one window."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        resting = torch.cuda.memory_allocated(device)
    way.queue.waiting = way.queue.length
    next(way.steps)
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
    """Return how many images a whole run shows, the tuning of the classifier left out."""
    training = recipe.phases[0]
    return images_shown(training, total_steps(training, train_images), train_images)


def _speed(way: Way, plain: Way, experiment: Experiment, device: torch.device) -> Speed:
    recipe, rate = experiment.recipe, statistics.median(way.rates)
    with torch.device("meta"):
        work = work_of(network_of(experiment), shape_of(experiment))
    return Speed(
        name=way.name,
        images_per_second=rate,
        slowest=min(way.rates),
        fastest=max(way.rates),
        ratio=statistics.median(ours / theirs for ours, theirs in zip(way.rates, plain.rates, strict=True)),
        recipe_seconds=images_of(recipe, experiment.train_images) * way.seeds / rate,
        matmul_share=work.flops * rate / matmul_rate(device, way.dtype) if way.dtype else None,
        copy_share=work.elements * way.dtype.itemsize * rate / copy_rate(device) if way.dtype else None,
        peak_bytes=way.peak,
        kept_bytes=way.kept,
    )
