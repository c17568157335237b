"""The weight gradients of a backward pass, for which nothing in it waits: computed for many layers at once."""

from __future__ import annotations

from collections import defaultdict

import torch
from torch import Tensor

from repro.kernels.convolution import Factors, weight_gradients

TOGETHER = 12
"""Layers of one shape whose weight gradients are computed at once."""
SIDE = False


class Deferred:
    """Collects the factors of weight gradients during a backward pass and sets the gradients until its end."""

    def __init__(self) -> None:
        self._waiting: defaultdict[tuple[torch.Size, torch.Size], list[Factors]] = defaultdict(list)
        self._kept: list = []
        self._stream = None
        self._registered = False

    def add(self, weight: Tensor, images: Tensor, gradient: Tensor) -> None:
        """Let `weight` get its gradient by the end of the backward pass that runs now."""
        if not self._registered:
            # The engine calls it when all nodes have run, before `backward` returns.
            torch.autograd.Variable._execution_engine.queue_callback(self._finish)
            self._registered = True
        waiting = self._waiting[weight.shape, images.shape]
        waiting.append(Factors(weight, images, gradient))
        if len(waiting) == TOGETHER:
            self._compute(waiting)

    def _compute(self, waiting: list[Factors]) -> None:
        if SIDE and waiting[0].images.is_cuda:
            if self._stream is None:
                self._stream = torch.cuda.Stream()
            self._stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._stream):
                self._set(waiting)
            self._kept += waiting
        else:
            self._set(waiting)
        waiting.clear()

    def _set(self, waiting):
        for each, gradient in zip(waiting, weight_gradients(waiting), strict=True):
            if each.weight.grad is None:
                each.weight.grad = gradient
            else:
                each.weight.grad += gradient

    def _finish(self) -> None:
        self._registered = False
        for waiting in self._waiting.values():
            if waiting:
                self._compute(waiting)
        self._waiting.clear()
        if self._kept:
            torch.cuda.current_stream().wait_stream(self._stream)
            self._kept.clear()


DEFERRED = Deferred()
