"""Activations that are recomputed in the backward pass instead of saved: less memory, the same results.

BatchNorm and ReLU are cheap, and their inputs and outputs are most of the activations that a network of
BN-ReLU-convolution units saves: Pleiss et al., Memory-Efficient Implementation of DenseNets, arXiv 1707.06990.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from enum import Enum
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def convolved(norm: nn.Module, conv: nn.Module, x: Tensor) -> Tensor:
    """Return BatchNorm, ReLU and convolution of feature maps."""
    return conv(F.relu(norm(x)))


def recomputed(norm: nn.Module, conv: nn.Module, x: Tensor, again: Callable[[], Tensor] | None = None) -> Tensor:
    """Return what `convolved` does, without saving BatchNorm's output for the backward pass.

    Args:
        norm: BatchNorm, whose running statistics are updated once per batch.
        conv: the convolution, which is not computed twice.
        x: feature maps.
        again: returns the same maps in the backward pass; they are then not saved either. None: they are saved.
    """
    if not torch.is_grad_enabled():
        return convolved(norm, conv, x)
    unit = _Unit(norm, x, again)
    with unit.hooks() if again else nullcontext():
        normalised = norm(x)
    unit.statistics = _statistics(normalised)
    with unit.hooks():
        return conv(F.relu(normalised))


class _Maps(Enum):
    """Feature maps of a unit that are not saved."""

    INPUT = "input of BatchNorm"
    OUTPUT = "output of ReLU, which ReLU and the convolution need"


class _Unit:
    """What a unit saves. The graph of the backward pass stays that of a unit that saves everything."""

    def __init__(self, norm: nn.Module, x: Tensor, again: Callable[[], Tensor] | None) -> None:
        kept = x.detach()
        self.norm, self.shape, self.again = norm, x.shape, again or (lambda: kept)
        self.storages = {x.untyped_storage()._cdata: _Maps.INPUT}
        self.statistics: tuple[Tensor, Tensor] | None = None
        """Mean and 1 / deviation of the batch, if they are known."""
        self.recomputed: tuple[Tensor, Tensor] | None = None
        """Input and output, from the backward pass of the convolution to that of BatchNorm."""

    def hooks(self) -> AbstractContextManager[None]:
        """Return the context in which maps are not saved."""
        return torch.autograd.graph.saved_tensors_hooks(self._packed, self._unpacked)

    def _packed(self, tensor: Tensor) -> Tensor | _Maps:
        """Return a tensor that is saved, or which maps it is."""
        storage = tensor.untyped_storage()._cdata
        if len(self.storages) == 1 and tensor.shape == self.shape:  # BatchNorm and ReLU come before the convolution
            self.storages.setdefault(storage, _Maps.OUTPUT)
        return self.storages.get(storage, tensor)

    def _unpacked(self, saved: Tensor | _Maps) -> Tensor:
        """Return a saved tensor, or compute the maps."""
        if isinstance(saved, Tensor):
            return saved
        x, y = self.recomputed = self.recomputed or self._recompute()
        if saved is _Maps.OUTPUT:
            return y
        self.recomputed = None
        return x

    def _recompute(self) -> tuple[Tensor, Tensor]:
        x = self.again()
        with torch.no_grad():
            return x, F.relu_(self._normalised(x))

    def _normalised(self, x: Tensor) -> Tensor:
        if self.statistics is None:
            with without_updates(self.norm):
                return cast(Tensor, self.norm(x))
        # The kernel multiplies by weight / deviation in both modes, so that evaluation mode with a variance of 1 gives
        # the same bits without another pass over the maps.
        mean, inverse = self.statistics
        weight, bias = cast(Tensor, self.norm.weight) * inverse, cast(Tensor, self.norm.bias)
        return F.batch_norm(x, mean, torch.ones_like(mean), weight, bias, training=False, eps=0.0)


def _statistics(normalised: Tensor) -> tuple[Tensor, Tensor] | None:
    """Return mean and 1 / deviation of the batch that BatchNorm normalised; None: its kernel is not the CPU's."""
    node: Any = normalised.grad_fn
    if normalised.device.type != "cpu" or type(node).__name__ != "NativeBatchNormBackward0":
        return None
    mean, inverse = node._saved_result1, node._saved_result2
    return (mean, inverse) if mean.numel() else None


@contextmanager
def without_updates(norm: Any) -> Iterator[None]:
    """Context in which BatchNorm does not update its running statistics, which already include this batch."""
    momentum, batches = norm.momentum, norm.num_batches_tracked
    norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        norm.momentum, norm.num_batches_tracked = momentum, batches
