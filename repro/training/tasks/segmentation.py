"""Segmentation of slices in tiles, trained and tested as U-Net: arXiv 1505.04597, sections 2 and 3."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from math import ceil

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from repro.bars import with_bar
from repro.data import Dataset, DatasetKind
from repro.data.inputs.deform import draw_warp, places, read
from repro.data.inputs.normalise import normaliser, with_declared
from repro.errors import UserError
from repro.models.options import shape_text
from repro.recipes import Recipe
from repro.runtime import Runtime
from repro.training.machine import one_process
from repro.training.machine.device import autocast, laid_out
from repro.training.randomness import generator
from repro.training.tasks.border_weights import border_weights, class_weights
from repro.training.tasks.pixel_metrics import Tally
from repro.training.tasks.task import Batch, Metrics, Progress, check_task_values

CLASSES = 2
"""Class 0: membrane or outside; class 1: inside a cell."""


class Segmentation:
    """The task of ISBI 2012: an epoch shows one tile of every slice; a test covers whole slices with tiles."""

    def __init__(self, recipe: Recipe, data: Dataset, runtime: Runtime, device: torch.device) -> None:
        check_task_values(recipe, DatasetKind.SEGMENTATION)
        one_process.check_kind(DatasetKind.SEGMENTATION, runtime)
        self.recipe, self.runtime, self.device = recipe, runtime, device
        self.train_images, self.test_images = data.train.to(device), data.test.to(device)
        self.images, self.fingerprint = len(data.train), data.fingerprint
        for pixels in (data.train.pixels, data.test.pixels):
            self._check_size(*pixels.shape[2:])
        self.normalise = normaliser(with_declared(recipe), self.train_images.pixels)

    def batches(self, seed: int, epoch: int, begin: int) -> Iterator[Batch]:
        """Yield the batches of an epoch from number `begin` on; a tile depends only on seed, epoch and slice."""
        order = torch.randperm(self.images, generator=generator(seed, "order", epoch)).tolist()
        size = self.recipe.batch
        for first in range(begin * size, self.images, size):
            tiles = [self.tile(index, seed, epoch) for index in order[first : first + size]]
            inputs, targets = (torch.stack(each) for each in zip(*tiles, strict=True))
            yield Batch(laid_out(inputs, self.runtime), targets)

    def tile(self, index: int, seed: int, epoch: int) -> tuple[Tensor, Tensor]:
        """Return a tile of a training slice with its margin, (C, side, side), and its labels and weights.

        The labels and weights, (2, tile, tile), are deformed like the pixels.
        """
        pixels = self.train_images.pixels[index]
        draws = generator(seed, f"augmentation of {index}", epoch)
        warp = draw_warp(self.recipe, pixels.shape[1], pixels.shape[2], draws)
        where = places(warp, self.recipe, self.device)
        grey = read(self.normalise(pixels[None])[0], where, "bilinear") * warp.contrast + warp.brightness
        inner = slice(self.recipe.margin, self.recipe.margin + self.recipe.tile)
        target = torch.stack([self.train_images.labels[index].float(), self.weights[index]])
        return grey, read(target, where[inner, inner], "nearest")

    @cached_property
    def weights(self) -> Tensor:
        """The weight maps of the training slices, (n, H, W): equation 2."""
        labels, recipe = self.train_images.labels.cpu(), self.recipe
        balance = class_weights(labels, CLASSES) if recipe.class_balance else torch.ones(CLASSES)
        maps = balance[labels.long()]
        if recipe.border_weight:
            for index in with_bar(range(len(labels)), "computing weight maps"):
                maps[index] += border_weights(labels[index], recipe.border_weight, recipe.border_sigma)
        return maps.to(self.device)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the weighted cross-entropy in nats, averaged over the pixels; outputs (n, classes, tile, tile)."""
        self._check_output(outputs)
        labels, weights = targets.unbind(1)
        return (weights * F.cross_entropy(outputs.float(), labels.long(), reduction="none")).mean()

    def wrong(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the share of misclassified pixels, summed over the tiles."""
        return (outputs.argmax(1) != targets[:, 0]).float().mean((1, 2)).sum()

    @torch.inference_mode()
    def test(self, network: nn.Module, progress: Progress = iter) -> Metrics:
        """Return the metrics on the test slices; the loss is the unweighted cross-entropy per pixel."""
        network.eval()
        tally = Tally(CLASSES)
        for index in progress(range(len(self.test_images))):
            tally.add(self.predict(network, self.test_images.pixels[index]), self.test_images.labels[index])
        return tally.metrics()

    @torch.inference_mode()
    def predict(self, network: nn.Module, pixels: Tensor) -> Tensor:
        """Return the class probabilities in a slice (C, H, W) uint8: (classes, H, W), from overlapping tiles.

        The slice is mirrored at its borders; where tiles overlap, their probabilities are averaged (section 2).
        """
        tile, margin, side = self.recipe.tile, self.recipe.margin, self.recipe.train_side
        height, width = pixels.shape[1:]
        grey = F.pad(self.normalise(pixels[None]), (margin,) * 4, mode="reflect")
        sums, times = torch.zeros(CLASSES, height, width, device=self.device), torch.zeros_like(pixels[0].float())
        for top in _starts(height, tile):
            for left in _starts(width, tile):
                part = grey[:, :, top : top + side, left : left + side]
                with autocast(self.device, self.runtime):
                    outputs = network(laid_out(part, self.runtime))
                self._check_output(outputs)
                there = slice(top, top + tile), slice(left, left + tile)
                sums[:, *there] += outputs[0].float().softmax(0)
                times[there] += 1
        return sums / times

    def _check_output(self, outputs: Tensor) -> None:
        """Raise UserError if the network's outputs have another size than the recipe's tiles."""
        tile = self.recipe.tile
        if outputs.shape[2:] != (tile, tile):
            side, given = self.recipe.train_side, shape_text(outputs.shape[2:])
            right = "leave out --padded, or choose a recipe without margin" if self.recipe.margin else "add --padded"
            raise UserError(
                f"for {side}x{side} pixels the network's output is {given}, and recipe {self.recipe.name} needs "
                f"{tile}x{tile}; {right}"
            )

    def _check_size(self, height: int, width: int) -> None:
        if min(height, width) < max(self.recipe.tile, self.recipe.margin + 1):
            raise UserError(
                f"slices of {height}x{width} pixels are smaller than a tile of recipe {self.recipe.name}, "
                f"{self.recipe.tile}x{self.recipe.tile} with a mirrored margin of {self.recipe.margin}; "
                "use larger slices, or a recipe with a smaller tile"
            )


def _starts(size: int, tile: int) -> list[int]:
    """Return the first pixels of the fewest tiles that cover `size` pixels, evenly spread."""
    steps = ceil(size / tile) - 1
    return [round(step * (size - tile) / steps) for step in range(steps + 1)] if steps else [0]
