"""Tuning of only the classifier at the test size, an optional end of training in the code of DenseResNet's author."""

from __future__ import annotations

from torch import nn

from repro.training.engine.networks import Networks


def classifier_of(layers: dict[str, nn.Module]) -> str:
    """Return the name of the classifier: the last linear layer or convolution."""
    return [name for name, layer in layers.items() if isinstance(layer, nn.Linear | nn.Conv2d)][-1]


def freeze_all_but_the_classifier(networks: Networks) -> None:
    """Let only the parameters of the classifier be trained."""
    classifier = classifier_of(networks.layers_by_name())
    for name, parameter in networks.parameters_by_name().items():
        parameter.requires_grad_(name.startswith(f"{classifier}."))
