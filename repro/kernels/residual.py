"""BatchNorm with what follows it, and chains of 3x3 convolutions with theirs, in training mode: autograd functions."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from repro.kernels.batchnorm import BeforeNorm
from repro.kernels.batchnorm_gradient import NormGradient
from repro.kernels.convolution import BeforeRelu, Convolution, OfInput
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
        out, saved = BeforeNorm.of(images, norm, added=added, relu=relu).normalised()
        ctx.save_for_backward(images, out if relu else None, weight, saved)
        ctx.added = added is not None
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Grads:
        """Return the gradients of the inputs from that of the output (B, C, H, W)."""
        images, out, weight, saved = ctx.saved_tensors
        after = NormGradient.of(gradient.contiguous(memory_format=LAYOUT), images, saved, weight, out=out)
        found = after.of_inputs()
        return found.images, after.gradient if ctx.added else None, found.weight, found.bias, None, None


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


def _forward(
    x: Tensor, weights: Sequence[PairWeights], norms: Sequence[tuple[nn.BatchNorm2d, nn.BatchNorm2d]], residual: bool
) -> tuple[Tensor, list[PairMaps]]:
    """Return the output of a chain, and what the backward pass of each pair needs."""
    part, found = forward_launch(x).tile, []
    for own, (norm1, norm2) in zip(weights, norms, strict=True):
        z1, partial = Convolution(own.conv1).with_statistics(x)
        first = BeforeNorm(z1, partial, part, norm1, added=None, relu=True)
        y, saved1 = first.normalised()
        z2, partial = Convolution(own.conv2).with_statistics(y)
        second = BeforeNorm(z2, partial, part, norm2, added=x if residual else None, relu=residual)
        out, saved2 = second.normalised()
        found.append(PairMaps(x, z1, y, z2, saved1, saved2))
        x = out
    return x, found


def _backward(
    after: NormGradient, weights: PairWeights, maps: PairMaps, before: PairMaps | None, residual: bool
) -> tuple[OfInput, PairWeights]:
    """Return the gradients of a pair's input and parameters.

    Args:
        after: the gradient of the output of the second BatchNorm.
        weights: of the pair.
        maps: of the pair.
        before: of the pair whose output is the input, if any.
        residual: whether the input is added to the output.
    """
    norm2 = after.of_inputs()
    of_y = Convolution(weights.conv2).input_gradient(norm2.images, before=BeforeRelu(maps.y, maps.z1, maps.saved1))
    conv2 = weight_gradient(maps.y, norm2.images, weights.conv2)
    norm1 = NormGradient(of_y.images, of_y.partial, maps.z1, maps.saved1, weights.scale1).of_inputs()
    of_x = Convolution(weights.conv1).input_gradient(
        norm1.images,
        before=BeforeRelu(maps.x, before.z2, before.saved2) if before else None,
        direct=after.gradient if residual else None,
    )
    conv1 = weight_gradient(maps.x, norm1.images, weights.conv1)
    return of_x, PairWeights(conv1, norm1.weight, norm1.bias, conv2, norm2.weight, norm2.bias)


class _Pairs(torch.autograd.Function):
    """A chain of norm2(conv2(relu(norm1(conv1(x))))); with `residual` of relu(norm2(...) + x).

    In a chain, one kernel writes the gradient of a pair's input and adds up what the BatchNorm before it needs.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, norms: Sequence[tuple[nn.BatchNorm2d, nn.BatchNorm2d]], residual: bool, *weights: Tensor
    ) -> Tensor:
        out, maps = _forward(x.contiguous(memory_format=LAYOUT), _split(weights), norms, residual)
        ctx.weights, ctx.residual = len(weights), residual
        ctx.save_for_backward(out if residual else None, *weights, *itertools.chain(*maps))
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Grads:
        """Return the gradients of the inputs from that of the output; those of the weights are written later."""
        out, *saved = ctx.saved_tensors
        weights = _split(saved[: ctx.weights])
        maps = [PairMaps(*each) for each in _groups(saved[ctx.weights :], len(PairMaps._fields))]
        last = maps[-1]
        gradient = gradient.contiguous(memory_format=LAYOUT)
        after = NormGradient.of(gradient, last.z2, last.saved2, weights[-1].scale2, out=out)
        found: list[PairWeights] = []
        for index in reversed(range(len(maps))):
            before = maps[index - 1] if index else None
            of_x, own = _backward(after, weights[index], maps[index], before, ctx.residual)
            found.append(own)
            if before:
                scale = weights[index - 1].scale2
                after = NormGradient(of_x.images, of_x.partial, before.z2, before.saved2, scale)
        return of_x.images, None, None, *itertools.chain(*reversed(found))


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
