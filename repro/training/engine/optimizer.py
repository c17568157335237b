"""The optimizer of a recipe, and its state for each network alone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from repro.recipes import Recipe
from repro.training.engine.networks import Networks
from repro.training.engine.rmsprop import RMSprop

WITH_WEIGHTS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


def optimizer_for(networks: Networks, recipe: Recipe) -> torch.optim.Optimizer:
    """Return the recipe's optimizer for the trainable parameters; its momentum is still empty."""
    trained = {name: each for name, each in networks.parameters_by_name().items() if each.requires_grad}
    groups: list[dict[str, Any]] = [{"params": list(trained.values())}]
    if recipe.decay_scope != "all":
        layers = networks.layers_by_name().items()
        weights = {f"{name}.weight" for name, layer in layers if decays(layer, recipe)}
        groups = [
            {"params": [each for name, each in trained.items() if name in weights]},
            {"params": [each for name, each in trained.items() if name not in weights], "weight_decay": 0.0},
        ]
    if recipe.optimizer != "sgd":
        return RMSprop(groups, recipe)
    made = torch.optim.SGD(
        groups,
        lr=recipe.lr,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
        weight_decay=recipe.weight_decay,
        fused=True,
    )
    if recipe.momentum:
        made.register_step_pre_hook(partial(_add_momentum, sum(len(each["params"]) for each in groups)))
    return made


def _add_momentum(parameters: int, optimizer: torch.optim.Optimizer, *_: object) -> None:
    """Give weights whose first gradient comes after the first step, such as those of skipped blocks, a momentum of 0.

    The fused update makes the momentum of all weights at once. With the momentum of 0, a first gradient is added as
    it is.
    """
    if not 0 < len(optimizer.state) < parameters:
        return
    for each in (each for group in optimizer.param_groups for each in group["params"]):
        if each.grad is not None and each not in optimizer.state:
            optimizer.state[each] = {"momentum_buffer": torch.zeros_like(each)}


def keeps_state(recipe: Recipe) -> bool:
    """Whether the optimizer of a recipe keeps numbers between steps."""
    return recipe.optimizer != "sgd" or recipe.momentum > 0


def decays(layer: nn.Module, recipe: Recipe) -> bool:
    """Whether the weight of a layer decays with a recipe that limits weight decay to weights."""
    depthwise = isinstance(layer, nn.Conv2d) and layer.groups == layer.in_channels > 1
    return isinstance(layer, WITH_WEIGHTS) and not (depthwise and recipe.decay_scope == "weights-not-depthwise")


def set_lr(optimizer: torch.optim.Optimizer, lr: float | Tensor) -> None:
    """Set the learning rate of the next update; a tensor is read at each replay of a CUDA graph."""
    for group in optimizer.param_groups:
        group["lr"] = lr


def reset_momentum(optimizer: torch.optim.Optimizer) -> None:
    """Set the momentum to zero, in place, since a CUDA graph refers to its addresses."""
    for state in optimizer.state.values():
        state["momentum_buffer"].zero_()


def optimizer_state_of(optimizer: torch.optim.Optimizer, networks: Networks, number: int, lr: float) -> dict[str, Any]:
    """Return the optimizer's state for one network, as if it were trained alone.

    Args:
        optimizer: the optimizer of all networks.
        networks: the networks that are trained together.
        number: of the network.
        lr: the learning rate to store; a resumed run computes it from the step.
    """
    content = optimizer.state_dict()
    content["state"] = _of_tensors(lambda each: networks.of_seed(each, number), [content["state"]])
    content["param_groups"] = [{**group, "lr": lr} for group in content["param_groups"]]
    return content


def load_optimizer_states(
    optimizer: torch.optim.Optimizer, networks: Networks, states: Sequence[dict[str, Any]]
) -> None:
    """Set what the optimizer keeps from the states of the networks alone; its settings are those of the recipe.

    Raises:
        ValueError: a state is not one of these parameters.
    """
    parameters = [each for group in optimizer.param_groups for each in group["params"]]
    shapes = {index: networks.apart(each.detach())[0].shape for index, each in enumerate(parameters)}
    kept = {"momentum_buffer", *(["square_avg"] if isinstance(optimizer, RMSprop) else [])}
    for each in states:
        _check_loaded(each["state"], shapes, kept)
        if each["state"].keys() != states[0]["state"].keys():
            raise ValueError("the momentum of one seed is missing")
    joined = _of_tensors(lambda *each: networks.joined(each), [each["state"] for each in states])
    optimizer.load_state_dict({**optimizer.state_dict(), "state": joined})
    for parameter, state in optimizer.state.items():
        # The fused update walks through memory: a buffer in another layout would update the wrong weights.
        state |= {name: torch.empty_like(parameter).copy_(each) for name, each in state.items()}


def _check_loaded(
    state: Mapping[int, Mapping[str, Tensor]], shapes: Mapping[int, torch.Size], kept: Collection[str]
) -> None:
    """Raise ValueError unless a state has what is kept of parameters of these shapes, or of some of them."""
    for index, values in state.items():
        if index not in shapes or values.keys() != kept:
            raise ValueError(f"the optimizer has no parameter {index}, or no {', '.join(values)}")
        for found in (each.shape for each in values.values()):
            if found != shapes[index]:
                raise ValueError(
                    f"momentum of shape {tuple(found)} is for no parameter of shape {tuple(shapes[index])}"
                )


def _of_tensors(function: Callable[..., Tensor], states: Sequence[dict[int, dict[str, Any]]]) -> dict[int, Any]:
    """Merge states of equal structure into one, combining their tensors with a function."""
    first = states[0]
    return {
        index: {name: function(*(each[index][name] for each in states)) for name in state}
        for index, state in first.items()
    }
