"""A second stream for work that nothing in the backward pass waits for: the weight gradients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


class Beside:
    """Launches work on a second stream, until the first one joins it."""

    def __init__(self) -> None:
        self._stream: torch.cuda.Stream | None = None
        self._read: list[Tensor] = []
        """Tensors that the second stream may still read, kept so that nothing else gets their memory."""

    @contextmanager
    def launched(self, *read: Tensor) -> Iterator[None]:
        """Launch what is called inside after everything launched so far; on a CPU it just runs.

        Args:
            read: the tensors that it reads.
        """
        if not read[0].is_cuda:
            yield
            return
        if self._stream is None:
            self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._read += read
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            yield

    def join(self) -> None:
        """Let the current stream wait for everything launched on the second one."""
        if self._stream is not None and self._read:
            torch.cuda.current_stream().wait_stream(self._stream)
        self._read.clear()


BESIDE = Beside()
"""The second stream of this process, which trains one network at a time."""
