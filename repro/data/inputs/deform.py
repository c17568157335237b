"""Tiles of slices, shifted, rotated, mirrored and elastically deformed: U-Net, arXiv 1505.04597, section 3.1.

A tile is sampled at a grid of positions in its slice; outside the slice, its mirror image is sampled (Figure 2).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from repro.recipes import Recipe


class Warp(NamedTuple):
    """The random numbers for one tile."""

    top: int
    """First row of the tile in the slice, before rotation and deformation."""
    left: int
    """First column of the tile in the slice, before rotation and deformation."""
    turns: int
    """Quarter turns, 0 to 3."""
    flip: bool
    displacement: Tensor
    """(2, g, g): displacement in x and y of the points of the coarse grid, in pixels."""
    contrast: float
    """Factor by which the normalised grey values are multiplied."""
    brightness: float
    """Value added to the normalised grey values."""


def draw_warp(recipe: Recipe, height: int, width: int, generator: torch.Generator) -> Warp:
    """Return the draws for one tile of a slice of height x width pixels, on the CPU."""

    def below(end: int) -> int:
        return int(torch.randint(end, (), generator=generator))

    def share() -> float:
        return recipe.color_jitter * (2 * float(torch.rand((), generator=generator)) - 1)

    top, left = below(height - recipe.tile + 1), below(width - recipe.tile + 1)
    turns, flip = below(4), bool(below(2))
    coarse = torch.randn(2, recipe.elastic_grid, recipe.elastic_grid, generator=generator)
    return Warp(
        top,
        left,
        turns if recipe.turn else 0,
        flip and recipe.flip,
        recipe.elastic * coarse,
        contrast=1 + share(),
        brightness=share(),
    )


def places(warp: Warp, recipe: Recipe, device: torch.device) -> Tensor:
    """Return the positions in the slice of a tile with its margin: (side, side, 2), x and y in pixels."""
    side = recipe.train_side
    axis = torch.arange(side, device=device, dtype=torch.float32) - (side - 1) / 2
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    if recipe.elastic:
        coarse = warp.displacement.to(device)[None]
        smooth = F.interpolate(coarse, size=(side, side), mode="bicubic", align_corners=True)[0]
        x, y = x + smooth[0], y + smooth[1]
    if warp.flip:
        x = -x
    for _ in range(warp.turns):
        x, y = -y, x
    middle = (recipe.tile - 1) / 2
    return torch.stack([x + warp.left + middle, y + warp.top + middle], dim=-1)


def read(slices: Tensor, where: Tensor, mode: str) -> Tensor:
    """Return slices (C, H, W) sampled at positions (h, w, 2): (C, h, w), mirrored outside the borders.

    Args:
        slices: float channels of one slice.
        where: x and y in pixels.
        mode: `bilinear`, or `nearest` for labels.
    """
    height, width = slices.shape[1:]
    size = torch.tensor([max(1, width - 1), max(1, height - 1)], device=where.device)
    grid = 2 * where / size - 1
    return F.grid_sample(slices[None], grid[None], mode=mode, padding_mode="reflection", align_corners=True)[0]
