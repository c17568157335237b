"""Classification of image files, which worker processes read, decode and augment while the device computes."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import nn

from repro.bars import with_bar
from repro.cached import read_cached, write_cached
from repro.data import DatasetKind
from repro.data.inputs.normalise import check_spread, with_declared
from repro.data.inputs.procedure import Procedure, procedure_of
from repro.data.inputs.protocol import ONE_CROP, Protocol
from repro.data.inputs.views import TestViews, TrainViews
from repro.data.readers.folder import Files, ImageFolder
from repro.paths import cache_folder
from repro.recipes import Recipe
from repro.runtime import Runtime
from repro.training.machine import processes
from repro.training.machine.device import laid_out
from repro.training.randomness import generator, seed_of
from repro.training.schedule import images_per_epoch, phase_of_epoch
from repro.training.tasks.classification import Classification
from repro.training.tasks.file_test import TEST_CROPS, FileTest
from repro.training.tasks.stream import stream
from repro.training.tasks.task import Batch, Metrics, Progress, check_task_values


class FileClassification(Classification):
    """The task of ImageNet and other folders of image files.

    The augmentation of an image depends only on the seed, the epoch and the image, not on the number of workers or
    on a stop within an epoch.
    """

    def __init__(self, recipe: Recipe, data: ImageFolder, runtime: Runtime, device: torch.device) -> None:
        check_task_values(recipe, DatasetKind.IMAGE_FILES)
        recipe = with_statistics(recipe, data, runtime)
        self.recipe, self.runtime, self.device = recipe, runtime, device
        self.data, self.files = data, data.train
        self.images, self.fingerprint = len(data.train), data.fingerprint
        self.test_files = data.test
        self.tester = self.tester_by(ONE_CROP)
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

    def tester_by(self, protocol: Protocol) -> FileTest:
        """Return the test on the validation images by a protocol."""
        procedure = replace(procedure_of(self.recipe), protocol=protocol)
        return FileTest(self.test_files, procedure, self.runtime, self.device)

    def test(self, network: nn.Module, progress: Progress = iter) -> Metrics:
        """Return the metrics on the validation images with one crop."""
        return self.tester.test(network, progress)

    def test_batches(self, progress: Progress = iter) -> Iterator[Batch]:
        """Yield the validation images with one crop."""
        return self.tester.batches(progress)


def with_statistics(recipe: Recipe, data: ImageFolder, runtime: Runtime) -> Recipe:
    """Return the recipe with mean and std: its own, those that are declared, or those of the training images.

    The training images are then read once, as the test shows them, and the result is kept in the cache.
    """
    known = with_declared(recipe)
    if known.mean:
        return known
    unscaled = (0.0,) * data.train.channels
    procedure = procedure_of(replace(recipe, mean=unscaled, std=unscaled))
    key = hashlib.sha256(f"{data.fingerprint}/{procedure!r}".encode()).hexdigest()[:32]
    path = cache_folder() / "statistics" / f"{key}.json"
    if found := read_cached(path, dict[str, tuple[float, ...]]):
        return replace(recipe, mean=found["mean"], std=found["std"])
    mean, std = statistics(data.train, procedure, runtime)
    check_spread(std, data.name)
    write_cached(path, {"mean": mean, "std": std})
    return replace(recipe, mean=mean, std=std)


def statistics(files: Files, procedure: Procedure, runtime: Runtime) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation per channel of pixels in 0..1, exact whatever the order of the files."""
    begins = range(0, len(files), TEST_CROPS)
    requests = [list(range(begin, min(begin + TEST_CROPS, len(files)))) for begin in begins]
    batches = stream(TestViews(files, procedure), requests, runtime, torch.device("cpu"))
    first, second, number = (torch.zeros(files.channels, dtype=torch.int64) for _ in range(3))
    for _, (pixels, _labels) in zip(with_bar(begins, "computing mean and std"), batches, strict=False):
        values = pixels.transpose(0, 2).flatten(1).long()
        first, second, number = first + values.sum(1), second + values.square().sum(1), number + values.shape[1]
    sums = list(zip(first.tolist(), second.tolist(), number.tolist(), strict=True))
    mean = tuple(total / (255 * n) for total, _, n in sums)
    return mean, tuple(math.sqrt(n * squares - total**2) / (255 * n) for total, squares, n in sums)
