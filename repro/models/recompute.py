"""Activations that are recomputed in the backward pass instead of saved: less memory, the same results.

BatchNorm and ReLU are cheap, and their outputs are most of the activations that a network of BN-ReLU-convolution units
saves: Pleiss et al., Memory-Efficient Implementation of DenseNets, arXiv 1707.06990.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def convolved(norm: nn.Module, conv: nn.Module, maps: list[Tensor]) -> Tensor:
    """Return BatchNorm, ReLU and convolution of the concatenated feature maps."""
    return conv(F.relu(norm(torch.cat(maps, dim=1) if len(maps) > 1 else maps[0])))


def recomputed(function: Callable[[list[Tensor]], Tensor], norm: Any, maps: list[Tensor]) -> Tensor:
    """Return `function(maps)`, saving only `maps`: the backward pass recomputes what it needs.

    A final convolution is not recomputed, since the backward pass needs only its input. `norm` is the function's
    BatchNorm, whose running statistics are not updated again. The function must have no dropout: random generators
    are not reset.
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
    """Context in which BatchNorm does not update its running statistics, which already include this batch."""
    momentum, batches = norm.momentum, norm.num_batches_tracked
    norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        norm.momentum, norm.num_batches_tracked = momentum, batches
