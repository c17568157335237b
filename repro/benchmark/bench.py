"""The speed of training variants, in windows taken in turn: a drift of the machine affects all variants alike."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from repro.benchmark.fastest import remember
from repro.benchmark.pausing import continue_workers, workers_running
from repro.benchmark.random_images import PHOTOGRAPHS, random_data, random_folder
from repro.benchmark.roofline import copy_rate, matmul_rate
from repro.benchmark.spinning import spinning_variants
from repro.benchmark.variants import DTYPES, Variant, VariantKind, image_file_variants, in_memory_variants
from repro.benchmark.windows import measure_window
from repro.console import is_live, note
from repro.counting.demand import work_of
from repro.data import DATASETS, Dataset, DatasetKind, load
from repro.data.readers.folder import ImageFolder, is_there
from repro.data.readers.folder import load as load_folder
from repro.errors import RunFailed, UserError, first_line
from repro.experiment import Experiment, check_counted, classifies
from repro.recipes import Recipe
from repro.runtime import Precision, Runtime
from repro.training.engine.stacked import why_one_at_a_time
from repro.training.initialise import network_without_memory
from repro.training.machine.device import check_fused, device_name, prepare, set_products
from repro.training.machine.device_memory import release_memory, return_freed_memory
from repro.training.schedule import images_shown, total_steps

ROUNDS = 7
USUAL = (Precision.FP32, Precision.BF16)
"""Precisions measured by default."""
STEPS_BETWEEN = {"cpu": 1, "cuda": 20}
"""Steps between two readings of the clock."""


@dataclass(frozen=True)
class Speed:
    """The speed of a variant on this machine."""

    kind: VariantKind
    precision: Precision | None
    """Precision of training; None without a network."""
    name: str
    images_per_second: float
    """Images per second: the median over the windows."""
    slowest: float
    fastest: float
    milliseconds: float | None
    """Time of a step divided by the runs that take it at once; None without a network."""
    ratio: float
    """Speed relative to the baseline, that of the input for the input; the median of the windows' ratios."""
    recipe_seconds: float
    """Time for the recipe's whole training at this rate."""
    matmul_share: float | None
    """Share of the device's measured rate of matrix products in this precision; None without a network."""
    copy_share: float | None
    """Share of the device's measured rate of copying; None without a network."""
    peak_bytes: int | None
    """Peak GPU memory above that in use between steps; None on a CPU and for CUDA graphs."""
    kept_bytes: int | None
    """Activations that a step in fp32 saves for its backward pass; None in other precisions."""
    switches: Mapping[str, str | bool] | None
    """The values of a Runtime that train one run in this way; None if it is no such training."""


def bench(
    experiment: Experiment,
    runtime: Runtime,
    window_seconds: float,
    root: Path,
    seeds: int = 1,
    precisions: Sequence[Precision] = USUAL,
    progress: Callable[[range], Iterable[int]] = iter,
) -> list[Speed]:
    """Return the speeds of the baseline and of our training variants, the baseline first.

    The first window of each variant is only a warm-up. A variant of ours that fails is reported on stderr and left
    out.

    Args:
        experiment: what is trained.
        runtime: `compile`, `graph`, `fused` and `save_memory` add variants to the eager step.
        window_seconds: shortest time of a window.
        root: folder of the datasets; image files that are missing are replaced by random ones.
        seeds: if more than one, that many seeds trained at once are measured too.
        precisions: of our variants.
        progress: wraps the windows, for a progress bar.

    Raises:
        UserError: the experiment cannot be trained here.
        RunFailed: every variant except the baseline failed.
    """
    device = _prepared(experiment, runtime, seeds, precisions)
    with data_of(experiment, root) as data:
        if isinstance(data, ImageFolder):
            experiment = replace(experiment, recipe=_normalised(experiment.recipe))
            variants = image_file_variants(experiment, runtime, precisions, data, device)
        else:
            variants = in_memory_variants(experiment, runtime, precisions, seeds, data, device)
            if device.type == "cpu" and Precision.FP32 in precisions:
                variants += spinning_variants(experiment, runtime, data)
        speeds = _measured(variants, experiment, device, window_seconds, progress)
        if device.type == "cuda" and not isinstance(data, ImageFolder):
            remember(experiment, runtime, device_name(device), variants)
        variants.clear()  # ends the processes that read the files
    return speeds


def _prepared(experiment: Experiment, runtime: Runtime, seeds: int, precisions: Sequence[Precision]) -> torch.device:
    """Return the device; UserError if what was asked for cannot be measured on it."""
    check_counted(experiment.dataset)
    if not classifies(experiment.dataset):
        raise UserError(f"{experiment.model} does not classify images, and the speed of others cannot be measured yet")
    if seeds > 1:
        _check_seeds(experiment, runtime)
    combined = DATASETS[experiment.dataset].kind is DatasetKind.IMAGE_FILES  # else each switch is measured alone
    for precision in precisions:
        saving = runtime.save_memory and combined
        device = prepare(replace(runtime, precision=precision, fused=False, save_memory=saving))
    if runtime.fused:
        _check_fused(experiment, runtime, precisions)
    return device


def _normalised(recipe: Recipe) -> Recipe:
    """Return the recipe with some mean and std if it states none: their values do not change the speed."""
    if recipe.mean:
        return recipe
    some = (0.5,) * DATASETS[recipe.dataset].input[0]
    return replace(recipe, mean=some, std=some)


def _check_fused(experiment: Experiment, runtime: Runtime, precisions: Sequence[Precision]) -> None:
    """Raise UserError if the fused kernels cannot be measured."""
    possible = [each for each in precisions if each != Precision.FP32]
    prepare(replace(runtime, compile=False, precision=possible[0] if possible else Precision.FP32))
    check_fused(network_without_memory(experiment), experiment.recipe)


def _check_seeds(experiment: Experiment, runtime: Runtime) -> None:
    """Raise UserError for seeds that would be trained one after another."""
    if runtime.save_memory:
        raise UserError("--save-memory supports one network at a time; leave out --seeds")
    if DATASETS[experiment.dataset].kind is DatasetKind.IMAGE_FILES:
        raise UserError(f"{experiment.dataset} is read from files and measured with one seed; leave out --seeds")
    if reason := why_one_at_a_time(network_without_memory(experiment), experiment):
        raise UserError(f"{reason}, so seeds are trained one after another; leave out --seeds")


@contextmanager
def data_of(experiment: Experiment, root: Path) -> Iterator[Dataset | ImageFolder]:
    """Provide the images to measure with: real image files if there are any, else others in the same shape."""
    dataset = experiment.dataset
    if DATASETS[dataset].kind is not DatasetKind.IMAGE_FILES:
        held_out = torch.arange(experiment.recipe.validation_images)
        yield replace(random_data(dataset), validation=held_out)
    elif is_there(dataset, root):
        data = load(dataset, root)
        assert isinstance(data, ImageFolder)
        yield data
    else:
        photographs = load_folder(PHOTOGRAPHS, root).test if is_there(PHOTOGRAPHS, root) else None
        used = f"photographs of {PHOTOGRAPHS}, enlarged" if photographs else "random images, unlike photographs"
        note(f"{dataset} is not in {root}: measuring with {used}; the size of the files changes the speed of reading")
        with TemporaryDirectory(prefix="repro-bench-") as folder:
            yield random_folder(dataset, Path(folder), photographs)


def _measured(
    variants: list[Variant],
    experiment: Experiment,
    device: torch.device,
    seconds: float,
    progress: Callable[[range], Iterable[int]],
) -> list[Speed]:
    """Take all windows, and return the speeds of the variants that did not fail."""
    try:
        for number in progress(range(ROUNDS + 1)):
            for each in list(variants):
                _measure(each, variants, number, device, seconds)
        return _speeds(variants, experiment, device)  # while no worker takes the cores
    finally:
        continue_workers(variants)


def _measure(variant: Variant, variants: list[Variant], number: int, device: torch.device, seconds: float) -> None:
    """Take window `number` of a variant, or remove the variant if it fails; window 0 is only a warm-up."""
    failure = None
    try:
        with workers_running(variant):
            rate, peak = _window(variant, device, seconds)
    except Exception as error:  # compilers and GPUs raise all kinds of errors
        if variant.kind is VariantKind.BASELINE:
            raise
        failure = first_line(error)
    if failure is not None:
        note(f"{variant.name} is left out: {failure}")
        _remove(variant, variants)
    elif number > 0:
        variant.rates.append(rate)
        variant.peak_bytes = None if peak is None or variant.graph else max(variant.peak_bytes or 0, peak)
        if not is_live():  # if the process is killed, its results so far are known
            note(f"{variant.name}: {rate:.0f} images/s in window {number} of {ROUNDS}")


def _remove(variant: Variant, variants: list[Variant]) -> None:
    """Remove a variant and free its memory, which its error no longer holds."""
    continue_workers([variant])
    variants.remove(variant)
    if len(variants) == 1:
        raise RunFailed("only the baseline can be measured here")
    release_memory()


def _window(variant: Variant, device: torch.device, seconds: float) -> tuple[float, int | None]:
    """Return the images per second of one window, and on a GPU its peak memory above that in use before it."""
    set_products(variant.precision or Precision.FP32)
    return_freed_memory()  # what the variant before has freed
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        resting = torch.cuda.memory_allocated(device)
    variant.queue.waiting = variant.queue.length
    next(variant.steps)
    window = measure_window(variant.steps, device, seconds, between=STEPS_BETWEEN[device.type])
    peak = torch.cuda.max_memory_allocated(device) - resting if device.type == "cuda" else None
    return window.images / window.seconds, peak


def images_in_recipe(recipe: Recipe, train_images: int) -> int:
    """Return the number of images that a whole run shows, without the tuning of the classifier."""
    training = recipe.phases[0]
    return images_shown(training, total_steps(training, train_images), train_images)


def _peaks(precision: Precision, device: torch.device) -> tuple[float, float]:
    """Return the device's peak rates in a precision: copied elements per second, and matrix FLOPs per second."""
    set_products(precision)
    dtype = DTYPES[precision]
    return copy_rate(device) / dtype.itemsize, matmul_rate(device, dtype)


def _speeds(variants: Sequence[Variant], experiment: Experiment, device: torch.device) -> list[Speed]:
    usual: dict[VariantKind, Variant] = {each.kind: each for each in variants if not each.kind.ours}
    measured = dict.fromkeys(each.precision for each in variants)
    peaks = {each: _peaks(each, device) if each else None for each in measured}
    return [_speed(each, _compared(each, usual), experiment, peaks[each.precision]) for each in variants]


def _compared(variant: Variant, usual: Mapping[VariantKind, Variant]) -> Variant:
    """Return the baseline of a variant: of the same work if there is one."""
    of_input = variant.kind in (VariantKind.INPUT, VariantKind.BASELINE_INPUT)
    return usual.get(VariantKind.BASELINE_INPUT if of_input else VariantKind.BASELINE, usual[VariantKind.BASELINE])


def _speed(variant: Variant, baseline: Variant, experiment: Experiment, peaks: tuple[float, float] | None) -> Speed:
    recipe, rate = experiment.recipe, statistics.median(variant.rates)
    work = work_of(network_without_memory(experiment), experiment.input)
    return Speed(
        kind=variant.kind,
        precision=variant.precision,
        name=variant.name,
        images_per_second=rate,
        slowest=min(variant.rates),
        fastest=max(variant.rates),
        milliseconds=1000 * recipe.batch / rate if variant.precision else None,
        ratio=statistics.median(ours / theirs for ours, theirs in zip(variant.rates, baseline.rates, strict=True)),
        recipe_seconds=images_in_recipe(recipe, experiment.train_images) * variant.seeds / rate,
        matmul_share=work.flops * rate / peaks[1] if peaks else None,
        copy_share=work.elements * rate / peaks[0] if peaks else None,
        peak_bytes=variant.peak_bytes,
        kept_bytes=variant.kept_bytes,
        switches=variant.runtime_values,
    )
