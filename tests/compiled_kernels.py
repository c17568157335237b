"""Compiles kernels for a Hopper GPU, on a machine without one; run in a process of its own.

It prints the number of kernels that are compiled ahead of a step, by a copy of the networks; the number after the step;
and the most shared memory of a kernel, in bytes.
"""

import copy
import json
import os
from pathlib import Path
from typing import Any

import torch
import triton
from torch import nn
from triton.backends.compiler import GPUTarget
from triton.backends.nvidia.driver import CudaDriver

from repro.kernels import gate
from repro.kernels.ahead import AHEAD
from repro.kernels.batchnorm import BeforeNorm
from repro.kernels.batchnorm_gradient import NormGradient
from repro.kernels.convolution import BeforeRelu, Convolution
from repro.kernels.fuse import use_kernels
from repro.kernels.launch import BACKWARD
from repro.kernels.side_streams import SIDE_STREAMS
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


def compiled() -> list[Any]:
    """Return the metadata of all compiled kernels."""
    folder = Path(os.environ["TRITON_CACHE_DIR"])
    return [json.loads(each.with_suffix(".json").read_text()) for each in folder.rglob("*.cubin")]


def take_step(network: nn.Module) -> None:
    """Take a step on 16 images."""
    with SIDE_STREAMS.joined():
        network(torch.zeros(16, 3, 8, 8).to(memory_format=torch.channels_last)).sum().backward()


def convolve_large_maps(channels: int) -> None:
    """Take the passes of a convolution of many pixels, whose tiles are the largest."""
    images = torch.zeros(2048, channels, 8, 8).to(memory_format=torch.channels_last)
    conv = Convolution(torch.zeros(channels, channels, 3, 3).to(memory_format=torch.channels_last))
    before = BeforeNorm.of(images, nn.BatchNorm2d(channels), added=images, relu=True)
    out, saved = before.normalised()
    conv.with_statistics(out)
    after = NormGradient.of(images, images, saved, torch.ones(channels), out=out)
    conv.input_gradient(after.of_inputs().images, before=BeforeRelu(out, images, saved), direct=images)


if __name__ == "__main__":
    triton.runtime.driver.set_active(Hopper())
    torch.backends.cuda.matmul.allow_tf32 = True
    gate.INTERPRETED = True  # accept maps on a CPU
    networks = [resnet_cifar(depth=14, classes=10), denseresnet_cifar(depth=8, N=1, classes=10)]
    for network in networks:
        use_kernels(network.to(memory_format=torch.channels_last))
    with AHEAD.compiling():
        for network in networks:
            take_step(copy.deepcopy(network))
    print(len(compiled()))
    AHEAD.active = True  # compile what is not compiled, one kernel after another
    for network in networks:
        take_step(network)
    print(len(compiled()))
    with AHEAD.compiling():
        for channels in BACKWARD:
            convolve_large_maps(channels)
    print(max(each["shared"] for each in compiled()))
