"""A second stream for work that nothing in the backward pass waits for: the weight gradients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

import torch
from torch import Tensor


class Deferred(Protocol):
    """Weight gradients that are written later, all at once."""

    @property
    def reads(self) -> list[Tensor]:
        """What `write` reads."""

    def write(self) -> None:
        """Write the gradients."""


class SideStreams:
    """Launches weight gradients on a second stream for each first one, until the first one joins it."""

    def __init__(self) -> None:
        self._streams: dict[torch.cuda.Stream, torch.cuda.Stream] = {}
        """By the first stream: runs that share a GPU have one each."""
        self._read: list[Tensor] = []
        """Tensors that a second stream may still read, kept so that nothing else gets their memory."""
        self.waiting: list[Deferred] = []
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

    def write(self, gradients: Deferred) -> None:
        """Write gradients on the second stream."""
        with self.launched(*gradients.reads):
            gradients.write()

    def join(self) -> None:
        """Write the gradients that wait, and let the current stream wait for its second one."""
        for each in self.waiting:
            self.write(each)
        self._wait()
        self.forget()

    def _wait(self) -> None:
        if self._read:
            first = torch.cuda.current_stream()
            first.wait_stream(self._streams[first])

    def forget(self) -> None:
        """Forget what was launched, after the streams are joined or after a backward pass that failed."""
        self.waiting.clear()
        self._read.clear()

    @contextmanager
    def joined(self) -> Iterator[None]:
        """Join the streams after the backward pass inside, or forget what it launched if it fails."""
        try:
            yield
            self.join()
        except Exception:
            with suppress(RuntimeError):  # it must not hide the first error
                self._wait()
            raise
        finally:
            self.forget()


SIDE_STREAMS = SideStreams()
"""The second streams of this process, which launches the steps of one network after another."""
