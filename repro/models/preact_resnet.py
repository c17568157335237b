"""Pre-activation ResNet: Identity Mappings in Deep Residual Networks, He et al., arXiv 1603.05027, for 32x32 images.

Depth 9n + 2: three stages of n bottleneck blocks with 64, 128 and 256 maps after a 3x3 convolution of 16. Details (the
first BN-ReLU of a stage shared with its projection, the stride on the first 1x1 convolution, no biases) as in the
authors' code, github.com/KaimingHe/resnet-1k-layers, resnet-pre-act.lua, with which Wide ResNet is compared.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from repro.models.recompute import convolved, recomputed
from repro.models.resnet import EXPANSION, stages_of

STEM_CHANNELS = 16
WIDTHS = (64, 128, 256)


class PreActivationBlock(nn.Module):
    """Three BN-ReLU-convolution units, 1x1, 3x3 and 1x1, and a shortcut; nothing follows the addition.

    If the number of maps changes, the shortcut is a 1x1 convolution of the first convolution's input.
    """

    save_memory = False

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        width = out_channels // EXPANSION
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, width, 1, stride, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out_channels, 1, bias=False)
        self.projection = None
        if in_channels != out_channels:
            self.projection = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.projection is None:
            shortcut, y = x, self._unit(self.bn1, self.conv1, x)
        else:
            active = F.relu(self.bn1(x))
            shortcut, y = self.projection(active), self.conv1(active)
        y = self._unit(self.bn2, self.conv2, y)
        return shortcut + self._unit(self.bn3, self.conv3, y)

    def _unit(self, norm: nn.Module, conv: nn.Module, x: Tensor) -> Tensor:
        return recomputed(norm, conv, x) if self.save_memory else convolved(norm, conv, x)


class PreActivationResNet(nn.Module):
    """A 3x3 convolution, three stages of blocks, BN-ReLU, global average pooling and a linear classifier."""

    def __init__(self, *, blocks: int, channels: int, classes: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, STEM_CHANNELS, 3, padding=1, bias=False)
        self.stages = stages_of(PreActivationBlock, STEM_CHANNELS, WIDTHS, (blocks,) * len(WIDTHS))
        self.bn = nn.BatchNorm2d(WIDTHS[-1])
        self.classifier = nn.Linear(WIDTHS[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn(self.stages(self.stem(x))))
        return self.classifier(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))


def preresnet_cifar(*, depth: int, classes: int, channels: int = 3) -> PreActivationResNet:
    """Return the pre-activation ResNet of `depth` = 9n + 2 layers: (B, channels, 32, 32) -> (B, classes).

    Raises:
        ValueError: the depth is not 9n + 2.
    """
    n, rest = divmod(depth - 2, 9)
    if rest or n < 1:
        raise ValueError(f"depth {depth} is invalid: a bottleneck ResNet for CIFAR has 9n + 2 layers (164, 1001)")
    return PreActivationResNet(blocks=n, channels=channels, classes=classes)


def save_memory(network: nn.Module) -> None:
    """Make the blocks recompute BN-ReLU in the backward pass; outputs and gradients stay the same."""
    for module in network.modules():
        if isinstance(module, PreActivationBlock):
            module.save_memory = True
