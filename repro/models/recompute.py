"""Activations that the backward pass computes again instead of keeping them: less memory, the same numbers.

BatchNorm and ReLU are cheap, and their results are most of what the training of a network of BN-ReLU-convolution units
keeps: Pleiss et al., Memory-Efficient Implementation of DenseNets, arXiv 1707.06990.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def convolved(norm: nn.Module, conv: nn.Module, maps: list[Tensor]) -> Tensor:
    """Return the convolution of ReLU of BatchNorm of the joined maps."""
    return conv(F.relu(norm(torch.cat(maps, dim=1) if len(maps) > 1 else maps[0])))


def recomputed(function: Callable[[list[Tensor]], Tensor], norm: Any, maps: list[Tensor]) -> Tensor:
    """Return `function` of `maps`, which alone are kept: the backward pass computes again what it needs.

    A convolution at the end is not computed again, since only its input is needed. `norm` is the function's
    BatchNorm, which learns nothing the second time. There is no dropout in it: no random generator needs to go back.
    """
    if not torch.is_grad_enabled():
        return function(maps)

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), without_updates(norm)

    def of_all(*maps: Tensor) -> Tensor:
        return function(list(maps))

    return checkpoint(of_all, *maps, use_reentrant=False, preserve_rng_state=False, context_fn=contexts)


@contextmanager
def without_updates(norm: Any) -> Iterator[None]:
    """Let BatchNorm normalise as before and keep its running statistics: it has seen this batch."""
    momentum, batches = norm.momentum, norm.num_batches_tracked
    norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        norm.momentum, norm.num_batches_tracked = momentum, batches
