"""Triton kernels for the network inside a gate: 1x1 convolution, BatchNorm over the batch, ReLU, 1x1 convolution.

BatchNorm ties the images of a batch but not its channels, so program h has hidden unit h, for all images. The second
convolution needs all hidden units but one image: it is part of the kernel that joins the maps. Slot 0 of the network's
inputs and outputs belongs to the branch, slot k to the k-th map.
"""

# The arguments of a kernel have types of Triton, which mypy does not know.
# mypy: disable-error-code="import-untyped, untyped-decorator, no-untyped-def, assignment"

from __future__ import annotations

import triton
import triton.language as tl

NETWORK_WARPS = 8
"""Program h holds (padded batch, channels) of each map in registers."""


@triton.jit
def _add_tiles(
    parts, image, images, tiles: tl.constexpr, slot: tl.constexpr, slots: tl.constexpr, channels: tl.constexpr
):
    """Return the sums over the tiles of one slot of `parts` (images, tiles, slots, channels): (padded, channels)."""
    channel = tl.arange(0, channels)
    at = (image * (tiles * slots) + slot)[:, None] * channels + channel[None, :]
    inside = (image < images)[:, None]
    total = tl.load(parts + at, mask=inside, other=0.0)
    for tile in tl.static_range(1, tiles):
        total += tl.load(parts + at + tile * slots * channels, mask=inside, other=0.0)
    return total


@triton.jit
def _update(running, value, momentum: tl.constexpr, dtype: tl.constexpr):
    old = tl.load(running).to(dtype)
    tl.store(running, (old * (1.0 - momentum) + value * momentum).to(running.dtype.element_ty))


@triton.jit
def _before_norm(
    sums, means, first, h, image, images, pixels: tl.constexpr, own: tl.constexpr, channels: tl.constexpr,
    tiles: tl.constexpr, dtype: tl.constexpr,
):  # fmt: skip
    """Return hidden unit h of the first convolution for each image; program 0 writes the means that are new."""
    channel = tl.arange(0, channels)
    values = tl.zeros(image.shape, dtype)
    for slot in tl.static_range(len(means)):
        at = image[:, None] * own[slot] + channel[None, :]
        inside = (image < images)[:, None] & (channel < own[slot])[None, :]
        if slot == 0 or slot == len(means) - 1:
            mean = _add_tiles(sums[0 if slot == 0 else 1], image, images, tiles, 0, 1, channels) / pixels
            if h == 0:
                tl.store(means[slot] + at, mean, mask=inside)
        else:
            mean = tl.load(means[slot] + at, mask=inside, other=0.0).to(dtype)
        weight = tl.load(first + (h * len(means) + slot) * channels + channel).to(dtype)
        values += tl.sum(mean * weight[None, :], 1)
    return values


@triton.jit
def hidden_units(
    sums, means, first, scale, shift, running_mean, running_variance, batches, normed, rectified, inverse, images,
    eps: tl.constexpr, momentum: tl.constexpr, pixels: tl.constexpr, own: tl.constexpr, channels: tl.constexpr,
    tiles: tl.constexpr, hidden: tl.constexpr, padded: tl.constexpr, dtype: tl.constexpr,
):  # fmt: skip
    """Write a hidden unit of all images before and after scale, shift and ReLU, and update running statistics.

    `sums` (images, tiles, channels): of the branch and of the newest map, whose means program 0 writes to `means`.
    `means` (images, own channels): of the branch and of each map. `normed`, `rectified`: (images, hidden).
    """
    h = tl.program_id(0)
    image = tl.arange(0, padded)
    used = image < images
    values = _before_norm(sums, means, first, h, image, images, pixels, own, channels, tiles, dtype)
    average = tl.sum(values, 0) / images
    away = tl.where(used, values - average, 0.0)
    squares = tl.sum(away * away, 0)
    factor = 1.0 / tl.sqrt(squares / images + eps)
    active = away * factor * tl.load(scale + h).to(dtype) + tl.load(shift + h).to(dtype)
    tl.store(normed + image * hidden + h, away * factor, mask=used)
    tl.store(rectified + image * hidden + h, tl.where(active < 0, 0.0, active), mask=used)
    tl.store(inverse + h, factor)
    _update(running_mean + h, average, momentum, dtype)
    _update(running_variance + h, squares / (images - 1), momentum, dtype)
    if h == 0:
        tl.store(batches, tl.load(batches) + 1)


@triton.jit
def _score_gradients(parts, gates, image, images, slots: tl.constexpr, tiles: tl.constexpr, channels: tl.constexpr):
    """Return the gradients (padded, channels) of the scores of the branch and of each map."""
    at = (image * (slots * channels))[:, None] + tl.arange(0, channels)[None, :]
    inside = (image < images)[:, None]
    gate = tl.load(gates + at, mask=inside, other=0.0)
    gradients = (gate * (1.0 - gate) * _add_tiles(parts, image, images, tiles, 0, slots, channels),)
    products = gradients
    whole = tl.zeros_like(gate)
    for slot in tl.static_range(1, slots):
        gate = tl.load(gates + at + slot * channels, mask=inside, other=0.0)
        # Triton has no unpacking.
        products = products + (gate * _add_tiles(parts, image, images, tiles, slot, slots, channels),)  # noqa: RUF005
        whole += products[slot]
    for slot in tl.static_range(1, slots):
        gate = tl.load(gates + at + slot * channels, mask=inside, other=0.0)
        gradients = gradients + (products[slot] - gate * whole,)  # noqa: RUF005
    return gradients


@triton.jit
def _norm_gradient(gradient, normed, h, used, images, scale, inverse, d_scale, d_shift, dtype: tl.constexpr):
    """Return the gradient of BatchNorm's input from that of its output, and write those of scale and shift."""
    shifted, scaled = tl.sum(gradient, 0), tl.sum(gradient * normed, 0)
    tl.store(d_shift + h, shifted.to(d_shift.dtype.element_ty))
    tl.store(d_scale + h, scaled.to(d_scale.dtype.element_ty))
    gradient = (gradient - shifted / images - normed * (scaled / images)) * tl.load(scale + h).to(dtype)
    return tl.where(used, gradient * tl.load(inverse + h), 0.0)


@triton.jit
def network_gradient(
    parts, gates, means, scale, second, normed, rectified, inverse, before_norm, d_first, d_scale, d_shift, d_second,
    d_bias, images, own: tl.constexpr, channels: tl.constexpr, tiles: tl.constexpr, hidden: tl.constexpr,
    padded: tl.constexpr, dtype: tl.constexpr,
):  # fmt: skip
    """Write the gradients of a hidden unit's parameters, and its gradient before the norm for all images.

    `parts` (images, tiles, slots, channels): the tiles' parts of the gradients of `gates` (images, slots, channels).
    """
    h = tl.program_id(0)
    image, channel = tl.arange(0, padded), tl.arange(0, channels)
    used = image < images
    scores = _score_gradients(parts, gates, image, images, len(means), tiles, channels)
    active = tl.load(rectified + image * hidden + h, mask=used, other=0.0)
    gradient = tl.zeros((padded,), dtype)
    for slot in tl.static_range(len(means)):
        to = slot * channels + channel
        gradient += tl.sum(scores[slot] * tl.load(second + to * hidden + h).to(dtype)[None, :], 1)
        d_weight = tl.sum(scores[slot] * active[:, None], 0)
        tl.store(d_second + to * hidden + h, d_weight.to(d_second.dtype.element_ty))
        if h == 0:
            tl.store(d_bias + to, tl.sum(scores[slot], 0).to(d_bias.dtype.element_ty))
    values = tl.load(normed + image * hidden + h, mask=used, other=0.0)
    gradient = tl.where(active <= 0, 0.0, gradient)
    gradient = _norm_gradient(gradient, values, h, used, images, scale, inverse, d_scale, d_shift, dtype)
    tl.store(before_norm + image * hidden + h, gradient, mask=used)
    for slot in tl.static_range(len(means)):
        at, inside = image[:, None] * own[slot] + channel[None, :], used[:, None] & (channel < own[slot])[None, :]
        d_weight = tl.sum(tl.load(means[slot] + at, mask=inside, other=0.0).to(dtype) * gradient[:, None], 0)
        tl.store(d_first + (h * len(means) + slot) * channels + channel, d_weight.to(d_first.dtype.element_ty))
