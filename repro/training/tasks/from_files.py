"""Classification of image files, which worker processes read, decode and augment while the device computes."""

from __future__ import annotations

import ctypes
import hashlib
import json
import math
import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from repro.atomic import write_atomically
from repro.console import with_bar
from repro.data import DatasetKind
from repro.data.augment import Normalise, with_declared
from repro.data.crops import Averaged
from repro.data.folder import Files, ImageFolder
from repro.data.views import CropViews, Protocol, TrainViews, protocol_of
from repro.errors import RunFailed, UserError
from repro.paths import cache_folder
from repro.recipes import Recipe
from repro.runtime import Runtime
from repro.training import processes
from repro.training.device import autocast, laid_out
from repro.training.randomness import generator, seed_of
from repro.training.schedule import images_per_epoch, phase_of_epoch
from repro.training.signals import blocked_in_children
from repro.training.tasks.classification import Classification, class_metrics, class_sums
from repro.training.tasks.task import Batch, Metrics, Progress, check_values

TEST_CROPS = 200
"""Crops in a test batch. BatchNorm uses its running statistics, so the number affects only the speed."""
PREFETCH = 4
"""Batches that each worker prepares ahead."""
PR_SET_PDEATHSIG = 1
"""From linux/prctl.h."""


class Streamed(Classification):
    """The task of ImageNet and other folders of image files.

    The augmentation of an image depends only on the seed, the epoch and the image, not on the number of workers or
    on a stop within an epoch.
    """

    def __init__(self, recipe: Recipe, data: ImageFolder, runtime: Runtime, device: torch.device) -> None:
        check_values(recipe, DatasetKind.IMAGE_FILES)
        recipe = with_statistics(recipe, data, runtime)
        self.recipe, self.runtime, self.device = recipe, runtime, device
        self.files = data.train
        self.images, self.fingerprint = len(data.train), data.fingerprint
        self.tester = CropTest(data.test, protocol_of(recipe), runtime, device)
        self.normalise, self.std = self.tester.normalise, torch.tensor(recipe.std, device=device)

    def batches(self, seed: int, epoch: int, begin: int) -> Iterator[Batch]:
        """Yield the batches of an epoch from number `begin` on; images before it are not read."""
        phase = phase_of_epoch(self.recipe, epoch, self.images).recipe
        requests = self._requests(phase, seed, epoch, begin)
        for pixels, noise, labels in stream(TrainViews(self.files, phase), requests, self.runtime, self.device):
            inputs = self.normalise(pixels)
            if self.recipe.lighting:
                inputs += (noise / self.std)[:, :, None, None]
            yield Batch(laid_out(inputs, self.runtime), labels)

    def _requests(self, phase: Recipe, seed: int, epoch: int, begin: int) -> Iterator[list[tuple[int, int]]]:
        """Yield, for each batch, the indices of its images and the seeds of their augmentation."""
        order = torch.randperm(self.images, generator=generator(seed, "order", epoch))
        end = images_per_epoch(phase, self.images)
        for first in range(begin * phase.batch, end, phase.batch):
            share = processes.share(min(phase.batch, end - first))
            part = order[first + share.start : first + share.stop].tolist()
            yield [(index, seed_of(seed, f"augmentation of image {index}", epoch)) for index in part]

    def test(self, network: nn.Module, progress: Progress = iter) -> Metrics:
        """Return the metrics on the validation images with the recipe's protocol and one crop."""
        return self.tester.test(network, progress)

    def test_batches(self, progress: Progress = iter) -> Iterator[Batch]:
        """Yield the validation images with the recipe's protocol and one crop."""
        return self.tester.batches(progress)


def with_statistics(recipe: Recipe, data: ImageFolder, runtime: Runtime) -> Recipe:
    """Return the recipe with mean and std: its own, those that are declared, or those of the training images.

    The training images are then read once, as the test protocol shows them, and the result is kept in the cache.
    """
    known = with_declared(recipe)
    if known.mean:
        return known
    unscaled = (0.0,) * data.train.channels
    protocol = protocol_of(replace(recipe, mean=unscaled, std=unscaled))
    key = hashlib.sha256(f"{data.fingerprint}/{protocol!r}".encode()).hexdigest()[:32]
    path = cache_folder() / "statistics" / f"{key}.json"
    with suppress(OSError, ValueError, KeyError):
        kept = json.loads(path.read_bytes())
        return replace(recipe, mean=tuple(kept["mean"]), std=tuple(kept["std"]))
    mean, std = statistics(data.train, protocol, runtime)
    if not all(std):
        raise UserError(
            f"a channel of the training images of {data.name} is constant; declare mean and std of the dataset"
        )
    with suppress(OSError):  # without a writable cache they are computed again next time
        write_atomically(path, json.dumps({"mean": mean, "std": std}, allow_nan=False).encode())
    return replace(recipe, mean=mean, std=std)


def statistics(files: Files, protocol: Protocol, runtime: Runtime) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation per channel of pixels in 0..1, exact whatever the order of the files."""
    begins = range(0, len(files), TEST_CROPS)
    requests = [list(range(begin, min(begin + TEST_CROPS, len(files)))) for begin in begins]
    batches = stream(CropViews(files, protocol), requests, runtime, torch.device("cpu"))
    first, second, number = (torch.zeros(files.channels, dtype=torch.int64) for _ in range(3))
    for _, (pixels, _labels) in zip(with_bar(begins, "computing mean and std"), batches, strict=False):
        values = pixels.transpose(0, 2).flatten(1).long()
        first, second, number = first + values.sum(1), second + values.square().sum(1), number + values.shape[1]
    sums = list(zip(first.tolist(), second.tolist(), number.tolist(), strict=True))
    mean = tuple(total / (255 * n) for total, _, n in sums)
    return mean, tuple(math.sqrt(n * squares - total**2) / (255 * n) for total, squares, n in sums)


class CropTest:
    """The test of a network on image files with a protocol."""

    def __init__(self, files: Files, protocol: Protocol, runtime: Runtime, device: torch.device) -> None:
        self.files, self.protocol, self.runtime, self.device = files, protocol, runtime, device
        mean, std = (torch.tensor(each, device=device) for each in (protocol.mean, protocol.std))
        self.normalise = Normalise(mean, std)

    @torch.inference_mode()
    def test(self, network: nn.Module, progress: Progress = iter) -> Metrics:
        """Return the metrics on all files; the network is left in evaluation mode."""
        network.eval()
        sums = torch.zeros(3, device=self.device)
        for inputs, labels in self.batches(progress):
            with autocast(self.device, self.runtime):
                logits = network(inputs)
            sums += class_sums(mean_guess(logits, self.protocol.crops, self.protocol.averaged), labels)
        return class_metrics(processes.total(sums), len(self.files))

    def batches(self, progress: Progress = iter) -> Iterator[Batch]:
        """Yield the crops of all files, (n * crops, C, H, W), and the labels, (n,); each process yields its share."""
        size = TEST_CROPS // self.protocol.crops
        begins = range(processes.rank() * size, len(self.files), processes.count() * size)
        requests = [list(range(begin, min(begin + size, len(self.files)))) for begin in begins]
        batches = stream(CropViews(self.files, self.protocol), requests, self.runtime, self.device)
        for _, (pixels, labels) in zip(progress(begins), batches, strict=False):
            yield Batch(laid_out(self.normalise(pixels.flatten(0, 1)), self.runtime), labels)


def mean_guess(logits: Tensor, crops: int, averaged: Averaged) -> Tensor:
    """Return one prediction per image, (n, classes), from its crops, (n * crops, classes).

    The prediction is the mean of the outputs, or the logarithm of the mean of the probabilities.
    """
    if crops == 1:
        return logits
    of_crops = logits.float().view(-1, crops, logits.shape[1])
    return of_crops.mean(1) if averaged is Averaged.OUTPUTS else of_crops.softmax(2).mean(1).log()


def stream(
    views: Dataset[Any], requests: Iterable[list[Any]], runtime: Runtime, device: torch.device
) -> Iterator[list[Tensor]]:
    """Yield the requested batches of views, in order, on the device.

    Raises:
        UserError: a file cannot be read.
        RunFailed: a worker process was killed, for example because memory ran out.
    """
    workers = workers_of(runtime)
    on_gpu = device.type == "cuda"
    loader: Iterable[list[Tensor]] = DataLoader(
        views,
        batch_sampler=requests,  # consumed while the first batches are already being read
        num_workers=workers,
        pin_memory=on_gpu,
        prefetch_factor=PREFETCH if workers else None,
        worker_init_fn=_end_with_the_run,
        generator=torch.Generator(),  # without it the loader draws from the default generator, which dropout uses
    )
    try:
        with blocked_in_children():  # a run that is stopped saves before its workers end
            batches = iter(loader)
        for batch in batches:
            yield [each.to(device, non_blocking=on_gpu) for each in batch]
    except UserError as error:  # a worker's error has a traceback before its message
        raise UserError(str(error).strip().splitlines()[-1].removeprefix("repro.errors.UserError: ")) from error
    except RuntimeError as error:
        raise_if_a_worker_died(error)
        raise


def raise_if_a_worker_died(error: RuntimeError) -> None:
    """Raise RunFailed if torch reports with this error, which may come at any time, that a worker was killed."""
    if "DataLoader worker" in str(error):
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # otherwise torch reports every worker that ends
        raise RunFailed(
            f"{str(error).strip(' .')}; the last checkpoint is kept; fewer --workers need less memory"
        ) from error


def workers_of(runtime: Runtime) -> int:
    """Return the number of worker processes that read images."""
    if runtime.workers is not None:
        return runtime.workers
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _end_with_the_run(worker: int) -> None:
    """Let Linux kill this worker when the run dies: a worker still holds the run's locks, which a fork copies."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
