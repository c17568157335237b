"""A second stream for work that nothing in the backward pass waits for: the weight gradients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:  # the engine imports this module where Triton is missing
    from repro.kernels.weight_gradient import PartialGradients


class SideStreams:
    """Launches weight gradients on a second stream for each first one, until the first one joins it."""

    def __init__(self) -> None:
        self._streams: dict[torch.cuda.Stream, torch.cuda.Stream] = {}
        """By the first stream: runs that share a GPU have one each."""
        self._read: list[Tensor] = []
        """Tensors that a second stream may still read, kept so that nothing else gets their memory."""
        self.waiting: list[PartialGradients] = []
        """Gradients of this backward pass that are not written."""

    @contextmanager
    def launched(self, *read: Tensor) -> Iterator[None]:
        """Launch what is called inside after everything launched so far; on a CPU it just runs.

        Args:
            read: the tensors that it reads.
        """
        if not read[0].is_cuda:
            yield
            return
        first = torch.cuda.current_stream()
        if first not in self._streams:
            self._streams[first] = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._read += read
        self._streams[first].wait_stream(first)
        with torch.cuda.stream(self._streams[first]):
            yield

    def write(self, gradients: PartialGradients) -> None:
        """Write gradients on the second stream."""
        with self.launched(*gradients.reads):
            gradients.write()

    @contextmanager
    def joined(self) -> Iterator[None]:
        """After the backward pass inside, write the gradients that wait, and let its stream wait for the second one.

        If it fails, what it launched is forgotten.
        """
        try:
            yield
            for each in self.waiting:
                self.write(each)
            self._wait()
        except Exception:
            with suppress(RuntimeError):  # it must not hide the first error
                self._wait()
            raise
        finally:
            self.waiting.clear()
            self._read.clear()

    def _wait(self) -> None:
        """Let the current stream wait for its second one."""
        if self._read:
            first = torch.cuda.current_stream()
            first.wait_stream(self._streams[first])


SIDE_STREAMS = SideStreams()
"""The second streams of this process, which launches the steps of one network after another."""
