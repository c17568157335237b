"""Forward and backward passes of a few convolutions with BatchNorm, to check and to time their kernels.

The maps of a block are computed by torch in fp64, so the ReLUs of what is found and of what is expected agree.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from repro.kernels.batchnorm import BeforeNorm
from repro.kernels.batchnorm_gradient import Gradients, NormGradient
from repro.kernels.convolution import BeforeRelu, Convolution, OfInput
from repro.kernels.launch import forward_launch
from repro.kernels.weight_gradient import PartialGradients

EPSILON = 1e-5


class Block(NamedTuple):
    """Maps of norm(z2) + y1, with z2 = conv(y2), y2 = relu(norm(z1)), z1 = conv(y1) and y1 = relu(norm(x))."""

    of_out: Tensor
    """Gradient of the output."""
    after: NormGradient
    """The same, with z2."""
    second: BeforeRelu
    """y2, z1 and its statistics."""
    first: BeforeRelu
    """y1, x and its statistics."""


def normed(images: Tensor, weight: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
    """Return the normalised maps."""
    return F.batch_norm(images, None, None, weight, bias, training=True, eps=EPSILON)


def saved(images: Tensor) -> Tensor:
    """Return (2, C): the mean and 1 / deviation of each channel."""
    variance, mean = torch.var_mean(images.double(), (0, 2, 3), correction=0)
    return torch.stack([mean, (variance + EPSILON).rsqrt()]).float()


def _single(images: Tensor) -> Tensor:
    return images.float().contiguous(memory_format=torch.channels_last)


class Passes:
    """Passes over blocks of random maps of one width, with one weight."""

    def __init__(self, channels: int, batch: int, side: int, device: str) -> None:
        generator = torch.Generator().manual_seed(channels)

        def random(*shape: int) -> Tensor:
            drawn = torch.randn(shape, generator=generator, dtype=torch.float64)
            return drawn.float().to(device, memory_format=torch.channels_last)

        self.weight = random(channels, channels, 3, 3) / (3 * channels**0.5)
        self.conv, self.norm = Convolution(self.weight), nn.BatchNorm2d(channels, eps=EPSILON).to(device)
        pairs = [(random(batch, channels, side, side), random(batch, channels, side, side)) for _ in range(3)]
        self.blocks = [self._block(*pair) for pair in pairs]

    def _convolved(self, images: Tensor) -> Tensor:
        return F.conv2d(images, self.weight.double(), padding=1)

    def _block(self, x: Tensor, of_out: Tensor) -> Block:
        y1 = normed(x.double()).relu()
        z1 = self._convolved(y1)
        y2 = normed(z1).relu()
        y1, z1, y2, z2 = (_single(each) for each in (y1, z1, y2, self._convolved(y2)))
        mean, inverse = saved(z2).view(2, 1, -1, 1, 1)
        sums = torch.stack([each.sum((0, 2, 3)) for each in (of_out, of_out * (z2 - mean) * inverse)])[:, None]
        after = NormGradient(of_out, sums.contiguous(), z2, saved(z2), self.norm.weight)
        return Block(of_out, after, BeforeRelu(y2, z1, saved(z1)), BeforeRelu(y1, x, saved(x)))

    def forward(self, number: int) -> list[Tensor]:
        """Return the maps after each of three convolutions of x with BatchNorm and ReLU; the second has a shortcut."""
        x, found = self.blocks[number % 3].first.images, []
        out = x
        for added in (None, x, None):
            images, partial = self.conv.with_statistics(out)
            tile = forward_launch(images).tile
            out, _ = BeforeNorm(images, partial, tile, self.norm, added, relu=True).normalised()
            found.append(out)
        return found

    def expected_forward(self) -> list[Tensor]:
        """Return what `forward` should return, in fp64."""
        x = self.blocks[0].first.images.double()
        y1 = normed(self._convolved(x)).relu()
        y2 = (normed(self._convolved(y1)) + x).relu()
        return [y1, y2, normed(self._convolved(y2)).relu()]

    def backward(self, number: int) -> list[Tensor]:
        """Return the gradients of z2, z1, x, and of the weights and biases of their BatchNorms."""
        block = self.blocks[number % 3]
        of_z2 = block.after.of_inputs()
        of_z1 = self._after(self.conv.input_gradient(of_z2.images, before=block.second), block.second)
        of_y1 = self.conv.input_gradient(of_z1.images, before=block.first, direct=block.of_out)
        return [*of_z2, *of_z1, *self._after(of_y1, block.first)]

    def _after(self, found: OfInput, relu: BeforeRelu) -> Gradients:
        return NormGradient(found.images, found.partial, relu.images, relu.saved, self.norm.weight).of_inputs()

    def expected_backward(self) -> list[Tensor]:
        """Return what `backward` should return, in fp64."""
        block = self.blocks[0]
        x = block.first.images.double().requires_grad_()
        scales = [torch.ones_like(x[0, :, 0, 0]).detach().requires_grad_() for _ in range(3)]
        shifts = [torch.zeros_like(each).requires_grad_() for each in scales]
        y1 = normed(x, scales[0], shifts[0]).relu()
        z1 = self._convolved(y1)
        z2 = self._convolved(normed(z1, scales[1], shifts[1]).relu())
        out = normed(z2, scales[2], shifts[2]) + y1
        inputs = itertools.chain(*zip((z2, z1, x), reversed(scales), reversed(shifts), strict=True))
        return list(torch.autograd.grad(out, list(inputs), block.of_out.double()))

    def weight_gradients(self, number: int) -> list[Tensor]:
        """Return the gradients of the weights of as many convolutions as are computed at once."""
        layers, found = PartialGradients(self.blocks[0].of_out, self.weight), []
        for images, of_out in itertools.islice(itertools.cycle(self._pairs()), 3 * (number % 3), None):
            found.append(layers.gradient(images, of_out))
            if layers.full:
                break
        layers.write()
        return found

    def _pairs(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield nine pairs of maps, none of which is in another pair."""
        for each in self.blocks:
            (y1, x, _), (y2, z1, _) = each.first, each.second
            yield from ((x, each.of_out), (y1, z1), (y2, each.after.images))

    def expected_weight_gradients(self, layers: int) -> list[Tensor]:
        """Return what `weight_gradients` should return, in fp64."""
        pairs = itertools.islice(itertools.cycle(self._pairs()), layers)
        shape = self.weight.shape
        return [torch.nn.grad.conv2d_weight(x.double(), shape, of_out.double(), padding=1) for x, of_out in pairs]
