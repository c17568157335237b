"""A network as a fully convolutional one, which classifies at every position of a larger image.

As in Simonyan & Zisserman 1409.1556, section 3.2: the first linear layer becomes a convolution of the size of its input
maps, and the others become 1x1 convolutions.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from repro.errors import UserError, is_out_of_memory

Pooling = nn.AdaptiveAvgPool2d | nn.AdaptiveMaxPool2d
"""A pooling to maps of a size that does not depend on that of its input."""


def fully_convolutional(network: nn.Module) -> nn.Module:
    """Return the network as (n, C, H, W) -> (n, classes, h, w) or, with global average pooling, (n, classes).

    The weights are shared. A network with global average pooling is returned as it is: on a larger image its output is
    the mean of the outputs at all positions, since only one linear layer follows.

    Raises:
        UserError: the network has several linear layers that are not AlexNet's or VGG's, or pools to maps of a fixed
            size above 1x1.
    """
    pool, classifier = (getattr(network, name, None) for name in ("avgpool", "classifier"))
    features = getattr(network, "features", None)
    if isinstance(features, nn.Module) and isinstance(classifier, nn.Sequential) and _side(pool) > 1:
        return Dense(features, _side(pool), classifier)
    tested = [each for name, each in network.named_modules() if not name.startswith("aux")]  # GoogLeNet's train only
    if sum(isinstance(each, nn.Linear) for each in tested) > 1:
        raise not_dense(network, "it has several linear layers")
    if any(isinstance(each, Pooling) and _sides(each) - {1, None} for each in tested):
        raise not_dense(network, "it pools to maps of a fixed size above 1x1")
    return network


def not_dense(network: nn.Module, reason: str) -> UserError:
    """Return the error for a network that has no dense test."""
    return UserError(f"a dense test of {type(network).__name__} is not implemented: {reason}; use crops")


def _side(pool: nn.Module | None) -> int:
    """Return the side of the square maps that an adaptive pooling gives; 0 for other modules."""
    if not isinstance(pool, nn.AdaptiveAvgPool2d):
        return 0
    sides = _sides(pool)
    return (sides.pop() or 0) if len(sides) == 1 else 0


def _sides(pool: Pooling) -> set[int | None]:
    """Return the height and the width of the maps that an adaptive pooling gives; None for those of its input."""
    size = pool.output_size
    return {*size} if isinstance(size, Sequence) else {size}


class Dense(nn.Module):
    """Convolutional features and a classifier of convolutions."""

    def __init__(self, features: nn.Module, side: int, classifier: nn.Sequential) -> None:
        super().__init__()
        self.features, self.side = features, side
        first = next(each for each in classifier if isinstance(each, nn.Linear))
        layers = [
            convolution(each, side if each is first else 1) if isinstance(each, nn.Linear) else each
            for each in classifier
        ]
        self.classifier = nn.Sequential(*layers).eval()

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        small = f"an image of {width}x{height} pixels is too small for a dense test"
        try:
            maps = self.features(x)
        except RuntimeError as error:  # a pooling has no output
            if is_out_of_memory(error):
                raise
            raise UserError(f"{small}; use larger scales") from error
        if min(maps.shape[2:]) < self.side:
            raise UserError(
                f"{small}: its maps have {maps.shape[3]}x{maps.shape[2]} positions, and the classifier needs "
                f"{self.side}x{self.side}; use larger scales"
            )
        return self.classifier(maps)


def convolution(linear: nn.Linear, side: int) -> nn.Conv2d:
    """Return a linear layer of flattened maps (n, C, side, side) as a convolution that shares its weights."""
    channels = linear.in_features // side**2
    with torch.device("meta"):
        layer = nn.Conv2d(channels, linear.out_features, side, bias=linear.bias is not None)
    layer.weight = nn.Parameter(linear.weight.detach().view(-1, channels, side, side), requires_grad=False)
    if linear.bias is not None:
        layer.bias = nn.Parameter(linear.bias.detach(), requires_grad=False)
    return layer
