"""ResNet: Deep Residual Learning for Image Recognition, He et al., arXiv 1512.03385.

The CIFAR form (section 4.2) has depth 6n + 2: three stages of n blocks with 16, 32 and 64 maps.
The ImageNet form (Table 1) starts with a 7x7 convolution and a max-pooling; for small images a 3x3 convolution takes
their place, which is the practice of CIFAR repositories (kuangliu/pytorch-cifar, weiaicunzai/pytorch-cifar100), not
of the paper.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CIFAR_WIDTHS = (16, 32, 64)
IMAGENET_WIDTHS = (64, 128, 256, 512)
IMAGENET_BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
STEM_WIDTH = IMAGENET_WIDTHS[0]
EXPANSION = 4
"""A bottleneck's output has four times the maps of its stage's 3x3 convolutions in ResNet."""


class ZeroPadShortcut(nn.Module):
    """Option A: every stride-th pixel, and zeros for the new channels; no parameters."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.new_channels = out_channels - in_channels

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.new_channels))


def shortcut_layer(option: str, in_channels: int, out_channels: int, stride: int) -> nn.Module:
    """Return the shortcut of a block: the identity, or option A or B if the shape changes."""
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    if option == "A":
        return ZeroPadShortcut(in_channels, out_channels, stride)
    projection = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
    return nn.Sequential(projection, nn.BatchNorm2d(out_channels))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut; ReLU after the addition (Figure 2 of the paper)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, shortcut: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.shortcut = shortcut_layer(shortcut, in_channels, out_channels, stride)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return self.relu(y + self.shortcut(x))


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions and a shortcut, of option B.

    The 3x3 convolution has the stride, as in torchvision. In the paper the first 1x1 convolution has it, which gives
    ResNet-50 3.8 instead of 4.1 billion multiply-adds.
    """

    def __init__(self, in_channels: int, width: int, out_channels: int, stride: int, groups: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, groups=groups, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.shortcut = shortcut_layer("B", in_channels, out_channels, stride)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return self.relu(y + self.shortcut(x))


class ResNet(nn.Module):
    """A stem, stages of blocks, global average pooling and a linear classifier."""

    def __init__(self, stem: nn.Module, stages: nn.Module, *, width: int, classes: int) -> None:
        super().__init__()
        self.stem = stem
        self.stages = stages
        self.classifier = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stages(self.stem(x))
        return self.classifier(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))


def stages_of(
    block: Callable[[int, int, int], nn.Module], channels: int, widths: Sequence[int], counts: Sequence[int]
) -> nn.Sequential:
    """Return stages of `block(in_channels, width, stride)`, `count` blocks each; the size halves between stages."""
    stages = []
    for index, (width, count) in enumerate(zip(widths, counts, strict=True)):
        stage = []
        for position in range(count):
            stage.append(block(channels, width, 2 if position == 0 and index > 0 else 1))
            channels = width
        stages.append(nn.Sequential(*stage))
    return nn.Sequential(*stages)


def resnet_cifar(*, depth: int, classes: int, channels: int = 3, shortcut: str = "A") -> ResNet:
    """Return the CIFAR ResNet of `depth` = 6n + 2 layers: (B, channels, 32, 32) -> (B, classes).

    Raises:
        ValueError: the depth is not 6n + 2, or the shortcut is neither A nor B.
    """
    n, rest = divmod(depth - 2, 6)
    if rest or n < 1:
        raise ValueError(f"depth {depth} is invalid: a CIFAR ResNet has 6n + 2 layers (20, 32, 44, 56, 110, ...)")
    if shortcut not in ("A", "B"):
        raise ValueError(f"shortcut {shortcut!r} is unknown: A (zero padding) or B (projection)")
    first, last = CIFAR_WIDTHS[0], CIFAR_WIDTHS[-1]
    stages = stages_of(partial(BasicBlock, shortcut=shortcut), first, CIFAR_WIDTHS, (n, n, n))
    return ResNet(small_stem(channels, first), stages, width=last, classes=classes)


def small_stem(channels: int, width: int) -> nn.Sequential:
    """Return a 3x3 convolution that keeps height and width, with BatchNorm and ReLU."""
    conv = nn.Conv2d(channels, width, 3, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(width), nn.ReLU(inplace=True))


def imagenet_stem(channels: int, small: bool) -> nn.Sequential:
    """Return the 7x7 convolution and the max-pooling, or a 3x3 convolution for small images."""
    if small:
        return small_stem(channels, STEM_WIDTH)
    conv = nn.Conv2d(channels, STEM_WIDTH, 7, 2, padding=3, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(STEM_WIDTH), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, padding=1))


def resnet_imagenet(*, depth: int, classes: int, channels: int = 3, width: float = 1.0, small: bool = False) -> ResNet:
    """Return the ResNet of 18 or 34 layers, option B: (B, channels, 224, 224), or 32 if small, -> (B, classes).

    `width` multiplies the maps of the stages, not those of the stem (Wide ResNet, arXiv 1605.07146, Table 7).

    Raises:
        ValueError: the width gives a fractional number of maps.
    """
    if width <= 0 or STEM_WIDTH * width % 1:
        raise ValueError(f"width {width:g} is invalid: it is above 0 and gives whole numbers of maps (paper: 1 to 3)")
    widths = [int(base * width) for base in IMAGENET_WIDTHS]
    stages = stages_of(partial(BasicBlock, shortcut="B"), STEM_WIDTH, widths, IMAGENET_BLOCKS[depth])
    return ResNet(imagenet_stem(channels, small), stages, width=widths[-1], classes=classes)


def resnet_bottleneck(
    *, depth: int, classes: int, channels: int = 3, groups: int = 1, base: int = 64, small: bool = False
) -> ResNet:
    """Return the ResNet of 50, 101 or 152 layers: (B, channels, 224, 224), or 32 if small, -> (B, classes).

    With `groups` groups of `base` maps in the first stage's 3x3 convolutions it is ResNeXt (Xie et al.,
    arXiv 1611.05431, 32x4d and 64x4d); with one group of 128 it is WRN-50-2-bottleneck.
    """
    factor = groups * base / STEM_WIDTH

    def block(in_channels: int, out_channels: int, stride: int) -> Bottleneck:
        return Bottleneck(in_channels, int(out_channels // EXPANSION * factor), out_channels, stride, groups)

    widths = [EXPANSION * each for each in IMAGENET_WIDTHS]
    stages = stages_of(block, STEM_WIDTH, widths, IMAGENET_BLOCKS[depth])
    return ResNet(imagenet_stem(channels, small), stages, width=widths[-1], classes=classes)
