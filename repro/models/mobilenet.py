"""MobileNets of any width multiplier.

V1: Efficient Convolutional Neural Networks for Mobile Vision Applications, Howard et al., arXiv 1704.04861.
V2: Inverted Residuals and Linear Bottlenecks, Sandler et al., arXiv 1801.04381.

For small images the first stride is 1, and in V2 the second too: the practice of CIFAR repositories
(kuangliu/pytorch-cifar), not of the papers.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# t (expansion), c (channels), n (repeats), s (stride of the first): Table 2 of the paper.
BOTTLENECKS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
SMALL_BOTTLENECKS = tuple((t, c, n, 1 if c == 24 else s) for t, c, n, s in BOTTLENECKS)
# Outputs and strides of V1's depthwise separable layers: Table 1 of its paper.
SEPARABLE = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))
STEM_CHANNELS = 32
HEAD_CHANNELS = 1280
LEAST_CHANNELS = 8
"""The least channels of a layer, whatever the width; V2's channels are multiples of it."""


def conv_bn(in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """Return a convolution without bias and its BatchNorm."""
    padding = kernel // 2
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(out_channels)]


def scaled(channels: int, width: float) -> int:
    """Return V1's channels at a width, as the authors' code does: tensorflow/models, slim/nets/mobilenet_v1.py."""
    return max(int(channels * width), LEAST_CHANNELS)


def rounded(channels: float) -> int:
    """Return V2's channels: the nearest multiple of 8, but not less than nine tenths.

    The paper does not print it; it is `_make_divisible` of tensorflow/models, slim/nets/mobilenet/mobilenet.py.
    """
    nearest = max(int(channels + LEAST_CHANNELS / 2) // LEAST_CHANNELS * LEAST_CHANNELS, LEAST_CHANNELS)
    return nearest if nearest >= 0.9 * channels else nearest + LEAST_CHANNELS


def check_width(width: float) -> None:
    """Raise ValueError for a width multiplier that is not positive."""
    if width <= 0:
        raise ValueError(f"width is {width:g}; it must be positive, such as 0.5")


def inverted_bottleneck(in_channels: int, out_channels: int, stride: int, expansion: int) -> nn.Sequential:
    """Return V2's inverted bottleneck: expansion, depthwise 3x3 and projection."""
    hidden = in_channels * expansion
    expand = [*conv_bn(in_channels, hidden, 1), nn.ReLU6()] if expansion > 1 else []
    depthwise = [*conv_bn(hidden, hidden, 3, stride, groups=hidden), nn.ReLU6()]
    return nn.Sequential(*expand, *depthwise, *conv_bn(hidden, out_channels, 1))


class InvertedResidual(nn.Module):
    """An inverted bottleneck, with a shortcut if the shape does not change."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, expansion: int) -> None:
        super().__init__()
        self.body = inverted_bottleneck(in_channels, out_channels, stride, expansion)
        self.residual = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.residual else self.body(x)


class MobileNetV2(nn.Module):
    """MobileNetV2: (B, channels, 224, 224), or another side such as 160, or 32 if small, -> (B, classes).

    At a width below 1, the last convolution keeps its channels (section 4).
    """

    def __init__(
        self, *, width: float = 1.0, classes: int, channels: int = 3, small: bool = False, dropout: float = 0.0
    ) -> None:
        """Make the network.

        Args:
            width: the width multiplier.
            classes: outputs of the classifier.
            channels: channels of the images.
            small: the form for small images.
            dropout: rate before the classifier; the paper has none.

        Raises:
            ValueError: the width is not positive.
        """
        check_width(width)
        super().__init__()
        before = rounded(STEM_CHANNELS * width)
        self.stem = nn.Sequential(*conv_bn(channels, before, 3, 1 if small else 2), nn.ReLU6())
        blocks = []
        for expansion, printed, repeats, first_stride in SMALL_BOTTLENECKS if small else BOTTLENECKS:
            after = rounded(printed * width)
            for repeat in range(repeats):
                stride = first_stride if repeat == 0 else 1
                blocks.append(InvertedResidual(before, after, stride, expansion))
                before = after
        self.blocks = nn.Sequential(*blocks)
        last = rounded(HEAD_CHANNELS * max(width, 1.0))
        self.head = nn.Sequential(*conv_bn(before, last, 1), nn.ReLU6())
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(last, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.head(self.blocks(self.stem(x)))
        return self.classifier(self.dropout(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1)))


class MobileNetV1(nn.Module):
    """MobileNet: (B, channels, 224, 224), or another side such as 160, or 32 if small, -> (B, classes).

    A convolution, thirteen depthwise separable layers, global average pooling and a classifier.
    """

    def __init__(
        self, *, width: float = 1.0, classes: int, channels: int = 3, small: bool = False, dropout: float = 0.0
    ) -> None:
        """Make the network.

        Args:
            width: the width multiplier, alpha in the paper.
            classes: outputs of the classifier.
            channels: channels of the images.
            small: the form for small images.
            dropout: rate before the classifier; the paper prints none.

        Raises:
            ValueError: the width is not positive.
        """
        check_width(width)
        super().__init__()
        before = scaled(STEM_CHANNELS, width)
        layers = [*conv_bn(channels, before, 3, 1 if small else 2), nn.ReLU()]
        for printed, stride in SEPARABLE:
            after = scaled(printed, width)
            layers += [*conv_bn(before, before, 3, stride, groups=before), nn.ReLU()]
            layers += [*conv_bn(before, after, 1), nn.ReLU()]
            before = after
        self.layers = nn.Sequential(*layers)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(before, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.dropout(torch.flatten(F.adaptive_avg_pool2d(self.layers(x), 1), 1)))
