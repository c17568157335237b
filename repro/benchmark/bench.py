"""Windows of the plain loop and of ours, in turn, so that a machine that drifts drifts for all of them."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from repro.benchmark.random_images import random_data, random_folder
from repro.benchmark.roofline import copy_rate, matmul_rate, synchronise, work_of
from repro.benchmark.variants import DTYPES, Way, resident_ways, shape_of, streamed_ways
from repro.console import stderr
from repro.data import DATASETS, Dataset, load
from repro.data.folder import ImageFolder, is_there
from repro.errors import RunFailed, UserError
from repro.experiment import Experiment
from repro.recipes import Recipe
from repro.runtime import Runtime
from repro.training.device import prepare, set_products
from repro.training.engine import network_of
from repro.training.schedule import images_shown, total_steps
from repro.training.stacked import can_be_stacked

ROUNDS = 7
USUAL = ("fp32", "bf16")
"""Precisions of ours, unless others are asked for."""


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
    """Of GPU memory, above what lies there between steps; None on a CPU and of CUDA graphs."""
    kept_bytes: int | None
    """What a step keeps for its backward pass in fp32; None in another precision."""


def bench(
    experiment: Experiment,
    runtime: Runtime,
    window_seconds: float,
    root: Path,
    seeds: int = 1,
    precisions: Sequence[str] = USUAL,
    progress: Callable[[range], Iterable[int]] = iter,
) -> list[Speed]:
    """Return the speeds of the plain loop and of ours in some precisions; the first window of each only warms up.

    Of several seeds, those side by side are measured too. Image files are read from `root`; where they are not there,
    random ones stand for them. A way of ours that fails is named on stderr, with its error, and left out.

    Raises:
        UserError: the experiment cannot be trained here.
        RunFailed: every way but the plain loop failed.
    """
    if DATASETS[experiment.dataset].loader is None:
        raise UserError(f"{experiment.model} cannot be trained on {experiment.dataset} here yet, and so not measured")
    if experiment.recipe.tile:
        raise UserError(f"{experiment.recipe.name} trains on tiles of slices, whose speed is not measured here yet")
    if seeds > 1:
        _check_seeds(experiment, runtime)
    for precision in precisions:
        device = prepare(replace(runtime, precision=precision))
    with data_of(experiment, root) as data:
        if isinstance(data, ImageFolder):
            ways = streamed_ways(experiment, runtime, precisions, data, device)
        else:
            ways = resident_ways(experiment, runtime, precisions, seeds, data, device)
        for number in progress(range(ROUNDS + 1)):
            for way in list(ways):
                _measure(way, ways, number, device, window_seconds)
        peaks = {each: _peaks(each, device) for each in dict.fromkeys(way.precision for way in ways) if each}
        speeds = [_speed(way, ways[0], experiment, peaks.get(way.precision or "")) for way in ways]
        ways.clear()  # and with them the processes that read the files
    return speeds


def _check_seeds(experiment: Experiment, runtime: Runtime) -> None:
    """Refuse to measure seeds side by side that would be trained one after the other."""
    if runtime.save_memory:
        raise UserError("--save-memory trains one network at a time; leave out --seeds")
    if DATASETS[experiment.dataset].task.startswith("from_files:"):
        raise UserError(f"{experiment.dataset} is read from files, and measured with one seed; leave out --seeds")
    with torch.device("meta"):
        stackable = can_be_stacked(network_of(experiment))
    if not stackable:
        raise UserError("this network drops out: its seeds are trained one after the other; leave out --seeds")


@contextmanager
def data_of(experiment: Experiment, root: Path) -> Iterator[Dataset | ImageFolder]:
    """Provide the images to measure with: the real files, or random images in a data set's shape."""
    dataset = experiment.dataset
    if not DATASETS[dataset].task.startswith("from_files:"):
        held_out = torch.arange(experiment.recipe.validation_images)
        yield replace(random_data(dataset), validation=held_out)
    elif is_there(dataset, root):
        data = load(dataset, root)
        assert isinstance(data, ImageFolder)
        yield data
    else:
        with TemporaryDirectory(prefix="repro-bench-") as folder:
            yield random_folder(dataset, Path(folder))


def _measure(way: Way, ways: list[Way], number: int, device: torch.device, seconds: float) -> None:
    """Take a window of a way, or drop the way from all of them; window 0 only warms up."""
    failure = None
    try:
        rate, peak = _window(way, device, seconds)
    except Exception as error:  # whatever a compiler or a GPU may say
        if way is ways[0]:
            raise
        failure = next(iter(str(error).strip().splitlines()), type(error).__name__)
    if failure is not None:
        _say(f"{way.name} is left out: {failure}")
        _drop(way, ways, device)
    elif number > 0:
        way.rates.append(rate)
        way.peak = None if peak is None or way.graph else max(way.peak or 0, peak)
        if not stderr().is_terminal:  # a bench that is killed has said what it knew
            _say(f"{way.name}: {rate:.0f} images/s in window {number} of {ROUNDS}")


def _drop(way: Way, ways: list[Way], device: torch.device) -> None:
    """Go on without a way, whose error is gone and with it what held its memory."""
    ways.remove(way)
    if len(ways) == 1:
        raise RunFailed("no way but the plain loop can be measured here")
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def _say(line: str) -> None:
    stderr().print(line, soft_wrap=True, markup=False)


def _window(way: Way, device: torch.device, seconds: float) -> tuple[float, int | None]:
    """Return the images a second of one window, and on a GPU the bytes above those that lay there before."""
    set_products(way.precision or "fp32")
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
    peak = torch.cuda.max_memory_allocated(device) - resting if device.type == "cuda" else None
    return images / elapsed, peak


def images_of(recipe: Recipe, train_images: int) -> int:
    """Return how many images a whole run shows, the tuning of the classifier left out."""
    training = recipe.phases[0]
    return images_shown(training, total_steps(training, train_images), train_images)


def _peaks(precision: str, device: torch.device) -> tuple[float, float]:
    """Return what the device can do in a precision: elements of copies and FLOPs of matrix products a second."""
    set_products(precision)
    dtype = DTYPES[precision]
    return copy_rate(device) / dtype.itemsize, matmul_rate(device, dtype)


def _speed(way: Way, plain: Way, experiment: Experiment, peaks: tuple[float, float] | None) -> Speed:
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
        matmul_share=work.flops * rate / peaks[1] if peaks else None,
        copy_share=work.elements * rate / peaks[0] if peaks else None,
        peak_bytes=way.peak,
        kept_bytes=way.kept,
    )
