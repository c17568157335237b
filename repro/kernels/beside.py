"""A second stream for work that nothing in the backward pass waits for: the weight gradients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from repro.kernels.weight_gradient import PartialGradients


class Beside:
    """Launches weight gradients on a second stream for each first one, until the first one joins it."""

    def __init__(self) -> None:
        self._streams: dict[torch.cuda.Stream, torch.cuda.Stream] = {}
        """By the first stream: runs that share a GPU have one each."""
        self._read: list[Tensor] = []
        """Tensors that a second stream may still read, kept so that nothing else gets their memory."""
        self._partial: list[PartialGradients] = []
        """The parts of the weight gradients of this backward pass."""

    def weight_gradient(self, images: Tensor, gradient: Tensor, weight: Tensor) -> Tensor:
        """Return the gradient of a convolution's weight, which is written when the streams are joined.

        Args:
            images: (B, C, H, W): the convolution's input, channels-last as all others.
            gradient: (B, C, H, W): of its output.
            weight: (C, C, 3, 3).
        """
        with self.launched(images, gradient):
            layers = next((each for each in self._partial if each.takes(images, weight)), None)
            if layers is None:
                layers = PartialGradients(images, weight)
                self._partial.append(layers)
            return layers.gradient(images, gradient)

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
        """Write the weight gradients, and let the current stream wait for its second one."""
        if self._partial:
            with self.launched(self._partial[0].partial):
                for each in self._partial:
                    each.write()
        if self._read:
            first = torch.cuda.current_stream()
            first.wait_stream(self._streams[first])
        self._partial.clear()
        self._read.clear()


BESIDE = Beside()
"""The second streams of this process, which launches the steps of one network after another."""
