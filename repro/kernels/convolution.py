"""3x3 convolutions of few channels, with sums for the BatchNorm next to them, and the gradients of their input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import triton  # type: ignore[import-untyped]
from torch import Tensor

from repro.kernels.ahead import on_grid
from repro.kernels.convolution_kernel import convolve
from repro.kernels.launch import BACKWARD, Launch, forward_launch
from repro.kernels.number_format import accumulator, accumulator_dtype, precision


class BeforeRelu(NamedTuple):
    """A BatchNorm and a ReLU in front of a convolution."""

    out: Tensor
    """Output of the ReLU."""
    images: Tensor
    """(B, C, H, W): input of the BatchNorm."""
    saved: Tensor
    """(2, C): its mean and 1 / deviation."""


class OfInput(NamedTuple):
    """The gradient of a convolution's input."""

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
        return self._convolved(images, forward_launch(images))

    def input_gradient(
        self, gradient: Tensor, *, before: BeforeRelu | None = None, direct: Tensor | None = None
    ) -> OfInput:
        """Return the gradient of the input.

        Args:
            gradient: (B, C, H, W): of the output.
            before: a BatchNorm with ReLU whose output is the input; the gradient is then that before the ReLU.
            direct: the gradient of a shortcut past this convolution, which is added to that of the input.
        """
        launch = BACKWARD[gradient.shape[1]].of(gradient)
        return OfInput(*self._convolved(gradient, launch, transposed=True, before=before, direct=direct))

    def _convolved(
        self,
        images: Tensor,
        launch: Launch,
        *,
        transposed: bool = False,
        before: BeforeRelu | None = None,
        direct: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        batch, channels, height, width = images.shape
        rows, share = batch * height * width, min(launch.share, channels)
        programs = triton.cdiv(rows, launch.tile)
        out = torch.empty_like(images)
        partial = torch.empty((2, programs, channels), dtype=accumulator_dtype(images), device=images.device)
        on_grid(convolve, (programs, channels // share))(
            images, self.weight, out, partial, images if direct is None else direct,
            *(before or (images,) * 3), rows, height, width, channels, launch.tile, share, launch.stages,
            transposed, direct is not None, before is not None, rows % launch.tile == 0, accumulator(images.dtype),
            precision(images), num_warps=launch.warps,
        )  # fmt: skip
        return out, partial
