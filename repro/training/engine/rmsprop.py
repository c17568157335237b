"""RMSprop with momentum, in the forms of torch and of TensorFlow."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from repro.recipes import Recipe


class RMSprop(torch.optim.Optimizer):
    """RMSprop: gradients are divided by the root of their moving mean square, and then have momentum.

    torch: the mean square starts at 0, the root is sqrt(mean square) + epsilon, and the sum of the updates is
    multiplied by the learning rate. TensorFlow (tf.train.RMSPropOptimizer): the mean square starts at 1, the root is
    sqrt(mean square + epsilon), and each update is multiplied by the learning rate of its step before it is summed.
    torch.optim.RMSprop counts steps in a tensor of its own, which stacked seeds cannot share.
    """

    def __init__(self, groups: list[dict[str, Any]], recipe: Recipe) -> None:
        defaults = {
            "lr": recipe.lr,
            "momentum": recipe.momentum,
            "weight_decay": recipe.weight_decay,
            "square_decay": recipe.square_decay,
            "epsilon": recipe.epsilon,
            "tensorflow": recipe.optimizer == "rmsprop-tensorflow",
        }
        super().__init__(groups, defaults)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            parameters = [each for each in group["params"] if each.grad is not None]
            if parameters:
                self._update(group, parameters)

    def _update(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        squares, momenta = self._state(group, parameters)
        found = [each.grad for each in parameters if each.grad is not None]
        gradients = torch._foreach_add(found, parameters, alpha=group["weight_decay"])
        torch._foreach_mul_(squares, group["square_decay"])
        torch._foreach_addcmul_(squares, gradients, gradients, value=1 - group["square_decay"])
        if group["tensorflow"]:
            roots = torch._foreach_sqrt(torch._foreach_add(squares, group["epsilon"]))
        else:
            roots = torch._foreach_add(torch._foreach_sqrt(squares), group["epsilon"])
        torch._foreach_mul_(momenta, group["momentum"])
        updates = torch._foreach_div(gradients, roots)
        if group["tensorflow"]:
            torch._foreach_add_(momenta, torch._foreach_mul(updates, group["lr"]))
            torch._foreach_sub_(parameters, momenta)
        else:
            torch._foreach_add_(momenta, updates)
            torch._foreach_sub_(parameters, torch._foreach_mul(momenta, group["lr"]))

    def _state(self, group: dict[str, Any], parameters: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Return the mean squares and the momenta, new ones before the first step."""
        for each in parameters:
            if each not in self.state:
                start = torch.ones_like if group["tensorflow"] else torch.zeros_like
                self.state[each] = {"square_avg": start(each), "momentum_buffer": torch.zeros_like(each)}
        squares, momenta = (
            [self.state[each][name] for each in parameters] for name in ("square_avg", "momentum_buffer")
        )
        return squares, momenta
