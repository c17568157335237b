"""Compiles the kernels of a network's first step in parallel, instead of one after another as they are launched."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
import triton  # type: ignore[import-untyped]


class Ahead:
    """Says whether this process compiles kernels ahead instead of launching them."""

    active: bool = False

    @contextmanager
    def compiling(self, *, ignore_errors: bool = False) -> Iterator[None]:
        """Compile the kernels that are launched inside in parallel, without launching any.

        Args:
            ignore_errors: leave out the kernels with errors of the compiler, instead of raising the first one.
        """
        self.active, threads = True, ThreadPoolExecutor()
        try:
            # Triton recognises the calling thread, so the backward pass must not run in threads of its own.
            with (
                torch.autograd.set_multithreading_enabled(False),
                triton.AsyncCompileMode(threads, ignore_errors=ignore_errors),
            ):
                yield
        finally:
            self.active = False
            threads.shutdown(cancel_futures=True)


AHEAD = Ahead()


def on_grid(kernel: Any, grid: Sequence[int]) -> Callable[..., Any]:
    """Return what launches a kernel on a grid of programs, or only compiles it if kernels are compiled ahead.

    Args:
        kernel: of Triton.
        grid: number of programs in each dimension.
    """
    return partial(kernel.warmup, grid=grid) if AHEAD.active else kernel[grid]
