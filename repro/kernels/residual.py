"""BatchNorm with what follows it, and chains of 3x3 convolutions with theirs, in training mode: autograd functions."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from repro.kernels.batchnorm import gradient_sums, gradients, normalise, statistics, tiles
from repro.kernels.convolution import Convolution
from repro.kernels.launch import forward_launch
from repro.kernels.weight_gradient import weight_gradient

LAYOUT = torch.channels_last
Grads = tuple[Tensor | None, ...]


def fits(norm: nn.BatchNorm2d) -> bool:
    """Whether the kernels can compute a BatchNorm in its present mode: training, with running averages."""
    channels = norm.num_features
    averages = norm.track_running_stats and norm.momentum is not None
    return norm.training and averages and norm.affine and channels & (channels - 1) == 0 and channels <= 256


class _Norm(torch.autograd.Function):
    """BatchNorm, an addition if there is one, and a ReLU if wanted."""

    @staticmethod
    def forward(
        ctx: Any, images: Tensor, added: Tensor | None, weight: Tensor, bias: Tensor, norm: nn.BatchNorm2d, relu: bool
    ) -> Tensor:
        images = images.contiguous(memory_format=LAYOUT)
        added = None if added is None else added.contiguous(memory_format=LAYOUT)
        out, saved = normalise(images, statistics(images), tiles(images).tile, norm, added=added, relu=relu)
        ctx.save_for_backward(images, out if relu else None, weight, saved)
        ctx.added = added is not None
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Grads:
        """Return the gradients of the inputs from that of the output (B, C, H, W)."""
        images, out, weight, saved = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=LAYOUT)
        partial = gradient_sums(gradient, out, images, saved)
        found = gradients(gradient, out, images, saved, partial, weight, added=ctx.added)
        return found.images, found.added, found.weight, found.bias, None, None


class PairWeights(NamedTuple):
    """The parameters of two convolutions with their BatchNorms, and their gradients."""

    conv1: Tensor
    scale1: Tensor
    shift1: Tensor
    conv2: Tensor
    scale2: Tensor
    shift2: Tensor


class PairMaps(NamedTuple):
    """What the backward pass of two convolutions with their BatchNorms needs; maps are (B, C, H, W)."""

    x: Tensor
    z1: Tensor
    """Output of the first convolution."""
    y: Tensor
    """Input of the second convolution."""
    z2: Tensor
    """Output of the second convolution."""
    saved1: Tensor
    """(2, C): mean and 1 / deviation of z1."""
    saved2: Tensor
    out: Tensor | None
    """Output of the ReLU after the addition; None: there is no addition."""


def _forward(
    x: Tensor, weights: PairWeights, norms: tuple[nn.BatchNorm2d, nn.BatchNorm2d], residual: bool
) -> tuple[Tensor, PairMaps]:
    """Return the output of a pair, and what its backward pass needs."""
    part = forward_launch(x).tile
    z1, partial = Convolution(weights.conv1).with_statistics(x)
    y, saved1 = normalise(z1, partial, part, norms[0], added=None, relu=True)
    z2, partial = Convolution(weights.conv2).with_statistics(y)
    out, saved2 = normalise(z2, partial, part, norms[1], added=x if residual else None, relu=residual)
    return out, PairMaps(x, z1, y, z2, saved1, saved2, out if residual else None)


def _backward(
    gradient: Tensor, partial: Tensor, weights: PairWeights, maps: PairMaps, before: PairMaps | None
) -> tuple[Tensor, Tensor, PairWeights]:
    """Return the gradients of a pair's input and parameters, and the sums for the BatchNorm in front of it, if any.

    Args:
        gradient: of the output.
        partial: sums for the second BatchNorm.
        weights: of the pair.
        maps: of the pair.
        before: of the pair whose output is the input.
    """
    second = gradients(gradient, maps.out, maps.z2, maps.saved2, partial, weights.scale2)
    conv2 = weight_gradient(maps.y, second.images, weights.conv2)
    between, partial = Convolution(weights.conv2).gradient_before(second.images, maps.y, maps.z1, maps.saved1)
    first = gradients(between, None, maps.z1, maps.saved1, partial, weights.scale1)
    conv1 = weight_gradient(maps.x, first.images, weights.conv1)
    direct = None if maps.out is None else (maps.out, gradient)
    norm = None if before is None else (maps.x, before.z2, before.saved2)
    of_x, partial = Convolution(weights.conv1).input_gradient(first.images, direct, norm)
    return of_x, partial, PairWeights(conv1, first.weight, first.bias, conv2, second.weight, second.bias)


class _Pairs(torch.autograd.Function):
    """A chain of norm2(conv2(relu(norm1(conv1(x))))); with `residual` of relu(norm2(...) + x).

    In a chain, one kernel writes the gradient of a pair's input and adds up what the BatchNorm before it needs.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, norms: Sequence[tuple[nn.BatchNorm2d, nn.BatchNorm2d]], residual: bool, *weights: Tensor
    ) -> Tensor:
        saved: list[Tensor | None] = list(weights)
        x = x.contiguous(memory_format=LAYOUT)
        for pair, own in zip(_split(weights), norms, strict=True):
            x, maps = _forward(x, pair, own, residual)
            saved += maps
        ctx.weights = len(weights)
        ctx.save_for_backward(*saved)
        return x

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Grads:
        """Return the gradients of the inputs from that of the output; those of the weights are written later."""
        weights = _split(ctx.saved_tensors[: ctx.weights])
        pairs = [PairMaps(*each) for each in _groups(ctx.saved_tensors[ctx.weights :], len(PairMaps._fields))]
        last = pairs[-1]
        gradient = gradient.contiguous(memory_format=LAYOUT)
        partial = gradient_sums(gradient, last.out, last.z2, last.saved2)
        found: list[PairWeights] = []
        for index in reversed(range(len(pairs))):
            before = pairs[index - 1] if index else None
            gradient, partial, own = _backward(gradient, partial, weights[index], pairs[index], before)
            found.append(own)
        return gradient, None, None, *itertools.chain(*reversed(found))


def _split(weights: Sequence[Tensor]) -> list[PairWeights]:
    return [PairWeights(*each) for each in _groups(weights, len(PairWeights._fields))]


def _groups(tensors: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """Yield `size` tensors at a time."""
    return (tensors[begin : begin + size] for begin in range(0, len(tensors), size))


def norm(module: nn.BatchNorm2d, images: Tensor, added: Tensor | None = None, *, relu: bool) -> Tensor:
    """Return the normalised images plus `added`, after a ReLU if wanted; the module's counter is left alone."""
    result: Tensor = _Norm.apply(images, added, module.weight, module.bias, module, relu)
    return result


class Pair(NamedTuple):
    """Two narrow 3x3 convolutions, each with its BatchNorm."""

    conv1: nn.Conv2d
    norm1: nn.BatchNorm2d
    conv2: nn.Conv2d
    norm2: nn.BatchNorm2d

    def weights(self) -> PairWeights:
        """Return the parameters."""
        return PairWeights(
            self.conv1.weight, self.norm1.weight, self.norm1.bias, self.conv2.weight, self.norm2.weight, self.norm2.bias
        )


def pairs(x: Tensor, chain: Sequence[Pair], *, residual: bool) -> Tensor:
    """Return norm2(conv2(relu(norm1(conv1(x))))), or relu(that + x), of each pair in turn.

    The modules' counters are left alone. A chain of several pairs is residual.
    """
    norms = [(each.norm1, each.norm2) for each in chain]
    weights = itertools.chain(*(each.weights() for each in chain))
    result: Tensor = _Pairs.apply(x, norms, residual, *weights)
    return result
