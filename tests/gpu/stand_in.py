"""A stand-in for CUDA's graphs and streams on a CPU, so that a graphed step runs and is checked without a GPU.

A capture records every operator that reaches the device. As on a GPU it changes nothing: tensors that were there
before get their content back, and memory that the capture took holds garbage until the first replay. A replay calls
the operators again on the very same tensors: new values must be written into these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from repro.check.jobs import Job, Quiet
from repro.check.results import Result
from repro.check.setting import CPU
from repro.runtime import Runtime, Together
from repro.training.machine import device as devices

WAITS = {"_local_scalar_dense", "nonzero", "equal", "masked_select", "_unique2"}
"""Operators that wait for the device, which a capture forbids."""
GRAPHED = replace(CPU, graphs=True)
"""A CPU with the stand-in."""
GARBAGE = 0xFF
"""Value of every byte of garbage, which is NaN as a float."""


@dataclass(frozen=True)
class Call:
    """An operator, its arguments, and what it returned."""

    operator: Callable[..., Any]
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    outputs: Any

    def again(self) -> None:
        """Call the operator again and write its results into its old outputs."""
        fresh = self.operator(*self.args, **self.kwargs)
        for old, new in zip(_tensors(self.outputs), _tensors(fresh), strict=True):
            if old.data_ptr() != new.data_ptr():  # neither a view nor written in place
                old.detach().copy_(new)


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the operators, and the tensors from before the capture with their content."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[Call] = []
        self.before: dict[int, tuple[Tensor, Tensor]] = {}
        """By storage: the tensor first read in it, and the bytes of the storage."""
        self.taken: dict[int, Tensor] = {}
        """By storage: the bytes of what the capture itself allocated."""

    def __torch_dispatch__(
        self, operator: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Note an operator and call it."""
        if operator.overloadpacket.__name__ in WAITS:
            raise RuntimeError(f"operation not permitted when stream is capturing: {operator}")
        if CURRENT[-1] not in CAPTURING:
            raise RuntimeError(f"the stream of {operator} was not forked from that of the capture")
        for each in _tensors((args, kwargs)):
            if (key := _key(each)) not in self.taken and key not in self.before:
                self.before[key] = each, _bytes(each).clone()
        outputs = operator(*args, **(kwargs or {}))
        self.taken |= {_key(each): _bytes(each) for each in _tensors(outputs) if _key(each) not in self.before}
        self.calls.append(Call(operator, args, kwargs or {}, outputs))
        return outputs

    def undo(self) -> None:
        """Restore everything to its state before the capture."""
        for tensor, content in self.before.values():
            _bytes(tensor).copy_(content)
        for content in self.taken.values():
            content.fill_(GARBAGE)


@dataclass
class Graph:
    """Replaces torch.cuda.CUDAGraph."""

    calls: list[Call] = field(default_factory=list)
    read: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    """Tensors from before the capture in the order in which it read them, each with its content at the time."""
    replays: int = 0

    def replay(self) -> None:
        """Call all operators again."""
        self.replays += 1
        with torch.no_grad():
            for each in self.calls:
                each.again()


class Stream:
    """Replaces torch.cuda.Stream: all work is in order on a CPU, and a capture sees what must be forked and joined."""

    def __init__(self, *, priority: int = 0) -> None:
        pass

    def wait_stream(self, other: Stream) -> None:
        """Let this stream belong to the capture of another one, or join that one."""
        if other in CAPTURING and self not in CAPTURING:
            CAPTURING.append(self)
        elif self in CAPTURING[:1] and other in CAPTURING:
            CAPTURING.remove(other)


CURRENT = [Stream()]
"""The streams of the contexts around the running code; work goes to the last one."""
CAPTURING: list[Stream] = []
"""The stream of the capture in progress, and those that were forked from it and not joined."""


@contextmanager
def _on(stream: Stream) -> Iterator[None]:
    CURRENT.append(stream)
    try:
        yield
    finally:
        CURRENT.pop()


@contextmanager
def stand_in(kind: type[Graph] = Graph) -> Iterator[list[Graph]]:
    """Give torch.cuda graphs and streams on the CPU, and let repro accept them; yields the graphs that were made."""
    graphs: list[Graph] = []

    def made() -> Graph:
        graphs.append(kind())
        return graphs[-1]

    with (
        mock.patch.multiple(
            "torch.cuda",
            CUDAGraph=made,
            graph=_capture,
            Stream=Stream,
            current_stream=lambda: CURRENT[-1],
            stream=_on,
        ),
        mock.patch.object(devices, "check_switches", _graph_is_possible(devices.check_switches)),
    ):
        yield graphs


@contextmanager
def _capture(graph: Graph, **_: Any) -> Iterator[None]:
    """Record what is called into a graph."""
    random_state, recorder, stream = torch.get_rng_state(), Recorder(), Stream()
    CAPTURING[:] = [stream]
    try:
        with _on(stream), recorder:
            yield
        if [stream] != CAPTURING:
            raise RuntimeError("capturing stream has unjoined work")
    finally:
        CAPTURING.clear()
        recorder.undo()
        torch.set_rng_state(random_state)
    graph.calls = recorder.calls
    graph.read = [(tensor, tensor.detach().clone()) for tensor, _ in recorder.before.values()]


def _graph_is_possible(check: Callable[[Runtime, torch.device], None]) -> Callable[[Runtime, torch.device], None]:
    """Return a check of a runtime's switches that allows graphs on a CPU."""

    def checked(runtime: Runtime, device: torch.device) -> None:
        way = None if runtime.together == Together.BRANCHES else runtime.together
        check(replace(runtime, graph=False, together=way), device)

    return checked


@dataclass(frozen=True)
class WithStandIn:
    """A job on a CPU, with the stand-in for CUDA graphs."""

    job: Job

    @property
    def name(self) -> str:
        """The job's name."""
        return self.job.name

    @property
    def needs(self) -> float:
        """Seconds that must be left for it to be started."""
        return self.job.needs

    def run(self, quiet: Quiet) -> Result:
        """Return the job's result."""
        with stand_in():
            return self.job.run(quiet)

    def without(self, note: str, seconds: float, *, failed: bool = True) -> Result:
        """Return the job's result for a failure."""
        return self.job.without(note, seconds, failed=failed)


def _tensors(tree: Any) -> list[Tensor]:
    return [each for each in tree_leaves(tree) if isinstance(each, Tensor)]


def _key(tensor: Tensor) -> int:
    key: int = tensor.untyped_storage()._cdata
    return key


def _bytes(tensor: Tensor) -> Tensor:
    """Return the whole storage of a tensor as uint8."""
    return torch.empty(0, dtype=torch.uint8).set_(tensor.untyped_storage())
