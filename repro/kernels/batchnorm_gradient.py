"""Gradients of BatchNorm in training mode, as Triton kernels over channels-last maps.

All sums are in fp32, or in fp64.
"""
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import triton  # type: ignore[import-untyped]
import triton.language as tl  # type: ignore[import-untyped]
from torch import Tensor

from repro.kernels.ahead import on_grid
from repro.kernels.batchnorm import both_of_parts, own_tile
from repro.kernels.launch import MERGED, norm_tiles
from repro.kernels.number_format import accumulator
from repro.kernels.overlap import wait_for_previous


@triton.jit
def _gradient_sums(
    gradients, out, images, saved, before, partial, rows, channels: tl.constexpr, tile: tl.constexpr,
    relu: tl.constexpr, accumulator: tl.constexpr,
):  # fmt: skip
    """Write the gradient before the ReLU and, per channel, its sums and those of its products with the normalised input
    over one tile.
    """
    wait_for_previous()
    program, programs = tl.program_id(0), tl.num_programs(0)
    channel, at, filled = own_tile(rows, channels, tile)
    gradient = tl.load(gradients + at, mask=filled, other=0.0).to(accumulator)
    values = tl.load(images + at, mask=filled, other=0.0).to(accumulator)
    if relu:
        gradient = tl.where(tl.load(out + at, mask=filled, other=0.0) <= 0, 0.0, gradient)
        tl.store(before + at, gradient.to(before.dtype.element_ty), mask=filled)
    scaled = (values - tl.load(saved + channel)[None, :]) * tl.load(saved + channels + channel)[None, :]
    tl.store(partial + program * channels + channel, tl.sum(gradient, 0))
    tl.store(partial + (programs + program) * channels + channel, tl.sum(gradient * scaled, 0))


@triton.jit
def gradient_factors(norm, rows, writes, channels: tl.constexpr, padded: tl.constexpr):
    """Return what `input_gradient` needs of each channel, from the sums of all parts.

    `norm` is what `NormGradient.arguments` returns. A program that `writes` also writes the gradients of weight and
    bias.
    """
    partial, weight, saved, weight_gradient, bias_gradient, parts = norm
    channel = tl.arange(0, channels)
    totals, products = both_of_parts(partial, parts, channels, padded)
    total, product = tl.sum(totals, 0), tl.sum(products, 0)  # all is read before the first sum waits
    if writes:
        tl.store(weight_gradient + channel, product)
        tl.store(bias_gradient + channel, total)
    inverse = tl.load(saved + channels + channel)
    return tl.load(saved + channel), inverse, total / rows, product / rows, tl.load(weight + channel) * inverse


@triton.jit
def input_gradient(gradient, values, factors):
    """Return the gradient (tile, channels) of a BatchNorm's input `values` from that of its output."""
    mean, inverse, total, product, factor = factors
    scaled = (values - mean[None, :]) * inverse[None, :]
    return (gradient - total[None, :] - scaled * product[None, :]) * factor[None, :]


@triton.jit
def _write_gradient(
    gradients, images, into, norm, rows, channels: tl.constexpr, tile: tl.constexpr, padded: tl.constexpr,
    accumulator: tl.constexpr,
):  # fmt: skip
    """Write the gradient of one tile of the input; the first program also writes those of weight and bias."""
    wait_for_previous()
    _, at, filled = own_tile(rows, channels, tile)
    gradient = tl.load(gradients + at, mask=filled, other=0.0).to(accumulator)
    values = tl.load(images + at, mask=filled, other=0.0).to(accumulator)
    factors = gradient_factors(norm, rows, tl.program_id(0) == 0, channels, padded)
    tl.store(into + at, input_gradient(gradient, values, factors).to(into.dtype.element_ty), mask=filled)


class Gradients(NamedTuple):
    """The gradients of a BatchNorm."""

    images: Tensor
    """(B, C, H, W): of its input."""
    weight: Tensor
    bias: Tensor


@dataclass(frozen=True)
class NormGradient:
    """The gradient of a BatchNorm's output, which is channels-last, and what those of its inputs need."""

    gradient: Tensor
    """(B, C, H, W)"""
    partial: Tensor
    """(2, parts, C): of each part, sums of the gradient and of its products with the normalised input."""
    images: Tensor
    """(B, C, H, W): the BatchNorm's input."""
    saved: Tensor
    """(2, C): the mean and 1 / deviation of the input."""
    weight: Tensor

    @classmethod
    def of(cls, gradient: Tensor, images: Tensor, saved: Tensor, weight: Tensor, *, out: Tensor | None) -> NormGradient:
        """Return the gradient before the ReLU whose output was `out`, with its sums; None: there is no ReLU."""
        cut = norm_tiles(images)
        partial = torch.empty((2, cut.programs, cut.channels), dtype=saved.dtype, device=images.device)
        before = gradient if out is None else torch.empty_like(gradient)
        on_grid(_gradient_sums, (cut.programs,))(
            gradient, gradient if out is None else out, images, saved, before, partial, cut.rows, cut.channels,
            cut.tile, out is not None, accumulator(images), num_warps=cut.warps,
        )  # fmt: skip
        return cls(before, partial, images, saved, weight)

    def of_inputs(self) -> Gradients:
        """Return the gradients of the BatchNorm's inputs."""
        cut, written = norm_tiles(self.images), self.written()
        norm, padded = self.arguments(written)
        on_grid(_write_gradient, (cut.programs,))(
            self.gradient, self.images, written.images, norm, cut.rows, cut.channels, cut.tile, padded,
            accumulator(self.images), num_warps=cut.warps,
        )  # fmt: skip
        return written

    def written(self) -> Gradients:
        """Return the tensors that a kernel writes."""
        return Gradients(*map(torch.empty_like, (self.images, self.weight, self.weight)))

    def arguments(self, written: Gradients) -> tuple[tuple[Any, ...], int]:
        """Return the arguments of `gradient_factors`, and the number of parts as a power of two."""
        few = self.partial[0].numel() <= MERGED
        partial = self.partial if few else self.partial.sum(1, keepdim=True)
        parts = partial.shape[1]
        norm = (partial, self.weight, self.saved, written.weight, written.bias, parts)
        return norm, triton.next_power_of_2(parts)
