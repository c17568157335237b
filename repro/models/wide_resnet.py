"""Wide Residual Networks: Zagoruyko & Komodakis, arXiv 1605.07146v4, for 32x32 images.

Pre-activation blocks of convolutions, named by their kernels (default B(3,3)), in three groups of 16k, 32k and 64k
maps. Details (the first BN-ReLU shared with a projecting shortcut, no biases) as in the authors' code,
github.com/szagoruyko/wide-residual-networks, commit ae6d0d0.
"""

import re
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from repro.models.resnet import CIFAR_WIDTHS, stages_of

STEM_CHANNELS = 16
BLOCKS = ("B(3,3)", "B(1,3,1)", "B(3,1)", "B(1,3)", "B(3,1,1)", "B(3,1,3)")


class WideBlock(nn.Module):
    """A BN-ReLU-convolution unit per kernel, dropout before the second convolution, and a shortcut."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, kernels: list[int], dropout: float) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(in_channels)
        self.first = nn.Conv2d(in_channels, out_channels, kernels[0], stride, kernels[0] // 2, bias=False)
        rest: list[nn.Module] = []
        for index, kernel in enumerate(kernels[1:]):
            rest += [nn.BatchNorm2d(out_channels), nn.ReLU()]
            rest += [nn.Dropout(dropout)] if index == 0 else []
            rest += [nn.Conv2d(out_channels, out_channels, kernel, padding=kernel // 2, bias=False)]
        self.rest = nn.Sequential(*rest)
        self.projection = None
        if in_channels != out_channels:
            self.projection = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        active = F.relu(self.bn(x))
        shortcut = self.projection(active) if self.projection is not None else x
        return shortcut + self.rest(self.first(active))


class WideResNet(nn.Module):
    """Three groups of wide blocks between a 3x3 convolution and BN-ReLU, average pooling and a classifier."""

    def __init__(self, *, blocks: int, k: int, kernels: list[int], dropout: float, channels: int, classes: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, STEM_CHANNELS, 3, padding=1, bias=False)
        widths = [base * k for base in CIFAR_WIDTHS]
        block = partial(WideBlock, kernels=kernels, dropout=dropout)
        self.groups = stages_of(block, STEM_CHANNELS, widths, [blocks] * len(widths))
        self.bn = nn.BatchNorm2d(widths[-1])
        self.classifier = nn.Linear(widths[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn(self.groups(self.stem(x))))
        return self.classifier(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))


def blocks_per_group(depth: int, l: int) -> int:
    """Return (depth - 4) / (3 l) for l 3x3 convolutions in a block.

    Blocks with other kernels count as two convolutions, however many they have. This agrees with the printed parameter
    column of Table 2, but not with the text.

    Raises:
        ValueError: the depth is invalid; the message names the nearest possible ones.
    """
    step = 3 * l
    blocks, rest = divmod(depth - 4, step)
    if rest or blocks < 1:
        below = max(blocks, 1) * step + 4
        raise ValueError(f"depth {depth} is invalid: this WRN has {step}n + 4 layers ({below}, {below + step}, ...)")
    return blocks


def wrn_cifar(
    *,
    depth: int,
    k: int,
    classes: int,
    channels: int = 3,
    block: str = BLOCKS[0],
    l: int = 2,
    dropout: float = 0.0,
) -> WideResNet:
    """Return WRN-depth-k: (B, channels, 32, 32) -> (B, classes).

    Raises:
        ValueError: an invalid depth, width, block, deepening factor or dropout.
    """
    if k < 1:
        raise ValueError(f"k = {k} is invalid: the widening factor is at least 1 (paper: 1 to 12)")
    if block not in BLOCKS:
        raise ValueError(f"block {block!r} is unknown; known: {', '.join(BLOCKS)}")
    if l < 1 or (l != 2 and block != BLOCKS[0]):
        raise ValueError(
            f"l = {l} is invalid with block {block}: l is at least 1, and other than 2 only for {BLOCKS[0]}"
        )
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout {dropout:g} is invalid: it is at least 0 and below 1 (paper: 0.3)")
    if dropout and l < 2:
        raise ValueError(
            f"dropout {dropout:g} is invalid with l = 1: it is applied between two convolutions of a block"
        )
    kernels = [3] * l if block == BLOCKS[0] else [int(kernel) for kernel in re.findall(r"\d", block)]
    blocks = blocks_per_group(depth, l)
    return WideResNet(blocks=blocks, k=k, kernels=kernels, dropout=dropout, channels=channels, classes=classes)
