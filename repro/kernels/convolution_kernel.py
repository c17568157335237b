"""The kernel of 3x3 convolutions of few channels in the channels-last layout.

It can also compute what is in front of a convolution (BatchNorm with ReLU, or the gradient of BatchNorm) and sums that
the BatchNorm after it needs. That saves launches, each of which takes longer than its arithmetic.
"""
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

import triton  # type: ignore[import-untyped]
import triton.language as tl  # type: ignore[import-untyped]

from repro.kernels.batchnorm import after_relu, norm_factors
from repro.kernels.batchnorm_gradient import gradient_factors, input_gradient
from repro.kernels.overlap import wait_for_previous


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
def _values(
    images, beside, factors, offsets, inside, front: tl.constexpr, with_beside: tl.constexpr,
    accumulator: tl.constexpr,
):  # fmt: skip
    """Return the values (tile, channels) that are convolved, and 0 where not `inside`."""
    values = tl.load(images + offsets, mask=inside, other=0.0)
    if front:
        own = values.to(accumulator)
        if with_beside:
            other = tl.load(beside + offsets, mask=inside, other=0.0).to(accumulator)
        if front == 1:
            own = own * factors[0][None, :] + factors[1][None, :]
            if with_beside:
                own += other
            own = after_relu(own)
        else:
            own = input_gradient(own, other, factors)
        values = tl.where(inside, own, 0.0).to(values.dtype)
    return values


@triton.jit
def _factors(
    images, beside, of_channel, weights, first, line, column, rows, to, tap, tile: tl.constexpr, height: tl.constexpr,
    width: tl.constexpr, channels: tl.constexpr, transposed: tl.constexpr, even: tl.constexpr, front: tl.constexpr,
    with_beside: tl.constexpr, accumulator: tl.constexpr,
):  # fmt: skip
    """Return the pixels (tile, channels) under one tap and its weights (channels, share)."""
    offsets, inside = neighbours(first, line, column, tap, tile, height, width, channels, 1)
    if not even:
        inside = inside & (first + tl.arange(0, tile) < rows)[:, None]
    values = _values(images, beside, of_channel, offsets, inside, front, with_beside, accumulator)
    channel = tl.arange(0, channels)
    if transposed:
        at = (channel * 9 + 8 - tap)[:, None] * channels + to[None, :]
    else:
        at = (tap * channels + channel)[:, None] + to[None, :] * (9 * channels)
    return values, tl.load(weights + at).to(values.dtype)


@triton.jit
def _convolution(
    images, beside, of_channel, weights, first, line, column, rows, to, tile: tl.constexpr, share: tl.constexpr,
    height: tl.constexpr, width: tl.constexpr, channels: tl.constexpr, stages: tl.constexpr, taps: tl.constexpr,
    transposed: tl.constexpr, even: tl.constexpr, front: tl.constexpr, with_beside: tl.constexpr,
    accumulator: tl.constexpr, precision: tl.constexpr,
):  # fmt: skip
    """Return the convolution (tile, share), without bias."""
    sums = tl.zeros((tile, share), dtype=accumulator)
    if stages:
        for tap in tl.range(9, num_stages=stages):
            values, factors = _factors(
                images, beside, of_channel, weights, first, line, column, rows, to, tap, tile, height, width, channels,
                transposed, even, front, with_beside, accumulator,
            )  # fmt: skip
            sums = tl.dot(values, factors, sums, input_precision=precision, out_dtype=accumulator)
    else:
        for begin in tl.static_range(0, 9, taps):
            read = ()
            for tap in tl.static_range(begin, begin + taps):
                both = _factors(
                    images, beside, of_channel, weights, first, line, column, rows, to, tap, tile, height, width,
                    channels, transposed, even, front, with_beside, accumulator,
                )  # fmt: skip
                read = read + (both,)  # type: ignore[assignment]  # noqa: RUF005  (Triton cannot unpack)
            for at in tl.static_range(taps):
                sums = tl.dot(read[at][0], read[at][1], sums, input_precision=precision, out_dtype=accumulator)
    return sums


@triton.jit
def convolve(
    images, beside, written, norm, weights, out, partial, direct, active, normed, saved, rows,
    epsilon: tl.constexpr, momentum: tl.constexpr, height: tl.constexpr, width: tl.constexpr, channels: tl.constexpr,
    padded: tl.constexpr, tile: tl.constexpr, share: tl.constexpr, stages: tl.constexpr, taps: tl.constexpr,
    front: tl.constexpr, with_beside: tl.constexpr, transposed: tl.constexpr, with_direct: tl.constexpr,
    ending: tl.constexpr, even: tl.constexpr, accumulator: tl.constexpr, precision: tl.constexpr,
):  # fmt: skip
    """Write `tile` pixels of a 3x3 convolution with padding 1, and what belongs to its front and its ending.

    `front` 1: `images` are first normalised as `norm` says, then `beside` is added if wanted, then there is a ReLU. 2:
    `images` are the gradient of a BatchNorm's output, and `beside` its input; that of the input is convolved. What is
    convolved is also `written`.
    `transposed`: with the taps in reverse order and in and out exchanged, which is the gradient of the input; `direct`
    is added to it if wanted.
    `ending` 1: also the mean and the squared deviations of each channel. 2: the gradient before a ReLU whose output
    was `active`, and the sums that the gradient of BatchNorm needs.
    """
    wait_for_previous()
    program, programs = tl.program_id(0), tl.num_programs(0)
    first = program * tile
    row = first + tl.arange(0, tile)
    filled = (row < rows)[:, None]
    line, column = position(first, tile, height, width)
    to = tl.program_id(1) * share + tl.arange(0, share)
    writes = (program == 0) & (tl.program_id(1) == 0)
    of_channel = ()
    if front == 1:
        of_channel = norm_factors(norm, rows, writes, epsilon, momentum, channels, padded, accumulator)
    if front == 2:
        of_channel = gradient_factors(norm, rows, writes, channels, padded)
    sums = _convolution(
        images, beside, of_channel, weights, first, line, column, rows, to, tile, share, height, width, channels,
        stages, taps, transposed, even, front, with_beside, accumulator, precision,
    )  # fmt: skip
    if front:
        own = row[:, None] * channels + tl.arange(0, channels)[None, :]
        values = _values(images, beside, of_channel, own, filled, front, with_beside, accumulator)
        tl.store(written + own, values, mask=filled & (tl.program_id(1) == 0))
    at = row[:, None] * channels + to[None, :]
    if with_direct:
        sums += tl.load(direct + at, mask=filled, other=0.0).to(accumulator)
    if ending == 2:
        sums = tl.where(tl.load(active + at, mask=filled, other=0.0) <= 0, 0.0, sums)
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
