"""Changes that let a network use the kernels: same parameters, buffers and names, other forward methods."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterable, Iterator
from typing import Any, cast

import torch
from torch import Tensor, nn

from repro.kernels.ahead import AHEAD
from repro.kernels.gate import FusedGate, FusedGatedBlock
from repro.kernels.launch import FORWARD
from repro.kernels.residual import Pair, fits, norm, pairs
from repro.kernels.side_streams import SIDE_STREAMS
from repro.models.dense_resnet import DenseResNet, GatedBlock
from repro.models.resnet import BasicBlock


class FusedNorm(nn.BatchNorm2d):
    """BatchNorm2d, in training mode by the kernels."""

    def forward(self, input: Tensor) -> Tensor:
        """Return the normalised maps."""
        return norm(self, input, relu=False) if fits(self) else super().forward(input)


class FusedNormReLU(nn.BatchNorm2d):
    """BatchNorm2d and the ReLU after it."""

    def forward(self, input: Tensor) -> Tensor:
        """Return the normalised maps after a ReLU."""
        return norm(self, input, relu=True) if fits(self) else super().forward(input).relu_()


class FusedBasicBlock(BasicBlock):
    """BasicBlock, in training mode by the kernels."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        if not (fits(self.bn1) and fits(self.bn2)):
            return super().forward(x)
        y = norm(self.bn1, self.conv1(x), relu=True)
        return norm(self.bn2, self.conv2(y), self.shortcut(x), relu=True)


class FusedStage(nn.Sequential):
    """Basic blocks, in training mode by the kernels: the narrow ones as chains."""

    def forward(self, input: Tensor) -> Tensor:
        """Return the last block's output."""
        for chained, blocks in itertools.groupby(cast(Iterable[FusedBasicBlock], self), _chains):
            if chained:
                chain = [Pair(each.conv1, each.bn1, each.conv2, each.bn2) for each in blocks]
                input = pairs(input, chain, residual=True)
            else:
                for each in blocks:
                    input = each(input)
        return input


def _chains(block: FusedBasicBlock) -> bool:
    """Whether a block can be a part of a chain in its present mode."""
    narrow = isinstance(block.shortcut, nn.Identity) and is_narrow(block.conv1)
    return narrow and fits(block.bn1) and fits(block.bn2)


class FusedBranch(nn.Sequential):
    """Two 3x3 convolutions, each with BatchNorm, and a ReLU between them."""

    def forward(self, input: Tensor) -> Tensor:
        """Return the branch's output."""
        conv1, norm1, _, conv2, norm2 = cast(Any, self)
        if fits(norm1) and fits(norm2):
            return pairs(input, [Pair(conv1, norm1, conv2, norm2)], residual=False)
        return cast(Tensor, super().forward(input))  # type: ignore[no-untyped-call]


BRANCH = [nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.Conv2d, nn.BatchNorm2d]
"""The layers of a sequence that becomes a FusedBranch."""


def is_narrow(conv: nn.Module) -> bool:
    """Whether a module is a 3x3 convolution that keeps the number of channels and the size, and has a kernel."""
    return (
        isinstance(conv, nn.Conv2d)
        and conv.in_channels == conv.out_channels
        and conv.in_channels in FORWARD
        and (conv.kernel_size, conv.stride, conv.padding, conv.groups) == ((3, 3), (1, 1), (1, 1), 1)
        and conv.bias is None
    )


def has_kernels(network: nn.Module) -> bool:
    """Whether a network has blocks for which there are kernels."""
    return isinstance(network, DenseResNet) or any(type(each) is BasicBlock for each in network.modules())


def use_kernels(network: nn.Module) -> None:
    """Let a network's narrow blocks, its gates and its BatchNorms use the kernels in training mode.

    In one backward pass, each of its layers must be used once: weight gradients are written when `SIDE_STREAMS` joins.

    Raises:
        ValueError: a weight is not channels-last, which the kernels take for granted.
    """
    for name, each in network.named_parameters():
        if each.dim() == 4 and not each.is_contiguous(memory_format=torch.channels_last):
            raise ValueError(f"{name} is not channels-last")
    if isinstance(network, DenseResNet):
        network.blocks = nn.ModuleList(FusedGatedBlock(cast(GatedBlock, each)) for each in network.blocks)
    gates = {each.body for each in network.modules() if isinstance(each, FusedGate)}
    for module in list(network.modules()):
        if type(module) is BasicBlock:
            module.__class__ = FusedBasicBlock  # same state, different forward
        elif isinstance(module, nn.Sequential) and module not in gates:
            _fuse_sequence(module)
    network.register_forward_pre_hook(CompileAhead())
    network.register_forward_pre_hook(_count)


class CompileAhead:
    """Compiles all kernels of a network's step before its first forward pass on a batch of some shape."""

    def __init__(self) -> None:
        self._shapes: set[torch.Size] = set()

    def __call__(self, network: nn.Module, inputs: tuple[Tensor]) -> None:
        """Let a copy of the network take the step without launching kernels; what it computes is arbitrary."""
        (images,) = inputs
        trains = network.training and torch.is_grad_enabled()
        if not (trains and images.is_cuda) or AHEAD.active or images.shape in self._shapes:
            return
        self._shapes.add(images.shape)
        with AHEAD.compiling(), torch.random.fork_rng([images.device]), SIDE_STREAMS.joined():
            copy.deepcopy(network)(images).sum().backward()


def _fuse_sequence(sequence: nn.Sequential) -> None:
    """Fuse basic blocks, two convolutions with their BatchNorms, or each BatchNorm with the ReLU after it."""
    kinds = [type(each) for each in sequence]
    if kinds and set(kinds) == {BasicBlock}:
        sequence.__class__ = FusedStage
        return
    if kinds == BRANCH and is_narrow(sequence[0]):
        sequence.__class__ = FusedBranch
        return
    for place, (first, second) in enumerate(itertools.zip_longest(kinds, kinds[1:])):
        if first is nn.BatchNorm2d and second is nn.ReLU:
            sequence[place].__class__ = FusedNormReLU
            sequence[place + 1] = nn.Identity()
        elif first is nn.BatchNorm2d:
            sequence[place].__class__ = FusedNorm


def _norms(modules: Iterable[nn.Module]) -> Iterator[nn.BatchNorm2d]:
    """Yield the BatchNorms whose batches the kernels do not count."""
    for module in modules:
        match module:
            case FusedNorm() | FusedNormReLU():
                yield module
            case FusedBasicBlock():
                yield from (module.bn1, module.bn2)
            case FusedBranch():
                yield from (cast(nn.BatchNorm2d, module[1]), cast(nn.BatchNorm2d, module[4]))


def _count(network: nn.Module, inputs: Any) -> None:
    """Count a batch in all BatchNorms in training mode, in one launch; torch launches a kernel for each."""
    counters = [each.num_batches_tracked for each in _norms(network.modules()) if fits(each)]
    if counters:
        torch._foreach_add_(cast(list[Tensor], counters), 1)
