"""The order of channels in CIFAR ResNets whose shortcuts of option A pad the channels on both sides.

Where the number of channels doubles from c to 2c, ours become the first c of 2c channels, and those of
akamaster/pytorch_resnet_cifar10 the middle ones. Each stage then has the same channels in another order, so that a
permutation of the weights gives exactly the same function.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor

from repro.models.resnet import CIFAR_WIDTHS

IN, OUT = 1, 0
"""The dimensions of a weight with its input and its output channels."""


def from_centred(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors, by our names, of a network that pads on both sides with channels in our order."""
    return _permuted(tensors, orders())


def to_centred(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors, by our names, of our network with channels in the order of one that pads on both sides."""
    return _permuted(tensors, [order.argsort() for order in orders()])


def orders() -> list[Tensor]:
    """Return for each stage, by our channel, the channel of a network that pads on both sides: (width,) int64."""
    found = [torch.arange(CIFAR_WIDTHS[0])]
    for width, wider in pairwise(CIFAR_WIDTHS):
        before = (wider - width) // 2
        padding = [torch.arange(before), torch.arange(before + width, wider)]
        found.append(torch.cat([before + found[-1], *padding]))
    return found


def _permuted(tensors: Mapping[str, Tensor], orders: list[Tensor]) -> dict[str, Tensor]:
    found = dict(tensors)
    for name, tensor in tensors.items():
        for dimension, stage in _streams(name):
            if tensor.dim():  # the count of batches has no channels
                found[name] = found[name].index_select(dimension, orders[stage].to(tensor.device))
    return found


def _streams(name: str) -> list[tuple[int, int]]:
    """Return the dimensions of a tensor that are the channels between blocks, each with its stage."""
    if name == "classifier.weight":
        return [(IN, len(CIFAR_WIDTHS) - 1)]
    found = re.match(r"stages\.(\d+)\.(\d+)\.(\w+)\.", name)
    if not found:
        return []
    stage, block, layer = int(found[1]), int(found[2]), found[3]
    if layer == "conv1":
        return [(IN, stage if block else max(stage - 1, 0))]
    return [(OUT, stage)] if layer in ("conv2", "bn2") else []
