"""Networks that torchvision keeps: AlexNet, VGG, GoogLeNet, MobileNetV3, and DenseNet for ImageNet.

AlexNet is torchvision's one-tower form (Krizhevsky, arXiv 1404.5997), with 61.1 million parameters, not the
two-tower one of 2012. GoogLeNet has BatchNorm, and 3x3 convolutions in the branch that the paper calls 5x5.
"""

from torch import nn

DENSENET_BLOCKS = {
    121: (6, 12, 24, 16),
    161: (6, 12, 36, 24),
    169: (6, 12, 32, 32),
    201: (6, 12, 48, 32),
    264: (6, 12, 64, 48),
}
"""Layers of the four dense blocks: DenseNet, arXiv 1608.06993, Table 1; 161 from its authors' repository."""


def torchvision_classic(*, name: str, classes: int, channels: int = 3) -> nn.Module:
    """Return torchvision's network of a name: (B, 3, 224, 224) -> (B, classes).

    Raises:
        ValueError: the input has not three channels.
    """
    import torchvision

    need_colour(channels)
    # Weights are initialised by the recipe; GoogLeNet's auxiliary classifiers exist in training alone.
    extra = {"init_weights": False, "aux_logits": False} if name == "googlenet" else {}
    network: nn.Module = torchvision.models.get_model(name, weights=None, num_classes=classes, **extra)
    return network


def densenet_imagenet(*, depth: int, classes: int, channels: int = 3) -> nn.Module:
    """Return DenseNet-BC for ImageNet, k = 32, and 48 for 161 layers: (B, 3, 224, 224) -> (B, classes).

    Raises:
        ValueError: the input has not three channels.
    """
    from torchvision.models import DenseNet

    need_colour(channels)
    k = 48 if depth == 161 else 32
    return DenseNet(k, DENSENET_BLOCKS[depth], num_init_features=2 * k, num_classes=classes)


def need_colour(channels: int) -> None:
    """Raise ValueError unless there are three channels."""
    if channels != 3:
        raise ValueError(f"an input of {channels} channels is impossible: this network takes 3")
