"""The exponential moving average of a network's weights and BatchNorm statistics, which is tested in its place."""

from __future__ import annotations

from copy import deepcopy

import torch

from repro.training.engine.finite import infinite_in
from repro.training.engine.networks import Networks


class Average:
    """The moving average of networks that are trained together.

    As in TensorFlow-Slim, BatchNorm's running statistics are averaged too; counters and infinite values are copied.
    """

    def __init__(self, networks: Networks, decay: float) -> None:
        """Start at the networks' weights.

        Args:
            networks: the networks that are trained; their tensors are changed in place.
            decay: of the average per step; after n steps at most (1 + n) / (10 + n), so that it forgets the start.
        """
        self.networks, self.decay = deepcopy(networks).requires_grad_(False), decay
        own, theirs = (each.state_dict(keep_vars=True) for each in (self.networks, networks))
        names = {each: name for name, each in own.items()}.values()  # one for each tensor, which may have several
        copied = {*infinite_in(own), *(name for name, each in own.items() if not each.is_floating_point())}
        self._averaged = [(own[name], theirs[name]) for name in names if name not in copied]
        self._copied = [(own[name], theirs[name]) for name in names if name in copied]

    @torch.no_grad()
    def update(self, steps: int) -> None:
        """Move the average towards the networks after their step number `steps`, counted from 1."""
        decay = min(self.decay, (1 + steps) / (10 + steps))
        own, theirs = map(list, zip(*self._averaged, strict=True))
        torch._foreach_lerp_(own, theirs, 1 - decay)
        for own_one, their_one in self._copied:
            own_one.copy_(their_one)
