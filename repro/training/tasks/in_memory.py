"""Classification of small images that are all in the device's memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn

from repro.data import DATASETS, Dataset, DatasetKind, Images
from repro.data.inputs.augment import Draws, augment, draw
from repro.data.inputs.normalise import normaliser, with_declared
from repro.data.inputs.preprocess import preprocessed
from repro.errors import UserError
from repro.recipes import Recipe
from repro.runtime import Runtime
from repro.training.machine import processes
from repro.training.machine.device import autocast, laid_out
from repro.training.randomness import generator
from repro.training.schedule import images_per_epoch
from repro.training.tasks.classification import Classification, class_metrics, class_sums
from repro.training.tasks.task import Batch, Metrics, Progress, check_task_values

TEST_BATCHES = {"cpu": 500, "cuda": 1000}
"""Images in a test batch. BatchNorm uses its running statistics, so the number affects only the speed."""


def in_memory_task(recipe: Recipe, data: Dataset, runtime: Runtime, device: torch.device) -> InMemoryClassification:
    """Return the task, with the recipe's preprocessing applied to the images."""
    return InMemoryClassification(recipe, preprocessed(data, recipe.preprocessing), runtime, device)


class InMemoryClassification(Classification):
    """The task of CIFAR, SVHN and the digits: batches are slices of tensors on the device, which never waits."""

    def __init__(self, recipe: Recipe, data: Dataset, runtime: Runtime, device: torch.device) -> None:
        check_task_values(recipe, DatasetKind.IN_MEMORY)
        recipe = with_declared(recipe)
        self.recipe, self.runtime, self.device = recipe, runtime, device
        self.train_images, self.test_images = data.train.to(device), data.test.to(device)
        self.held_out = held_out(recipe, data).to(device)
        self.trained_on = all_but(self.held_out, len(data.train))
        self.images, self.fingerprint = len(self.trained_on), data.fingerprint
        pixels, known = self.train_images.pixels, recipe.mean or recipe.preprocessing == "zca"
        # The images trained on are copied only if their statistics are needed.
        self.normalise = normaliser(recipe, pixels if known else pixels[self.trained_on])

    def batches(self, seed: int, epoch: int, begin: int) -> Iterator[Batch]:
        """Yield the batches of an epoch from number `begin` on; nothing here waits for the device."""
        order, draws = self._plan(seed, epoch)
        end = images_per_epoch(self.recipe, self.images)
        for first in range(begin * self.recipe.batch, end, self.recipe.batch):
            share = processes.share(min(self.recipe.batch, end - first))
            part = slice(first + share.start, first + share.stop)
            pixels = self.normalise(self.train_images.pixels[order[part]])
            inputs = augment(pixels, draws.at(part), self.recipe)
            yield Batch(laid_out(inputs, self.runtime), self.train_images.labels[order[part]])

    def test(self, network: nn.Module, progress: Progress = iter) -> Metrics:
        """Return the metrics on the whole test set, and the error on the validation images, if there are any."""
        tested = self._shown(self.test_images).test(network, progress)
        if not len(self.held_out):
            return tested
        validated = self._shown(self.train_images, self.held_out).test(network)
        return replace(tested, validation_error=validated.error)

    def test_batches(self, progress: Progress = iter) -> Iterator[Batch]:
        """Yield the test images in batches, each image once; each process yields its share."""
        return self._shown(self.test_images).batches(progress)

    def _shown(self, images: Images, places: Tensor | None = None) -> WholeTest:
        classes = DATASETS[self.recipe.dataset].classes
        return WholeTest(images, self.normalise, self.runtime, self.device, classes, places)

    def _plan(self, seed: int, epoch: int) -> tuple[Tensor, Draws]:
        """Return the order of an epoch's images and the draws of their augmentation, both drawn on the CPU."""
        order = torch.randperm(self.images, generator=generator(seed, "order", epoch))
        draws = draw(self.recipe, self.images, generator(seed, "augmentation", epoch))
        return self.trained_on[order.to(self.device)], Draws(*(each.to(self.device) for each in draws))


class WholeTest:
    """The test of a network on images in memory, which are shown whole."""

    def __init__(
        self,
        images: Images,
        normalise: Callable[[Tensor], Tensor],
        runtime: Runtime,
        device: torch.device,
        classes: int,
        places: Tensor | None = None,
    ) -> None:
        """Take the images on the device, and the indices of those to test with (default: all)."""
        self.classes = classes
        self.images, self.normalise, self.runtime, self.device = images, normalise, runtime, device
        self.places = torch.arange(len(images), device=device) if places is None else places.to(device)

    @torch.inference_mode()
    def test(self, network: nn.Module, progress: Progress = iter) -> Metrics:
        """Return the metrics on the images; the network is left in evaluation mode."""
        network.eval()
        sums = torch.zeros(3, device=self.device)
        for inputs, labels in self.batches(progress):
            with autocast(self.device, self.runtime):
                logits = network(inputs)
            sums += class_sums(logits, labels)
        return class_metrics(processes.total(sums), len(self.places), self.classes)

    def batches(self, progress: Progress = iter) -> Iterator[Batch]:
        """Yield the images in normalised batches; each process yields its share of the batches."""
        batch = TEST_BATCHES[self.device.type]
        own = range(processes.rank() * batch, len(self.places), processes.count() * batch)
        for begin in progress(own):
            part = self.places[begin : begin + batch]
            yield Batch(laid_out(self.normalise(self.images.pixels[part]), self.runtime), self.images.labels[part])


def held_out(recipe: Recipe, data: Dataset) -> Tensor:
    """Return the indices of the training images that a recipe uses for validation only.

    Raises:
        UserError: the dataset defines another number of validation images.
    """
    if recipe.validation_images == 0:
        return torch.empty(0, dtype=torch.int64)
    known = 0 if data.validation is None else len(data.validation)
    if data.validation is None or known != recipe.validation_images:
        raise UserError(
            f"recipe {recipe.name} needs {recipe.validation_images} validation images, "
            f"but {recipe.dataset} defines {known}; set validation_images to {known}"
        )
    return data.validation


def all_but(places: Tensor, images: int) -> Tensor:
    """Return the other indices of 0 .. images - 1, in order."""
    kept = torch.ones(images, dtype=torch.bool, device=places.device)
    kept[places] = False
    return kept.nonzero().squeeze(1)
