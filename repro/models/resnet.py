"""ResNet: Deep Residual Learning for Image Recognition, He et al., arXiv 1512.03385.

The CIFAR form (section 4.2) has depth 6n + 2: three stages of n blocks with 16, 32 and 64 maps.
The ImageNet form (Table 1) starts with a 7x7 convolution and a max-pooling.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CIFAR_WIDTHS = (16, 32, 64)
IMAGENET_WIDTHS = (64, 128, 256, 512)
IMAGENET_BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}


class ZeroPadShortcut(nn.Module):
    """Option A: every stride-th pixel, and zeros for the new channels; no parameters."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.new_channels = out_channels - in_channels

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.new_channels))


def shortcut_layer(option: str, in_channels: int, out_channels: int, stride: int) -> nn.Module:
    """Return the shortcut of a block: the identity, or option A or B where the shape changes."""
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

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return F.relu(y + self.shortcut(x))


class ResNet(nn.Module):
    """A stem, stages of basic blocks, global average pooling and a linear classifier."""

    def __init__(
        self, stem: nn.Module, widths: tuple[int, ...], blocks: tuple[int, ...], *, shortcut: str, classes: int
    ) -> None:
        super().__init__()
        self.stem = stem
        stages = []
        channels = widths[0]
        for index, (width, count) in enumerate(zip(widths, blocks, strict=True)):
            stage = []
            for block in range(count):
                stride = 2 if block == 0 and index > 0 else 1
                stage.append(BasicBlock(channels, width, stride, shortcut))
                channels = width
            stages.append(nn.Sequential(*stage))
        self.stages = nn.Sequential(*stages)
        self.classifier = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stages(self.stem(x))
        return self.classifier(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))


def resnet_cifar(*, depth: int, classes: int, channels: int = 3, shortcut: str = "A") -> ResNet:
    """Return the CIFAR ResNet of `depth` = 6n + 2 layers: (B, channels, 32, 32) -> (B, classes).

    Raises:
        ValueError: the depth is not 6n + 2, or the shortcut is neither A nor B.
    """
    n, rest = divmod(depth - 2, 6)
    if rest or n < 1:
        raise ValueError(f"depth {depth} is impossible: a CIFAR ResNet has 6n + 2 layers (20, 32, 44, 56, 110, ...)")
    if shortcut not in ("A", "B"):
        raise ValueError(f"shortcut {shortcut!r} is unknown: A (zero padding) or B (projection)")
    stem = nn.Sequential(
        nn.Conv2d(channels, CIFAR_WIDTHS[0], 3, padding=1, bias=False), nn.BatchNorm2d(CIFAR_WIDTHS[0]), nn.ReLU()
    )
    return ResNet(stem, CIFAR_WIDTHS, (n, n, n), shortcut=shortcut, classes=classes)


def resnet_imagenet(*, depth: int, classes: int, channels: int = 3) -> ResNet:
    """Return the ImageNet ResNet of 18 or 34 layers, option B: (B, channels, 224, 224) -> (B, classes)."""
    stem = nn.Sequential(
        nn.Conv2d(channels, IMAGENET_WIDTHS[0], 7, 2, padding=3, bias=False),
        nn.BatchNorm2d(IMAGENET_WIDTHS[0]),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, padding=1),
    )
    return ResNet(stem, IMAGENET_WIDTHS, IMAGENET_BLOCKS[depth], shortcut="B", classes=classes)
