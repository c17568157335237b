"""Triton kernels for the network inside a gate: 1x1 convolution, BatchNorm over the batch, ReLU, 1x1 convolution.

BatchNorm ties the images of a batch but not its channels, so program h has hidden unit h, for all images. The second
convolution needs all hidden units but one image: it is part of the kernel that joins the maps, and the backward pass
through BatchNorm, for one image, of the kernel that writes their gradients. Slot 0 of the network's inputs and outputs
belongs to the branch, slot k to the k-th map.
"""

# The arguments of a kernel have types of Triton, which mypy does not know.
# mypy: disable-error-code="import-untyped, untyped-decorator, no-untyped-def, assignment"

from __future__ import annotations

import triton
import triton.language as tl

NETWORK_WARPS = 8
"""Program h of the forward pass holds (padded batch, channels) of each map in registers."""
SCORE_UNITS = 8
"""Hidden units whose gradients one image's program computes at a time."""


@triton.jit
def _add_tiles(parts, image, images, tiles: tl.constexpr, channels: tl.constexpr):
    """Return the sums over the tiles of `parts` (images, tiles, channels): (padded images, channels)."""
    at = (image * tiles)[:, None] * channels + tl.arange(0, channels)[None, :]
    inside = (image < images)[:, None]
    total = tl.load(parts + at, mask=inside, other=0.0)
    for tile in tl.static_range(1, tiles):
        total += tl.load(parts + at + tile * channels, mask=inside, other=0.0)
    return total


@triton.jit
def _update(running, value, momentum: tl.constexpr, dtype: tl.constexpr):
    old = tl.load(running).to(dtype)
    tl.store(running, (old * (1.0 - momentum) + value * momentum).to(running.dtype.element_ty))


@triton.jit
def _before_norm(
    sums, means, inputs, first, h, image, images, pixels: tl.constexpr, own: tl.constexpr, channels: tl.constexpr,
    tiles: tl.constexpr, hidden: tl.constexpr, dtype: tl.constexpr,
):  # fmt: skip
    """Return hidden unit h of the first convolution for each image; some program writes each mean."""
    channel = tl.arange(0, channels)
    values = tl.zeros(image.shape, dtype)
    slots: tl.constexpr = len(means) + 1
    for slot in tl.static_range(slots):
        at = image[:, None] * own[slot] + channel[None, :]
        inside = (image < images)[:, None] & (channel < own[slot])[None, :]
        if slot == 0 or slot == slots - 1:
            mean = _add_tiles(sums[0 if slot == 0 else 1], image, images, tiles, channels) / pixels
            if slot > 0 and h == 0:
                tl.store(means[slot - 1] + at, mean, mask=inside)
        else:
            mean = tl.load(means[slot - 1] + at, mask=inside, other=0.0).to(dtype)
        if h == slot % hidden:
            to = (image * slots + slot)[:, None] * channels + channel[None, :]
            tl.store(inputs + to, mean, mask=(image < images)[:, None])
        weight = tl.load(first + (h * slots + slot) * channels + channel).to(dtype)
        values += tl.sum(mean * weight[None, :], 1)
    return values


@triton.jit
def hidden_units(
    sums, means, inputs, first, scale, shift, running_mean, running_variance, batches, normed, rectified, inverse,
    images,
    eps: tl.constexpr, momentum: tl.constexpr, pixels: tl.constexpr, own: tl.constexpr, channels: tl.constexpr,
    tiles: tl.constexpr, hidden: tl.constexpr, padded: tl.constexpr, dtype: tl.constexpr,
):  # fmt: skip
    """Write a hidden unit of all images before and after scale, shift and ReLU, and update running statistics.

    `sums` (images, tiles, channels): of the branch and of the newest map. `means` (images, own channels): of each map;
    program 0 writes that of the newest. `inputs` (images, slots, channels): all means, which are written.
    `normed`, `rectified`: (images, hidden).
    """
    h = tl.program_id(0)
    image = tl.arange(0, padded)
    used = image < images
    values = _before_norm(sums, means, inputs, first, h, image, images, pixels, own, channels, tiles, hidden, dtype)
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
def score_gradients(
    parts, gates, second, rectified, scores, gradients, slots: tl.constexpr, padded_slots: tl.constexpr,
    channels: tl.constexpr, tiles: tl.constexpr, hidden: tl.constexpr, units: tl.constexpr, dtype: tl.constexpr,
):  # fmt: skip
    """Write the gradients of one image's scores, and of its hidden units before the ReLU, `units` at a time.

    `parts` (images, tiles, slots, channels): the tiles' parts of the gradients of `gates` (images, slots, channels).
    `scores` (images, slots, channels), `gradients` (images, hidden): are written.
    """
    image = tl.program_id(0)
    slot, channel = tl.arange(0, padded_slots), tl.arange(0, channels)
    at = slot[:, None] * channels + channel[None, :]
    there = (slot < slots)[:, None]
    gate = tl.load(gates + image * (slots * channels) + at, mask=there, other=0.0)
    product = tl.zeros_like(gate)
    for tile in tl.static_range(tiles):
        product += tl.load(parts + (image * tiles + tile) * (slots * channels) + at, mask=there, other=0.0)
    product *= gate
    whole = tl.sum(tl.where((slot > 0)[:, None], product, 0.0), 0)
    score = tl.where((slot == 0)[:, None], product * (1.0 - gate), product - gate * whole[None, :])
    tl.store(scores + image * (slots * channels) + at, score, mask=there)
    for begin in tl.static_range(0, hidden, units):
        unit = begin + tl.arange(0, units)
        used = unit < hidden
        inside = there[:, :, None] & used[None, None, :]
        weight = tl.load(second + at[:, :, None] * hidden + unit[None, None, :], mask=inside, other=0.0).to(dtype)
        gradient = tl.sum(tl.sum(weight * score[:, :, None], 0), 0)
        active = tl.load(rectified + image * hidden + unit, mask=used, other=0.0)
        tl.store(gradients + image * hidden + unit, tl.where(active <= 0, 0.0, gradient), mask=used)


@triton.jit
def norm_gradient(
    gradients, normed, scale, inverse, d_scale, d_shift, image, writes, images, hidden: tl.constexpr,
    padded: tl.constexpr, padded_images: tl.constexpr, dtype: tl.constexpr,
):  # fmt: skip
    """Return the gradient (padded hidden,) of BatchNorm's input for one image.

    `gradients` (images, hidden): of its output. `normed` (images, hidden): its output before scale and shift, whose
    gradients are written if `writes`.
    """
    unit, row = tl.arange(0, padded), tl.arange(0, padded_images)
    used = unit < hidden
    at = row[:, None] * hidden + unit[None, :]
    inside = (row < images)[:, None] & used[None, :]
    every = tl.load(gradients + at, mask=inside, other=0.0)
    shifted = tl.sum(every, 0)
    scaled = tl.sum(every * tl.load(normed + at, mask=inside, other=0.0), 0)
    if writes:
        tl.store(d_shift + unit, shifted.to(d_shift.dtype.element_ty), mask=used)
        tl.store(d_scale + unit, scaled.to(d_scale.dtype.element_ty), mask=used)
    own = tl.load(gradients + image * hidden + unit, mask=used, other=0.0)
    own_normed = tl.load(normed + image * hidden + unit, mask=used, other=0.0)
    factor = tl.load(scale + unit, mask=used, other=0.0).to(dtype) * tl.load(inverse + unit, mask=used, other=0.0)
    return (own - shifted / images - own_normed * (scaled / images)) * factor


@triton.jit
def parameter_gradients(
    scores, inputs, rectified, before_norm, d_first, d_second, d_bias, images, channels: tl.constexpr,
    slots: tl.constexpr, hidden: tl.constexpr, padded_images: tl.constexpr,
):  # fmt: skip
    """Write the gradients of the weights between one slot and one hidden unit, and of the biases."""
    slot, h = tl.program_id(0), tl.program_id(1)
    image, channel = tl.arange(0, padded_images), tl.arange(0, channels)
    used = image < images
    at = (image * slots + slot)[:, None] * channels + channel[None, :]
    to = slot * channels + channel
    score = tl.load(scores + at, mask=used[:, None], other=0.0)
    mean = tl.load(inputs + at, mask=used[:, None], other=0.0)
    active = tl.load(rectified + image * hidden + h, mask=used, other=0.0)
    before = tl.load(before_norm + image * hidden + h, mask=used, other=0.0)
    tl.store(d_second + to * hidden + h, tl.sum(score * active[:, None], 0).to(d_second.dtype.element_ty))
    d_weight = tl.sum(mean * before[:, None], 0)
    tl.store(d_first + h * (slots * channels) + to, d_weight.to(d_first.dtype.element_ty))
    if h == 0:
        tl.store(d_bias + to, tl.sum(score, 0).to(d_bias.dtype.element_ty))
