"""One training step: forward, backward, update; run eagerly, compiled, or replayed from a CUDA graph."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from repro.kernels.beside import BESIDE
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
    optimizer: torch.optim.Optimizer
    task: Task
    """Defines the loss and the errors."""
    runtime: Runtime
    sums: Tensor
    """(S, 2): running sums of the losses and errors of each step's images."""
    batch: int
    """Images in a full batch of one network in this process; only these are compiled."""
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
        self.take(self._forward_for(batches), inputs, targets, weight)

    def _forward_for(self, batches: Sequence[Batch]) -> Forward:
        """Return the forward pass; a smaller last batch would be compiled once more, for one step per epoch."""
        return self.forward if len(batches[0].targets) == self.batch else self.eager

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
        BESIDE.join()
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


@dataclass(frozen=True)
class Captured:
    """A step in a CUDA graph, and the batch that it reads."""

    graph: torch.cuda.CUDAGraph
    inputs: Tensor
    targets: Tensor

    def replay(self, inputs: Tensor, targets: Tensor) -> None:
        """Take the step on another batch of the same size."""
        self.inputs.copy_(inputs)
        self.targets.copy_(targets)
        self.graph.replay()


@dataclass(kw_only=True, eq=False)
class GraphedStep(Step):
    """The whole step as one CUDA graph, launched at once; an epoch's smaller last batch has its own graph."""

    lr: Tensor = field(init=False)
    """The learning rate, which the graphs read at every replay."""
    stream: torch.cuda.Stream = field(init=False)
    captured: dict[int, Captured] = field(init=False, default_factory=dict)
    """By the images of a batch."""
    steps: Counter[int] = field(init=False, default_factory=Counter)
    """Steps so far on batches of each size."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.lr = torch.zeros((), device=self.sums.device)
        set_lr(self.optimizer, self.lr)
        self.stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]

    def __call__(self, batches: Sequence[Batch], lr: float, weight: float = 1.0) -> None:
        """Take a step: for each size of a batch the first few eagerly, then one capture, then replays."""
        self.set_lr(lr)
        inputs, targets = self.joined(batches)
        images, forward = len(batches[0].targets), self._forward_for(batches)
        self.steps[images] += 1
        if self.steps[images] <= GRAPH_WARM_UP:
            self._warm_up(forward, inputs, targets, weight)
            return
        if images not in self.captured:
            self.captured[images] = self._capture(forward, inputs, targets, weight)
        self.captured[images].replay(inputs, targets)

    def set_lr(self, lr: float) -> None:
        """Set the learning rate that the graphs read."""
        set_lr(self.optimizer, self.lr)
        self.lr.fill_(lr)

    def _warm_up(self, forward: Forward, inputs: Tensor, targets: Tensor, weight: float) -> None:
        """Take a real step on a side stream, as a capture requires; always the same one, which has separate memory."""
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            self.take(forward, inputs, targets, weight)
        torch.cuda.current_stream().wait_stream(self.stream)

    def _capture(self, forward: Forward, inputs: Tensor, targets: Tensor, weight: float) -> Captured:
        """Return a step in a graph; the capture runs nothing and changes nothing."""
        inputs, targets = inputs.clone(), targets.clone()
        graph = torch.cuda.CUDAGraph()
        self.optimizer.zero_grad(set_to_none=True)
        # Other threads, such as the one that pins images, make their own CUDA calls meanwhile.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            self.take(forward, inputs, targets, weight)
        return Captured(graph, inputs, targets)


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
