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
from repro.kernels.convolution_kernel import neighbours, position
from repro.kernels.launch import ADDED, GRADIENT
from repro.kernels.number_format import accumulator, accumulator_dtype, precision
from repro.kernels.side_streams import SIDE_STREAMS

TAPS = 9
"""Products of one pixel of a 3x3 convolution with one channel."""


@triton.jit
def _weight_gradients(
    inputs, outputs, partials, rows, size, chunks: tl.constexpr, height: tl.constexpr, width: tl.constexpr,
    channels: tl.constexpr, tile: tl.constexpr, taps: tl.constexpr, stages: tl.constexpr, even: tl.constexpr,
    accumulator: tl.constexpr, precision: tl.constexpr,
):  # fmt: skip
    """Write the weight gradients of one layer and one group of taps, summed over some chunks of pixels.

    `inputs` are the inputs of the layers, and `outputs` the gradients of their outputs.
    """
    group, layer = tl.program_id(1), tl.program_id(2)
    images, gradients = inputs[0], outputs[0]
    for each in tl.static_range(1, len(inputs)):
        images = tl.where(layer == each, inputs[each], images)
        gradients = tl.where(layer == each, outputs[each], gradients)
    partial = partials + layer.to(tl.int64) * size
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


class PartialGradients:
    """The weight gradients of layers of one shape, which are computed in parts and added, in two launches for all."""

    def __init__(self, images: Tensor, weight: Tensor) -> None:
        """Take as many layers as are one launch, whose input and weight have these shapes."""
        self._shape, self._dtypes = images.shape, (images.dtype, weight.dtype)
        channels = images.shape[1]
        self._launch = GRADIENT[channels]
        shape = (self._launch.layers, channels, 3, 3, channels)
        self._out = torch.empty(shape, dtype=weight.dtype, device=images.device)
        self._inputs: list[Tensor] = []
        self._outputs: list[Tensor] = []

    def takes(self, images: Tensor, weight: Tensor) -> bool:
        """Whether it can take one more layer, of these shapes."""
        same = (images.shape, (images.dtype, weight.dtype)) == (self._shape, self._dtypes)
        return same and not self.full

    def gradient(self, images: Tensor, gradient: Tensor) -> Tensor:
        """Return the weight gradient (C, C, 3, 3) of a layer, which is written with those of the other layers.

        Args:
            images: (B, C, H, W): the layer's input.
            gradient: (B, C, H, W): of the layer's output.
        """
        self._inputs.append(images)
        self._outputs.append(gradient)
        return self._out[len(self._inputs) - 1].permute(0, 3, 1, 2)

    @property
    def full(self) -> bool:
        """Whether it has all layers that it can take."""
        return len(self._inputs) == self._launch.layers

    @property
    def reads(self) -> list[Tensor]:
        """What `write` reads."""
        return self._inputs + self._outputs

    def write(self) -> None:
        """Write the gradients of all layers."""
        images, layers, (batch, channels, height, width) = self._inputs[0], len(self._inputs), self._shape
        launch, rows, size = self._launch, batch * height * width, TAPS * channels * channels
        chunks = triton.cdiv(rows, launch.tile * launch.parts)
        parts = triton.cdiv(rows, launch.tile * chunks)
        partial = torch.empty((layers, parts, size), dtype=accumulator_dtype(images), device=images.device)
        on_grid(_weight_gradients, (parts, launch.groups, layers))(
            tuple(self._inputs), tuple(self._outputs), partial, rows, parts * size, chunks, height, width, channels,
            launch.tile, launch.taps, launch.stages, rows % (launch.tile * chunks) == 0, accumulator(images.dtype),
            precision(images), num_warps=launch.warps,
        )  # fmt: skip
        on_grid(_add_parts, (size // ADDED, layers))(
            partial, self._out, parts, size, ADDED, triton.next_power_of_2(parts), num_warps=4
        )  # fmt: skip


def weight_gradient(images: Tensor, gradient: Tensor, weight: Tensor) -> Tensor:
    """Return the gradient of a convolution's weight, which is written when `SIDE_STREAMS` joins.

    Args:
        images: (B, C, H, W): the convolution's input, channels-last as all others.
        gradient: (B, C, H, W): of its output.
        weight: (C, C, 3, 3).
    """
    layers = next((each for each in SIDE_STREAMS.waiting if each.takes(images, weight)), None)
    if layers is None:
        layers = PartialGradients(images, weight)
        SIDE_STREAMS.waiting.append(layers)
    found = layers.gradient(images, gradient)
    if layers.full:
        SIDE_STREAMS.waiting.remove(layers)
        SIDE_STREAMS.write(layers)
    return found
