"""One training step: forward, backward, update; run eagerly or compiled, and in graphs.py from a CUDA graph."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from repro.kernels.side_streams import SIDE_STREAMS
from repro.runtime import Runtime
from repro.training.engine.networks import Networks
from repro.training.engine.optimizer import set_lr
from repro.training.machine.device import autocast
from repro.training.machine.processes import parallel
from repro.training.tasks.task import Batch, Task

Forward = Callable[[Any], Tensor]
"""The forward pass of networks: of images, or of scenes for a detector."""
Then = Callable[[], None]
"""What is done when a step has changed the weights."""
COMPILED_NETWORKS = 256
"""Number of networks of one class that a process may compile."""


@dataclass(kw_only=True, eq=False)
class Step:
    """Takes one training step of S networks, each on its own batch. Nothing here waits for the device."""

    networks: Networks
    optimizer: torch.optim.Optimizer
    task: Task
    """Defines the loss and the errors."""
    runtime: Runtime
    sums: Tensor
    """(S, 2): running sums of the losses and errors of each step's images."""
    batch: int
    """Images in a full batch of one network in this process; only these are compiled."""
    batchnorm_images: int
    """Images over which BatchNorm normalises at once; 0: the whole batch."""
    eager: Forward = field(init=False)
    forward: Forward = field(init=False)

    def __post_init__(self) -> None:
        self.eager = parallel(self.networks)
        self.forward = compiled(self.eager) if self.runtime.compile else self.eager

    def __call__(self, batches: Sequence[Batch], lr: float, weight: float, then: Then | None) -> None:
        """Take a step.

        Args:
            batches: one per network, of equal size.
            lr: learning rate.
            weight: multiplies the loss whose gradient is taken.
            then: what is done when the weights have changed, if anything.
        """
        set_lr(self.optimizer, lr)
        inputs, targets = self.joined(batches)
        self.take(self._forward_for(batches), inputs, targets, weight)
        if then:
            then()

    def _forward_for(self, batches: Sequence[Batch]) -> Forward:
        """Return the forward pass; a smaller last batch would be compiled once more, for one step per epoch."""
        return self.forward if len(batches[0].targets) == self.batch else self.eager

    def joined(self, batches: Sequence[Batch]) -> tuple[Any, Tensor]:
        """Return the inputs and the targets of all networks, each as one tensor."""
        inputs, targets = (self.networks.joined(each) for each in zip(*batches, strict=True))
        return inputs, targets

    def take(self, forward: Forward, inputs: Any, targets: Tensor, weight: float) -> None:
        """Run forward, backward and update, and update the sums; inputs and targets are those that `joined` returns."""
        with autocast(inputs.device, self.runtime):
            outputs = self._outputs(forward, inputs)
        pairs = list(zip(self.networks.apart(outputs), self.networks.apart(targets), strict=True))
        losses = torch.stack([self.task.loss(output, target) for output, target in pairs])
        self.optimizer.zero_grad(set_to_none=True)
        with SIDE_STREAMS.joined():
            (losses.sum() * weight if weight != 1 else losses.sum()).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        with torch.no_grad():
            wrong = torch.stack([self.task.wrong(output, target) for output, target in pairs])
            images = len(pairs[0][1])
            self.sums += torch.stack([losses.detach() * images, wrong], dim=1)

    def _outputs(self, forward: Forward, inputs: Any) -> Tensor:
        """Return the outputs of a batch, computed in parts if BatchNorm normalises over parts."""
        if not self.batchnorm_images:
            return forward(inputs)
        dim = self.networks.batch_dim
        return torch.cat([forward(part) for part in torch.split(inputs, self.batchnorm_images, dim)], dim)


def compiled(forward: Forward) -> Forward:
    """Return a network's forward pass through torch.compile.

    The rows of a table are networks of one class, each compiled separately; by default torch stops compiling at the
    ninth.
    """
    torch._dynamo.config.recompile_limit = COMPILED_NETWORKS
    # With CUDA's compiler but without a GPU it warns that there is none; the device is known by then.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    return torch.compile(forward, dynamic=False)
