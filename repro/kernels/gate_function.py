"""The autograd function of a fused gate: its launches, and what passes between them.

Forward: the means (`sum_pixels`), the network's hidden units (`hidden_units`), and the rest of the network with the
weighted sum of the maps (`join`). Backward: the products with the gradient (`reduce_gradient`), the network as far
as its BatchNorm (`score_gradients`), the gradients of the maps (`write_gradients`), and beside the rest of the backward
pass those of the network's weights (`parameter_gradients`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import triton  # type: ignore[import-untyped]
from torch import Tensor
from torch.autograd.function import once_differentiable

from repro.kernels.ahead import on_grid
from repro.kernels.gate_maps import (
    REDUCE_TILE,
    REDUCE_WARPS,
    SUM_TILE,
    WARPS,
    WRITE_TILE,
    join,
    reduce_gradient,
    sum_pixels,
    tile_pixels,
    write_gradients,
)
from repro.kernels.gate_network import (
    NETWORK_WARPS,
    SCORE_UNITS,
    hidden_units,
    parameter_gradients,
    score_gradients,
)
from repro.kernels.number_format import accumulator, accumulator_dtype
from repro.kernels.side_streams import SIDE_STREAMS


@dataclass(frozen=True)
class Sizes:
    """The sizes that kernels are compiled for."""

    images: int
    pixels: int
    own: tuple[int, ...]
    """Channels of the branch and of each map."""
    hidden: int
    dtype: torch.dtype
    """Of sums and of the gate's weights."""

    @property
    def channels(self) -> int:
        """Channels of the output."""
        return self.own[0]

    @property
    def slots(self) -> int:
        """The branch and the maps."""
        return len(self.own)

    @property
    def triton_dtype(self) -> Any:
        """`dtype` as Triton names it."""
        return accumulator(self.dtype)

    def tile(self, elements: int) -> int:
        """Return the pixels of a tile of at most `elements` elements."""
        return tile_pixels(self.pixels, self.channels, elements)

    def tiles(self, elements: int) -> int:
        """Return the tiles of an image."""
        return triton.cdiv(self.pixels, self.tile(elements))

    @property
    def padded_hidden(self) -> int:
        """Hidden units, as a power of two."""
        return triton.next_power_of_2(self.hidden)

    @property
    def padded_images(self) -> int:
        """Images, as a power of two."""
        return triton.next_power_of_2(self.images)


@dataclass(frozen=True)
class NormBuffers:
    """What the network's BatchNorm keeps without gradients."""

    mean: Tensor
    variance: Tensor
    batches: Tensor
    eps: float
    momentum: float


class Parameters(NamedTuple):
    """Parameters of the gate's network."""

    first: Tensor
    """(hidden, C (n + 1), 1, 1)"""
    scale: Tensor
    """(hidden,)"""
    shift: Tensor
    """(hidden,)"""
    second: Tensor
    """(C (n + 1), hidden, 1, 1)"""
    bias: Tensor
    """(C (n + 1),)"""


class Hidden(NamedTuple):
    """The network's hidden units."""

    normed: Tensor
    """(B, hidden): after normalisation, before scale and shift."""
    rectified: Tensor
    """(B, hidden): after the ReLU."""
    inverse: Tensor
    """(hidden,): 1 / deviation."""


def _pixel_sums(sizes: Sizes, branch: Tensor, newest: Tensor, sums: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the sums (B, tiles, C) of the branch's and of the newest map's pixels; `sums` are the latter if known."""
    tiles = sizes.tiles(SUM_TILE)
    maps = (branch, newest) if sums is None else (branch,)
    new = [branch.new_empty((sizes.images, tiles, sizes.channels), dtype=sizes.dtype) for _ in maps]
    own = (sizes.own[0], sizes.own[-1])[: len(maps)]
    on_grid(sum_pixels, (tiles, sizes.images))(
        maps, tuple(new), sizes.pixels, own, sizes.channels, sizes.tile(SUM_TILE), sizes.triton_dtype, num_warps=WARPS
    )
    return new[0], new[-1] if sums is None else sums


def _hidden(
    sizes: Sizes, norm: NormBuffers, parameters: Parameters, sums: tuple[Tensor, Tensor], means: tuple[Tensor, ...]
) -> tuple[Hidden, Tensor]:
    """Return the hidden units and their inputs (B, n + 1, C); write the last of `means` and the running statistics."""
    inputs = means[0].new_empty((sizes.images, sizes.slots, sizes.channels), dtype=sizes.dtype)
    normed = inputs.new_empty((sizes.images, sizes.hidden))
    hidden = Hidden(normed, torch.empty_like(normed), normed.new_empty((sizes.hidden,)))
    on_grid(hidden_units, (sizes.hidden,))(
        sums, means, inputs, parameters.first, parameters.scale, parameters.shift, norm.mean, norm.variance,
        norm.batches, *hidden, sizes.images, norm.eps, norm.momentum, sizes.pixels, sizes.own, sizes.channels,
        sums[0].shape[1], sizes.hidden, sizes.padded_images, sizes.triton_dtype, num_warps=NETWORK_WARPS,
    )  # fmt: skip
    return hidden, inputs


def _join(
    sizes: Sizes, branch: Tensor, maps: tuple[Tensor, ...], hidden: Hidden, parameters: Parameters
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the output (B, C, H, W), its sums (B, tiles, C) and the weights (B, n + 1, C)."""
    tiles = sizes.tiles(SUM_TILE)
    out = torch.empty_like(branch)
    sums = hidden.normed.new_empty((sizes.images, tiles, sizes.channels))
    gates = sums.new_empty((sizes.images, sizes.slots, sizes.channels))
    on_grid(join, (tiles, sizes.images))(
        branch, maps, out, sums, gates, hidden.rectified, parameters.second, parameters.bias, sizes.pixels,
        sizes.own[1:], sizes.channels, sizes.tile(SUM_TILE), sizes.hidden, sizes.padded_hidden, sizes.triton_dtype,
        num_warps=WARPS,
    )  # fmt: skip
    return out, sums, gates


def _reduced(
    sizes: Sizes, gradients: tuple[Tensor, ...], out: Tensor, branch: Tensor, maps: tuple[Tensor, ...]
) -> tuple[Tensor, Tensor]:
    """Return the gradient before the ReLU, and the parts (B, tiles, n + 1, C) of the weights' gradients."""
    tiles = sizes.tiles(REDUCE_TILE)
    before = torch.empty_like(out)
    parts = out.new_empty((sizes.images, tiles, sizes.slots, sizes.channels), dtype=sizes.dtype)
    on_grid(reduce_gradient, (tiles, sizes.images))(
        gradients, out, branch, maps, before, parts, sizes.pixels, sizes.own[1:], sizes.channels,
        sizes.tile(REDUCE_TILE), sizes.triton_dtype, num_warps=REDUCE_WARPS,
    )  # fmt: skip
    return before, parts


def _score_gradients(
    sizes: Sizes, parts: Tensor, gates: Tensor, second: Tensor, rectified: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the gradients of the scores (B, n + 1, C), and of the hidden units before the ReLU (B, hidden)."""
    scores, gradients = torch.empty_like(gates), torch.empty_like(rectified)
    on_grid(score_gradients, (sizes.images,))(
        parts, gates, second, rectified, scores, gradients, sizes.slots, triton.next_power_of_2(sizes.slots),
        sizes.channels, parts.shape[1], sizes.hidden, SCORE_UNITS, sizes.triton_dtype, num_warps=WARPS,
    )  # fmt: skip
    return scores, gradients


def _weight_gradients(
    sizes: Sizes, scores: Tensor, inputs: Tensor, rectified: Tensor, before_norm: Tensor, parameters: Parameters
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of both convolutions' weights and of the biases, written when `SIDE_STREAMS` joins."""
    with SIDE_STREAMS.launched(scores, inputs, rectified, before_norm):
        first, second, bias = map(torch.empty_like, (parameters.first, parameters.second, parameters.bias))
        on_grid(parameter_gradients, (sizes.slots, sizes.hidden))(
            scores, inputs, rectified, before_norm, first, second, bias, sizes.images, sizes.channels, sizes.slots,
            sizes.hidden, sizes.padded_images, num_warps=WARPS,
        )  # fmt: skip
    return first, second, bias


def channels_last(features: Tensor) -> Tensor:
    """Return `features` (B, C, H, W), in the channels-last layout."""
    return features.contiguous(memory_format=torch.channels_last)


class Gating(torch.autograd.Function):
    """Gate and ReLU: see `FusedGate`."""

    @staticmethod
    def forward(ctx: Any, norm: NormBuffers, sums: Tensor | None, n: int, branch: Tensor, *others: Tensor) -> Any:
        """Return the output twice, its sums, the n maps and their n means.

        Args:
            ctx: keeps what the backward pass needs.
            norm: of the gate's network.
            sums: (B, tiles, C) of the newest map, if they are known.
            n: number of maps.
            branch: (B, C, H, W), channels-last as all maps.
            others: the five parameters, n maps and the means (B, C_k, 1, 1) of all maps but the newest.
        """
        parameters, maps, earlier = Parameters(*others[:5]), others[5 : 5 + n], others[5 + n :]
        own = (branch.shape[1], *(each.shape[1] for each in maps))
        dtype = accumulator_dtype(branch)
        sizes = Sizes(len(branch), branch[0, 0].numel(), own, len(parameters.scale), dtype)
        last = branch.new_empty((sizes.images, own[-1], 1, 1), dtype=dtype)
        means = (*(each.contiguous() for each in earlier), last)
        hidden, inputs = _hidden(sizes, norm, parameters, _pixel_sums(sizes, branch, maps[-1], sums), means)
        out, new_sums, gates = _join(sizes, branch, maps, hidden, parameters)
        ctx.sizes = sizes
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(new_sums)
        ctx.save_for_backward(branch, out, gates, inputs, *hidden, *parameters, *maps, *earlier)
        # Autograd makes views of inputs that are returned: the passed maps and means take no memory.
        return out, out.detach(), new_sums, *maps, *earlier, last

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_out: Tensor | None, d_again: Tensor | None, _: None, *passed: Tensor | None) -> Any:
        """Return the gradients of the inputs from those of the outputs, which are None for unused outputs."""
        branch, out, gates, inputs, *rest = ctx.saved_tensors
        sizes: Sizes = ctx.sizes
        n = sizes.slots - 1
        hidden, parameters = Hidden(*rest[:3]), Parameters(*rest[3:8])
        maps, earlier = tuple(rest[8 : 8 + n]), tuple(rest[8 + n :])
        given = [channels_last(each) for each in (d_out, d_again) if each is not None]
        before, parts = _reduced(sizes, tuple(given or [torch.zeros_like(out)]), out, branch, maps)
        scores, gradients = _score_gradients(sizes, parts, gates, parameters.second, hidden.rectified)
        d_branch, d_maps, d_means = (
            torch.empty_like(branch), tuple(map(torch.empty_like, maps)), tuple(map(torch.empty_like, earlier)),
        )  # fmt: skip
        before_norm, d_scale, d_shift = map(torch.empty_like, (gradients, parameters.scale, parameters.shift))
        on_grid(write_gradients, (sizes.tiles(WRITE_TILE), sizes.images))(
            before, gates, gradients, hidden.normed, parameters.scale, hidden.inverse, parameters.first,
            tuple(None if each is None else channels_last(each) for each in passed[:n]),
            tuple(None if each is None else each.contiguous() for each in passed[n:]),
            d_branch, d_maps, d_means, before_norm, d_scale, d_shift, sizes.images, sizes.pixels, sizes.own[1:],
            sizes.channels, sizes.tile(WRITE_TILE), sizes.hidden, sizes.padded_hidden, sizes.padded_images,
            sizes.triton_dtype, num_warps=WARPS,
        )  # fmt: skip
        d_first, d_second, d_bias = _weight_gradients(sizes, scores, inputs, hidden.rectified, before_norm, parameters)
        return None, None, None, d_branch, d_first, d_scale, d_shift, d_second, d_bias, *d_maps, *d_means
