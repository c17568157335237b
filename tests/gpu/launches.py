"""Times the 3x3 convolution kernels with several launches on a GPU, to choose those in repro/kernels/launch.py.

    PYTHONPATH=. python tests/gpu/launches.py [CHANNELS ...]

It prints the fastest launches of each kernel for batches of 64 in TF32, and leaves out those with wrong results. All
launches are compiled first, in parallel: without that, about a second each.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from repro.kernels.ahead import AHEAD
from repro.kernels.convolution import Convolution
from repro.kernels.launch import BACKWARD, FORWARD, GRADIENT, GradientLaunch, Launch
from repro.kernels.weight_gradient import PartialGradients

SIDES = {16: 32, 32: 16, 64: 8}
"""Height and width of the maps by channels, as in ResNet for CIFAR."""
REPEATS = 18
"""Launches between two readings of the clock, on three sets of maps in turn."""
LIMIT = 3e-3
"""Largest relative error of a right result in TF32."""


@dataclass(frozen=True)
class Candidate:
    """A kernel and one of its launches."""

    table: dict[int, Launch] | dict[int, GradientLaunch]
    channels: int
    launch: Launch | GradientLaunch


class Maps:
    """Random maps and a weight of one width."""

    def __init__(self, channels: int, batch: int, side: int, device: str) -> None:
        generator = torch.Generator().manual_seed(channels)

        def random(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator).to(device, memory_format=torch.channels_last)

        self.inputs, self.gradients = ([random(batch, channels, side, side) for _ in range(3)] for _ in range(2))
        self.weight = random(channels, channels, 3, 3) / (3 * channels**0.5)
        self.saved = torch.rand(2, channels, generator=generator).to(device)

    def computed(self, candidate: Candidate, number: int = 0) -> Tensor:
        """Return what a kernel computes from one set of maps."""
        candidate.table[candidate.channels] = candidate.launch  # type: ignore[assignment]
        x, gradient, conv = self.inputs[number % 3], self.gradients[number % 3], Convolution(self.weight)
        if candidate.table is FORWARD:
            return conv.with_statistics(x)[0]
        if candidate.table is BACKWARD:
            return conv.gradient_before(gradient, x, self.inputs[(number + 1) % 3], self.saved)[0]
        layers = PartialGradients(x, self.weight)
        found = layers.gradient(x, gradient)
        layers.write()
        return found

    def expected(self, candidate: Candidate) -> Tensor:
        """Return what a kernel should compute from the first set, in fp64."""
        x, gradient, weight = self.inputs[0].double(), self.gradients[0].double(), self.weight.double()
        if candidate.table is FORWARD:
            return F.conv2d(x, weight, padding=1)
        if candidate.table is BACKWARD:
            return F.conv_transpose2d(gradient, weight, padding=1) * (x > 0)
        return torch.nn.grad.conv2d_weight(x, weight.shape, gradient, padding=1)


def candidates(channels: int) -> Iterator[Candidate]:
    """Yield the launches that are tried."""
    for table, tile, warps, stages in itertools.product((FORWARD, BACKWARD), (32, 64, 128, 256), (2, 4, 8), (0, 3, 5)):
        for share in {min(32, channels), channels}:
            if 4 <= tile * share // (32 * warps) <= 64:
                yield Candidate(table, channels, Launch(tile=tile, warps=warps, stages=stages, share=share))
    for tile, taps, warps, parts in itertools.product((16, 32, 64), (1, 2, 4), (2, 4), (16, 32, 64, 128, 256)):
        if taps * channels <= 128:
            yield Candidate(GRADIENT, channels, GradientLaunch(tile=tile, taps=taps, warps=warps, parts=parts))


def microseconds(compute: Callable[[int], object], device: str) -> float:
    """Return the time of a launch: on a GPU within a CUDA graph, as in training."""
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
        expected = maps.expected(each)
        if (maps.computed(each).double() - expected).norm() <= LIMIT * expected.norm():
            found.append((microseconds(lambda number, each=each: maps.computed(each, number), device), each))
    return sorted(found, key=lambda pair: pair[0])


def main() -> None:
    """Print the five fastest launches of each kernel."""
    torch.backends.cuda.matmul.allow_tf32 = True
    for channels in map(int, sys.argv[1:] or SIDES):
        tried, maps = list(candidates(channels)), Maps(channels, 64, SIDES[channels], "cuda")
        for name, table in (("forward", FORWARD), ("backward", BACKWARD), ("gradient", GRADIENT)):
            print(f"{name}, {channels} channels, with what adds up the parts of a weight gradient")
            for time_, each in fastest([each for each in tried if each.table is table], maps, "cuda")[:5]:
                print(f"  {time_:6.2f} us  {each.launch}", flush=True)


if __name__ == "__main__":
    main()
