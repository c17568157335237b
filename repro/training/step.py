"""One training step: forward, backward, update; run eagerly, compiled, or replayed from a CUDA graph."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from repro.runtime import Runtime
from repro.training.device import autocast
from repro.training.networks import Networks
from repro.training.optimizer import set_lr
from repro.training.processes import parallel
from repro.training.tasks.task import Batch, Task

Forward = Callable[[Tensor], Tensor]
GRAPH_WARM_UP = 3
"""Number of eager steps before the capture, so that all lazily created state exists by then."""
COMPILED_NETWORKS = 256
"""Number of networks of one class that a process may compile."""


@dataclass(kw_only=True, eq=False)
class Step:
    """Takes one training step of S networks, each on its own batch. Nothing here waits for the device."""

    networks: Networks
    optimizer: torch.optim.SGD
    task: Task
    """Defines the loss and the errors."""
    runtime: Runtime
    sums: Tensor
    """(S, 2): running sums of the losses and errors of each step's images."""
    batch: int
    """Images in a full batch of one network in this process; smaller batches run eagerly."""
    batchnorm_images: int = 0
    """Images over which BatchNorm normalises at once; 0: the whole batch."""
    eager: Forward = field(init=False)
    forward: Forward = field(init=False)

    def __post_init__(self) -> None:
        self.eager = parallel(self.networks)
        self.forward = compiled(self.eager) if self.runtime.compile else self.eager

    def __call__(self, batches: Sequence[Batch], lr: float, weight: float = 1.0) -> None:
        """Take a step.

        Args:
            batches: one per network, of equal size.
            lr: learning rate.
            weight: multiplies the loss whose gradient is taken.
        """
        self.set_lr(lr)
        inputs, targets = self.joined(batches)
        # A smaller last batch would be compiled once more, for one step per epoch.
        usual = len(batches[0].targets) == self.batch
        self.take(self.forward if usual else self.eager, inputs, targets, weight)

    def set_lr(self, lr: float) -> None:
        """Set the learning rate of the next update."""
        set_lr(self.optimizer, lr)

    def joined(self, batches: Sequence[Batch]) -> tuple[Tensor, Tensor]:
        """Return the inputs and the targets of all networks, each as one tensor."""
        inputs, targets = (self.networks.joined(each) for each in zip(*batches, strict=True))
        return inputs, targets

    def take(self, forward: Forward, inputs: Tensor, targets: Tensor, weight: float) -> None:
        """Run forward, backward and update, and update the sums; inputs and targets are those that `joined` returns."""
        with autocast(inputs.device, self.runtime):
            outputs = self._outputs(forward, inputs)
        each = list(zip(self.networks.apart(outputs), self.networks.apart(targets), strict=True))
        losses = torch.stack([self.task.loss(output, target) for output, target in each])
        self.optimizer.zero_grad(set_to_none=True)
        (losses.sum() * weight if weight != 1 else losses.sum()).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        with torch.no_grad():
            wrong = torch.stack([self.task.wrong(output, target) for output, target in each])
            self.sums += torch.stack([losses.detach() * len(each[0][1]), wrong], dim=1)

    def _outputs(self, forward: Forward, inputs: Tensor) -> Tensor:
        """Return the outputs of a batch, computed in parts if BatchNorm normalises over parts."""
        if not self.batchnorm_images:
            return forward(inputs)
        dim = self.networks.batch_dim
        return torch.cat([forward(part) for part in torch.split(inputs, self.batchnorm_images, dim)], dim)


@dataclass(kw_only=True, eq=False)
class GraphedStep(Step):
    """The whole step as one CUDA graph, launched at once. Batches that are not full run eagerly."""

    lr: Tensor = field(init=False)
    """The learning rate, which the graph reads at every replay."""
    graph: torch.cuda.CUDAGraph | None = field(init=False, default=None)
    inputs: Tensor = field(init=False)
    targets: Tensor = field(init=False)
    stream: torch.cuda.Stream = field(init=False)
    steps: int = field(init=False, default=0)
    """Steps on full batches so far."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.lr = torch.zeros((), device=self.sums.device)
        set_lr(self.optimizer, self.lr)
        self.stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]

    def __call__(self, batches: Sequence[Batch], lr: float, weight: float = 1.0) -> None:
        """Take a step: the first few eagerly, then one capture, then replays."""
        self.set_lr(lr)
        inputs, targets = self.joined(batches)
        if len(batches[0].targets) != self.batch:
            self.take(self.eager, inputs, targets, weight)
            return
        self.steps += 1
        if self.steps <= GRAPH_WARM_UP:
            self._warm_up(inputs, targets, weight)
            return
        if self.graph is None:
            self.graph = self._captured(inputs, targets, weight)
        self.inputs.copy_(inputs)
        self.targets.copy_(targets)
        self.graph.replay()

    def set_lr(self, lr: float) -> None:
        """Set the learning rate that the graph reads."""
        set_lr(self.optimizer, self.lr)
        self.lr.fill_(lr)

    def _warm_up(self, inputs: Tensor, targets: Tensor, weight: float) -> None:
        """Take a real step on a side stream, as a capture requires; always the same one, which has separate memory."""
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            self.take(self.forward, inputs, targets, weight)
        torch.cuda.current_stream().wait_stream(self.stream)

    def _captured(self, inputs: Tensor, targets: Tensor, weight: float) -> torch.cuda.CUDAGraph:
        """Return the graph of a step; the capture runs nothing and changes nothing."""
        self.inputs, self.targets = inputs.clone(), targets.clone()
        graph = torch.cuda.CUDAGraph()
        self.optimizer.zero_grad(set_to_none=True)
        # Other threads, such as the one that pins images, make their own CUDA calls meanwhile.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            self.take(self.forward, self.inputs, self.targets, weight)
        return graph


def compiled(forward: Forward) -> Forward:
    """Return a network's forward pass through torch.compile.

    The rows of a table are networks of one class, each compiled separately; by default torch stops compiling at the
    ninth.
    """
    torch._dynamo.config.recompile_limit = COMPILED_NETWORKS
    # With CUDA's compiler but without a GPU it warns that there is none; the device is known by then.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    return torch.compile(forward, dynamic=False)


def step_class(runtime: Runtime) -> type[Step]:
    """Return the kind of step that a runtime asks for."""
    return GraphedStep if runtime.graph else Step
