"""Pixels as the values that a network sees: normalised with the numbers of a recipe, a dataset or a mean image."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import torch
from torch import Tensor

from repro.data import DATASETS
from repro.errors import UserError
from repro.recipes import Recipe


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
        raise UserError(f"a channel of the training images of {dataset} is constant; set mean and std in the recipe")


def mean_image(pixels: Tensor) -> Tensor:
    """Return the per-pixel mean of images (n, C, H, W) uint8 in 0..1: (C, H, W), exact on every device."""
    total = pixels.sum(0, dtype=torch.int64)
    return (total.double() / (255 * len(pixels))).to(torch.get_default_dtype())
