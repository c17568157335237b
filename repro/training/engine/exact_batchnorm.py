"""Exact BatchNorm statistics of a finished network, in place of its running averages."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from repro.models.detector import Scenes
from repro.training.machine import processes


@torch.no_grad()
def take_exact_statistics(network: nn.Module, inputs: Iterable[Tensor | Scenes]) -> None:
    """Set the statistics of every BatchNorm that has them to their averages over batches of training images.

    KaimingHe/deep-residual-networks describes its ImageNet models this way: averages after training, not moving
    averages. With several processes, each averages over its own batches, and all get the overall average.
    """
    norms = [each for each in network.modules() if isinstance(each, _BatchNorm) and each.track_running_stats]
    momenta = [each.momentum for each in norms]
    network.eval()
    for each in norms:
        each.reset_running_stats()
        each.momentum = None  # torch: the average over all batches since the reset
        each.train()
    for batch in inputs:
        network(batch)
    for each, momentum in zip(norms, momenta, strict=True):
        each.momentum = momentum
        for statistic in (each.running_mean, each.running_var):
            assert statistic is not None
            statistic.copy_(processes.total(statistic) / processes.count())
