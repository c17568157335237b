"""Augmentation of a whole batch at once, with one draw per image; torch alone.

The draws of an epoch are made together, from the run's seed and the epoch's number: the same on every device,
and the same again after a stop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from repro.recipes import Recipe


class Draws(NamedTuple):
    """What chance decides for n images."""

    dy: Tensor
    """(n,) int64 in 0..2 * padding: the crop's first row in the padded image."""
    dx: Tensor
    """(n,) int64: its first column."""
    flip: Tensor
    """(n,) bool."""

    def at(self, images: slice) -> Draws:
        """Return the draws of some of the images."""
        return Draws(self.dy[images], self.dx[images], self.flip[images])


class Normalise:
    """(pixels / 255 - mean) / std per channel, as one multiplication and one addition."""

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        self.scale = (1 / (255 * std)).view(1, -1, 1, 1)
        self.shift = (-mean / std).view(1, -1, 1, 1)

    def __call__(self, pixels: Tensor) -> Tensor:
        """Return (n, C, H, W) uint8 as normalised floats."""
        return torch.addcmul(self.shift, pixels.to(self.scale.dtype), self.scale)


def normaliser(recipe: Recipe, train_pixels: Tensor) -> Callable[[Tensor], Tensor]:
    """Return the recipe's normalisation; a recipe without statistics takes those of the training set.

    Preprocessed images are taken as they are.
    """
    if recipe.preprocessing:
        return Tensor.float
    device = train_pixels.device
    if recipe.mean:
        return Normalise(torch.tensor(recipe.mean, device=device), torch.tensor(recipe.std, device=device))
    values = train_pixels.to(torch.get_default_dtype()) / 255
    return Normalise(values.mean((0, 2, 3)), values.std((0, 2, 3)))


def draw(recipe: Recipe, n: int, generator: torch.Generator) -> Draws:
    """Return the draws for n images, on the CPU; offsets are uniform over every possible crop."""
    span = 2 * recipe.crop_padding + 1
    dy, dx = (torch.randint(span, (n,), generator=generator) for _ in range(2))
    flip = torch.rand(n, generator=generator) < (0.5 if recipe.flip else 0.0)
    return Draws(dy, dx, flip)


def augment(images: Tensor, draws: Draws, recipe: Recipe) -> Tensor:
    """Return normalised images (n, C, H, W), each cropped and mirrored by its own draw."""
    if recipe.crop_padding:
        images = _crop(images, draws, recipe.crop_padding, recipe.padding_mode)
    if recipe.flip:
        images = torch.where(draws.flip.view(-1, 1, 1, 1), images.flip(3), images)
    return images


def _crop(images: Tensor, draws: Draws, padding: int, mode: str) -> Tensor:
    """Pad on every side and cut each image's window at its own offset."""
    n, _, height, width = images.shape
    padded = F.pad(images, (padding,) * 4, mode="constant" if mode == "zero" else mode)
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)
    return windows[torch.arange(n, device=images.device), :, draws.dy, draws.dx]
