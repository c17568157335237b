"""AlexNet with two towers: ImageNet Classification with Deep Convolutional Neural Networks, Krizhevsky et al. 2012.

The paper trains each tower on a GPU of its own. The second, fourth and fifth convolutions see only the maps of their
own tower, which is a convolution with two groups. The network for 224 pixels needs a padding of 2 in its first
convolution to have the paper's 55x55 maps.
"""

import torch
from torch import Tensor, nn

TOWERS = 2
# Section 3.3 prints k = 2, n = 5, alpha = 1e-4 and beta = 0.75; torch divides alpha by n.
SIZE, ALPHA, BETA, K = 5, 5e-4, 0.75, 2.0
HIDDEN = 4096


def normalised(convolution: nn.Conv2d) -> list[nn.Module]:
    """Return a convolution, its ReLU, and local response normalisation."""
    return [convolution, nn.ReLU(), nn.LocalResponseNorm(SIZE, ALPHA, BETA, K)]


def convolutions(channels: int, *, padding: int, window: int) -> list[nn.Module]:
    """Return the five convolutions for this padding of the first one and this window of the max-poolings."""
    return [
        *normalised(nn.Conv2d(channels, 96, 11, 4, padding=padding)), nn.MaxPool2d(window, 2),
        *normalised(nn.Conv2d(96, 256, 5, padding=2, groups=TOWERS)), nn.MaxPool2d(window, 2),
        nn.Conv2d(256, 384, 3, padding=1), nn.ReLU(),
        nn.Conv2d(384, 384, 3, padding=1, groups=TOWERS), nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1, groups=TOWERS), nn.ReLU(), nn.MaxPool2d(window, 2),
    ]  # fmt: skip


class AlexNet(nn.Module):
    """Five convolutions, two of them with local response normalisation, and three linear layers."""

    def __init__(self, *, classes: int, channels: int, dropout: float) -> None:
        super().__init__()
        self.features = nn.Sequential(*convolutions(channels, padding=2, window=3))
        self.classifier = nn.Sequential(
            nn.Linear(256 * 6 * 6, HIDDEN), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(HIDDEN, classes),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(torch.flatten(self.features(x), 1))


class SmallAlexNet(nn.Module):
    """The five convolutions with strides for small images, global average pooling and one linear layer."""

    def __init__(self, *, classes: int, channels: int) -> None:
        super().__init__()
        self.features = nn.Sequential(*convolutions(channels, padding=5, window=2), nn.AdaptiveAvgPool2d(1))
        self.classifier = nn.Linear(256, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(torch.flatten(self.features(x), 1))


def alexnet_two_towers(
    *, classes: int, channels: int = 3, small: bool = False, dropout: float | None = None
) -> nn.Module:
    """Return AlexNet with two towers: (B, channels, 224, 224), or 32 if small, -> (B, classes).

    Args:
        classes: outputs of the classifier.
        channels: channels of the images.
        small: the form for small images, changed as bearpaw/pytorch-classification changes the network with one tower.
        dropout: rate in the classifier; default 0.5, the paper's.

    Raises:
        ValueError: dropout is requested in the form for small images.
    """
    if small and dropout:
        raise ValueError(f"dropout {dropout:g} is invalid: the form for small images has no dropout")
    if small:
        return SmallAlexNet(classes=classes, channels=channels)
    return AlexNet(classes=classes, channels=channels, dropout=0.5 if dropout is None else dropout)
