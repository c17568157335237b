"""The kernel of 3x3 convolutions of few channels in the channels-last layout.

It also computes sums that the BatchNorm after it, or that before it in the backward pass, needs. That saves launches,
each of which takes longer than its arithmetic.
"""
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

import triton  # type: ignore[import-untyped]
import triton.language as tl  # type: ignore[import-untyped]


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
    """Return the pixels (tile, channels) under one tap, which are 0 outside, and its weights (channels, share)."""
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
def _convolution(
    images, weights, first, line, column, rows, to, tile: tl.constexpr, share: tl.constexpr, height: tl.constexpr,
    width: tl.constexpr, channels: tl.constexpr, stages: tl.constexpr, transposed: tl.constexpr, even: tl.constexpr,
    accumulator: tl.constexpr, precision: tl.constexpr,
):  # fmt: skip
    """Return the convolution (tile, share), without bias."""
    sums = tl.zeros((tile, share), dtype=accumulator)
    if stages:
        for tap in tl.range(9, num_stages=stages):
            values, factors = _factors(
                images, weights, first, line, column, rows, to, tap, tile, height, width, channels, transposed, even
            )
            sums = tl.dot(values, factors, sums, input_precision=precision, out_dtype=accumulator)
    else:
        for tap in tl.static_range(9):
            values, factors = _factors(
                images, weights, first, line, column, rows, to, tap, tile, height, width, channels, transposed, even
            )
            sums = tl.dot(values, factors, sums, input_precision=precision, out_dtype=accumulator)
    return sums


@triton.jit
def convolve(
    images, weights, out, partial, direct, active, normed, saved, rows, height: tl.constexpr, width: tl.constexpr,
    channels: tl.constexpr, tile: tl.constexpr, share: tl.constexpr, stages: tl.constexpr, transposed: tl.constexpr,
    with_direct: tl.constexpr, with_before: tl.constexpr, even: tl.constexpr, accumulator: tl.constexpr,
    precision: tl.constexpr,
):  # fmt: skip
    """Write `tile` pixels of a 3x3 convolution with padding 1, and the mean and squared deviations of each channel.

    `transposed`: instead the gradient of its input, with the taps in reverse order and in and out exchanged; `direct`
    is added to it if wanted. `with_before`: before a ReLU whose output was `active`, with the sums that the gradient of
    the BatchNorm before it needs.
    """
    program, programs = tl.program_id(0), tl.num_programs(0)
    first = program * tile
    row = first + tl.arange(0, tile)
    filled = (row < rows)[:, None]
    line, column = position(first, tile, height, width)
    to = tl.program_id(1) * share + tl.arange(0, share)
    sums = _convolution(
        images, weights, first, line, column, rows, to, tile, share, height, width, channels, stages, transposed, even,
        accumulator, precision,
    )  # fmt: skip
    at = row[:, None] * channels + to[None, :]
    if with_direct:
        sums += tl.load(direct + at, mask=filled, other=0.0).to(accumulator)
    if with_before:
        sums = tl.where(tl.load(active + at, mask=filled, other=0.0) <= 0, 0.0, sums)
    stored = sums.to(out.dtype.element_ty)
    tl.store(out + at, stored, mask=filled)
    rounded = stored.to(accumulator)
    if not transposed:
        mean = tl.sum(rounded, 0) / tl.minimum(rows - program * tile, tile).to(accumulator)
        away = tl.where(filled, rounded - mean[None, :], 0.0)
        tl.store(partial + program * channels + to, mean)
        tl.store(partial + (programs + program) * channels + to, tl.sum(away * away, 0))
    if with_before:
        before = tl.load(normed + at, mask=filled, other=0.0).to(accumulator)
        scaled = (before - tl.load(saved + to)[None, :]) * tl.load(saved + channels + to)[None, :]
        tl.store(partial + program * channels + to, tl.sum(rounded, 0))
        tl.store(partial + (programs + program) * channels + to, tl.sum(rounded * scaled, 0))
