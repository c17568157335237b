"""Whether the weights and buffers of a network from outside the package can be trained and saved."""

from __future__ import annotations

import torch
from torch import nn

from repro.errors import UserError
from repro.tensor_file import SAVED
from repro.text import one_of


def check_state(place: str, network: nn.Module) -> None:
    """Raise UserError if a network has weights that cannot be trained, or a state that no checkpoint can hold.

    Args:
        place: of the network, as a user types it.
        network: on the CPU.
    """
    for name, weight in network.named_parameters():
        if not weight.is_floating_point():
            raise UserError(f"{place} cannot be trained: {name} is {weight.dtype}; use floating-point weights")
    for name, each in network.state_dict().items():
        plain = isinstance(each, torch.Tensor) and each.layout == torch.strided
        if not plain or each.dtype not in SAVED:
            found = str(each.dtype) if plain else f"no plain tensor but {type(each).__name__}"
            types = one_of([str(one).removeprefix("torch.") for one in SAVED])
            raise UserError(
                f"{place} cannot be trained: {name} is {found}, which no checkpoint can hold; use a tensor of {types}"
            )


def check_own_weights(place: str, network: nn.Module, *, convolutions: bool, linear: bool) -> None:
    """Raise UserError if a weight that a recipe initialises, or chooses for the weight decay, is not a parameter.

    Args:
        place: of the network, as a user types it.
        network: on any device.
        convolutions: whether the recipe does so with the weights of convolutions.
        linear: whether it does so with those of linear layers.
    """
    kinds = (*((nn.Conv2d, nn.ConvTranspose2d) if convolutions else ()), *((nn.Linear,) if linear else ()))
    for name, layer in network.named_modules():
        if isinstance(layer, kinds) and "weight" not in dict(layer.named_parameters(recurse=False)):
            weight = f"{name}.weight".removeprefix(".")
            raise UserError(
                f"{place} cannot be trained with this recipe: {weight} is not a parameter, as with weight "
                "normalisation, so init and decay_scope do not apply to it; set init=as-built and decay_scope=all"
            )
