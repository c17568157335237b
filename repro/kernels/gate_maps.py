"""Triton kernels that pass over the maps of a dense block.

A map is (B, C, H, W) in the channels-last layout, which is (B, pixels, C) in memory. A program works on some pixels of
one image: program (t, b) has the t-th tile of image b. All sums over tiles have a fixed order, so that results are
reproducible bit for bit. `own` are the channels of each map; those that a map lacks count as zeros.
"""

# The arguments of a kernel have types of Triton, which mypy does not know.
# mypy: disable-error-code="import-untyped, untyped-decorator, no-untyped-def, assignment"

from __future__ import annotations

import triton
import triton.language as tl

from repro.kernels.batchnorm import after_relu
from repro.kernels.gate_network import norm_gradient

SUM_TILE = 2048
"""Elements of the tile of a program that sums a map."""
WRITE_TILE = 1024
"""Elements of the tile of a program that writes gradients of maps."""
REDUCE_TILE = 1024
"""Elements of the tile of a program that reduces the products of two maps."""
WARPS = 4
REDUCE_WARPS = 4


def tile_pixels(pixels: int, channels: int, elements: int) -> int:
    """Return the pixels of one tile, a power of two, from the pixels of an image and the elements of a tile."""
    return min(elements // channels, triton.next_power_of_2(pixels))


@triton.jit
def load_map(
    features, image, row, pixels: tl.constexpr, own: tl.constexpr, channels: tl.constexpr, dtype: tl.constexpr
):
    """Return pixels `row` of an image: (tile, channels), zeros for missing channels and outside the image."""
    channel = tl.arange(0, channels)
    at = (image * pixels + row)[:, None] * own + channel[None, :]
    inside = (row < pixels)[:, None] & (channel < own)[None, :]
    return tl.load(features + at, mask=inside, other=0.0).to(dtype)


@triton.jit
def store_map(features, values, image, row, pixels: tl.constexpr, own: tl.constexpr, channels: tl.constexpr):
    """Write pixels `row` of an image from `values` (tile, channels)."""
    channel = tl.arange(0, channels)
    at = (image * pixels + row)[:, None] * own + channel[None, :]
    inside = (row < pixels)[:, None] & (channel < own)[None, :]
    tl.store(features + at, values.to(features.dtype.element_ty), mask=inside)


@triton.jit
def sum_pixels(
    maps, sums, pixels: tl.constexpr, own: tl.constexpr, channels: tl.constexpr, tile: tl.constexpr,
    dtype: tl.constexpr,
):  # fmt: skip
    """Write the sums of one tile's pixels to each of `sums` (B, tiles, channels)."""
    part, image = tl.program_id(0), tl.program_id(1)
    row = part * tile + tl.arange(0, tile)
    to = (image * tl.num_programs(0) + part) * channels + tl.arange(0, channels)
    for k in tl.static_range(len(maps)):
        values = load_map(maps[k], image, row, pixels, own[k], channels, dtype)
        tl.store(sums[k] + to, tl.sum(values, 0))


@triton.jit
def _score(
    rectified, second, bias, image, slot: tl.constexpr, channels: tl.constexpr, hidden: tl.constexpr,
    padded: tl.constexpr, dtype: tl.constexpr,
):  # fmt: skip
    """Return an image's scores (channels,) of one map: the second 1x1 convolution."""
    unit = tl.arange(0, padded)
    to = slot * channels + tl.arange(0, channels)
    values = tl.load(rectified + image * hidden + unit, mask=unit < hidden, other=0.0)
    weight = tl.load(second + to[:, None] * hidden + unit[None, :], mask=(unit < hidden)[None, :], other=0.0)
    return tl.sum(weight.to(dtype) * values[None, :], 1) + tl.load(bias + to).to(dtype)


@triton.jit
def _weights(
    rectified, second, bias, image, n: tl.constexpr, channels: tl.constexpr, hidden: tl.constexpr,
    padded: tl.constexpr, dtype: tl.constexpr,
):  # fmt: skip
    """Return an image's n + 1 weights (channels,): sigmoid for the branch, softmax over the n maps."""
    largest = _score(rectified, second, bias, image, 1, channels, hidden, padded, dtype)
    scores = (largest,)
    for k in tl.static_range(1, n):
        # Triton has no unpacking.
        scores = scores + (_score(rectified, second, bias, image, k + 1, channels, hidden, padded, dtype),)  # noqa: RUF005
        largest = tl.maximum(largest, scores[k])
    total = tl.zeros((channels,), dtype)
    for k in tl.static_range(n):
        total += tl.exp(scores[k] - largest)
    score = _score(rectified, second, bias, image, 0, channels, hidden, padded, dtype)
    weights = (1.0 / (1.0 + tl.exp(-score)),)
    for k in tl.static_range(n):
        weights = weights + (tl.exp(scores[k] - largest) / total,)  # noqa: RUF005
    return weights


@triton.jit
def join(
    branch, maps, out, sums, gates, rectified, second, bias,
    pixels: tl.constexpr, own: tl.constexpr, channels: tl.constexpr, tile: tl.constexpr, hidden: tl.constexpr,
    padded: tl.constexpr, dtype: tl.constexpr,
):  # fmt: skip
    """Write out = relu(weight_0 * branch + sum_k weight_k * map_k), and its sums over pixels (B, tiles, channels).

    The weights are written to `gates` (B, n + 1, channels).
    """
    part, image = tl.program_id(0), tl.program_id(1)
    row = part * tile + tl.arange(0, tile)
    channel = tl.arange(0, channels)
    weights = _weights(rectified, second, bias, image, len(maps), channels, hidden, padded, dtype)
    if part == 0:
        for slot in tl.static_range(len(maps) + 1):
            tl.store(gates + (image * (len(maps) + 1) + slot) * channels + channel, weights[slot])
    values = weights[0][None, :] * load_map(branch, image, row, pixels, channels, channels, dtype)
    for k in tl.static_range(len(maps)):
        values += weights[k + 1][None, :] * load_map(maps[k], image, row, pixels, own[k], channels, dtype)
    stored = after_relu(values).to(out.dtype.element_ty)
    store_map(out, stored, image, row, pixels, channels, channels)
    # Outside the image, all values are 0.
    tl.store(sums + (image * tl.num_programs(0) + part) * channels + channel, tl.sum(stored.to(dtype), 0))


@triton.jit
def reduce_gradient(
    gradients, out, branch, maps, before, parts, pixels: tl.constexpr, own: tl.constexpr, channels: tl.constexpr,
    tile: tl.constexpr, dtype: tl.constexpr,
):  # fmt: skip
    """Write the gradient before the ReLU, and the tile's part of the weights' gradients.

    `gradients`: of the output, from one or two users. `parts` (B, tiles, n + 1, channels): sums over the tile's pixels
    of the gradient times the branch, then times each map.
    """
    part, image = tl.program_id(0), tl.program_id(1)
    row = part * tile + tl.arange(0, tile)
    gradient = load_map(gradients[0], image, row, pixels, channels, channels, dtype)
    if len(gradients) > 1:
        gradient += load_map(gradients[1], image, row, pixels, channels, channels, dtype)
    gradient = tl.where(load_map(out, image, row, pixels, channels, channels, dtype) <= 0, 0.0, gradient)
    store_map(before, gradient, image, row, pixels, channels, channels)
    to = parts + (image * tl.num_programs(0) + part) * (len(maps) + 1) * channels + tl.arange(0, channels)
    values = load_map(branch, image, row, pixels, channels, channels, dtype)
    tl.store(to, tl.sum(gradient * values, 0))
    for k in tl.static_range(len(maps)):
        values = load_map(maps[k], image, row, pixels, own[k], channels, dtype)
        tl.store(to + (k + 1) * channels, tl.sum(gradient * values, 0))


@triton.jit
def _mean_gradient(
    before_norm, first, passed, image, slot: tl.constexpr, slots: tl.constexpr, own: tl.constexpr,
    channels: tl.constexpr, hidden: tl.constexpr, padded: tl.constexpr, dtype: tl.constexpr,
):  # fmt: skip
    """Return the gradient (channels,) of an image's mean of one map: by the first 1x1 convolution and as `passed`."""
    unit, channel = tl.arange(0, padded), tl.arange(0, channels)
    at = (unit * slots + slot)[:, None] * channels + channel[None, :]
    weight = tl.load(first + at, mask=(unit < hidden)[:, None], other=0.0).to(dtype)
    mean = tl.sum(weight * before_norm[:, None], 0)
    if passed is not None:
        mean += tl.load(passed + image * own + channel, mask=channel < own, other=0.0).to(dtype)
    return mean


@triton.jit
def write_gradients(
    before, gates, gradients, normed, scale, inverse, first, passed, passed_means, d_branch, d_maps, d_means,
    before_norm, d_scale, d_shift, images, pixels: tl.constexpr, own: tl.constexpr, channels: tl.constexpr,
    tile: tl.constexpr, hidden: tl.constexpr, padded: tl.constexpr, padded_images: tl.constexpr, dtype: tl.constexpr,
):  # fmt: skip
    """Write the gradients of the branch, of the n maps, of the means of all maps but the newest, and of the norm.

    `gradients`, `normed`, `before_norm` (images, hidden): the gradient of the hidden units before the ReLU, their
    normalised values, and the gradient before the norm, which is written. `passed`, `passed_means`: of the maps and
    means passed on, or None. Those of new means are spread over the pixels.
    """
    part, image = tl.program_id(0), tl.program_id(1)
    row, channel, unit = part * tile + tl.arange(0, tile), tl.arange(0, channels), tl.arange(0, padded)
    slots: tl.constexpr = len(d_maps) + 1
    of_units = norm_gradient(
        gradients, normed, scale, inverse, d_scale, d_shift, image, part + image == 0, images, hidden, padded,
        padded_images, dtype,
    )  # fmt: skip
    if part == 0:
        tl.store(before_norm + image * hidden + unit, of_units, mask=unit < hidden)
    gates += image * slots * channels + channel
    gradient = load_map(before, image, row, pixels, channels, channels, dtype)
    mean = _mean_gradient(of_units, first, None, image, 0, slots, channels, channels, hidden, padded, dtype)
    values = tl.load(gates)[None, :] * gradient + (mean / pixels)[None, :]
    store_map(d_branch, values, image, row, pixels, channels, channels)
    for k in tl.static_range(slots - 1):
        values = tl.load(gates + (k + 1) * channels)[None, :] * gradient
        if passed[k] is not None:
            values += load_map(passed[k], image, row, pixels, own[k], channels, dtype)
        if k == slots - 2 or part == 0:
            d = passed_means[k]
            mean = _mean_gradient(of_units, first, d, image, k + 1, slots, own[k], channels, hidden, padded, dtype)
            if k == slots - 2:
                values += (mean / pixels)[None, :]
            else:
                to = d_means[k] + image * own[k] + channel
                tl.store(to, mean.to(d_means[k].dtype.element_ty), mask=channel < own[k])
        store_map(d_maps[k], values, image, row, pixels, own[k], channels)
