"""Gradients of BatchNorm in training mode, as Triton kernels over channels-last maps.

All sums are in fp32, or in fp64.
"""
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import triton  # type: ignore[import-untyped]
import triton.language as tl  # type: ignore[import-untyped]
from torch import Tensor

from repro.kernels.ahead import on_grid
from repro.kernels.batchnorm import both_of_parts, own_tile
from repro.kernels.launch import MERGED, norm_tiles
from repro.kernels.number_format import accumulator


@triton.jit
def _gradient_sums(
    gradients, out, images, saved, before, partial, rows, channels: tl.constexpr, tile: tl.constexpr,
    relu: tl.constexpr, accumulator: tl.constexpr,
):  # fmt: skip
    """Write the gradient before the ReLU and, per channel, its sums and those of its products with the normalised input
    over one tile.
    """
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
def _sums(partial, weight_gradient, bias_gradient, parts, channels: tl.constexpr, padded: tl.constexpr):
    """Return both sums (channels,) over all parts; the first program also writes the gradients of weight and bias."""
    channel = tl.arange(0, channels)
    totals, products = both_of_parts(partial, parts, channels, padded)
    total, product = tl.sum(totals, 0), tl.sum(products, 0)  # all is read before the first sum waits
    if tl.program_id(0) == 0:
        tl.store(weight_gradient + channel, product)
        tl.store(bias_gradient + channel, total)
    return total, product


@triton.jit
def _write_gradient(
    gradients, images, partial, weight, saved, into, weight_gradient, bias_gradient, rows, parts,
    channels: tl.constexpr, tile: tl.constexpr, padded: tl.constexpr, accumulator: tl.constexpr,
):  # fmt: skip
    """Write the gradient of one tile of the input; the first program also writes those of weight and bias."""
    channel, at, filled = own_tile(rows, channels, tile)
    gradient = tl.load(gradients + at, mask=filled, other=0.0).to(accumulator)
    values = tl.load(images + at, mask=filled, other=0.0).to(accumulator)
    total, product = _sums(partial, weight_gradient, bias_gradient, parts, channels, padded)
    mean, inverse = tl.load(saved + channel), tl.load(saved + channels + channel)
    scaled = (values - mean[None, :]) * inverse[None, :]
    result = gradient - (total / rows)[None, :] - scaled * (product / rows)[None, :]
    result *= (tl.load(weight + channel) * inverse)[None, :]
    tl.store(into + at, result.to(into.dtype.element_ty), mask=filled)


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
            cut.tile, out is not None, accumulator(images.dtype), num_warps=cut.warps,
        )  # fmt: skip
        return cls(before, partial, images, saved, weight)

    def of_inputs(self) -> Gradients:
        """Return the gradients of the BatchNorm's inputs."""
        few = self.partial[0].numel() <= MERGED
        partial = self.partial if few else self.partial.sum(1, keepdim=True)
        cut, parts = norm_tiles(self.images), partial.shape[1]
        found = Gradients(*map(torch.empty_like, (self.images, self.weight, self.weight)))
        on_grid(_write_gradient, (cut.programs,))(
            self.gradient, self.images, partial, self.weight, self.saved, *found, cut.rows, parts, cut.channels,
            cut.tile, triton.next_power_of_2(parts), accumulator(self.images.dtype), num_warps=cut.warps,
        )  # fmt: skip
        return found
