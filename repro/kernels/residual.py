"""BatchNorm with what follows it, and two 3x3 convolutions with theirs, in training mode as autograd functions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from repro.kernels.batchnorm import gradient_sums, gradients, normalise, statistics, tiles
from repro.kernels.beside import BESIDE
from repro.kernels.convolution import Convolution
from repro.kernels.launch import forward_launch

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


class _Pair(torch.autograd.Function):
    """norm2(conv2(relu(norm1(conv1(x))))); with `residual` relu(norm2(...) + x)."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, conv1: Tensor, weight1: Tensor, bias1: Tensor, conv2: Tensor, weight2: Tensor,
        bias2: Tensor, norm1: nn.BatchNorm2d, norm2: nn.BatchNorm2d, residual: bool,
    ) -> Tensor:  # fmt: skip
        x = x.contiguous(memory_format=LAYOUT)
        part = forward_launch(x).tile
        z1, partial = Convolution(conv1).with_statistics(x)
        y, saved1 = normalise(z1, partial, part, norm1, added=None, relu=True)
        z2, partial = Convolution(conv2).with_statistics(y)
        out, saved2 = normalise(z2, partial, part, norm2, added=x if residual else None, relu=residual)
        ctx.save_for_backward(x, z1, y, z2, out if residual else None, conv1, conv2, weight1, weight2, saved1, saved2)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Grads:
        """Return the gradients of the inputs from that of the output; those of the weights wait for `BESIDE.join`."""
        x, z1, y, z2, out, conv1, conv2, weight1, weight2, saved1, saved2 = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=LAYOUT)
        partial = gradient_sums(gradient, out, z2, saved2)
        second = gradients(gradient, out, z2, saved2, partial, weight2)
        with BESIDE.launched(y, second.images):
            of_conv2 = Convolution(conv2).weight_gradient(y, second.images)
        before, partial = Convolution(conv2).gradient_before(second.images, y, z1, saved1)
        first = gradients(before, None, z1, saved1, partial, weight1)
        with BESIDE.launched(x, first.images):
            of_conv1 = Convolution(conv1).weight_gradient(x, first.images)
        direct = None if out is None else (out, gradient)
        of_x = Convolution(conv1).input_gradient(first.images, direct)
        return of_x, of_conv1, first.weight, first.bias, of_conv2, second.weight, second.bias, None, None, None


def norm(module: nn.BatchNorm2d, images: Tensor, added: Tensor | None = None, *, relu: bool) -> Tensor:
    """Return the normalised images plus `added`, after a ReLU if wanted; the module's counter is left alone."""
    result: Tensor = _Norm.apply(images, added, module.weight, module.bias, module, relu)
    return result


def pair(
    x: Tensor, conv1: nn.Conv2d, norm1: nn.BatchNorm2d, conv2: nn.Conv2d, norm2: nn.BatchNorm2d, *, residual: bool
) -> Tensor:
    """Return norm2(conv2(relu(norm1(conv1(x))))), or relu(that + x); the modules' counters are left alone."""
    of1, of2 = (conv1.weight, norm1.weight, norm1.bias), (conv2.weight, norm2.weight, norm2.bias)
    result: Tensor = _Pair.apply(x, *of1, *of2, norm1, norm2, residual)
    return result
