"""Changes that make a network fast under vmap, above all one BatchNorm over the channels of all seeds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class MergedBatchNorm(_BatchNorm):
    """BatchNorm that treats vmap's seeds as channels: one kernel forward and one backward, in the same precision.

    vmap's own rule normalises with weights of 1 in the input's precision, which fails for bf16 inputs with fp32
    statistics, and multiplies by the true weights in separate kernels.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the output of BatchNorm with momentum and running statistics, as in every network here."""
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


# A torch operator, because torch.compile does not support the vmap rule of an autograd.Function.
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
    raise NotImplementedError("this operator works only under vmap; a single network has torch's BatchNorm")


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
    """Normalise S seeds as (n, S * C, ...); parameters and statistics are (S, C). Autograd differentiates this."""
    merged = input.movedim(dims[0], 1).flatten(1, 2)
    mean, variance, weight, bias = (each.view(-1) for each in (mean, variance, weight, bias))
    normalised = F.batch_norm(merged, mean, variance, weight, bias, training, momentum, eps)
    return torch.unflatten(normalised, 1, (info.batch_size, -1)), 1


def can_merge(network: nn.Module) -> bool:
    """Whether all BatchNorms of a network have what `MergedBatchNorm` uses."""
    return all(each.affine and each.track_running_stats and each.momentum is not None for each in _batchnorms(network))


def _batchnorms(network: nn.Module) -> Iterator[_BatchNorm]:
    """Yield torch's own BatchNorms of a network, whose forward is known."""
    for module in network.modules():
        if type(module) in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d):
            yield cast(_BatchNorm, module)


def suit_to_vmap(network: nn.Module) -> None:
    """Prepare a network for vmap: merge its BatchNorms, and run no ReLU in place, which would copy under vmap."""
    for norm in _batchnorms(network):
        norm.__class__ = MergedBatchNorm  # same state, different forward
    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
