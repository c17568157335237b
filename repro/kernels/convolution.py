"""3x3 convolutions of few channels with what is in front of them and after them, and their gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import triton  # type: ignore[import-untyped]
from torch import Tensor

from repro.kernels.ahead import on_grid
from repro.kernels.batchnorm import BeforeNorm, Normed
from repro.kernels.batchnorm_gradient import Gradients, NormGradient
from repro.kernels.convolution_kernel import convolve
from repro.kernels.launch import BACKWARD, Launch, forward_launch
from repro.kernels.number_format import accumulator, accumulator_dtype, precision


@dataclass(frozen=True)
class _Front:
    """What is computed before a convolution, as arguments of its kernel."""

    images: Tensor
    code: int = 0
    """The `front` of `convolve`."""
    beside: Tensor | None = None
    written: Tensor | None = None
    norm: tuple[Any, ...] = ()
    padded: int = 1
    epsilon: float = 0.0
    momentum: float | None = None


class BeforeRelu(NamedTuple):
    """A BatchNorm and a ReLU in front of a convolution."""

    out: Tensor
    """Output of the ReLU."""
    images: Tensor
    """(B, C, H, W): input of the BatchNorm."""
    saved: Tensor
    """(2, C): its mean and 1 / deviation."""


@dataclass(frozen=True)
class _Ending:
    """What is computed after a convolution, as arguments of its kernel."""

    code: int = 0
    """The `ending` of `convolve`."""
    direct: Tensor | None = None
    before: BeforeRelu | None = None


class AfterNorm(NamedTuple):
    """A convolution of normalised maps."""

    normed: Normed
    """What is convolved."""
    out: Tensor
    """(B, C, H, W)"""
    partial: Tensor
    """(2, programs, C): mean and squared deviations of each tile's channels."""


class OfInput(NamedTuple):
    """The gradient of a convolution's input, from that of the output of the BatchNorm after it."""

    norm: Gradients
    """Of the BatchNorm."""
    images: Tensor
    """(B, C, H, W)"""
    partial: Tensor
    """(2, programs, C), for a BatchNorm before the convolution: sums of the gradient and of its products with the
    normalised input."""


@dataclass(frozen=True)
class Convolution:
    """A convolution of (B, C, H, W) with (C, C, 3, 3) and padding 1; all tensors are channels-last."""

    weight: Tensor

    def with_statistics(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the convolution, and mean and squared deviations of each tile's channels: (2, programs, C)."""
        return self._convolved(_Front(images), _Ending(1), forward_launch(images))

    def after_norm(self, before: BeforeNorm) -> AfterNorm:
        """Return the convolution of normalised maps, which have a ReLU, with its statistics."""
        launch = forward_launch(before.images)
        if not launch.norm:
            normed = before.normalised()
            return AfterNorm(normed, *self.with_statistics(normed.out))
        normed, module = before.written(), before.norm
        norm, padded = before.arguments(normed)
        front = _Front(before.images, 1, before.added, normed.out, norm, padded, module.eps, module.momentum)
        return AfterNorm(normed, *self._convolved(front, _Ending(1), launch))

    def input_gradient(
        self, after: NormGradient, *, before: BeforeRelu | None = None, direct: Tensor | None = None
    ) -> OfInput:
        """Return the gradient of the input.

        Args:
            after: the gradient of the output of the BatchNorm after this convolution.
            before: a BatchNorm with ReLU whose output is the input; the gradient is then that before the ReLU.
            direct: the gradient of a shortcut past this convolution, which is added to that of the input.
        """
        launch = BACKWARD[after.images.shape[1]].of(after.images)
        if launch.norm:
            found = after.written()
            norm, padded = after.arguments(found)
            front = _Front(after.gradient, 2, after.images, found.images, norm, padded)
        else:
            found = after.of_inputs()
            front = _Front(found.images)
        return OfInput(
            found, *self._convolved(front, _Ending(2 if before else 0, direct, before), launch, transposed=True)
        )

    def _convolved(
        self, front: _Front, ending: _Ending, launch: Launch, *, transposed: bool = False
    ) -> tuple[Tensor, Tensor]:
        images, beside, direct = front.images, front.beside, ending.direct
        batch, channels, height, width = images.shape
        rows, share = batch * height * width, min(launch.share, channels)
        programs = triton.cdiv(rows, launch.tile)
        out = torch.empty_like(images)
        partial = torch.empty((2, programs, channels), dtype=accumulator_dtype(images), device=images.device)
        on_grid(convolve, (programs, channels // share))(
            images, images if beside is None else beside, images if front.written is None else front.written,
            front.norm, self.weight, out, partial, images if direct is None else direct,
            *(ending.before or (images,) * 3), rows, front.epsilon, front.momentum, height, width, channels,
            front.padded, launch.tile, share, launch.stages, launch.taps, front.code, beside is not None, transposed,
            direct is not None, ending.code, rows % launch.tile == 0, accumulator(images), precision(images),
            num_warps=launch.warps,
        )  # fmt: skip
        return out, partial
