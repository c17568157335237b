"""DenseResNet and DenseMobileNet-v2: Takeda, MIRU 2020.

Every block is connected not only to the previous block but to the N previous feature maps, weighted by a gate.
The gate's form (order of layers, hidden width, pooling of larger maps) follows the author's code,
github.com/takedarts/DenseResNet, commit c1fa035; the counts of all twelve printed rows confirm it.

For small images the ImageNet networks start like ResNet and MobileNetV2 in CIFAR repositories; so does DenseResNet-34
in the author's code for Tiny ImageNet's 64 pixels (src/models/parameter.py). The paper has no such networks.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from repro.models.mobilenet import BOTTLENECKS, SMALL_BOTTLENECKS, conv_bn, inverted_bottleneck
from repro.models.resnet import CIFAR_WIDTHS, IMAGENET_BLOCKS, IMAGENET_WIDTHS


def fit_channels(x: Tensor, missing: int) -> Tensor:
    """Return `x` (B, C, H, W) with `missing` channels of zeros added, or with its last channels cut if negative."""
    return F.pad(x, (0, 0, 0, 0, 0, missing)) if missing else x


class Map(NamedTuple):
    """A feature map to which later blocks may be connected."""

    features: Tensor
    """(B, C, H, W), with the height and width of the current stage."""
    mean: Tensor
    """(B, C, 1, 1): global average, which 2x2 average pooling does not change."""


class Gate(nn.Module):
    """Weights of the block's own branch and of the n previous maps, per image and channel.

    The branch's weights come from a sigmoid. The weights w_ik of the n earlier maps come from a softmax over k, so
    that they sum to 1 for every image and channel.
    """

    def __init__(
        self, channels: int, earlier: list[int], reduction: int, activation: type[nn.Module] = nn.ReLU
    ) -> None:
        """Make the gate of a block with `channels` channels for earlier maps with the listed channels."""
        super().__init__()
        self.n = n = len(earlier)
        self.channels = channels
        self.missing = [channels - each for each in earlier]
        hidden = math.ceil(max(channels // reduction, 1) / 8) * 8
        self.body = nn.Sequential(
            nn.Conv2d(channels * (n + 1), hidden, 1, bias=False),
            nn.BatchNorm2d(hidden),
            activation(),
            nn.Conv2d(hidden, channels * (n + 1), 1),
        )

    def weights(self, branch: Tensor, maps: list[Map]) -> tuple[Tensor, Tensor]:
        """Return the branch's weights (B, C, 1, 1) and w_ik as (B, n, C, 1, 1)."""
        means = [fit_channels(each.mean, missing) for each, missing in zip(maps, self.missing, strict=True)]
        pooled = torch.cat([branch.mean((2, 3), keepdim=True), *means], dim=1)
        scores = self.body(pooled).view(-1, self.n + 1, self.channels, 1, 1)
        return scores[:, 0].sigmoid(), scores[:, 1:].softmax(dim=1)

    def forward(self, branch: Tensor, maps: list[Map]) -> Tensor:
        """Return the weighted sum of `branch` (B, C, H, W) and the n `maps`, which have its height and width."""
        own, w = self.weights(branch, maps)
        weighted = branch.new_zeros(())
        for w_k, each, missing in zip(w.unbind(1), maps, self.missing, strict=True):
            weighted = torch.addcmul(weighted, w_k, fit_channels(each.features, missing))
        return own * branch + weighted


class GatedBlock(nn.Module):
    """A residual block whose sum includes the last n maps, not only the last one."""

    def __init__(
        self, branch: nn.Module, downsample: nn.Module, gate: Gate, activation: nn.Module, *, stride: int
    ) -> None:
        super().__init__()
        self.stride = stride
        self.branch = branch
        self.downsample = downsample
        self.gate = gate
        self.activation = activation

    def forward(self, earlier: list[Map], x: Tensor) -> tuple[list[Map], Tensor]:
        """Return the earlier maps for the next block, and the next block's input."""
        branch = self.branch(x)
        last = self.downsample(x)
        window = [*earlier, Map(last, last.mean((2, 3), keepdim=True))][-self.gate.n :]
        if self.stride > 1:
            window = [*(halved(each) for each in window[:-1]), window[-1]]
        return window, self.activation(self.gate(branch, window))


def halved(earlier: Map) -> Map:
    """Return a map of the previous stage with half its height and width, rounded up as convolutions do."""
    return Map(F.avg_pool2d(earlier.features, 2, ceil_mode=True, count_include_pad=False), earlier.mean)


class DenseResNet(nn.Module):
    """A stem, a chain of dense blocks, an optional head, global average pooling and a classifier."""

    def __init__(self, stem: nn.Module, blocks: list[GatedBlock], head: nn.Module, *, width: int, classes: int) -> None:
        super().__init__()
        self.stem = stem
        self.blocks = nn.ModuleList(blocks)
        self.head = head
        self.classifier = nn.Linear(width, classes)

    @property
    def gates(self) -> list[Gate]:
        """The gates, block by block."""
        return [module for module in self.modules() if isinstance(module, Gate)]

    def features(self, x: Tensor) -> Tensor:
        """Return the last block's output (B, C, H, W)."""
        x = self.stem(x)
        earlier: list[Map] = []
        for block in self.blocks:
            earlier, x = block(earlier, x)
        return x

    def forward(self, x: Tensor) -> Tensor:
        x = F.adaptive_avg_pool2d(self.head(self.features(x)), 1)
        return self.classifier(torch.flatten(x, 1))

    @torch.no_grad()
    def mean_gate_weights(self, x: Tensor) -> list[Tensor]:
        """Return, per block i, the mean of w_ik over images and channels: (n,) float64, the nearest map last.

        Figure 4 of the paper shows these means.
        """
        means: list[Tensor] = []

        def keep(gate: nn.Module, inputs: tuple[Tensor, list[Map]], output: Tensor) -> None:
            assert isinstance(gate, Gate)
            means.append(gate.weights(*inputs)[1].mean((0, 2, 3, 4), dtype=torch.float64))

        hooks = [gate.register_forward_hook(keep) for gate in self.gates]
        try:
            self.features(x)
        finally:
            for hook in hooks:
                hook.remove()
        return means


def basic_branch(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    """Return the two 3x3 convolutions of ResNet's basic block."""
    first = conv_bn(in_channels, out_channels, 3, stride)
    return nn.Sequential(*first, nn.ReLU(), *conv_bn(out_channels, out_channels, 3))


def residual_blocks(widths: Sequence[int], counts: Sequence[int], *, N: int, reduction: int) -> list[GatedBlock]:
    """Return the dense blocks of ResNet's stages, which have these widths and counts, with shortcuts of option B."""
    blocks = []
    earlier: list[int] = []
    channels = widths[0]
    stages = enumerate(zip(widths, counts, strict=True))
    shapes = [(width, 2 if i == 0 and stage > 0 else 1) for stage, (width, n) in stages for i in range(n)]
    for width, stride in shapes:
        changes = stride != 1 or width != channels
        downsample = nn.Sequential(*conv_bn(channels, width, 1, stride)) if changes else nn.Identity()
        earlier = [*earlier, width][-N:]
        gate = Gate(width, earlier, reduction)
        branch = basic_branch(channels, width, stride)
        blocks.append(GatedBlock(branch, downsample, gate, nn.ReLU(), stride=stride))
        channels = width
    return blocks


def check_n(N: int) -> None:
    """Raise ValueError for an invalid number of connections."""
    if N < 1:
        raise ValueError(f"N = {N} is invalid: a block is connected to at least 1 previous map (paper: 2, 4, 6, 8)")


def denseresnet_cifar(*, depth: int, N: int, classes: int, channels: int = 3) -> DenseResNet:
    """Return DenseResNet for CIFAR with `depth` = 6n + 2 layers: (B, channels, 32, 32) -> (B, classes).

    The gate's reduction of 2 is from the author's configuration (config/cifar100/resnet-110.txt).
    """
    check_n(N)
    n = (depth - 2) // 6
    blocks = residual_blocks(CIFAR_WIDTHS, (n, n, n), N=N, reduction=2)
    stem = nn.Sequential(*conv_bn(channels, CIFAR_WIDTHS[0], 3), nn.ReLU())
    return DenseResNet(stem, blocks, nn.Identity(), width=CIFAR_WIDTHS[-1], classes=classes)


def denseresnet34(*, N: int, classes: int, channels: int = 3, small: bool = False) -> DenseResNet:
    """Return DenseResNet-34: (B, channels, 224, 224), or 32 if small, -> (B, classes).

    The gate's reduction of 8 is the default of the author's code: src/create.py, takedarts/DenseResNet c1fa035.
    """
    check_n(N)
    width = IMAGENET_WIDTHS[0]
    large = [*conv_bn(channels, width, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1)]
    stem = nn.Sequential(*([*conv_bn(channels, width, 3), nn.ReLU()] if small else large))
    blocks = residual_blocks(IMAGENET_WIDTHS, IMAGENET_BLOCKS[34], N=N, reduction=8)
    return DenseResNet(stem, blocks, nn.Identity(), width=IMAGENET_WIDTHS[-1], classes=classes)


def densemobilenet_v2(*, N: int, classes: int, channels: int = 3, small: bool = False) -> DenseResNet:
    """Return DenseMobileNet-v2: (B, channels, 224, 224), or 32 if small, -> (B, classes).

    The gate's reduction of 4 is from the author's configuration (config/imagenet/mobilenetv2-1.0.txt).
    """
    check_n(N)
    width, head_width = 32, 1280
    stem = nn.Sequential(*conv_bn(channels, width, 3, 1 if small else 2), nn.ReLU6())
    blocks: list[GatedBlock] = []
    earlier: list[int] = []
    for expansion, out_channels, repeats, first_stride in SMALL_BOTTLENECKS if small else BOTTLENECKS:
        for repeat in range(repeats):
            stride = first_stride if repeat == 0 else 1
            branch = inverted_bottleneck(width, out_channels, stride, expansion)
            # No projection: the previous map is pooled, and the gate adapts its channels.
            earlier = [*earlier, width][-N:]
            gate = Gate(out_channels, earlier, 4, nn.ReLU6)
            downsample = nn.AvgPool2d(2, ceil_mode=True, count_include_pad=False) if stride > 1 else nn.Identity()
            blocks.append(GatedBlock(branch, downsample, gate, nn.Identity(), stride=stride))
            width = out_channels
    head = nn.Sequential(*conv_bn(width, head_width, 1), nn.ReLU6())
    return DenseResNet(stem, blocks, head, width=head_width, classes=classes)
