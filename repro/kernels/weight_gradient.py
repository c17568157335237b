"""Gradients of the weights of 3x3 convolutions of few channels, as Triton kernels over channels-last maps.

cuDNN's kernels are made for wide layers. On an H100 its weight gradient of 16 channels (batch 64, 32x32 pixels) takes
28 us in TF32, and the conversion of its factors 14 us; a copy of such a map takes 3 us.
"""
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

import torch
import triton  # type: ignore[import-untyped]
import triton.language as tl  # type: ignore[import-untyped]
from torch import Tensor

from repro.kernels.ahead import on_grid
from repro.kernels.beside import BESIDE
from repro.kernels.convolution import neighbours, position
from repro.kernels.launch import ADDED, GRADIENT
from repro.kernels.number_format import accumulator, accumulator_dtype, precision

TAPS = 9
"""Products of one pixel of a 3x3 convolution with one channel."""


@triton.jit
def _weight_gradient(
    images, gradients, partial, rows, chunks: tl.constexpr, height: tl.constexpr, width: tl.constexpr,
    channels: tl.constexpr, tile: tl.constexpr, taps: tl.constexpr, stages: tl.constexpr, even: tl.constexpr,
    accumulator: tl.constexpr, precision: tl.constexpr,
):  # fmt: skip
    """Write the weight gradients of one group of taps, summed over some chunks of pixels."""
    group = tl.program_id(1)
    if taps > 1 and group == 9 // taps:
        _add_products(
            images, gradients, partial, rows, chunks, 8, height, width, channels, tile, 1, stages, even,
            accumulator, precision,
        )  # fmt: skip
    else:
        _add_products(
            images, gradients, partial, rows, chunks, group * taps, height, width, channels, tile, taps, stages,
            even, accumulator, precision,
        )  # fmt: skip


@triton.jit
def _add_products(
    images, gradients, partial, rows, chunks: tl.constexpr, tap, height: tl.constexpr, width: tl.constexpr,
    channels: tl.constexpr, tile: tl.constexpr, taps: tl.constexpr, stages: tl.constexpr, even: tl.constexpr,
    accumulator: tl.constexpr, precision: tl.constexpr,
):  # fmt: skip
    """Write the weight gradients of `taps` taps side by side, summed over some chunks of pixels."""
    program = tl.program_id(0)
    out = tl.arange(0, channels)
    sums = tl.zeros((channels, taps * channels), dtype=accumulator)
    for chunk in tl.range(chunks, num_stages=stages):
        first = (program * chunks + chunk) * tile
        row = first + tl.arange(0, tile)
        line, column = position(first, tile, height, width)
        offsets, inside = neighbours(first, line, column, tap, tile, height, width, channels, taps)
        filled = row < rows
        if not even:
            inside = inside & filled[:, None]
        values = tl.load(images + offsets, mask=inside, other=0.0)
        at = (row * channels)[None, :] + out[:, None]
        factors = tl.load(gradients + at) if even else tl.load(gradients + at, mask=filled[None, :], other=0.0)
        sums = tl.dot(factors, values, sums, input_precision=precision, out_dtype=accumulator)
    # The layout of a channels-last weight: (out, tap, in).
    at = out[:, None] * (9 * channels) + (tap * channels + tl.arange(0, taps * channels))[None, :]
    tl.store(partial + program * (9 * channels * channels) + at, sums)


@triton.jit
def _add_parts(partial, out, parts, size, tile: tl.constexpr, padded: tl.constexpr):
    """Write the sums over the second dimension of (layers, parts, size); program (i, layer) has the i-th tile."""
    layer = tl.program_id(1)
    at = tl.program_id(0) * tile + tl.arange(0, tile)
    part = tl.arange(0, padded)
    of_layer = partial + layer.to(tl.int64) * parts * size
    values = tl.load(of_layer + part[:, None] * size + at[None, :], mask=(part < parts)[:, None], other=0.0)
    tl.store(out + layer * size + at, tl.sum(values, 0).to(out.dtype.element_ty))


LAYERS = 6
"""Layers whose parts are added in one launch: few enough that the parts are still in the GPU's cache."""


class PartialGradients:
    """The parts of the weight gradients of layers of one shape, which are added in one launch for all of them."""

    def __init__(self, images: Tensor, weight: Tensor) -> None:
        """Make room for the parts of LAYERS layers whose input and weight have these shapes."""
        batch, channels, height, width = images.shape
        self._shape, self._dtypes = images.shape, (images.dtype, weight.dtype)
        self._rows, self._launch = batch * height * width, GRADIENT[channels]
        self._chunks = triton.cdiv(self._rows, self._launch.tile * self._launch.parts)
        parts, self._size = triton.cdiv(self._rows, self._launch.tile * self._chunks), TAPS * channels * channels
        self.partial = torch.empty((LAYERS, parts, self._size), dtype=accumulator_dtype(images), device=images.device)
        self._out = torch.empty((LAYERS, channels, 3, 3, channels), dtype=weight.dtype, device=images.device)
        self._used = 0

    def takes(self, images: Tensor, weight: Tensor) -> bool:
        """Whether there is room for the parts of one more layer, of the same shape."""
        return self._used < LAYERS and (images.shape, (images.dtype, weight.dtype)) == (self._shape, self._dtypes)

    def gradient(self, images: Tensor, gradient: Tensor) -> Tensor:
        """Compute the parts of a layer's weight gradient, and return the gradient (C, C, 3, 3), which is not written.

        Args:
            images: (B, C, H, W): the layer's input.
            gradient: (B, C, H, W): of the layer's output.
        """
        (_, channels, height, width), launch = images.shape, self._launch
        partial, out = self.partial[self._used], self._out[self._used]
        self._used += 1
        on_grid(_weight_gradient, (len(partial), launch.groups))(
            images, gradient, partial, self._rows, self._chunks, height, width, channels, launch.tile, launch.taps,
            launch.stages, self._rows % (launch.tile * self._chunks) == 0, accumulator(images), precision(images),
            num_warps=launch.warps,
        )  # fmt: skip
        if self._used == LAYERS:
            self._add()
        return out.permute(0, 3, 1, 2)

    def write(self) -> None:
        """Write the weight gradients that are not written, because there was room for more layers."""
        if self._used < LAYERS:
            self._add()

    def _add(self) -> None:
        parts = self.partial.shape[1]
        on_grid(_add_parts, (self._size // ADDED, self._used))(
            self.partial, self._out, parts, self._size, ADDED, triton.next_power_of_2(parts), num_warps=4
        )  # fmt: skip


def weight_gradient(images: Tensor, gradient: Tensor, weight: Tensor) -> Tensor:
    """Return the gradient of a convolution's weight, which is written when `BESIDE` joins.

    Args:
        images: (B, C, H, W): the convolution's input, channels-last as all others.
        gradient: (B, C, H, W): of its output.
        weight: (C, C, 3, 3).
    """
    with BESIDE.launched(images, gradient):
        started = (each for each in BESIDE.unfinished if isinstance(each, PartialGradients))
        layers = next((each for each in started if each.takes(images, weight)), None)
        if layers is None:
            layers = PartialGradients(images, weight)
            BESIDE.unfinished.append(layers)
        return layers.gradient(images, gradient)
