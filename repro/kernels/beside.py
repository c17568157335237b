"""A second stream for work that nothing in the backward pass waits for: the weight gradients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


class Beside:
    """Launches work on a second stream for each first one, until the first one joins it."""

    def __init__(self) -> None:
        self._streams: dict[torch.cuda.Stream, torch.cuda.Stream] = {}
        """By the first stream: runs that share a GPU have one each."""
        self._read: list[Tensor] = []
        """Tensors that a second stream may still read, kept so that nothing else gets their memory."""

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

    def join(self) -> None:
        """Let the current stream wait for everything launched on its second one."""
        if self._read and (second := self._streams.get(torch.cuda.current_stream())):
            torch.cuda.current_stream().wait_stream(second)
        self._read.clear()


BESIDE = Beside()
"""The second streams of this process, which launches the steps of one network after another."""
