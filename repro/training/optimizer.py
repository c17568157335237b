"""The optimizer of a recipe."""

from __future__ import annotations

import torch
from torch import nn

from repro.recipes import Recipe
from repro.training.stacked import layers_of, parameters_of

WITH_WEIGHTS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


def optimizer_for(network: nn.Module, recipe: Recipe) -> torch.optim.SGD:
    """Return SGD of the parameters to be trained, without momentum so far."""
    trained = {name: each for name, each in parameters_of(network).items() if each.requires_grad}
    groups: list[dict[str, object]] = [{"params": list(trained.values())}]
    if recipe.decay_scope == "weights":
        weights = {f"{name}.weight" for name, layer in layers_of(network).items() if isinstance(layer, WITH_WEIGHTS)}
        groups = [
            {"params": [each for name, each in trained.items() if name in weights]},
            {"params": [each for name, each in trained.items() if name not in weights], "weight_decay": 0.0},
        ]
    return torch.optim.SGD(
        groups,
        lr=recipe.lr,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
        weight_decay=recipe.weight_decay,
        fused=True,
    )


def set_lr(optimizer: torch.optim.SGD, lr: float | torch.Tensor) -> None:
    """Set the learning rate of the next update; a tensor is read at each replay of a CUDA graph."""
    for group in optimizer.param_groups:
        group["lr"] = lr
