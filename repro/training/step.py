"""One training step: forward, backward, update; eager, compiled, or replayed from a CUDA graph."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from repro.runtime import Runtime
from repro.training.device import autocast
from repro.training.optimizer import set_lr
from repro.training.processes import parallel
from repro.training.tasks.task import Batch, Task

Forward = Callable[[Tensor], Tensor]
GRAPH_WARM_UP = 3
"""Steps taken before a step is captured, so that every lazy thing in it has happened."""

COMPILED_NETWORKS = 256
"""In one process."""


class Step:
    """Takes a step of S networks, each on its own batch; with S = 1 the plain step of a plain network.

    Nothing here waits for the device.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: torch.optim.SGD,
        task: Task,
        sums: Tensor,
        size: int,
        runtime: Runtime,
        at_once: int = 0,
    ) -> None:
        """Make the step of batches of `size` images, of which BatchNorm sees so many `at_once`; 0: all.

        A smaller batch is possible.
        """
        self.network, self.optimizer, self.task, self.sums, self.runtime = network, optimizer, task, sums, runtime
        self.size, self.at_once = size, at_once
        self.eager: Forward = parallel(network)
        self.forward = compiled(self.eager) if runtime.compile else self.eager

    def __call__(self, batches: Sequence[Batch], lr: float, weight: float = 1.0) -> None:
        """Take a step at a learning rate; `weight` multiplies the loss whose gradient is taken."""
        self.set_lr(lr)
        inputs, targets = joined(batches)
        # A smaller last batch would only be compiled again, for one step an epoch.
        usual = len(batches[0].targets) == self.size
        self.take(self.forward if usual else self.eager, inputs, targets, weight)

    def set_lr(self, lr: float) -> None:
        """Set the learning rate of the next update."""
        set_lr(self.optimizer, lr)

    def take(self, forward: Forward, inputs: Tensor, targets: Tensor, weight: float) -> None:
        """Forward, backward, update, and the sums of losses and errors; inputs and targets as `joined` makes them."""
        device = inputs.device
        with autocast(device, self.runtime):
            outputs = self._outputs(forward, inputs)
        stacked = len(self.sums) > 1
        each = list(zip(outputs, targets, strict=True)) if stacked else [(outputs, targets)]
        losses = torch.stack([self.task.loss(output, target) for output, target in each])
        self.optimizer.zero_grad(set_to_none=True)
        (losses.sum() * weight if weight != 1 else losses.sum()).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        with torch.no_grad():
            wrong = torch.stack([self.task.wrong(output, target) for output, target in each])
            self.sums += torch.stack([losses.detach() * len(each[0][1]), wrong], dim=1)

    def _outputs(self, forward: Forward, inputs: Tensor) -> Tensor:
        """Return the outputs of a batch that goes through the networks in parts, if BatchNorm is to see it so."""
        if not self.at_once:
            return forward(inputs)
        images = 0 if len(self.sums) == 1 else 1  # the dimension
        return torch.cat([forward(part) for part in torch.split(inputs, self.at_once, images)], images)


class GraphedStep(Step):
    """The whole step as one CUDA graph, launched at once. Batches of another size than the first run eagerly."""

    def __init__(
        self,
        network: nn.Module,
        optimizer: torch.optim.SGD,
        task: Task,
        sums: Tensor,
        size: int,
        runtime: Runtime,
        at_once: int = 0,
    ) -> None:
        super().__init__(network, optimizer, task, sums, size, runtime, at_once)
        self.lr = torch.zeros((), device=sums.device)  # read by the graph at every replay
        set_lr(optimizer, self.lr)
        self.graph: torch.cuda.CUDAGraph | None = None
        self.stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self.steps = 0

    def __call__(self, batches: Sequence[Batch], lr: float, weight: float = 1.0) -> None:
        """Take a step; the first few ones eagerly, then one capture, then replays."""
        self.set_lr(lr)
        inputs, targets = joined(batches)
        if len(batches[0].targets) != self.size:
            self.take(self.eager, inputs, targets, weight)
            return
        self.steps += 1
        if self.steps <= GRAPH_WARM_UP:
            self._warm_up(inputs, targets, weight)
            return
        if self.graph is None:
            self._capture(inputs, targets, weight)
        assert self.graph is not None
        self.inputs.copy_(inputs)
        self.targets.copy_(targets)
        self.graph.replay()

    def set_lr(self, lr: float) -> None:
        """Set the learning rate that the graph reads."""
        set_lr(self.optimizer, self.lr)
        self.lr.fill_(lr)

    def _warm_up(self, inputs: Tensor, targets: Tensor, weight: float) -> None:
        """Take a real step on another stream, as a capture wants it; each stream has memory of its own, so on one."""
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            self.take(self.forward, inputs, targets, weight)
        torch.cuda.current_stream().wait_stream(self.stream)

    def _capture(self, inputs: Tensor, targets: Tensor, weight: float) -> None:
        """Record a step; recording runs nothing, so that nothing changes."""
        self.inputs, self.targets = inputs.clone(), targets.clone()
        self.graph = torch.cuda.CUDAGraph()
        self.optimizer.zero_grad(set_to_none=True)
        # Other threads, such as the one that pins images, go on with their own calls meanwhile.
        with torch.cuda.graph(self.graph, capture_error_mode="thread_local"):
            self.take(self.forward, self.inputs, self.targets, weight)


def compiled(forward: Forward) -> Forward:
    """Return a network's forward pass through torch.compile.

    The rows of a table are networks of one class, each of which is compiled by itself; from the ninth on torch would
    leave them as they are.
    """
    torch._dynamo.config.recompile_limit = COMPILED_NETWORKS
    # Where CUDA's compiler is and no GPU, it warns that there is none; the device was named already.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    return torch.compile(forward, dynamic=False)


def joined(batches: Sequence[Batch]) -> tuple[Tensor, Tensor]:
    """Return the inputs and targets of one batch as they are, of several with the seed in front."""
    if len(batches) == 1:
        return batches[0]
    return torch.stack([each.inputs for each in batches]), torch.stack([each.targets for each in batches])


def step_for(
    network: nn.Module,
    optimizer: torch.optim.SGD,
    task: Task,
    sums: Tensor,
    size: int,
    runtime: Runtime,
    at_once: int = 0,
) -> Step:
    """Return the kind of step that a runtime asks for; the arguments are those of a Step."""
    kind = GraphedStep if runtime.graph else Step
    return kind(network, optimizer, task, sums, size, runtime, at_once)
