"""Training steps in CUDA graphs: of one run, or of several runs that share a graph as its branches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from repro.training.engine.optimizer import set_lr
from repro.training.engine.step import Forward, Step, Then
from repro.training.tasks.task import Batch

GRAPH_WARM_UP = 3
"""Number of eager steps before the capture, so that all lazily created state exists by then."""


@dataclass(frozen=True, eq=False)
class Ready:
    """A step of one run that is to be taken: its learning rate is set, and its batch is known."""

    step: GraphedStep
    forward: Forward
    inputs: Tensor
    targets: Tensor
    weight: float
    then: Then | None
    """What is done when the weights have changed."""

    @property
    def key(self) -> tuple[GraphedStep, int]:
        """What a graph depends on: the run, and the images of its batch."""
        return self.step, self.targets.numel()

    def take(self) -> None:
        """Take the step on the stream of its run."""
        here = torch.cuda.current_stream()
        self.step.stream.wait_stream(here)
        with torch.cuda.stream(self.step.stream):
            self.step.take(self.forward, self.inputs, self.targets, self.weight)

    def join(self) -> None:
        """Let the current stream wait for the step."""
        torch.cuda.current_stream().wait_stream(self.step.stream)

    def copied(self) -> Ready:
        """Return the step on a copy of its batch."""
        return replace(self, inputs=self.inputs.clone(), targets=self.targets.clone())


def take_all(ready: Sequence[Ready]) -> None:
    """Take steps, each on its own stream, which starts after and ends before other work of the current stream."""
    for each in ready:
        each.take()
    for each in ready:
        each.join()


@dataclass(frozen=True)
class Captured:
    """Steps in a CUDA graph, and the batches that it reads."""

    graph: torch.cuda.CUDAGraph
    steps: Sequence[Ready]

    def replay(self, ready: Sequence[Ready]) -> None:
        """Take the steps on other batches of the same sizes."""
        for own, each in zip(self.steps, ready, strict=True):
            own.inputs.copy_(each.inputs)
            own.targets.copy_(each.targets)
        self.graph.replay()


class Graphs:
    """Launches each run's step as one CUDA graph.

    With `shared`, the steps of several runs form one graph and wait until `launch`. Each combination of runs and sizes
    of batches is first taken eagerly a few times, which warms up, then captured once, then replayed.
    """

    def __init__(self, *, shared: bool = False) -> None:
        self.shared = shared
        self.waiting: list[Ready] = []
        self.captured: dict[tuple[object, ...], Captured] = {}
        self.steps: Counter[tuple[object, ...]] = Counter()

    def add(self, ready: Ready) -> None:
        """Take a step now, or with those of the other runs if several share the graphs."""
        self.waiting.append(ready)
        if not self.shared:
            self.launch()

    def launch(self) -> None:
        """Take all steps that wait."""
        ready, self.waiting = self.waiting, []
        if not ready:
            return
        self._take(ready)
        for each in ready:
            if each.then:
                each.then()

    def _take(self, ready: Sequence[Ready]) -> None:
        """Take steps eagerly at first, and then in a graph."""
        key = tuple(each.key for each in ready)
        self.steps[key] += 1
        if self.steps[key] <= GRAPH_WARM_UP:
            take_all(ready)
            return
        if key not in self.captured:
            self._forget_others({each.step for each in ready})
            self.captured[key] = _captured(ready)
        self.captured[key].replay(ready)

    def _forget_others(self, steps: set[GraphedStep]) -> None:
        """Free the memory of graphs with runs that have ended."""
        for key, each in list(self.captured.items()):
            if not {own.step for own in each.steps} <= steps:
                del self.captured[key]


def _captured(ready: Sequence[Ready]) -> Captured:
    """Return steps in a graph; the capture runs nothing and changes nothing."""
    own, graph = [each.copied() for each in ready], torch.cuda.CUDAGraph()
    for each in own:
        each.step.optimizer.zero_grad(set_to_none=True)
    # Other threads, such as the one that pins images, make their own CUDA calls meanwhile.
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        take_all(own)
    return Captured(graph, own)


@dataclass(kw_only=True, eq=False)
class GraphedStep(Step):
    """The whole step as a branch of a CUDA graph; an epoch's smaller last batch has its own graph."""

    graphs: Graphs
    lr: Tensor = field(init=False)
    """The learning rate, which the graphs read at every replay."""
    stream: torch.cuda.Stream = field(init=False)
    """The stream of every step of this run, whose memory is separate from that of other streams."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.lr = torch.zeros((), device=self.sums.device)
        # Weight gradients, for which nothing waits, are on streams of the lowest priority, which is 0.
        self.stream = torch.cuda.Stream(priority=-1)  # type: ignore[no-untyped-call]

    def __call__(self, batches: Sequence[Batch], lr: float, weight: float, then: Then | None) -> None:
        """Take a step, or let it wait for those of the other runs that share the graphs."""
        self.lr.fill_(lr)
        set_lr(self.optimizer, self.lr)  # loading the optimizer's state replaces the tensor
        inputs, targets = self.joined(batches)
        self.graphs.add(Ready(self, self._forward_for(batches), inputs, targets, weight, then))
