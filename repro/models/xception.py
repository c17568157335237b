"""Xception: Deep Learning with Depthwise Separable Convolutions, Chollet, arXiv 1610.02357, Figure 5.

For small images the first two convolutions and the third block keep height and width: the practice of CIFAR
repositories (weiaicunzai/pytorch-cifar100), not of the paper.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MIDDLE_BLOCKS = 8
MIDDLE_WIDTH = 728


def separable(in_channels: int, out_channels: int) -> list[nn.Module]:
    """Return a depthwise 3x3 and a pointwise convolution, and BatchNorm, without activation between."""
    depthwise = nn.Conv2d(in_channels, in_channels, 3, padding=1, groups=in_channels, bias=False)
    return [depthwise, nn.Conv2d(in_channels, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels)]


class DownBlock(nn.Module):
    """Two separable convolutions and a max-pooling, in parallel with a 1x1 shortcut of the same stride."""

    def __init__(
        self, in_channels: int, width: int, out_channels: int, *, activate_first: bool, stride: int = 2
    ) -> None:
        super().__init__()
        first: list[nn.Module] = [nn.ReLU()] if activate_first else []
        body = [*first, *separable(in_channels, width), nn.ReLU(), *separable(width, out_channels)]
        self.body = nn.Sequential(*body, nn.MaxPool2d(3, stride, padding=1))
        shortcut = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
        self.shortcut = nn.Sequential(shortcut, nn.BatchNorm2d(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x) + self.shortcut(x)


class MiddleBlock(nn.Module):
    """Three units of ReLU and a separable convolution, with an identity shortcut."""

    def __init__(self) -> None:
        super().__init__()
        layers = [layer for _ in range(3) for layer in (nn.ReLU(), *separable(MIDDLE_WIDTH, MIDDLE_WIDTH))]
        self.body = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class Xception(nn.Module):
    """Xception: (B, channels, 299, 299), or 32 if small, -> (B, classes).

    Entry flow, eight middle blocks, exit flow.
    """

    def __init__(self, *, classes: int, channels: int = 3, small: bool = False, dropout: float = 0.0) -> None:
        """Make the network.

        Args:
            classes: outputs of the classifier.
            channels: channels of the images.
            small: the form for small images.
            dropout: rate before the classifier; 0.5 on ImageNet in the paper.
        """
        super().__init__()
        stride, padding = (1, 1) if small else (2, 0)
        self.stem = nn.Sequential(
            nn.Conv2d(channels, 32, 3, stride, padding, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3, padding=padding, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(),
        )
        self.entry = nn.Sequential(
            DownBlock(64, 128, 128, activate_first=False),
            DownBlock(128, 256, 256, activate_first=True),
            DownBlock(256, MIDDLE_WIDTH, MIDDLE_WIDTH, activate_first=True, stride=stride),
        )
        self.middle = nn.Sequential(*(MiddleBlock() for _ in range(MIDDLE_BLOCKS)))
        self.exit = nn.Sequential(
            DownBlock(MIDDLE_WIDTH, MIDDLE_WIDTH, 1024, activate_first=True),
            *separable(1024, 1536),
            nn.ReLU(),
            *separable(1536, 2048),
            nn.ReLU(),
        )
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(2048, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.exit(self.middle(self.entry(self.stem(x))))
        return self.classifier(self.dropout(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1)))
