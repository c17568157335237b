"""The networks of this paper. Replace `small_net` with your own; keep each network in one file."""

from torch import nn


def small_net(width: int = 8, depth: int = 2, *, classes: int, channels: int = 3) -> nn.Module:
    """Return a small convolutional network; the options of a row are its keyword arguments.

    Args:
        width: feature maps of each convolution.
        depth: number of 3x3 convolutions after the first one.
        classes: number of outputs; repro gives that of the dataset.
        channels: channels of an image; repro gives that of the dataset.

    The network makes (batch, classes) of (batch, channels, height, width).
    """
    layers: list[nn.Module] = [nn.Conv2d(channels, width, 3, stride=2, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
    for _ in range(depth):
        layers += [nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes))
