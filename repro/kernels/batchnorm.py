"""BatchNorm in training mode with the addition and the ReLU that follow it, as Triton kernels over channels-last maps.

Each channel's statistics come as the mean and the squared deviations of every tile of pixels, and are combined as in
Chan, Golub and LeVeque (1979), which loses no digits when the mean is large. All sums are in fp32, or in fp64.
"""
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import triton  # type: ignore[import-untyped]
import triton.language as tl  # type: ignore[import-untyped]
from torch import Tensor, nn

from repro.kernels.ahead import on_grid
from repro.kernels.launch import MERGED, norm_tiles
from repro.kernels.number_format import accumulator, accumulator_dtype


@triton.jit
def own_tile(rows, channels: tl.constexpr, tile: tl.constexpr):
    """Return the channels (channels,), this program's offsets (tile, channels), and which pixels exist (tile, 1)."""
    row, channel = tl.program_id(0) * tile + tl.arange(0, tile), tl.arange(0, channels)
    return channel, row[:, None] * channels + channel[None, :], (row < rows)[:, None]


@triton.jit
def _statistics(images, partial, rows, channels: tl.constexpr, tile: tl.constexpr, accumulator: tl.constexpr):
    """Write the mean and the squared deviations of each channel over one tile of pixels."""
    program, programs = tl.program_id(0), tl.num_programs(0)
    channel, at, filled = own_tile(rows, channels, tile)
    values = tl.load(images + at, mask=filled, other=0.0).to(accumulator)
    mean = tl.sum(values, 0) / tl.minimum(rows - program * tile, tile).to(accumulator)
    away = tl.where(filled, values - mean[None, :], 0.0)
    tl.store(partial + program * channels + channel, mean)
    tl.store(partial + (programs + program) * channels + channel, tl.sum(away * away, 0))


@triton.jit
def both_of_parts(partial, parts, channels: tl.constexpr, padded: tl.constexpr):
    """Return the two tables (padded, channels) in (2, parts, channels), with 0 after the last part."""
    part = tl.arange(0, padded)
    at = part[:, None] * channels + tl.arange(0, channels)[None, :]
    known = (part < parts)[:, None]
    return tl.load(partial + at, mask=known, other=0.0), tl.load(partial + parts * channels + at, mask=known, other=0.0)


@triton.jit
def _factors(
    norm, rows, epsilon: tl.constexpr, momentum: tl.constexpr, channels: tl.constexpr, padded: tl.constexpr,
    accumulator: tl.constexpr,
):  # fmt: skip
    """Return the factor and the shift (channels,) of a BatchNorm, from the statistics of all parts.

    The first program also writes the statistics.
    """
    partial, weight, bias, running_mean, running_var, saved, parts, part_rows = norm
    channel = tl.arange(0, channels)
    means, squares = both_of_parts(partial, parts, channels, padded)
    part = tl.arange(0, padded)
    counts = tl.maximum(tl.minimum(rows - part * part_rows, part_rows), 0).to(accumulator)[:, None]
    mean = tl.sum(means * counts, 0) / rows
    away = means - mean[None, :]
    variance = tl.sum(squares + away * away * counts, 0) / rows
    inverse = 1.0 / tl.sqrt(variance + epsilon)
    if tl.program_id(0) == 0:
        tl.store(saved + channel, mean)
        tl.store(saved + channels + channel, inverse)
        unbiased = variance * (rows / (rows - 1.0))
        tl.store(running_mean + channel, tl.load(running_mean + channel) * (1.0 - momentum) + mean * momentum)
        tl.store(running_var + channel, tl.load(running_var + channel) * (1.0 - momentum) + unbiased * momentum)
    factor = inverse * tl.load(weight + channel)
    return factor, tl.load(bias + channel) - mean * factor


@triton.jit
def after_relu(values):
    """Return the values after a ReLU. NaN stays NaN: a diverged run must stay visible."""
    # Not tl.maximum, which makes a zero of NaN.
    return tl.where(values < 0, 0.0, values)


@triton.jit
def _normalise(
    images, added, out, norm, rows, epsilon: tl.constexpr, momentum: tl.constexpr, channels: tl.constexpr,
    tile: tl.constexpr, padded: tl.constexpr, with_added: tl.constexpr, relu: tl.constexpr, accumulator: tl.constexpr,
):  # fmt: skip
    """Write the normalised pixels of one tile; the first program also writes the statistics.

    `norm`: the statistics of all parts, weight, bias, running mean and variance, the statistics to be written, the
    number of parts, and the pixels of a part.
    """
    _, at, filled = own_tile(rows, channels, tile)
    values = tl.load(images + at, mask=filled, other=0.0).to(accumulator)
    if with_added:
        direct = tl.load(added + at, mask=filled, other=0.0).to(accumulator)
    factor, shift = _factors(norm, rows, epsilon, momentum, channels, padded, accumulator)
    values = values * factor[None, :] + shift[None, :]
    if with_added:
        values += direct
    if relu:
        values = after_relu(values)
    tl.store(out + at, values.to(out.dtype.element_ty), mask=filled)


def statistics(images: Tensor) -> Tensor:
    """Return mean and squared deviations of each tile's channels: (2, programs, C)."""
    cut = norm_tiles(images)
    partial = torch.empty((2, cut.programs, cut.channels), dtype=accumulator_dtype(images), device=images.device)
    on_grid(_statistics, (cut.programs,))(
        images, partial, cut.rows, cut.channels, cut.tile, accumulator(images.dtype), num_warps=cut.warps
    )
    return partial


def _merged(partial: Tensor, rows: int, part_rows: int) -> tuple[Tensor, int]:
    """Return (2, parts, C) means and squared deviations with at most MERGED values each, and the pixels of a part."""
    _, parts, channels = partial.shape
    if parts * channels <= MERGED:
        return partial, part_rows
    counts = torch.full((parts, 1), float(part_rows), dtype=partial.dtype, device=partial.device)
    counts[-1] = rows - (parts - 1) * part_rows
    means, squares = partial
    mean = (means * counts).sum(0) / rows
    return torch.stack([mean, (squares + counts * (means - mean) ** 2).sum(0)])[:, None], rows


class Normed(NamedTuple):
    """What BatchNorm in training mode computes."""

    out: Tensor
    """(B, C, H, W), after the addition and the ReLU."""
    saved: Tensor
    """(2, C): the mean and 1 / deviation of each channel, for the backward pass."""


@dataclass(frozen=True)
class BeforeNorm:
    """Channels-last maps in front of a BatchNorm in training mode, and what follows it."""

    images: Tensor
    """(B, C, H, W)"""
    partial: Tensor
    """(2, parts, C): mean and squared deviations of each part."""
    part_rows: int
    """Pixels of a part."""
    norm: nn.BatchNorm2d
    added: Tensor | None
    """What is added after the normalisation, of the shape of `images`."""
    relu: bool
    """Whether a ReLU follows."""

    @classmethod
    def of(cls, images: Tensor, norm: nn.BatchNorm2d, *, added: Tensor | None, relu: bool) -> BeforeNorm:
        """Return the maps with their statistics."""
        return cls(images, statistics(images), norm_tiles(images).tile, norm, added, relu)

    def normalised(self) -> Normed:
        """Normalise the maps and update the running statistics.

        Raises:
            ValueError: there is one value per channel, which has no deviation.
        """
        rows = self.images.numel() // self.images.shape[1]
        if rows < 2:
            shape = tuple(self.images.shape)
            raise ValueError(f"BatchNorm needs more than one value per channel in training mode, got {shape}")
        cut, norm = norm_tiles(self.images), self.norm
        partial, part_rows = _merged(self.partial, rows, self.part_rows)
        out, saved, parts = torch.empty_like(self.images), partial.new_empty(2, cut.channels), partial.shape[1]
        tensors = (partial, norm.weight, norm.bias, norm.running_mean, norm.running_var, saved)
        on_grid(_normalise, (cut.programs,))(
            self.images, self.images if self.added is None else self.added, out, (*tensors, parts, part_rows), rows,
            norm.eps, norm.momentum, cut.channels, cut.tile, triton.next_power_of_2(parts), self.added is not None,
            self.relu, accumulator(self.images.dtype), num_warps=cut.warps,
        )  # fmt: skip
        return Normed(out, saved)
