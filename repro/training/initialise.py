"""How weights begin: the ways that recipes name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

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


def conv_fan_in(network: nn.Module) -> None:
    """The same with variance 2 / (k^2 * inputs), which is the default of Caffe's `msra` filler."""
    conv_fan_out(network)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")


def conv_and_classifier_fan_out(network: nn.Module) -> None:
    """The same for the classifier's weight, which is a 1x1 convolution in takedarts/DenseResNet; biases as torch's."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def conv_fan_in_batchnorm_uniform(network: nn.Module) -> None:
    """Convolutions normal with variance 2 / (k^2 * inputs), the classifier's bias 0, the rest as Torch7 initialises it.

    That is a BatchNorm weight uniform in 0..1, and a classifier's weight as torch still makes it.
    """
    _as_torch7(network, "fan_in")


def conv_fan_out_batchnorm_uniform(network: nn.Module) -> None:
    """The same with variance 2 / (k^2 * outputs)."""
    _as_torch7(network, "fan_out")


def _as_torch7(network: nn.Module, mode: Literal["fan_in", "fan_out"]) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode=mode, nonlinearity="relu")
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight)
        elif isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)


def all_fan_in(network: nn.Module) -> None:
    """U-Net: normal with variance 2 / N for every convolution, N the incoming nodes of a neuron; biases 0.

    Of an up-convolution N is k^2 * outputs, as its authors' weight filler counts a blob of (inputs, outputs, k, k).
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
            assert module.bias is not None
            nn.init.zeros_(module.bias)


def conv_fan_out_alone(network: nn.Module) -> None:
    """Convolutions normal with variance 2 / (k^2 * outputs); the classifier as torch makes it. torchvision's ResNet."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def conv_fan_out_linear_normal(network: nn.Module) -> None:
    """The same; linear layers normal with deviation 0.01; biases 0. torchvision's VGG and MobileNetV2."""
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
    "conv-fan-in": conv_fan_in,
    "conv-and-classifier-fan-out": conv_and_classifier_fan_out,
    "conv-fan-in-batchnorm-uniform": conv_fan_in_batchnorm_uniform,
    "conv-fan-out-batchnorm-uniform": conv_fan_out_batchnorm_uniform,
    "all-fan-in": all_fan_in,
    "conv-fan-out-alone": conv_fan_out_alone,
    "conv-fan-out-linear-normal": conv_fan_out_linear_normal,
    "as-built": as_built,
}
