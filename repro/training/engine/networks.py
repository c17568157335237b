"""Networks that are trained together, behind one interface: a single one here, several seeds at once in stacked.py."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn


class Networks(nn.Module):
    """S networks of one architecture that are trained together, each from its own seed.

    Networks are numbered from 0 to S - 1. Every method gives a seed's tensors the names and shapes that
    the network has when it is trained alone.
    """

    batch_dim: int
    """The batch dimension of inputs, targets and outputs."""

    @abstractmethod
    def joined(self, tensors: Sequence[Any]) -> Any:
        """Return one tensor per seed as one tensor for all seeds; the scenes of a single detector as they are."""

    @abstractmethod
    def apart(self, tensor: Tensor) -> Sequence[Tensor]:
        """Return the tensor of each seed: the inverse of `joined`, without copying."""

    @abstractmethod
    def of_seed(self, tensor: Tensor, number: int) -> Tensor:
        """Return the tensor of one seed, in memory that it shares with no other seed."""

    @abstractmethod
    def state_of(self, number: int) -> dict[str, Tensor]:
        """Return the state of one network."""

    @abstractmethod
    def load_state_of(self, number: int, state: Mapping[str, Tensor]) -> None:
        """Set the state of one network; RuntimeError or KeyError if the state is of another architecture."""

    @abstractmethod
    def alone(self, number: int) -> nn.Module:
        """Return one network as a plain module; the next call may change the module that an earlier one returned."""

    @abstractmethod
    def parameters_by_name(self) -> dict[str, nn.Parameter]:
        """Return the trained parameters, each of which holds all seeds."""

    @abstractmethod
    def layers_by_name(self) -> dict[str, nn.Module]:
        """Return the layers of one network, to which the parameters belong by name."""


class Single(Networks):
    """One network, used as it is."""

    batch_dim = 0

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: Tensor) -> Any:
        """Return the network's outputs, (n, ...) of (n, C, H, W)."""
        return self.network(inputs)

    def joined(self, tensors: Sequence[Any]) -> Any:
        """Return the only tensor, or the only scenes."""
        (tensor,) = tensors
        return tensor

    def apart(self, tensor: Tensor) -> Sequence[Tensor]:
        """Return the tensor as the only one."""
        return [tensor]

    def of_seed(self, tensor: Tensor, number: int) -> Tensor:
        """Return the tensor itself."""
        return tensor

    def state_of(self, number: int) -> dict[str, Tensor]:
        """Return the network's state, which is not copied."""
        return self.network.state_dict()

    def load_state_of(self, number: int, state: Mapping[str, Tensor]) -> None:
        """Set the network's state."""
        self.network.load_state_dict(state)

    def alone(self, number: int) -> nn.Module:
        """Return the network."""
        return self.network

    def parameters_by_name(self) -> dict[str, nn.Parameter]:
        """Return the network's parameters."""
        return dict(self.network.named_parameters())

    def layers_by_name(self) -> dict[str, nn.Module]:
        """Return the network's layers."""
        return dict(self.network.named_modules())
