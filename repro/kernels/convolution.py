"""3x3 convolutions of few channels in the channels-last layout, as Triton kernels.

cuDNN's kernels are made for wide layers. On an H100 its weight gradient of 16 channels (batch 64, 32x32 pixels) takes
28 us in TF32, and the conversion of its factors 14 us; a copy of such a map takes 3 us.
"""
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import triton  # type: ignore[import-untyped]
import triton.language as tl  # type: ignore[import-untyped]
from torch import Tensor

from repro.kernels.launch import ADDED, BACKWARD, GRADIENT, Launch, forward_launch

TAPS = 9
"""Products of one pixel of a 3x3 convolution with one channel."""


@triton.jit
def _neighbours(row, group, height: tl.constexpr, width: tl.constexpr, channels: tl.constexpr, taps: tl.constexpr):
    """Return, for `taps` taps of a kernel side by side: offsets (tile, taps * channels), whether inside, tap, channel.

    Four taps are one line of the kernel and one that is left out; sixteen are all nine and seven that are left out.
    """
    place = tl.arange(0, taps * channels)
    channel = place % channels
    if taps == 4:
        tap = group * 3 + place // channels
        used = place // channels < 3
    else:
        tap = group + place // channels
        used = tap < 9
    down = tap // 3 - 1
    right = tap % 3 - 1
    line = (row // width) % height
    column = row % width
    below = line[:, None] + down[None, :]
    beside = column[:, None] + right[None, :]
    inside = used[None, :] & (below >= 0) & (below < height) & (beside >= 0) & (beside < width)
    offsets = (row[:, None] + (down * width + right)[None, :]) * channels + channel[None, :]
    return offsets, inside, tap, channel


@triton.jit
def _product(
    images, weights, sums, row, filled, to, tap, height: tl.constexpr, width: tl.constexpr, channels: tl.constexpr,
    transposed: tl.constexpr, precision: tl.constexpr,
):  # fmt: skip
    """Return `sums` (tile, share) with the products of one tap added."""
    offsets, inside, _tap, channel = _neighbours(row, tap, height, width, channels, 1)
    values = tl.load(images + offsets, mask=inside & filled, other=0.0)
    if transposed:
        at = (channel * 9 + 8 - tap)[:, None] * channels + to[None, :]
    else:
        at = (tap * channels + channel)[:, None] + to[None, :] * (9 * channels)
    factors = tl.load(weights + at).to(values.dtype)
    return tl.dot(values, factors, sums, input_precision=precision, out_dtype=sums.dtype)


@triton.jit
def _convolve(
    images, weights, out, partial, forward_out, normed, saved, gradient, rows,
    height: tl.constexpr, width: tl.constexpr, channels: tl.constexpr, tile: tl.constexpr, share: tl.constexpr,
    stages: tl.constexpr, transposed: tl.constexpr, ending: tl.constexpr, accumulator: tl.constexpr,
    precision: tl.constexpr,
):  # fmt: skip
    """Write `tile` pixels of a 3x3 convolution with padding 1, and what belongs to its ending.

    `transposed`: with the taps in reverse order and in and out exchanged, which is the gradient of the input.
    `ending` 1: also the mean and the squared deviations of each channel. 2: the gradient before a ReLU whose output
    was `forward_out`, and the sums that the gradient of BatchNorm needs. 3: adds `gradient`, except where `forward_out`
    is 0.
    """
    program, programs = tl.program_id(0), tl.num_programs(0)
    row = program * tile + tl.arange(0, tile)
    filled = (row < rows)[:, None]
    to = tl.program_id(1) * share + tl.arange(0, share)
    sums = tl.zeros((tile, share), dtype=accumulator)
    if stages:
        for tap in tl.range(9, num_stages=stages):
            sums = _product(
                images, weights, sums, row, filled, to, tap, height, width, channels, transposed, precision
            )  # fmt: skip
    else:
        for tap in tl.static_range(9):
            sums = _product(
                images, weights, sums, row, filled, to, tap, height, width, channels, transposed, precision
            )  # fmt: skip
    at = row[:, None] * channels + to[None, :]
    if ending == 2:
        sums = tl.where(tl.load(forward_out + at, mask=filled, other=0.0) <= 0, 0.0, sums)
    if ending == 3:
        silent = tl.load(forward_out + at, mask=filled, other=0.0) <= 0
        sums += tl.where(silent, 0.0, tl.load(gradient + at, mask=filled, other=0.0).to(accumulator))
    stored = sums.to(out.dtype.element_ty)
    tl.store(out + at, stored, mask=filled)
    rounded = stored.to(accumulator)
    if ending == 1:
        mean = tl.sum(rounded, 0) / tl.minimum(rows - program * tile, tile).to(accumulator)
        away = tl.where(filled, rounded - mean[None, :], 0.0)
        tl.store(partial + program * channels + to, mean)
        tl.store(partial + (programs + program) * channels + to, tl.sum(away * away, 0))
    if ending == 2:
        before = tl.load(normed + at, mask=filled, other=0.0).to(accumulator)
        scaled = (before - tl.load(saved + to)[None, :]) * tl.load(saved + channels + to)[None, :]
        tl.store(partial + program * channels + to, tl.sum(rounded, 0))
        tl.store(partial + (programs + program) * channels + to, tl.sum(rounded * scaled, 0))


@triton.jit
def _weight_gradient(
    images, gradients, partial, rows, chunks: tl.constexpr,
    height: tl.constexpr, width: tl.constexpr, channels: tl.constexpr, tile: tl.constexpr, taps: tl.constexpr,
    accumulator: tl.constexpr, precision: tl.constexpr,
):  # fmt: skip
    """Write the weight gradients of one group of taps, summed over some chunks of pixels."""
    program, group = tl.program_id(0), tl.program_id(1)
    out = tl.arange(0, channels)
    sums = tl.zeros((channels, taps * channels), dtype=accumulator)
    for chunk in range(chunks):
        row = (program * chunks + chunk) * tile + tl.arange(0, tile)
        filled = row < rows
        offsets, inside, _tap, _channel = _neighbours(row, group, height, width, channels, taps)
        values = tl.load(images + offsets, mask=inside & filled[:, None], other=0.0)
        factors = tl.load(gradients + row[None, :] * channels + out[:, None], mask=filled[None, :], other=0.0)
        sums = tl.dot(factors, values, sums, input_precision=precision, out_dtype=accumulator)
    place = tl.arange(0, taps * channels)
    tap = group * (3 if taps == 4 else 1) + place // channels
    used = place < (3 if taps == 4 else 9) * channels
    # The layout of a channels-last weight: (out, tap, in).
    at = out[:, None] * (9 * channels) + (tap * channels + place % channels)[None, :]
    tl.store(partial + program * (9 * channels * channels) + at, sums, mask=used[None, :])


@triton.jit
def _add_parts(partial, out, parts, size, tile: tl.constexpr, padded: tl.constexpr):
    """Write the sum over the first dimension of (parts, size)."""
    at = tl.program_id(0) * tile + tl.arange(0, tile)
    part = tl.arange(0, padded)
    values = tl.load(partial + part[:, None] * size + at[None, :], mask=(part < parts)[:, None], other=0.0)
    tl.store(out + at, tl.sum(values, 0).to(out.dtype.element_ty))


def accumulator(tensor: Tensor) -> Any:
    """Return Triton's type in which products of a tensor are added up."""
    return tl.float64 if tensor.dtype == torch.float64 else tl.float32


def accumulator_dtype(tensor: Tensor) -> torch.dtype:
    """Return the type in which products of a tensor are added up."""
    return torch.promote_types(tensor.dtype, torch.float32)


def precision(tensor: Tensor) -> str:
    """Return the precision of products of fp32 factors: TF32 where the runtime allows it."""
    return "tf32" if tensor.dtype == torch.float32 and torch.backends.cuda.matmul.allow_tf32 else "ieee"


@dataclass(frozen=True)
class Convolution:
    """A convolution of (B, C, H, W) with (C, C, 3, 3) and padding 1; all tensors are channels-last."""

    weight: Tensor

    def with_statistics(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the convolution, and mean and squared deviations of each tile's channels: (2, programs, C)."""
        return self._convolved(images, forward_launch(images), ending=1)

    def gradient_before(self, gradient: Tensor, out: Tensor, normed: Tensor, saved: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradient before the ReLU in front of this convolution, and sums for the BatchNorm before it.

        Args:
            gradient: of this convolution's output.
            out: the ReLU's output, which is this convolution's input.
            normed: the BatchNorm's input.
            saved: (2, C): the mean and 1 / deviation of the BatchNorm's input.

        Returns:
            (B, C, H, W), and (2, programs, C): sums of the gradient and of its products with the normalised input.
        """
        return self._gradient(gradient, ending=2, others=(out, normed, saved, gradient))

    def input_gradient(self, gradient: Tensor, direct: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """Return the gradient of the input.

        Args:
            gradient: of this convolution's output.
            direct: of a shortcut past this convolution, a ReLU's output and its gradient, which is added before it.
        """
        if direct is None:
            return self._gradient(gradient, ending=0, others=(gradient,) * 4)[0]
        out, added = direct
        return self._gradient(gradient, ending=3, others=(out, gradient, gradient, added))[0]

    def _gradient(self, gradient: Tensor, *, ending: int, others: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        launch = BACKWARD[gradient.shape[1]].of(gradient)
        return self._convolved(gradient, launch, ending=ending, transposed=True, others=others)

    def _convolved(
        self,
        images: Tensor,
        launch: Launch,
        *,
        ending: int,
        transposed: bool = False,
        others: tuple[Tensor, ...] | None = None,
    ) -> tuple[Tensor, Tensor]:
        batch, channels, height, width = images.shape
        rows, share = batch * height * width, min(launch.share, channels)
        programs = triton.cdiv(rows, launch.tile)
        out = torch.empty_like(images)
        partial = torch.empty((2, programs, channels), dtype=accumulator_dtype(images), device=images.device)
        _convolve[(programs, channels // share)](
            images, self.weight, out, partial, *(others or (images,) * 4), rows, height, width, channels,
            launch.tile, share, launch.stages, transposed, ending, accumulator(images), precision(images),
            num_warps=launch.warps,
        )  # fmt: skip
        return out, partial

    def weight_gradient(self, images: Tensor, gradient: Tensor) -> Tensor:
        """Return the gradient of the weight from the input and the gradient of the output."""
        batch, channels, height, width = images.shape
        rows, launch = batch * height * width, GRADIENT[channels]
        chunks = triton.cdiv(rows, launch.tile * launch.parts)
        parts, size = triton.cdiv(rows, launch.tile * chunks), TAPS * channels * channels
        partial = torch.empty((parts, size), dtype=accumulator_dtype(images), device=images.device)
        _weight_gradient[(parts, launch.groups)](
            images, gradient, partial, rows, chunks, height, width, channels, launch.tile, launch.taps,
            accumulator(images), precision(images), num_warps=launch.warps,
        )  # fmt: skip
        out = torch.empty_like(self.weight)
        _add_parts[(size // ADDED,)](
            partial, out, parts, size, ADDED, triton.next_power_of_2(parts), num_warps=4
        )  # fmt: skip
        return out
