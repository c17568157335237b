"""Training the classifier alone, as the author of DenseResNet does at the test size when the rest is trained."""

from __future__ import annotations

from torch import nn

from repro.training.stacked import layers_of, parameters_of


def classifier_of(network: nn.Module) -> str:
    """Return the name of the classifier: of the last layer with weights, linear or a convolution."""
    return [name for name, layer in layers_of(network).items() if isinstance(layer, nn.Linear | nn.Conv2d)][-1]


def freeze_all_but_the_classifier(network: nn.Module) -> None:
    """Let no parameter be trained but the classifier's; of networks side by side each one's."""
    classifier = classifier_of(network)
    for name, parameter in parameters_of(network).items():
        parameter.requires_grad_(name.startswith(f"{classifier}."))
