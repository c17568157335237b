"""How weights begin: the ways that recipes name."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn


def conv_fan_out(network: nn.Module) -> None:
    """He et al., arXiv 1502.01852: normal with variance 2 / (k^2 * outputs); the classifier's bias 0.

    BatchNorm begins with weight 1 and bias 0, and the classifier's weight as torch makes it.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)


def conv_and_classifier_fan_out(network: nn.Module) -> None:
    """The same for the classifier's weight, which is a 1x1 convolution in takedarts/DenseResNet; biases as torch's."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def conv_fan_out_alone(network: nn.Module) -> None:
    """The same for convolutions alone; the classifier as torch makes it. torchvision's ResNet."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def conv_fan_out_linear_normal(network: nn.Module) -> None:
    """The same for convolutions; linear layers normal with deviation 0.01; biases 0. torchvision's VGG, MobileNetV2."""
    conv_fan_out_alone(network)
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.01)
        if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)


def as_built(network: nn.Module) -> None:
    """Every weight as torch makes it. torchvision's AlexNet."""


INITIALISERS: dict[str, Callable[[nn.Module], None]] = {
    "conv-fan-out": conv_fan_out,
    "conv-and-classifier-fan-out": conv_and_classifier_fan_out,
    "conv-fan-out-alone": conv_fan_out_alone,
    "conv-fan-out-linear-normal": conv_fan_out_linear_normal,
    "as-built": as_built,
}
