"""3x3 convolutions of few channels in the channels-last layout, as Triton kernels."""
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import triton  # type: ignore[import-untyped]
import triton.language as tl  # type: ignore[import-untyped]
from torch import Tensor

from repro.kernels.ahead import on_grid
from repro.kernels.launch import BACKWARD, Launch, forward_launch


@triton.jit
def position(first, tile: tl.constexpr, height: tl.constexpr, width: tl.constexpr):
    """Return line and column (tile,) of the pixels from `first` on, which is a multiple of `tile`."""
    place = tl.arange(0, tile)
    if tile % width == 0:  # the columns are the same in every tile
        return (first // width + place // width) % height, place % width
    return ((first + place) // width) % height, (first + place) % width


@triton.jit
def neighbours(
    first, line, column, tap, tile: tl.constexpr, height: tl.constexpr, width: tl.constexpr, channels: tl.constexpr,
    taps: tl.constexpr,
):  # fmt: skip
    """Return offsets (tile, taps * channels) of the neighbours under `taps` taps side by side, and whether inside."""
    place = tl.arange(0, taps * channels)
    own = tap + place // channels
    down, right = own // 3 - 1, own % 3 - 1
    below, beside = line[:, None] + down[None, :], column[:, None] + right[None, :]
    inside = (below >= 0) & (below < height) & (beside >= 0) & (beside < width)
    row = first + tl.arange(0, tile)
    return (row * channels)[:, None] + ((down * width + right) * channels + place % channels)[None, :], inside


@triton.jit
def _factors(
    images, weights, first, line, column, rows, to, tap, tile: tl.constexpr, height: tl.constexpr,
    width: tl.constexpr, channels: tl.constexpr, transposed: tl.constexpr, even: tl.constexpr,
):  # fmt: skip
    """Return the pixels (tile, channels) under one tap and its weights (channels, share)."""
    offsets, inside = neighbours(first, line, column, tap, tile, height, width, channels, 1)
    if not even:
        inside = inside & (first + tl.arange(0, tile) < rows)[:, None]
    values = tl.load(images + offsets, mask=inside, other=0.0)
    channel = tl.arange(0, channels)
    if transposed:
        at = (channel * 9 + 8 - tap)[:, None] * channels + to[None, :]
    else:
        at = (tap * channels + channel)[:, None] + to[None, :] * (9 * channels)
    return values, tl.load(weights + at).to(values.dtype)


@triton.jit
def _sums(
    images, weights, first, line, column, rows, to, tile: tl.constexpr, share: tl.constexpr, height: tl.constexpr,
    width: tl.constexpr, channels: tl.constexpr, stages: tl.constexpr, taps: tl.constexpr, transposed: tl.constexpr,
    even: tl.constexpr, accumulator: tl.constexpr, precision: tl.constexpr,
):  # fmt: skip
    """Return the convolution (tile, share), without bias."""
    sums = tl.zeros((tile, share), dtype=accumulator)
    if stages:
        for tap in tl.range(9, num_stages=stages):
            values, factors = _factors(
                images, weights, first, line, column, rows, to, tap, tile, height, width, channels, transposed, even
            )  # fmt: skip
            sums = tl.dot(values, factors, sums, input_precision=precision, out_dtype=accumulator)
    else:
        for begin in tl.static_range(0, 9, taps):
            read = ()
            for tap in tl.static_range(begin, begin + taps):
                both = _factors(
                    images, weights, first, line, column, rows, to, tap, tile, height, width, channels, transposed, even
                )  # fmt: skip
                read = read + (both,)  # type: ignore[assignment]  # noqa: RUF005  (Triton cannot unpack)
            for at in tl.static_range(taps):
                sums = tl.dot(read[at][0], read[at][1], sums, input_precision=precision, out_dtype=accumulator)
    return sums


@triton.jit
def _convolve(
    images, weights, out, partial, active, normed, saved, out_active, gradient, rows,
    height: tl.constexpr, width: tl.constexpr, channels: tl.constexpr, tile: tl.constexpr, share: tl.constexpr,
    stages: tl.constexpr, taps: tl.constexpr, transposed: tl.constexpr, ending: tl.constexpr, even: tl.constexpr,
    accumulator: tl.constexpr, precision: tl.constexpr,
):  # fmt: skip
    """Write `tile` pixels of a 3x3 convolution with padding 1, and what belongs to its ending.

    `transposed`: with the taps in reverse order and in and out exchanged, which is the gradient of the input.
    `ending` 1: also the mean and the squared deviations of each channel. 2: the gradient before a ReLU whose output
    was `active`, and the sums that the gradient of BatchNorm needs. 3: adds `gradient`, except where `out_active` is 0.
    4: as 3, and the sums of 2, of the gradient before the ReLU, which is not written.
    """
    program, programs = tl.program_id(0), tl.num_programs(0)
    first = program * tile
    row = first + tl.arange(0, tile)
    line, column = position(first, tile, height, width)
    to = tl.program_id(1) * share + tl.arange(0, share)
    sums = _sums(
        images, weights, first, line, column, rows, to, tile, share, height, width, channels, stages, taps, transposed,
        even, accumulator, precision,
    )  # fmt: skip
    filled = (row < rows)[:, None]
    at = row[:, None] * channels + to[None, :]
    if ending >= 3:
        silent = tl.load(out_active + at, mask=filled, other=0.0) <= 0
        sums += tl.where(silent, 0.0, tl.load(gradient + at, mask=filled, other=0.0).to(accumulator))
    if ending == 2:
        sums = tl.where(tl.load(active + at, mask=filled, other=0.0) <= 0, 0.0, sums)
    stored = sums.to(out.dtype.element_ty)
    tl.store(out + at, stored, mask=filled)
    rounded = stored.to(accumulator)
    if ending == 4:
        rounded = tl.where(tl.load(active + at, mask=filled, other=0.0) <= 0, 0.0, rounded)
    if ending == 1:
        mean = tl.sum(rounded, 0) / tl.minimum(rows - program * tile, tile).to(accumulator)
        away = tl.where(filled, rounded - mean[None, :], 0.0)
        tl.store(partial + program * channels + to, mean)
        tl.store(partial + (programs + program) * channels + to, tl.sum(away * away, 0))
    if ending == 2 or ending == 4:
        before = tl.load(normed + at, mask=filled, other=0.0).to(accumulator)
        scaled = (before - tl.load(saved + to)[None, :]) * tl.load(saved + channels + to)[None, :]
        tl.store(partial + program * channels + to, tl.sum(rounded, 0))
        tl.store(partial + (programs + program) * channels + to, tl.sum(rounded * scaled, 0))


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
        return self._gradient(gradient, ending=2, others=(out, normed, saved, gradient, gradient))

    def input_gradient(
        self,
        gradient: Tensor,
        direct: tuple[Tensor, Tensor] | None = None,
        norm: tuple[Tensor, Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return the gradient of the input, and, if `norm` is given, the sums of `gradient_before`.

        Args:
            gradient: of this convolution's output.
            direct: of a shortcut past this convolution, a ReLU's output and its gradient, which is added before it.
            norm: `out`, `normed` and `saved` of `gradient_before`; with `direct` only.
        """
        if direct is None:
            return self._gradient(gradient, ending=0, others=(gradient,) * 5)
        if norm is None:
            return self._gradient(gradient, ending=3, others=(gradient, gradient, gradient, *direct))
        return self._gradient(gradient, ending=4, others=(*norm, *direct))

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
        on_grid(_convolve, (programs, channels // share))(
            images, self.weight, out, partial, *(others or (images,) * 5), rows, height, width, channels,
            launch.tile, share, launch.stages, launch.taps, transposed, ending, rows % launch.tile == 0,
            accumulator(images), precision(images), num_warps=launch.warps,
        )  # fmt: skip
        return out, partial
