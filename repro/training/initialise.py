"""An experiment's network, and the initialisations that recipes name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from repro.data import DATASETS
from repro.experiment import Experiment
from repro.models import build, building_without_memory, save_memory
from repro.recipes import Recipe
from repro.training.randomness import seed_of


def conv_fan_out(network: nn.Module) -> None:
    """He et al., arXiv 1502.01852: normal with variance 2 / (k^2 * outputs); the classifier's bias 0.

    BatchNorm starts with weight 1 and bias 0; the classifier's weight has torch's initialisation.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            _zero(module.bias)


def conv_fan_in(network: nn.Module) -> None:
    """Like conv_fan_out with variance 2 / (k^2 * inputs), the default of Caffe's `msra` filler."""
    conv_fan_out(network)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")


def conv_and_classifier_fan_out(network: nn.Module) -> None:
    """Like conv_fan_out, also for the classifier's weight; biases have torch's initialisation.

    In takedarts/DenseResNet the classifier is a 1x1 convolution.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def conv_fan_in_batchnorm_uniform(network: nn.Module) -> None:
    """Convolutions normal with variance 2 / (k^2 * inputs), the classifier's bias 0, the rest as in Torch7.

    Torch7 draws BatchNorm weights uniformly from 0..1 and the classifier's weight as torch does.
    """
    _as_torch7(network, "fan_in")


def conv_fan_out_batchnorm_uniform(network: nn.Module) -> None:
    """Like conv_fan_in_batchnorm_uniform with variance 2 / (k^2 * outputs)."""
    _as_torch7(network, "fan_out")


def _as_torch7(network: nn.Module, mode: Literal["fan_in", "fan_out"]) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode=mode, nonlinearity="relu")
        elif isinstance(module, _BatchNorm) and module.affine:
            nn.init.uniform_(module.weight)
        elif isinstance(module, nn.Linear):
            _zero(module.bias)


def _zero(bias: torch.Tensor | None) -> None:
    """Set the bias of a layer to 0; networks from outside the package may have layers without one."""
    if bias is not None:
        nn.init.zeros_(bias)


def all_fan_in(network: nn.Module) -> None:
    """U-Net: normal with variance 2 / N for every convolution, N the incoming nodes of a neuron; biases 0.

    For an up-convolution N is k^2 * outputs, since the authors' weight filler reads a blob as (inputs, outputs, k, k).
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
            _zero(module.bias)


def conv_fan_out_alone(network: nn.Module) -> None:
    """Convolutions normal with variance 2 / (k^2 * outputs), the rest as torch initialises it: torchvision's ResNet."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def conv_fan_out_linear_normal(network: nn.Module) -> None:
    """Like conv_fan_out_alone; linear layers normal with std 0.01, biases 0: torchvision's VGG and MobileNetV2."""
    conv_fan_out_alone(network)
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.01)
        if isinstance(module, nn.Conv2d | nn.Linear):
            _zero(module.bias)


def glorot(network: nn.Module) -> None:
    """Glorot & Bengio (2010): weights uniform with variance 2 / (inputs + outputs); biases 0. Keras' default."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            _zero(module.bias)


def truncated_normal(network: nn.Module) -> None:
    """Weights normal with std 0.09, redrawn beyond two of these; biases 0: MobileNet in TensorFlow-Slim."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.09, a=-0.18, b=0.18)
            _zero(module.bias)


def alexnet(network: nn.Module) -> None:
    """Krizhevsky et al. 2012, section 5: weights normal with std 0.01.

    Biases are 1 in the second, fourth and fifth convolutions and the hidden linear layers, and 0 in the others.
    """
    layers = [each for each in network.modules() if isinstance(each, nn.Conv2d | nn.Linear)]
    for number, module in enumerate(layers, 1):
        nn.init.normal_(module.weight, std=0.01)
        if module.bias is not None:
            nn.init.constant_(module.bias, 0.0 if number in (1, 3, len(layers)) else 1.0)


def as_built(network: nn.Module) -> None:
    """Every weight as the network's own code leaves it; torchvision's AlexNet leaves torch's initialisation."""


INITIALISERS: dict[str, Callable[[nn.Module], None]] = {
    "conv-fan-out": conv_fan_out,
    "conv-fan-in": conv_fan_in,
    "conv-and-classifier-fan-out": conv_and_classifier_fan_out,
    "conv-fan-in-batchnorm-uniform": conv_fan_in_batchnorm_uniform,
    "conv-fan-out-batchnorm-uniform": conv_fan_out_batchnorm_uniform,
    "all-fan-in": all_fan_in,
    "conv-fan-out-alone": conv_fan_out_alone,
    "conv-fan-out-linear-normal": conv_fan_out_linear_normal,
    "glorot": glorot,
    "truncated-normal": truncated_normal,
    "alexnet": alexnet,
    "as-built": as_built,
}


def network_of(experiment: Experiment, *, memory_saved: bool = False) -> nn.Module:
    """Return an experiment's network with torch's own initialisation.

    Args:
        experiment: names the network.
        memory_saved: whether activations are recomputed in the backward pass.

    Raises:
        UserError: no such network exists, or it cannot save memory.
    """
    data, recipe = DATASETS[experiment.dataset], experiment.recipe
    network = build(
        experiment.model,
        experiment.options,
        classes=data.classes,
        input=data.input,
        dropout=recipe.dropout,
        auxiliary=recipe.auxiliary > 0,
    )
    set_batchnorm(network, recipe)
    if memory_saved:
        save_memory(experiment.model, network)
    return network


def network_without_memory(experiment: Experiment, *, memory_saved: bool = False) -> nn.Module:
    """Return what `network_of` returns on torch's meta device; a network from outside the package on the CPU."""
    with building_without_memory(experiment.model):
        return network_of(experiment, memory_saved=memory_saved)


def set_batchnorm(network: nn.Module, recipe: Recipe) -> None:
    """Give all BatchNorm layers the decay and the epsilon of a recipe that states them."""
    for norm in (each for each in network.modules() if isinstance(each, _BatchNorm)):
        if recipe.batchnorm_decay:
            norm.momentum = 1 - recipe.batchnorm_decay
        if recipe.batchnorm_epsilon:
            norm.eps = recipe.batchnorm_epsilon


def initialised(experiment: Experiment, *, memory_saved: bool = False) -> nn.Module:
    """Return an experiment's network with the initialisation of its recipe and seed."""
    torch.manual_seed(seed_of(experiment.seed, "init"))
    network = network_of(experiment, memory_saved=memory_saved)
    INITIALISERS[experiment.recipe.init](network)
    return network
