"""Several networks of one architecture in one: every parameter has a first dimension, the seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state

from repro.training.merged_batchnorm import suit_to_vmap


class Stacked(nn.Module):
    """S networks that share every kernel launch and nothing else.

    `vmap` turns S small convolutions into one grouped one; gradients of a sum of S losses are those of each.
    """

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.seeds = len(networks)
        parameters, buffers = stack_module_state(list(networks))
        # A module's attribute may have no dots in its name.
        self.stacked_parameters = nn.ParameterList(parameters.values())
        self.parameter_names, self.buffer_names = list(parameters), list(buffers)
        for number, buffer in enumerate(buffers.values()):
            self.register_buffer(f"buffer{number}", buffer)
        # Kept out of the module tree: the skeleton of the computation, and a network to test, whose weights are copies.
        self.skeleton, self.single = ([deepcopy(networks[0]).requires_grad_(False)] for _ in range(2))
        suit_to_vmap(self.skeleton[0])

    def forward(self, inputs: Tensor) -> Tensor:
        """Return (S, n, ...) of (S, n, C, H, W)."""
        skeleton = self.skeleton[0].train(self.training)

        def one(parameters: Mapping[str, Tensor], buffers: dict[str, Tensor], inputs: Tensor) -> Any:
            return functional_call(skeleton, (dict(parameters), buffers), (inputs,))

        # Dropout layers of rate 0 ask vmap for a kind of randomness and then draw nothing.
        together = torch.vmap(one, randomness="different")
        outputs: Tensor = together(self.parameters_by_name(), self._buffers_by_name(), inputs)
        return outputs

    def state_of(self, seed: int) -> dict[str, Tensor]:
        """Return the state of network number `seed`, as the network alone would have it."""
        stacked = {**self.parameters_by_name(), **self._buffers_by_name()}
        return {name: stacked[name].detach()[seed].clone() for name in self.skeleton[0].state_dict()}

    @torch.no_grad()
    def load_state_of(self, seed: int, state: Mapping[str, Tensor]) -> None:
        """Set the state of network number `seed`."""
        for name, stacked in {**self.parameters_by_name(), **self._buffers_by_name()}.items():
            stacked[seed].copy_(state[name])

    def alone(self, seed: int) -> nn.Module:
        """Return network number `seed` as a module of its own, to be tested; the next call changes it."""
        self.single[0].load_state_dict(self.state_of(seed))
        return self.single[0]

    def parameters_by_name(self) -> dict[str, nn.Parameter]:
        """Return the parameters of all seeds by the names that a network alone has for its own."""
        return dict(zip(self.parameter_names, self.stacked_parameters, strict=True))

    def _buffers_by_name(self) -> dict[str, Tensor]:
        return {name: self.get_buffer(f"buffer{number}") for number, name in enumerate(self.buffer_names)}


def parameters_of(network: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters by name; of stacked networks those of all seeds together."""
    return network.parameters_by_name() if isinstance(network, Stacked) else dict(network.named_parameters())


def layers_of(network: nn.Module) -> dict[str, nn.Module]:
    """Return the layers by name; of stacked networks those of one, to whose names the parameters' belong."""
    return dict((network.skeleton[0] if isinstance(network, Stacked) else network).named_modules())


def can_be_stacked(network: nn.Module) -> bool:
    """Whether seeds side by side draw what each draws alone: not if the network drops out."""
    return not any(isinstance(module, nn.Dropout) and module.p > 0 for module in network.modules())
