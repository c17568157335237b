"""DenseNet: Densely Connected Convolutional Networks, Huang et al., arXiv 1608.06993.

The CIFAR form (section 3, "Implementation Details"): three dense blocks with the same number of layers.
The ImageNet form (Table 1) is torchvision's; for small images it begins with a 3x3 convolution and no pooling, which
is the practice of CIFAR repositories (kuangliu/pytorch-cifar), not of the paper.

The concatenated, normalised and rectified maps of the layers are most of the activations that training saves. After
`save_memory` only the outputs of convolutions are saved and the rest is recomputed in the backward pass (recompute.py).
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from repro.models.recompute import convolved, recomputed

DENSE_BLOCKS = 3
BOTTLENECK_WIDTH = 4  # the 1x1 convolution of DenseNet-B gives 4k maps
IMAGENET_BLOCKS = {
    121: (6, 12, 24, 16),
    161: (6, 12, 36, 24),
    169: (6, 12, 32, 32),
    201: (6, 12, 48, 32),
    264: (6, 12, 64, 48),
}
"""Layers of the four dense blocks: Table 1; DenseNet-161 from the authors' repository."""


class DenseLayer(nn.Module):
    """H of the paper: BN-ReLU-conv3x3, after BN-ReLU-conv1x1 in DenseNet-B; k maps are appended."""

    def __init__(self, in_channels: int, growth_rate: int, bottleneck: bool, dropout: float) -> None:
        super().__init__()
        width = in_channels
        self.reduce: nn.Module = nn.Identity()
        if bottleneck:
            width = BOTTLENECK_WIDTH * growth_rate
            self.reduce = nn.Sequential(
                nn.BatchNorm2d(in_channels),
                nn.ReLU(),
                nn.Conv2d(in_channels, width, 1, bias=False),
                nn.Dropout(dropout),
            )
        self.bn = nn.BatchNorm2d(width)
        self.conv = nn.Conv2d(width, growth_rate, 3, padding=1, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Return k new maps from all previous maps: (B, C, H, W) -> (B, k, H, W)."""
        return self.dropout(self.conv(F.relu(self.bn(self.reduce(x)))))

    def saving_memory(self, x: Tensor, again: Callable[[], Tensor]) -> Tensor:
        """Return the same; `again` returns the previous maps in the backward pass, for which they are not saved."""
        if isinstance(self.reduce, nn.Sequential):
            norm, _, conv, dropout = self.reduce
            reduced = dropout(recomputed(norm, conv, x, again))
            return self.dropout(recomputed(self.bn, self.conv, reduced))
        return self.dropout(recomputed(self.bn, self.conv, x, again))


class DenseBlock(nn.Sequential):
    """Dense layers, each with the maps of all previous layers as input."""

    save_memory = False

    def forward(self, x: Tensor) -> Tensor:
        """Return the maps of the input and of every layer, concatenated.

        To save memory, the input of a layer is not saved: it is the beginning of what the block returns.
        """
        whole: list[Tensor] = []

        def beginning(channels: int) -> Tensor:
            return whole[0][:, :channels].clone()  # in the layout of the whole

        for layer in self:
            assert isinstance(layer, DenseLayer)
            new = layer.saving_memory(x, partial(beginning, x.shape[1])) if self.save_memory else layer(x)
            x = torch.cat([x, new], dim=1)
        whole.append(x.detach())  # with its graph, the whole would keep itself alive
        return x


class Transition(nn.Sequential):
    """The layers between two dense blocks: BN-ReLU-conv1x1 and a 2x2 average pooling."""

    save_memory = False

    def __init__(self, in_channels: int, out_channels: int, dropout: float) -> None:
        super().__init__(
            nn.BatchNorm2d(in_channels),
            nn.ReLU(),
            nn.Conv2d(in_channels, out_channels, 1, bias=False),
            nn.Dropout(dropout),  # here too in the authors' code: "after each convolutional layer except the first"
            nn.AvgPool2d(2),
        )

    def forward(self, x: Tensor) -> Tensor:
        norm, _, conv, dropout, pool = self
        return pool(dropout(recomputed(norm, conv, x) if self.save_memory else convolved(norm, conv, x)))


class DenseNet(nn.Module):
    """Three dense blocks of `layers` layers each, with transitions between them."""

    def __init__(
        self,
        *,
        layers: int,
        growth_rate: int,
        initial_channels: int,
        bottleneck: bool,
        compression: float,
        dropout: float,
        channels: int,
        classes: int,
    ) -> None:
        super().__init__()
        width = initial_channels
        self.stem = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        body: list[nn.Module] = []
        for block in range(DENSE_BLOCKS):
            if block > 0:
                body.append(Transition(width, int(width * compression), dropout))
                width = int(width * compression)
            dense = [DenseLayer(width + i * growth_rate, growth_rate, bottleneck, dropout) for i in range(layers)]
            body.append(DenseBlock(*dense))
            width += layers * growth_rate
        self.body = nn.Sequential(*body)
        self.bn = nn.BatchNorm2d(width)
        self.classifier = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn(self.body(self.stem(x))))
        return self.classifier(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))


def layers_per_block(depth: int, bottleneck: bool) -> int:
    """Return the number of dense layers in a block: depth = 3n + 4, where a bottleneck layer counts twice.

    Raises:
        ValueError: the depth is invalid; the message names the nearest possible ones.
    """
    step = DENSE_BLOCKS * (2 if bottleneck else 1)
    layers, rest = divmod(depth - DENSE_BLOCKS - 1, step)
    if rest or layers < 1:
        below = max(layers, 1) * step + DENSE_BLOCKS + 1
        kind = "with bottlenecks" if bottleneck else "without bottlenecks"
        raise ValueError(
            f"depth {depth} is invalid: a DenseNet {kind} has {step}n + 4 layers ({below}, {below + step}, ...)"
        )
    return layers


def densenet_cifar(
    *,
    depth: int,
    k: int,
    classes: int,
    channels: int = 3,
    bottleneck: bool = False,
    compression: float = 1.0,
    dropout: float = 0.0,
) -> DenseNet:
    """Return the CIFAR DenseNet: (B, channels, 32, 32) -> (B, classes).

    The first convolution has 16 output maps, and 2k in DenseNet-BC, as in the paper's text and parameter column; in the
    authors' repository both have 2k.

    Raises:
        ValueError: an invalid depth, growth rate or compression.
    """
    if k < 1:
        raise ValueError(f"k = {k} is invalid: the growth rate is at least 1 (paper: 12, 24, 40)")
    if not 0 < compression <= 1:
        raise ValueError(f"compression {compression:g} is invalid: it is above 0 and at most 1 (paper: 0.5)")
    return DenseNet(
        layers=layers_per_block(depth, bottleneck),
        growth_rate=k,
        initial_channels=2 * k if bottleneck and compression < 1 else 16,
        bottleneck=bottleneck,
        compression=compression,
        dropout=dropout,
        channels=channels,
        classes=classes,
    )


def densenet_imagenet(*, depth: int, classes: int, channels: int = 3, small: bool = False) -> nn.Module:
    """Return DenseNet-BC for ImageNet, k = 32, and 48 for 161 layers: (B, channels, 224, 224) -> (B, classes).

    `small` is for (B, channels, 32, 32).
    """
    from torchvision.models import DenseNet as ImageNetDenseNet

    k = 48 if depth == 161 else 32
    network = ImageNetDenseNet(k, IMAGENET_BLOCKS[depth], num_init_features=2 * k, num_classes=classes)
    if small:
        network.features.add_module("conv0", nn.Conv2d(channels, 2 * k, 3, padding=1, bias=False))
        network.features.add_module("pool0", nn.Identity())
    elif channels != 3:
        raise ValueError(f"an input of {channels} channels is invalid: this network needs 3")
    return network


def save_memory(network: nn.Module) -> None:
    """Make the dense blocks of either form recompute activations; outputs and gradients stay the same."""
    module: Any
    for module in network.modules():
        if isinstance(module, DenseBlock | Transition):
            module.save_memory = True
        elif hasattr(module, "bn_function"):
            # A layer of torchvision, whose own memory_efficient updates BatchNorm's statistics twice per batch.
            module.bn_function = partial(_first_unit, module.norm1, module.conv1)


def _first_unit(norm: nn.Module, conv: nn.Module, parts: list[Tensor]) -> Tensor:
    """Return BN-ReLU-conv1x1 of maps that are concatenated again in the backward pass."""
    saved = [each.detach() for each in parts]
    return recomputed(norm, conv, torch.cat(parts, dim=1), lambda: torch.cat(saved, dim=1))
