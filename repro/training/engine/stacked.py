"""Several networks of one architecture as one: every parameter has the seed as its first dimension."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state

from repro.experiment import Experiment
from repro.models import is_outside
from repro.models.detector import Detector
from repro.training.engine.merged_batchnorm import can_merge, suit_to_vmap
from repro.training.engine.networks import Networks, Single
from repro.training.initialise import network_of


class Stacked(Networks):
    """S networks that share every kernel launch and nothing else.

    `vmap` turns S small convolutions into one grouped convolution; the gradients of a sum of S losses are those of
    each loss.
    """

    batch_dim = 1

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.seeds = len(networks)
        parameters, buffers = stack_module_state(list(networks))
        # The name of a module's attribute cannot contain dots. Buffers are registered one by one: an `nn.ParameterList`
        # would turn them into parameters.
        self.stacked_parameters = nn.ParameterList(
            nn.Parameter(each.detach(), requires_grad=each.requires_grad) for each in parameters.values()
        )
        self.parameter_names, self.buffer_names = list(parameters), list(buffers)
        for number, buffer in enumerate(buffers.values()):
            self.register_buffer(f"buffer{number}", buffer)
        # In lists, so that they are not submodules: the computation's skeleton, and a network for tests with copied
        # weights.
        self.skeleton, self.tested = ([deepcopy(networks[0]).requires_grad_(False)] for _ in range(2))
        suit_to_vmap(self.skeleton[0])
        own = {each: name for name, each in _tensors_by_name(networks[0]).items()}
        self.saved = {name: own[each] for name, each in networks[0].state_dict(keep_vars=True).items()}
        """The name under which a tensor is stacked, by each name that it has in a state, where one may have several."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Return (S, n, ...) of (S, n, C, H, W)."""
        skeleton = self.skeleton[0].train(self.training)

        def one(parameters: Mapping[str, Tensor], buffers: dict[str, Tensor], inputs: Tensor) -> Any:
            return functional_call(skeleton, (dict(parameters), buffers), (inputs,))

        # vmap asks for a kind of randomness even for dropout layers of rate 0, which draw nothing.
        of_all = torch.vmap(one, randomness="different")
        outputs: Tensor = of_all(self.parameters_by_name(), self._buffers_by_name(), inputs)
        return outputs

    def joined(self, tensors: Sequence[Any]) -> Any:
        """Return the tensors with the seed as first dimension."""
        return torch.stack(list(tensors))

    def apart(self, tensor: Tensor) -> Sequence[Tensor]:
        """Return views of the tensor, one per seed."""
        return tensor.unbind()

    def of_seed(self, tensor: Tensor, number: int) -> Tensor:
        """Return a copy of one seed's part."""
        return tensor[number].clone()

    def state_of(self, number: int) -> dict[str, Tensor]:
        """Return a copy of one network's state."""
        stacked = self._stacked_by_name()
        return {name: self.of_seed(stacked[place].detach(), number) for name, place in self.saved.items()}

    @torch.no_grad()
    def load_state_of(self, number: int, state: Mapping[str, Tensor]) -> None:
        """Copy a state into one network."""
        stacked = self._stacked_by_name()
        for name, place in self.saved.items():
            if state[name].shape != stacked[place].shape[1:]:  # copying would repeat smaller ones
                raise RuntimeError(f"{name} has another shape")
            stacked[place][number].copy_(state[name])

    @torch.no_grad()
    def alone(self, number: int) -> nn.Module:
        """Return a module with copies of one network's weights and buffers; the next call changes this module."""
        stacked = self._stacked_by_name()
        for name, own in _tensors_by_name(self.tested[0]).items():
            own.copy_(stacked[name][number])
        return self.tested[0]

    def parameters_by_name(self) -> dict[str, nn.Parameter]:
        """Return the stacked parameters."""
        return dict(zip(self.parameter_names, self.stacked_parameters, strict=True))

    def layers_by_name(self) -> dict[str, nn.Module]:
        """Return the layers of the skeleton."""
        return dict(self.skeleton[0].named_modules())

    def _buffers_by_name(self) -> dict[str, Tensor]:
        return {name: self.get_buffer(f"buffer{number}") for number, name in enumerate(self.buffer_names)}

    def _stacked_by_name(self) -> dict[str, Tensor]:
        return {**self.parameters_by_name(), **self._buffers_by_name()}


def _tensors_by_name(network: nn.Module) -> dict[str, Tensor]:
    """Return the parameters and buffers of a network, also those that are not saved, each by its first name."""
    return {**dict(network.named_parameters()), **dict(network.named_buffers())}


def as_networks(networks: Sequence[nn.Module]) -> Networks:
    """Return networks of one architecture in the form for training: a single one unchanged, several stacked."""
    return Stacked(networks) if len(networks) > 1 else Single(networks[0])


def why_one_at_a_time(network: nn.Module, experiment: Experiment) -> str:
    """Return why seeds of an experiment must be trained one after another; empty if they can be trained together.

    With dropout, and with the sampled regions of a detector, they would not draw the random numbers that each draws
    alone. Not every BatchNorm can be merged.

    Args:
        network: of the experiment, on any device.
        experiment: one of the seeds.
    """
    if isinstance(network, Detector):
        return "a detector samples regions"
    if any(isinstance(module, nn.Dropout) and module.p > 0 for module in network.modules()):
        return "the model uses dropout"
    if not can_merge(network):
        return "the model has BatchNorm without weights, running statistics or a momentum"
    draws = is_outside(experiment.model) and _draws_random_numbers(experiment)
    return "the model draws random numbers in training" if draws else ""


def _draws_random_numbers(experiment: Experiment) -> bool:
    """Whether a network draws random numbers in training, such as for stochastic depth, which needs no known layer."""
    with torch.device("cpu"), torch.random.fork_rng(devices=[]), torch.no_grad(), redirect_stdout(sys.stderr):
        network = network_of(experiment).train()
        before = torch.get_rng_state()
        network(torch.zeros(2, *experiment.input))
        return not torch.equal(before, torch.get_rng_state())
