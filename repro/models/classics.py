"""Networks of torchvision: AlexNet, VGG, GoogLeNet and MobileNetV3.

AlexNet is torchvision's one-tower form (Krizhevsky, arXiv 1404.5997), with 61.1 million parameters, not the
two-tower one of 2012. GoogLeNet has BatchNorm, and 3x3 convolutions in the branch that the paper calls 5x5.

The forms for small images are the practice of CIFAR repositories, not of the papers: AlexNet as in
bearpaw/pytorch-classification, VGG as in kuangliu/pytorch-cifar, GoogLeNet as in huyvnphan/PyTorch_CIFAR10.
MobileNetV3 is changed like MobileNetV2 in these repositories: the first two strides are 1.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn


def torchvision_classic(
    *,
    name: str,
    classes: int,
    channels: int = 3,
    small: bool = False,
    dropout: float | None = None,
    auxiliary: bool = False,
) -> nn.Module:
    """Return a network of torchvision: (B, 3, 224, 224), or 32 if small, -> (B, classes).

    Args:
        name: name in torchvision.
        classes: outputs of the classifier.
        channels: channels of the images.
        small: the form for small images.
        dropout: rate in the classifier; default torchvision's, 0.5 for AlexNet and VGG and 0.2 for the others.
        auxiliary: whether GoogLeNet has its two auxiliary classifiers in training.

    Raises:
        ValueError: the input does not have three channels, or dropout is requested in a form without dropout.
    """
    if channels != 3:
        raise ValueError(f"an input of {channels} channels is invalid: this network needs 3")
    if small and dropout and name.startswith(("alexnet", "vgg")):
        raise ValueError(f"dropout {dropout:g} is invalid: the form for small images has no dropout")
    extra: dict[str, Any] = {} if dropout is None else {"dropout": dropout}
    if auxiliary:
        extra["aux_logits"] = True
    return (SMALL[name] if small else torchvisions)(name, classes, extra)


def torchvisions(name: str, classes: int, extra: Mapping[str, Any]) -> nn.Module:
    """Return torchvision's network; `extra` are arguments of its builder."""
    import torchvision

    if name == "googlenet":
        return googlenet(classes, extra)
    return torchvision.models.get_model(name, weights=None, num_classes=classes, **extra)


def googlenet(classes: int, extra: Mapping[str, Any]) -> nn.Module:
    """Return GoogLeNet, whose training output with auxiliary classifiers is (B, 3, classes), the main one first."""
    from torchvision.models.googlenet import GoogLeNet

    class Stacked(GoogLeNet):  # type: ignore[misc]
        def forward(self, x: Tensor) -> Tensor:
            outputs = super().forward(x)
            return outputs if isinstance(outputs, Tensor) else torch.stack(list(outputs), 1)

    # Weights are initialised by the recipe; the auxiliary classifiers exist only if it trains them.
    return Stacked(num_classes=classes, **{"init_weights": False, "aux_logits": False, **extra})


def small_alexnet(name: str, classes: int, extra: Mapping[str, Any]) -> nn.Module:
    """Return the five convolutions, poolings of 2x2, and one linear layer."""
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 11, 4, padding=5), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)]
    for in_channels, out_channels in ((192, 384), (384, 256), (256, 256)):
        layers += [nn.Conv2d(in_channels, out_channels, 3, padding=1), nn.ReLU()]
    return classified(nn.Sequential(*layers, nn.MaxPool2d(2)), 256, classes)


def small_vgg(name: str, classes: int, extra: Mapping[str, Any]) -> nn.Module:
    """Return the thirteen convolutions and one linear layer."""
    from torchvision.models.vgg import cfgs, make_layers

    return classified(make_layers(cfgs["D"], batch_norm=name.endswith("_bn")), 512, classes)


def classified(features: nn.Module, width: int, classes: int) -> nn.Module:
    """Return feature layers with global average pooling and a linear classifier; at 32x32 features are already 1x1."""
    head = {"pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), "classifier": nn.Linear(width, classes)}
    return nn.Sequential(OrderedDict({"features": features, **head}))


def small_googlenet(name: str, classes: int, extra: Mapping[str, Any]) -> nn.Module:
    """Return GoogLeNet with one 3x3 convolution of 192 maps in place of all layers before the first Inception."""
    from torchvision.models.googlenet import BasicConv2d

    network = torchvisions(name, classes, extra)
    for layer in ("maxpool1", "conv2", "conv3", "maxpool2"):
        network.add_module(layer, nn.Identity())
    network.add_module("conv1", BasicConv2d(3, 192, kernel_size=3, padding=1))
    return network


def small_mobilenet_v3(name: str, classes: int, extra: Mapping[str, Any]) -> nn.Module:
    """Return MobileNetV3 with 1 for its first two strides; this gives the first block of V3-Small no shortcut."""
    network = torchvisions(name, classes, extra)
    strided = [each for each in network.modules() if isinstance(each, nn.Conv2d) and each.stride == (2, 2)]
    for convolution in strided[:2]:
        convolution.stride = (1, 1)
    return network


SMALL: dict[str, Callable[[str, int, Mapping[str, Any]], nn.Module]] = {
    "alexnet": small_alexnet,
    "vgg16": small_vgg,
    "vgg16_bn": small_vgg,
    "googlenet": small_googlenet,
    "mobilenet_v3_large": small_mobilenet_v3,
    "mobilenet_v3_small": small_mobilenet_v3,
}
"""Builders of the form for small images."""
