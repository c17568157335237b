"""Times kernels with several launches on a GPU, to choose those in repro/kernels/launch.py.

    PYTHONPATH=. python tests/gpu/launches.py [--overlap] [--present] [CHANNELS ...]

It prints the fastest launches of each kernel for batches of 64 in TF32, and leaves out those with wrong results. All
launches are compiled first, in parallel: without that, about a second each.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
import triton.language as tl  # type: ignore[import-untyped]
from torch import Tensor, nn
from triton.runtime.errors import OutOfResources  # type: ignore[import-untyped]

from repro.kernels import overlap
from repro.kernels.ahead import AHEAD
from repro.kernels.batchnorm import BeforeNorm
from repro.kernels.batchnorm_gradient import NormGradient
from repro.kernels.convolution import BeforeRelu, Convolution, OfInput
from repro.kernels.launch import (
    BACKWARD,
    FORWARD,
    GRADIENT,
    NORM,
    GradientLaunch,
    Launch,
    NormLaunch,
    forward_launch,
)
from repro.kernels.weight_gradient import PartialGradients

SIDES = {16: 32, 32: 16, 64: 8}
"""Height and width of the maps by channels, as in ResNet for CIFAR."""
REPEATS = 6
"""Passes between two readings of the clock, on three sets of maps in turn."""
LIMIT = 3e-3
"""Largest relative error of a right result in TF32."""
SHARED = 227 * 1024
"""Bytes of shared memory of a program at most."""


Table = dict[int, Launch] | dict[int, GradientLaunch] | dict[int, NormLaunch]
TABLES: dict[str, Table] = {
    "BatchNorm, in the passes of three and of two convolutions": NORM,
    "forward pass of three convolutions with BatchNorm": FORWARD,
    "backward pass of two convolutions with BatchNorm": BACKWARD,
    "gradients of the weights of six convolutions": GRADIENT,
}
"""What is timed, in order; BatchNorm reads the sums of each tile of a convolution, so both are timed together."""


@dataclass(frozen=True)
class Candidate:
    """A kernel and one of its launches."""

    table: Table
    channels: int
    launch: Launch | GradientLaunch | NormLaunch

    def use(self) -> None:
        """Let the kernel use this launch."""
        self.table[self.channels] = self.launch  # type: ignore[assignment]


class Block(NamedTuple):
    """Maps of out = norm(z2) + y1, with z2 = conv(y2), y2 = relu(norm(z1)), z1 = conv(y1) and y1 = relu(norm(x))."""

    x: Tensor
    of_out: Tensor
    """Gradient of `out`."""
    first: BeforeRelu
    """y1, x and the statistics of x."""
    second: BeforeRelu
    """y2, z1 and the statistics of z1."""
    after: NormGradient
    """The gradient of `out`, and z2."""


class Maps:
    """Random maps and a weight of one width."""

    def __init__(self, channels: int, batch: int, side: int, device: str) -> None:
        generator = torch.Generator().manual_seed(channels)

        def random(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator).to(device, memory_format=torch.channels_last)

        self.weight = random(channels, channels, 3, 3) / (3 * channels**0.5)
        self.conv, self.norm = Convolution(self.weight), nn.BatchNorm2d(channels).to(device)
        maps = ((random(batch, channels, side, side), random(batch, channels, side, side)) for _ in range(3))
        self.blocks = [self._block(x, of_out) for x, of_out in maps]

    def _block(self, x: Tensor, of_out: Tensor) -> Block:
        (y1, saved), z1, partial = self.conv.after_norm(BeforeNorm.of(x, self.norm, added=None, relu=True))
        (y2, saved1), z2, partial = self.conv.after_norm(self._before(z1, partial))
        saved2 = self._before(z2, partial).normalised().saved
        after = NormGradient.of(of_out, z2, saved2, self.norm.weight, out=None)
        return Block(x, of_out, BeforeRelu(y1, x, saved), BeforeRelu(y2, z1, saved1), after)

    def _before(self, images: Tensor, partial: Tensor, added: Tensor | None = None) -> BeforeNorm:
        return BeforeNorm(images, partial, forward_launch(images).tile, self.norm, added, True)

    def computed(self, candidate: Candidate, number: int = 0) -> list[Tensor]:
        """Return what a kernel computes from one set of maps."""
        candidate.use()
        block = self.blocks[number % 3]
        if candidate.table is FORWARD:
            return [self._forward(block.x)]
        if candidate.table is BACKWARD:
            return [self._backward(block)]
        if candidate.table is NORM:
            return [self._forward(block.x), self._backward(block)]
        layers = PartialGradients(block.x, self.weight)
        found = [layers.gradient(block.x, block.of_out)]
        for each in itertools.cycle(self.blocks):
            if layers.full:
                break
            layers.gradient(each.x, each.of_out)
        layers.write()
        return found

    def _forward(self, x: Tensor) -> Tensor:
        """Return x after three convolutions with BatchNorm and ReLU, of which the second has a shortcut."""
        images, partial = self.conv.with_statistics(x)
        for added in (None, x):
            _, images, partial = self.conv.after_norm(self._before(images, partial, added))
        return self._before(images, partial).normalised().out

    def _backward(self, block: Block) -> Tensor:
        """Return the gradient of x."""
        second = self.conv.input_gradient(block.after, before=block.second)
        first = self.conv.input_gradient(self._after(second, block.second), before=block.first, direct=block.of_out)
        return self._after(first, block.first).of_inputs().images

    def _after(self, found: OfInput, relu: BeforeRelu) -> NormGradient:
        return NormGradient(found.images, found.partial, relu.images, relu.saved, self.norm.weight)

    def expected(self, candidate: Candidate) -> list[Tensor]:
        """Return what a kernel should compute from the first set, in fp64."""
        x, of_out, weight = self.blocks[0].x.double(), self.blocks[0].of_out.double(), self.weight.double()
        if candidate.table is GRADIENT:
            return [torch.nn.grad.conv2d_weight(x, weight.shape, of_out, padding=1)]

        def normed(images: Tensor) -> Tensor:
            return F.batch_norm(images, None, None, training=True)

        def convolved(images: Tensor) -> Tensor:
            return normed(F.conv2d(images, weight, padding=1))

        forward = convolved((convolved(convolved(x).relu()) + x).relu()).relu()
        x.requires_grad_()
        y1 = normed(x).relu()
        (convolved(convolved(y1).relu()) + y1).backward(of_out)
        assert x.grad is not None
        found = {id(FORWARD): [forward], id(BACKWARD): [x.grad], id(NORM): [forward, x.grad]}
        return found[id(candidate.table)]


def candidates(channels: int) -> Iterator[Candidate]:
    """Yield the launches that are tried."""
    for values, warps in itertools.product((2048, 4096, 8192, 16384), (4, 8, 16)):
        if 8 <= values // (32 * warps) <= 64:
            yield Candidate(NORM, channels, NormLaunch(values=values, warps=warps))
    images = torch.empty((64, channels, SIDES[channels], SIDES[channels]), device="meta")
    for tile, warps, (stages, taps), norm in itertools.product(
        (32, 64, 128, 256), (2, 4, 8), ((0, 1), (0, 3), (0, 9), (3, 1)), (False, True)
    ):
        for share in {min(32, channels), channels}:
            launch = Launch(tile=tile, warps=warps, stages=stages, taps=taps, share=share, norm=norm)
            fits = 8 <= tile * share // (32 * warps) <= 32 and taps * (tile + share) * channels <= SHARED // 4
            if fits and launch.of(images) == launch and (norm or taps > 1):  # the others were timed before
                yield from (Candidate(table, channels, launch) for table in (FORWARD, BACKWARD))
    for tile, taps, warps, parts, stages in itertools.product((32, 64), (1, 2, 4), (2, 4), (32, 64, 128), (1, 3)):
        if taps * channels <= 128:
            launch = GradientLaunch(tile=tile, taps=taps, warps=warps, parts=parts, stages=stages)
            yield Candidate(GRADIENT, channels, launch)


def microseconds(compute: Callable[[int], object], device: str) -> float:
    """Return the time of a pass: on a GPU within a CUDA graph, as in training."""
    if device == "cpu":
        begin = time.perf_counter()
        compute(0)
        return 1e6 * (time.perf_counter() - begin)
    graph, start, end = torch.cuda.CUDAGraph(), *(torch.cuda.Event(enable_timing=True) for _ in range(2))
    with torch.cuda.graph(graph):
        kept = [compute(number) for number in range(REPEATS)]
    graph.replay()
    times = []
    for _ in range(3):
        start.record()
        graph.replay()
        end.record()
        end.synchronize()
        times.append(1000 * start.elapsed_time(end) / len(kept))
    return min(times)


def fastest(tried: list[Candidate], maps: Maps, device: str) -> list[tuple[float, Candidate]]:
    """Return the candidates with right results and their microseconds, the fastest first."""
    if device != "cpu":
        with AHEAD.compiling():
            for each in tried:
                maps.computed(each)
    found = []
    for each in tried:
        with suppress(OutOfResources):  # of shared memory or registers
            if all(apart(*both) <= LIMIT for both in zip(maps.computed(each), maps.expected(each), strict=True)):
                found.append((microseconds(lambda number, each=each: maps.computed(each, number), device), each))
    return sorted(found, key=lambda pair: pair[0])


def apart(found: Tensor, expected: Tensor) -> float:
    """Return the relative error."""
    return float((found.double() - expected).norm() / expected.norm())


def main() -> None:
    """Print the five fastest launches of each kernel, and use the fastest with those that are timed next."""
    parser = argparse.ArgumentParser()
    parser.add_argument("channels", nargs="*", type=int, default=list(SIDES))
    parser.add_argument("--overlap", action="store_true", help="launch a kernel before the one in front of it ends")
    parser.add_argument("--present", action="store_true", help="time only the launches that are in use")
    given = parser.parse_args()
    overlap.OVERLAPS = tl.constexpr(given.overlap)
    torch.backends.cuda.matmul.allow_tf32 = True
    for channels in given.channels:
        tried, maps = [] if given.present else list(candidates(channels)), Maps(channels, 64, SIDES[channels], "cuda")
        for name, table in TABLES.items():
            present = Candidate(table, channels, table[channels])
            found = fastest([present, *(each for each in tried if each.table is table)], maps, "cuda")
            print(f"{name}, {channels} channels")
            print(f"  {next(time_ for time_, each in found if each is present):6.2f} us  at present")
            for time_, each in found[:5]:
                print(f"  {time_:6.2f} us  {each.launch}", flush=True)
            found[0][1].use()


if __name__ == "__main__":
    main()
