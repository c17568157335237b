"""Compiles kernels for a Hopper GPU, on a machine without one; run in a process of its own.

It prints the number of compiled kernels after a step in which they are compiled ahead, and after another such step.
"""

import os
from pathlib import Path

import torch
import triton
from torch import nn
from triton.backends.compiler import GPUTarget
from triton.backends.nvidia.driver import CudaDriver

from repro.kernels import gate
from repro.kernels.ahead import AHEAD
from repro.kernels.beside import BESIDE
from repro.kernels.fuse import use_kernels
from repro.models.dense_resnet import denseresnet_cifar
from repro.models.resnet import resnet_cifar


class Hopper(CudaDriver):
    """A driver that knows what it compiles for and launches nothing."""

    def __init__(self) -> None:
        pass

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", 90, 32)

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int = 0) -> int:
        return 0


def compiled() -> int:
    """Return how many kernels are compiled."""
    return len(list(Path(os.environ["TRITON_CACHE_DIR"]).rglob("*.cubin")))


def compile_step(network: nn.Module, channels: int) -> None:
    """Compile the kernels of a step of a network on 16 images."""
    images = torch.zeros(16, channels, 8, 8).to(memory_format=torch.channels_last)
    with AHEAD.compiling():
        network(images).sum().backward()
        BESIDE.join()


if __name__ == "__main__":
    triton.runtime.driver.set_active(Hopper())
    torch.backends.cuda.matmul.allow_tf32 = True
    gate.INTERPRETED = True  # accept maps on a CPU
    residual, dense = resnet_cifar(depth=14, classes=10), denseresnet_cifar(depth=8, N=1, classes=10)
    for network in (residual, dense):
        use_kernels(network.to(memory_format=torch.channels_last))
    for _ in range(2):
        compile_step(residual.stages[0], 16)
        compile_step(dense, 3)
        print(compiled())
