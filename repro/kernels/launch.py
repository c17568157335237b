"""How the kernels of convolutions are cut into programs, by the number of channels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil

from torch import Tensor

MERGED = 8192
"""Values of a table of parts above which they are merged first: every program of BatchNorm reads the whole table."""
LARGEST_TILE = 256
"""Pixels of one program at most."""


@dataclass(frozen=True, kw_only=True)
class Launch:
    """How a convolution is cut into programs."""

    tile: int
    """Pixels of one program."""
    warps: int
    stages: int = 0
    """Taps that are copied ahead into shared memory, past the L1 cache; 0: each is read into registers, through the L1
    cache."""
    share: int = 64
    """Output channels of one program, or all if there are fewer."""

    def of(self, images: Tensor) -> Launch:
        """Return the launch for maps: with larger tiles where their sums per tile would be more than MERGED values.

        At most two taps of larger tiles are copied ahead: more would not fit.
        """
        batch, channels, height, width = images.shape
        tile, warps, stages = self.tile, self.warps, self.stages
        while ceil(batch * height * width / tile) * channels > MERGED and tile < LARGEST_TILE:
            tile, warps, stages = 2 * tile, min(2 * warps, 8), min(stages, 2)
        return replace(self, tile=tile, warps=warps, stages=stages)


@dataclass(frozen=True, kw_only=True)
class GradientLaunch:
    """How a weight gradient is cut into programs."""

    tile: int
    """Pixels of one product."""
    taps: int
    """Taps of the kernel in one product: 1, 2 or 4; the ninth is then in a product of its own."""
    warps: int
    parts: int
    """Programs that share the pixels."""
    stages: int = 3
    """Products whose factors are copied ahead into shared memory; 1: none, they are read through the L1 cache."""
    layers: int = 6
    """Layers whose gradients are one launch."""

    @property
    def groups(self) -> int:
        """Groups of taps, each with programs of its own."""
        return ceil(9 / self.taps)


@dataclass(frozen=True, kw_only=True)
class NormLaunch:
    """How BatchNorm is cut into programs, each of which reads the sums of all tiles of its input."""

    values: int
    """Values of one program."""
    warps: int


# The fastest of some on an H200 with triton 3.6, for batches of 64 in TF32: tests/gpu/launches.py times them.
FORWARD = {
    16: Launch(tile=128, warps=2),
    32: Launch(tile=128, warps=4, stages=3),
    64: Launch(tile=64, warps=4, stages=3, share=32),
}
"""Convolutions, by channels."""
BACKWARD = {
    16: Launch(tile=128, warps=4),
    32: Launch(tile=64, warps=2, stages=5),
    64: Launch(tile=32, warps=4, stages=4),
}
"""Gradients of the input, by channels."""
GRADIENT = {
    16: GradientLaunch(tile=32, taps=4, warps=4, parts=128, layers=3),
    32: GradientLaunch(tile=32, taps=4, warps=4, parts=64),
    64: GradientLaunch(tile=32, taps=1, warps=2, parts=16),
}
"""Gradients of the weight, by channels; they were timed with one layer in a launch.

The maps of a launch, 24 MiB at most for batches of 64, fit into the L2 cache of an H100, which has 50 MiB.
"""
NORM = {channels: NormLaunch(values=4096, warps=4) for channels in (16, 32, 64)}
"""BatchNorm and its gradients, by channels; of more channels as of 64, of fewer as of 16. No others have been timed."""
ADDED = 16
"""Weights whose parts one program adds."""


def forward_launch(images: Tensor) -> Launch:
    """Return how the convolution of maps is cut; a part of its statistics is a tile."""
    return FORWARD[images.shape[1]].of(images)


@dataclass(frozen=True)
class NormTiles:
    """How the pixels of maps are cut into programs of BatchNorm."""

    rows: int
    """Pixels of all images."""
    channels: int
    tile: int
    """Pixels of one program."""
    warps: int

    @property
    def programs(self) -> int:
        """Number of programs."""
        return ceil(self.rows / self.tile)


def norm_tiles(images: Tensor) -> NormTiles:
    """Return how BatchNorm of maps (B, C, H, W) is cut."""
    batch, channels, height, width = images.shape
    launch = NORM[min(max(channels, 16), 64)]
    return NormTiles(batch * height * width, channels, max(1, launch.values // channels), launch.warps)
