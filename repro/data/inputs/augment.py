"""Augmentation of a whole batch at once, with one draw per image, in torch.

All draws of an epoch are made together from the run's seed and the epoch's number, so they are the same on every
device and after a resume.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from repro.data import DATASETS
from repro.errors import UserError
from repro.recipes import Recipe


class Draws(NamedTuple):
    """The random numbers for n images."""

    dy: Tensor
    """(n,) int64 in 0..2 * padding: first row of the crop in the padded image."""
    dx: Tensor
    """(n,) int64: first column of the crop."""
    flip: Tensor
    """(n,) bool: whether the image is mirrored."""

    def at(self, images: slice) -> Draws:
        """Return the draws of some images."""
        return Draws(self.dy[images], self.dx[images], self.flip[images])


class Normalise:
    """Computes (pixels / 255 - mean) / std as one multiplication and one addition."""

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        """Take a mean per channel, (C,), or per pixel, (C, H, W), and a standard deviation per channel, (C,)."""
        self.mean, self.std = mean, std
        std = std.view(-1, 1, 1)
        self.scale = 1 / (255 * std)
        self.shift = -mean.view(len(std), *(mean.shape[1:] or (1, 1))) / std

    def __call__(self, pixels: Tensor) -> Tensor:
        """Return (n, C, H, W) uint8 as normalised floats."""
        values = pixels.to(self.scale.dtype, copy=True)
        # A second new tensor would take more time than the arithmetic, since a CPU maps its memory page by page.
        return torch.addcmul(self.shift, values, self.scale, out=values)


def statistics_of(normalise: Callable[[Tensor], Tensor]) -> dict[str, tuple[float, ...]]:
    """Return `mean` and `std` by channel of a normalisation; nothing for a mean image and for whitened images."""
    if not isinstance(normalise, Normalise) or normalise.mean.ndim > 1:
        return {}
    return {"mean": tuple(normalise.mean.tolist()), "std": tuple(normalise.std.tolist())}


def with_declared(recipe: Recipe) -> Recipe:
    """Return the recipe with the mean and std that a paper declares of its dataset, if it states none itself."""
    declared = DATASETS[recipe.dataset].declared
    if recipe.mean or recipe.preprocessing or not (declared and declared.mean):
        return recipe
    return replace(recipe, mean=declared.mean, std=declared.std)


def normaliser(recipe: Recipe, train_pixels: Tensor) -> Callable[[Tensor], Tensor]:
    """Return the recipe's normalisation.

    A recipe without statistics uses those of the training set; whitened images are not normalised.

    Args:
        recipe: gives the preprocessing, or mean and standard deviation.
        train_pixels: the images trained on, (n, C, H, W) uint8.

    Raises:
        UserError: the statistics are needed, and a channel is constant.
    """
    if recipe.preprocessing == "zca":
        return Tensor.float
    device = train_pixels.device
    if recipe.preprocessing == "mean-image":
        return Normalise(mean_image(train_pixels), torch.ones(train_pixels.shape[1], device=device))
    if recipe.mean:
        return Normalise(torch.tensor(recipe.mean, device=device), torch.tensor(recipe.std, device=device))
    spread = train_pixels.amax((0, 2, 3)) - train_pixels.amin((0, 2, 3))
    check_spread(spread.tolist(), recipe.dataset)
    values = train_pixels.to(torch.get_default_dtype()) / 255
    return Normalise(values.mean((0, 2, 3)), values.std((0, 2, 3)))


def check_spread(spread: Iterable[float], dataset: str) -> None:
    """Refuse training images that cannot be divided by their standard deviation.

    Args:
        spread: of the values of each channel, 0 if the channel is constant.
        dataset: its name.
    """
    if not all(spread):
        raise UserError(
            f"a channel of the training images of {dataset} is constant; declare mean and std of the dataset"
        )


def mean_image(pixels: Tensor) -> Tensor:
    """Return the per-pixel mean of images (n, C, H, W) uint8 in 0..1: (C, H, W), exact on every device."""
    total = pixels.sum(0, dtype=torch.int64)
    return (total.double() / (255 * len(pixels))).to(torch.get_default_dtype())


def draw(recipe: Recipe, n: int, generator: torch.Generator) -> Draws:
    """Return the draws for the n images of an epoch, on the CPU; all crops are equally likely."""
    span = 2 * recipe.crop_padding + 1
    drawn = n if recipe.crop_draw == "image" else math.ceil(n / recipe.batch)
    dy, dx = (torch.randint(span, (drawn,), generator=generator) for _ in range(2))
    if drawn < n:
        dy, dx = (each.repeat_interleave(recipe.batch)[:n] for each in (dy, dx))
    if recipe.flip_half:
        return Draws(dy, dx, _half_of_each_batch(n, recipe.batch, generator))
    flip = torch.rand(n, generator=generator) < (0.5 if recipe.flip else 0.0)
    return Draws(dy, dx, flip)


def _half_of_each_batch(n: int, batch: int, generator: torch.Generator) -> Tensor:
    """Return (n,) bool, true for a random half of each batch, rounded down."""
    sizes = [min(batch, n - first) for first in range(0, n, batch)]
    return torch.cat([torch.randperm(size, generator=generator) < size // 2 for size in sizes])


def augment(images: Tensor, draws: Draws, recipe: Recipe) -> Tensor:
    """Return normalised images (n, C, H, W), cropped and mirrored with their draws."""
    if recipe.crop_padding:
        images = _crop(images, draws, recipe.crop_padding, recipe.padding_mode)
    if recipe.flip:
        images = torch.where(draws.flip.view(-1, 1, 1, 1), images.flip(3), images)
    return images


def _crop(images: Tensor, draws: Draws, padding: int, mode: str) -> Tensor:
    """Pad on every side and cut a window from each image at its own offset."""
    n, _, height, width = images.shape
    padded = F.pad(images, (padding,) * 4, mode="constant" if mode == "zero" else mode)
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)
    return windows[torch.arange(n, device=images.device), :, draws.dy, draws.dx]
