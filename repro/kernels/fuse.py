"""Changes that let a network use the kernels: same parameters, buffers and names, other forward methods."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor, nn

from repro.kernels.convolution import CONVOLVE
from repro.kernels.gate import FusedGate, FusedGatedBlock
from repro.kernels.residual import fits, norm, pair
from repro.models.dense_resnet import DenseResNet
from repro.models.resnet import BasicBlock


class FusedNorm(nn.BatchNorm2d):
    """BatchNorm2d, in training mode by the kernels."""

    def forward(self, input: Tensor) -> Tensor:
        """Return the normalised maps."""
        return norm(self, input, relu=False) if fits(self) else super().forward(input)


class FusedNormReLU(nn.BatchNorm2d):
    """BatchNorm2d and the ReLU after it."""

    def forward(self, input: Tensor) -> Tensor:
        """Return the normalised maps, where they are above 0."""
        return norm(self, input, relu=True) if fits(self) else super().forward(input).relu_()


class FusedBasicBlock(BasicBlock):
    """BasicBlock, in training mode by the kernels."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        if not (fits(self.bn1) and fits(self.bn2)):
            return super().forward(x)
        if isinstance(self.shortcut, nn.Identity) and narrow(self.conv1):
            return pair(x, self.conv1, self.bn1, self.conv2, self.bn2, residual=True)
        y = norm(self.bn1, self.conv1(x), relu=True)
        return norm(self.bn2, self.conv2(y), self.shortcut(x), relu=True)


class FusedBranch(nn.Sequential):
    """Two 3x3 convolutions, each with BatchNorm, and a ReLU between them."""

    def forward(self, input: Tensor) -> Tensor:
        """Return the branch's output."""
        conv1, norm1, _, conv2, norm2 = self
        if fits(norm1) and fits(norm2):
            return pair(input, conv1, norm1, conv2, norm2, residual=False)
        return super().forward(input)


def narrow(conv: nn.Module) -> bool:
    """Whether a module is a 3x3 convolution that keeps the number of channels and the size, and has a kernel."""
    return (
        isinstance(conv, nn.Conv2d)
        and conv.in_channels == conv.out_channels
        and conv.in_channels in CONVOLVE
        and (conv.kernel_size, conv.stride, conv.padding, conv.groups) == ((3, 3), (1, 1), (1, 1), 1)
        and conv.bias is None
    )


def use_kernels(network: nn.Module) -> nn.Module:
    """Let a network's narrow blocks and its BatchNorms use the kernels in training mode, and return the network."""
    if isinstance(network, DenseResNet):
        network.blocks = nn.ModuleList(FusedGatedBlock(each) for each in network.blocks)
    gates = {each.body for each in network.modules() if isinstance(each, FusedGate)}
    for module in list(network.modules()):
        if type(module) is BasicBlock:
            module.__class__ = FusedBasicBlock  # same state, different forward
        elif isinstance(module, nn.Sequential) and module not in gates:
            _fuse_sequence(module)
    counted = [each for each in network.modules() if isinstance(each, FusedNorm | FusedNormReLU)]
    for block in network.modules():
        match block:
            case FusedBasicBlock():
                counted += [block.bn1, block.bn2]
            case FusedBranch():
                counted += [block[1], block[4]]
    network.register_forward_pre_hook(_counting(counted))
    return network


def _fuse_sequence(sequence: nn.Sequential) -> None:
    """Fuse two convolutions with their BatchNorms, or each BatchNorm with the ReLU after it."""
    kinds = [type(each) for each in sequence]
    if kinds == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.Conv2d, nn.BatchNorm2d] and narrow(sequence[0]):
        sequence.__class__ = FusedBranch
        return
    for place, (first, second) in enumerate(itertools.zip_longest(kinds, kinds[1:])):
        if first is nn.BatchNorm2d and second is nn.ReLU:
            sequence[place].__class__ = FusedNormReLU
            sequence[place + 1] = nn.Identity()
        elif first is nn.BatchNorm2d:
            sequence[place].__class__ = FusedNorm


def _counting(norms: list[nn.BatchNorm2d]) -> Any:
    """Return a hook that counts the batches of all BatchNorms in one launch, where torch has a launch for each."""

    def count(network: nn.Module, inputs: Any) -> None:
        if counters := [each.num_batches_tracked for each in norms if fits(each)]:
            torch._foreach_add_(counters, 1)

    return count
