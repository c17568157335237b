"""Augmentation of a whole batch at once, with one draw per image, in torch.

All draws of an epoch are made together from the run's seed and the epoch's number, so they are the same on every
device and after a resume.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

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
