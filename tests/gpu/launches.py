"""Times kernels with several launches on a GPU, to choose those in repro/kernels/launch.py.

    PYTHONPATH=.:tests python tests/gpu/launches.py [--present] [CHANNELS ...]

It prints the fastest launches of each kernel for batches of 64 in TF32, and leaves out those with wrong results or
errors. All launches are compiled first, in parallel: without that, one to three seconds each. Each width has a process
of its own, so an illegal memory access costs the results of one width only.
"""

from __future__ import annotations

import argparse
import fcntl
import itertools
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from gpu.passes import Passes
from repro.kernels.ahead import AHEAD
from repro.kernels.launch import BACKWARD, FORWARD, GRADIENT, NORM, GradientLaunch, Launch, NormLaunch

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
    "gradients of the weights, for each convolution": GRADIENT,
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

    @property
    def layers(self) -> int:
        """Convolutions of a pass, if their number depends on the launch."""
        return self.launch.layers if isinstance(self.launch, GradientLaunch) else 1

    def computed(self, passes: Passes, number: int = 0) -> list[Tensor]:
        """Return what the kernel computes from one set of maps."""
        self.use()
        if self.table is GRADIENT:
            return passes.weight_gradients(number)
        forward = [] if self.table is BACKWARD else passes.forward(number)
        return forward if self.table is FORWARD else [*forward, *passes.backward(number)]


def expected(table: Table, passes: Passes) -> list[Tensor]:
    """Return what candidates of a table should compute from the first set, in fp64.

    Those of GRADIENT compute the first of these results, or all.
    """
    if table is GRADIENT:
        return passes.expected_weight_gradients(max(LAYERS))
    forward = [] if table is BACKWARD else passes.expected_forward()
    return forward if table is FORWARD else [*forward, *passes.expected_backward()]


LAYERS = (1, 3, 6)
"""Convolutions whose weight gradients are computed at once."""


def candidates(channels: int) -> Iterator[Candidate]:
    """Yield the launches that are tried."""
    for values, warps in itertools.product((2048, 4096, 8192, 16384), (4, 8, 16)):
        if 8 <= values // (32 * warps) <= 64:
            yield Candidate(NORM, channels, NormLaunch(values=values, warps=warps))
    images = torch.empty((64, channels, SIDES[channels], SIDES[channels]), device="meta")
    for tile, warps, stages in itertools.product((32, 64, 128, 256), (2, 4, 8), (0, 3, 5)):
        for share in {min(32, channels), channels}:
            launch = Launch(tile=tile, warps=warps, stages=stages, share=share)
            fits = 8 <= tile * share // (32 * warps) <= 32
            fits &= stages * (tile + share) * channels <= SHARED // 4
            fits &= stages > 0 or tile * channels // (32 * warps) <= 32  # otherwise they take minutes to compile
            if fits and launch.of(images) == launch:
                yield from (Candidate(table, channels, launch) for table in (FORWARD, BACKWARD))
    present = GRADIENT[channels]
    for layers in LAYERS:
        yield Candidate(GRADIENT, channels, replace(present, layers=layers))
    for tile, taps, warps, parts, stages in itertools.product((32, 64), (1, 2, 4), (2, 4), (32, 64, 128), (1, 3)):
        if taps * channels <= 128:
            launch = GradientLaunch(tile=tile, taps=taps, warps=warps, parts=parts, stages=stages)
            yield Candidate(GRADIENT, channels, replace(launch, layers=present.layers))


class Timed(NamedTuple):
    """A candidate, and how its passes went."""

    candidate: Candidate
    microseconds: float
    apart: float
    """Largest relative error of a result."""


def timed(candidate: Candidate, passes: Passes, right: Sequence[Tensor], device: str) -> Timed:
    """Return the time of a pass, on a GPU within a CUDA graph as in training, and the error of its results."""
    found = candidate.computed(passes)
    if device == "cpu":
        begin = time.perf_counter()
        candidate.computed(passes)
        return Timed(candidate, 1e6 * (time.perf_counter() - begin) / candidate.layers, apart(found, right))
    graph, start, end = torch.cuda.CUDAGraph(), *(torch.cuda.Event(enable_timing=True) for _ in range(2))
    with torch.cuda.graph(graph):
        kept = [candidate.computed(passes, number) for number in range(REPEATS)]
    graph.replay()
    times = []
    for _ in range(3):
        start.record()
        graph.replay()
        end.record()
        end.synchronize()
        times.append(1000 * start.elapsed_time(end) / len(kept) / candidate.layers)
    return Timed(candidate, min(times), max(apart(found, right), apart(kept[0], right)))


def apart(found: Sequence[Tensor], right: Sequence[Tensor]) -> float:
    """Return the largest relative error of a result; infinite if one is NaN."""
    pairs = zip(found, right[: len(found)], strict=True)
    errors = [float((one.double() - other).norm() / other.norm()) for one, other in pairs]
    return max(math.inf if math.isnan(each) else each for each in errors)


def compile_ahead(tried: Sequence[Candidate], passes: Passes) -> None:
    """Compile the kernels of all candidates in parallel; those with errors are compiled again when they are timed."""
    with AHEAD.compiling(ignore_errors=True):
        for each in tried:
            each.computed(passes)


def fastest(tried: Sequence[Candidate], passes: Passes, device: str) -> list[Timed]:
    """Return the candidates of one table that have right results, the fastest first."""
    right, found = expected(tried[0].table, passes), []
    for each in tried:
        try:
            found.append(timed(each, passes, right, device))
        except Exception as error:  # too few resources, an error of the compiler, or an illegal memory access
            print(f"  {type(error).__name__}: {each.launch}", flush=True)
    return sorted((each for each in found if each.apart <= LIMIT), key=lambda each: each.microseconds)


@contextmanager
def alone(lock: str) -> Iterator[None]:
    """Let no other process time kernels meanwhile."""
    with open(lock, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def time_width(channels: int, present_only: bool, lock: str) -> None:
    """Print the five fastest launches of each kernel, and use the fastest with those that are timed next."""
    tried = [] if present_only else list(candidates(channels))
    passes = Passes(channels, 64, SIDES[channels], "cuda")
    for name, table in TABLES.items():
        present = Candidate(table, channels, table[channels])
        own = [present, *(each for each in tried if each.table is table)]
        compile_ahead(own, passes)
        with alone(lock):
            found = fastest(own, passes, "cuda")
            print(f"{name}, {channels} channels")
            for each in found[:5]:
                print(f"  {each.microseconds:6.2f} us  {each.candidate.launch}")
            for each in found:
                if each.candidate is present:
                    print(f"  {each.microseconds:6.2f} us  at present", flush=True)
        (found[0].candidate if found else present).use()


def main() -> None:
    """Time the kernels of each width in a process of its own: all compile at once, and one at a time is timed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("channels", nargs="*", type=int, default=list(SIDES))
    parser.add_argument("--present", action="store_true", help="time only the launches that are in use")
    parser.add_argument("--lock", help="for the process of one width")
    given = parser.parse_args()
    if given.lock is None:
        switches = [each for each in sys.argv[1:] if each.startswith("--")]
        with tempfile.NamedTemporaryFile() as lock:
            command = [sys.executable, __file__, *switches, "--lock", lock.name]
            started = [subprocess.Popen([*command, str(each)]) for each in given.channels]
            sys.exit(max(each.wait() for each in started))
    torch.backends.cuda.matmul.allow_tf32 = True
    time_width(*given.channels, given.present, given.lock)


if __name__ == "__main__":
    main()
