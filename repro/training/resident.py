"""Classification of small images that lie whole in the device's memory."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from repro.data import Dataset
from repro.data.augment import Draws, augment, draw, normaliser
from repro.errors import UserError
from repro.recipes import Recipe
from repro.runtime import Runtime
from repro.training.device import autocast, laid_out
from repro.training.randomness import generator
from repro.training.task import Batch, Metrics, Progress

TEST_BATCH = 500
"""BatchNorm uses its running statistics, so that the size changes nothing but the speed."""


class Resident:
    """The task of CIFAR, SVHN and the digits: batches are cut from tensors on the device, which never waits."""

    def __init__(self, recipe: Recipe, data: Dataset, runtime: Runtime, device: torch.device) -> None:
        refuse_what_is_not_implemented(recipe)
        self.recipe, self.runtime, self.device = recipe, runtime, device
        self.train_images, self.test_images = data.train.to(device), data.test.to(device)
        self.images, self.fingerprint = len(data.train), data.fingerprint
        self.normalise = normaliser(recipe, self.train_images.pixels)

    def batches(self, seed: int, epoch: int, begin: int) -> Iterator[Batch]:
        """Yield the batches of an epoch; nothing here waits for the device."""
        order, draws = self._plan(seed, epoch)
        for first in range(begin * self.recipe.batch, self.images, self.recipe.batch):
            part = slice(first, first + self.recipe.batch)
            pixels = self.normalise(self.train_images.pixels[order[part]])
            inputs = augment(pixels, draws.at(part), self.recipe)
            yield Batch(laid_out(inputs, self.runtime), self.train_images.labels[order[part]])

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean cross-entropy in nats; outputs (n, classes)."""
        return F.cross_entropy(outputs.float(), targets)

    def wrong(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return how many first guesses are wrong."""
        return (outputs.argmax(1) != targets).sum()

    @torch.inference_mode()
    def test(self, network: nn.Module, progress: Progress = iter) -> Metrics:
        """Return the metrics on the whole test set."""
        network.eval()
        images = self.test_images
        sums = torch.zeros(3, device=self.device)
        for begin in progress(range(0, len(images), TEST_BATCH)):
            part = slice(begin, begin + TEST_BATCH)
            with autocast(self.device, self.runtime):
                logits = network(laid_out(self.normalise(images.pixels[part]), self.runtime))
            sums += class_sums(logits, images.labels[part])
        return class_metrics(sums, len(images))

    def _plan(self, seed: int, epoch: int) -> tuple[Tensor, Draws]:
        """Return the order of the images and the draws of their augmentation, drawn on the CPU, on the device."""
        order = torch.randperm(self.images, generator=generator(seed, "order", epoch))
        draws = draw(self.recipe, self.images, generator(seed, "augmentation", epoch))
        return order.to(self.device), Draws(*(each.to(self.device) for each in draws))


def class_sums(logits: Tensor, labels: Tensor) -> Tensor:
    """Return (3,): loss, wrong first guesses and images whose label is not among five guesses, summed."""
    hit = (logits.topk(min(5, logits.shape[1]), dim=1).indices == labels[:, None]).any(1)
    loss = F.cross_entropy(logits.float(), labels, reduction="sum")
    return torch.stack([loss, (logits.argmax(1) != labels).sum(), (~hit).sum()])


def class_metrics(sums: Tensor, images: int) -> Metrics:
    """Return the metrics of sums over all images."""
    loss, wrong, wrong5 = (each / images for each in sums.tolist())
    return Metrics(error=100 * wrong, error5=100 * wrong5, loss=loss, images=images)


def refuse_what_is_not_implemented(recipe: Recipe) -> None:
    """Raise UserError for a recipe with a value that would silently be ignored here."""
    for name in ("scaled_crop", "resize", "test_crop", "color_jitter", "lighting", "tune_epochs"):
        if getattr(recipe, name):
            raise UserError(f"recipe {recipe.name} has {name}={getattr(recipe, name)}, not trainable here yet")
