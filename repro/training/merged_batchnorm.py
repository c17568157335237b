"""What makes a network fast under vmap: above all BatchNorm of several seeds as one over the channels of all."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class MergedBatchNorm(nn.BatchNorm2d):
    """BatchNorm2d that takes the seeds of vmap for channels: one kernel each way, in a network's own precision.

    vmap's rule normalises with weights of 1 in the input's precision, which bf16 beside fp32 statistics does not
    allow, and multiplies by the true weights in kernels of their own.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return what BatchNorm2d returns with momentum and running statistics, which every network here has."""
        assert self.num_batches_tracked is not None
        if self.training:
            self.num_batches_tracked.add_(1)
        return _batch_norm(
            input,
            self.weight,
            self.bias,
            self.running_mean,
            self.running_var,
            training=self.training,
            momentum=self.momentum,
            eps=self.eps,
        )


# An operator of torch rather than an autograd.Function, whose rule for vmap torch.compile does not follow.
@torch.library.custom_op("repro::batch_norm", mutates_args=("mean", "variance"))
def _batch_norm(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    mean: Tensor,
    variance: Tensor,
    *,
    training: bool,
    momentum: float,
    eps: float,
) -> Tensor:
    raise NotImplementedError("only under vmap; a network alone has BatchNorm2d")


@_batch_norm.register_vmap
def _merged(
    info: Any,
    dims: tuple[int, ...],
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    mean: Tensor,
    variance: Tensor,
    *,
    training: bool,
    momentum: float,
    eps: float,
) -> tuple[Tensor, int]:
    """Normalise n x SC x H x W of S seeds; parameters and statistics are S x C. Autograd follows what is done here."""
    merged = input.movedim(dims[0], 1).flatten(1, 2)
    mean, variance, weight, bias = (each.view(-1) for each in (mean, variance, weight, bias))
    normalised = F.batch_norm(merged, mean, variance, weight, bias, training, momentum, eps)
    return torch.unflatten(normalised, 1, (info.batch_size, -1)), 1


def suit_to_vmap(network: nn.Module) -> None:
    """Merge the BatchNorms of a network that only runs under vmap, and let no ReLU work in place: there it copies."""
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = MergedBatchNorm  # the same state, another forward
        elif isinstance(module, nn.ReLU):
            module.inplace = False
