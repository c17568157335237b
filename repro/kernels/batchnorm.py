"""BatchNorm in training mode with the addition and the ReLU that follow it, as Triton kernels over channels-last maps.

Each channel's statistics come as the mean and the squared deviations of every tile of pixels, and are combined as in
Chan, Golub and LeVeque (1979), which loses no digits when the mean is large. All sums are in fp32, or in fp64.
"""
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton  # type: ignore[import-untyped]
import triton.language as tl  # type: ignore[import-untyped]
from torch import Tensor, nn

from repro.kernels.ahead import on_grid
from repro.kernels.convolution import accumulator, accumulator_dtype
from repro.kernels.launch import MERGED, norm_launch


@triton.jit
def _statistics(images, partial, rows, channels: tl.constexpr, tile: tl.constexpr, accumulator: tl.constexpr):
    """Write the mean and the squared deviations of each channel over one tile of pixels."""
    program, programs = tl.program_id(0), tl.num_programs(0)
    row, channel = program * tile + tl.arange(0, tile), tl.arange(0, channels)
    filled = (row < rows)[:, None]
    at = row[:, None] * channels + channel[None, :]
    values = tl.load(images + at, mask=filled, other=0.0).to(accumulator)
    mean = tl.sum(values, 0) / tl.minimum(rows - program * tile, tile).to(accumulator)
    away = tl.where(filled, values - mean[None, :], 0.0)
    tl.store(partial + program * channels + channel, mean)
    tl.store(partial + (programs + program) * channels + channel, tl.sum(away * away, 0))


@triton.jit
def _normalise(
    images, added, partial, weight, bias, running_mean, running_var, saved, out, rows, parts, part_rows,
    epsilon: tl.constexpr, momentum: tl.constexpr, channels: tl.constexpr, tile: tl.constexpr, padded: tl.constexpr,
    with_added: tl.constexpr, relu: tl.constexpr, accumulator: tl.constexpr,
):  # fmt: skip
    """Write the normalised pixels of one tile; the first program also writes the statistics."""
    program = tl.program_id(0)
    row, channel = program * tile + tl.arange(0, tile), tl.arange(0, channels)
    filled = (row < rows)[:, None]
    at = row[:, None] * channels + channel[None, :]
    values = tl.load(images + at, mask=filled, other=0.0).to(accumulator)
    if with_added:
        direct = tl.load(added + at, mask=filled, other=0.0).to(accumulator)
    part = tl.arange(0, padded)
    known = (part < parts)[:, None]
    of_part = part[:, None] * channels + channel[None, :]
    means = tl.load(partial + of_part, mask=known, other=0.0)
    squares = tl.load(partial + parts * channels + of_part, mask=known, other=0.0)
    counts = tl.maximum(tl.minimum(rows - part * part_rows, part_rows), 0).to(accumulator)[:, None]
    mean = tl.sum(means * counts, 0) / rows
    away = means - mean[None, :]
    variance = tl.sum(squares + away * away * counts, 0) / rows
    inverse = 1.0 / tl.sqrt(variance + epsilon)
    if program == 0:
        tl.store(saved + channel, mean)
        tl.store(saved + channels + channel, inverse)
        unbiased = variance * (rows / (rows - 1.0))
        tl.store(running_mean + channel, tl.load(running_mean + channel) * (1.0 - momentum) + mean * momentum)
        tl.store(running_var + channel, tl.load(running_var + channel) * (1.0 - momentum) + unbiased * momentum)
    factor = inverse * tl.load(weight + channel)
    shift = tl.load(bias + channel) - mean * factor
    values = values * factor[None, :] + shift[None, :]
    if with_added:
        values += direct
    if relu:
        values = tl.where(values < 0, 0.0, values)  # NaN stays NaN: a diverged run must stay visible
    tl.store(out + at, values.to(out.dtype.element_ty), mask=filled)


@triton.jit
def _gradient_sums(
    gradients, out, images, saved, partial, rows, channels: tl.constexpr, tile: tl.constexpr, relu: tl.constexpr,
    accumulator: tl.constexpr,
):  # fmt: skip
    """Write, per channel, the sums of the gradient and of its products with the normalised input over one tile."""
    program, programs = tl.program_id(0), tl.num_programs(0)
    row, channel = program * tile + tl.arange(0, tile), tl.arange(0, channels)
    filled = (row < rows)[:, None]
    at = row[:, None] * channels + channel[None, :]
    gradient = tl.load(gradients + at, mask=filled, other=0.0).to(accumulator)
    if relu:
        gradient = tl.where(tl.load(out + at, mask=filled, other=0.0) <= 0, 0.0, gradient)
    values = tl.load(images + at, mask=filled, other=0.0).to(accumulator)
    scaled = (values - tl.load(saved + channel)[None, :]) * tl.load(saved + channels + channel)[None, :]
    tl.store(partial + program * channels + channel, tl.sum(gradient, 0))
    tl.store(partial + (programs + program) * channels + channel, tl.sum(gradient * scaled, 0))


@triton.jit
def _input_gradient(
    gradients, out, images, saved, partial, weight, into, direct, weight_gradient, bias_gradient, rows, parts,
    channels: tl.constexpr, tile: tl.constexpr, padded: tl.constexpr, relu: tl.constexpr, with_direct: tl.constexpr,
    accumulator: tl.constexpr,
):  # fmt: skip
    """Write the gradient of one tile of the input; the first program also writes those of weight and bias."""
    program = tl.program_id(0)
    row, channel = program * tile + tl.arange(0, tile), tl.arange(0, channels)
    filled = (row < rows)[:, None]
    at = row[:, None] * channels + channel[None, :]
    gradient = tl.load(gradients + at, mask=filled, other=0.0).to(accumulator)
    if relu:
        gradient = tl.where(tl.load(out + at, mask=filled, other=0.0) <= 0, 0.0, gradient)
    values = tl.load(images + at, mask=filled, other=0.0).to(accumulator)
    part = tl.arange(0, padded)
    known = (part < parts)[:, None]
    of_part = part[:, None] * channels + channel[None, :]
    totals = tl.load(partial + of_part, mask=known, other=0.0)
    products = tl.load(partial + parts * channels + of_part, mask=known, other=0.0)
    total, product = tl.sum(totals, 0), tl.sum(products, 0)  # all is read before the first sum waits
    inverse = tl.load(saved + channels + channel)
    scaled = (values - tl.load(saved + channel)[None, :]) * inverse[None, :]
    if program == 0:
        tl.store(weight_gradient + channel, product)
        tl.store(bias_gradient + channel, total)
    if with_direct:
        tl.store(direct + at, gradient.to(direct.dtype.element_ty), mask=filled)
    centred = gradient - (total / rows)[None, :] - scaled * (product / rows)[None, :]
    result = centred * (tl.load(weight + channel) * inverse)[None, :]
    tl.store(into + at, result.to(into.dtype.element_ty), mask=filled)


@dataclass(frozen=True)
class Tiles:
    """How the pixels of a map are cut into programs."""

    rows: int
    channels: int
    tile: int
    """Pixels of one program."""
    warps: int

    @property
    def programs(self) -> int:
        """Number of programs."""
        return triton.cdiv(self.rows, self.tile)


def tiles(images: Tensor) -> Tiles:
    """Return the tiles of (B, C, H, W)."""
    batch, channels, height, width = images.shape
    launch = norm_launch(channels)
    return Tiles(batch * height * width, channels, launch.tile(channels), launch.warps)


def _merged_statistics(partial: Tensor, rows: int, part_rows: int) -> tuple[Tensor, int]:
    """Return (2, parts, C) means and squared deviations with at most MERGED values each, and the pixels of a part."""
    _, parts, channels = partial.shape
    if parts * channels <= MERGED:
        return partial, part_rows
    counts = torch.full((parts, 1), float(part_rows), dtype=partial.dtype, device=partial.device)
    counts[-1] = rows - (parts - 1) * part_rows
    means, squares = partial
    mean = (means * counts).sum(0) / rows
    return torch.stack([mean, (squares + counts * (means - mean) ** 2).sum(0)])[:, None], rows


def _merged_sums(partial: Tensor) -> Tensor:
    """Return (2, parts, C) sums with at most MERGED values each."""
    return partial if partial[0].numel() <= MERGED else partial.sum(1, keepdim=True)


def statistics(images: Tensor) -> Tensor:
    """Return mean and squared deviations of each tile's channels: (2, programs, C)."""
    cut = tiles(images)
    partial = torch.empty((2, cut.programs, cut.channels), dtype=accumulator_dtype(images), device=images.device)
    on_grid(_statistics, (cut.programs,))(
        images, partial, cut.rows, cut.channels, cut.tile, accumulator(images), num_warps=cut.warps
    )
    return partial


def normalise(
    images: Tensor, partial: Tensor, part_rows: int, norm: nn.BatchNorm2d, *, added: Tensor | None, relu: bool
) -> tuple[Tensor, Tensor]:
    """Normalise channels-last maps in training mode, add `added`, apply ReLU, and update the running statistics.

    Args:
        images: (B, C, H, W).
        partial: (2, parts, C): mean and squared deviations of each part.
        part_rows: pixels of a part.
        norm: the BatchNorm.
        added: what is added after the normalisation, of the shape of `images`.
        relu: whether a ReLU follows.

    Returns:
        the output, and (2, C): the mean and 1 / deviation of each channel.

    Raises:
        ValueError: there is one value per channel, which has no deviation.
    """
    cut = tiles(images)
    if cut.rows < 2:
        raise ValueError(f"BatchNorm needs more than one value per channel in training mode, got {tuple(images.shape)}")
    partial, part_rows = _merged_statistics(partial, cut.rows, part_rows)
    parts = partial.shape[1]
    saved = torch.empty((2, cut.channels), dtype=partial.dtype, device=images.device)
    out = torch.empty_like(images)
    on_grid(_normalise, (cut.programs,))(
        images, images if added is None else added, partial, norm.weight, norm.bias, norm.running_mean,
        norm.running_var, saved, out, cut.rows, parts, part_rows, norm.eps, norm.momentum, cut.channels, cut.tile,
        triton.next_power_of_2(parts), added is not None, relu, accumulator(images), num_warps=cut.warps,
    )  # fmt: skip
    return out, saved


def gradient_sums(gradient: Tensor, out: Tensor | None, images: Tensor, saved: Tensor) -> Tensor:
    """Return (2, programs, C): sums of the gradient and of its products with the normalised input.

    `out` is the ReLU's output; None: there is no ReLU, or the gradient is already the one before it.
    """
    cut = tiles(images)
    partial = torch.empty((2, cut.programs, cut.channels), dtype=saved.dtype, device=images.device)
    on_grid(_gradient_sums, (cut.programs,))(
        gradient, gradient if out is None else out, images, saved, partial, cut.rows, cut.channels, cut.tile,
        out is not None, accumulator(images), num_warps=cut.warps,
    )  # fmt: skip
    return partial


@dataclass(frozen=True)
class Gradients:
    """The gradients of a BatchNorm."""

    images: Tensor
    added: Tensor | None
    weight: Tensor
    bias: Tensor


def gradients(
    gradient: Tensor, out: Tensor | None, images: Tensor, saved: Tensor, partial: Tensor, weight: Tensor,
    *, added: bool = False,
) -> Gradients:  # fmt: skip
    """Return the gradients from that of the output, and from the sums that `gradient_sums` returns."""
    cut, partial = tiles(images), _merged_sums(partial)
    parts = partial.shape[1]
    into = torch.empty_like(images)
    direct = torch.empty_like(images) if added else None
    of_weight, of_bias = torch.empty_like(weight), torch.empty_like(weight)
    on_grid(_input_gradient, (cut.programs,))(
        gradient, gradient if out is None else out, images, saved, partial, weight, into,
        into if direct is None else direct, of_weight, of_bias, cut.rows, parts, cut.channels, cut.tile,
        triton.next_power_of_2(parts), out is not None, added, accumulator(images), num_warps=cut.warps,
    )  # fmt: skip
    return Gradients(into, direct, of_weight, of_bias)
