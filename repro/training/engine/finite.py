"""Losses and weights that are NaN or infinite."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from repro.errors import Diverged, RunFailed


def check_losses(losses: Sequence[float], seeds: Sequence[int], where: str) -> None:
    """Raise Diverged if the training loss of a seed is NaN or infinite."""
    for loss, seed in zip(losses, seeds, strict=True):
        if not math.isfinite(loss):
            several = len(seeds) > 1
            who = f" of seed {seed}" if several else ""
            others = "; use --together off to train the other seeds" if several else ""
            raise Diverged(f"the training loss{who} is {loss} in {where}{others}")


def check_state(state: Iterable[Tensor], step: int) -> None:
    """Raise Diverged if a weight or a BatchNorm statistic is NaN or infinite."""
    values = [each for each in state if each.is_floating_point() and each.numel()]
    if not torch.stack(torch._foreach_norm(values, math.inf)).isfinite().all():
        raise Diverged(f"weights are NaN or infinite after step {step}")


def infinite_in(state: Mapping[str, Tensor]) -> list[str]:
    """Return the names of tensors with values that are NaN or infinite."""
    return [name for name, each in state.items() if not each.isfinite().all()]


def check_finite(state: Mapping[str, Tensor], whose: str, built: Mapping[str, Tensor] | None = None) -> None:
    """Raise RunFailed if a weight or a BatchNorm statistic is NaN or infinite.

    Args:
        state: of a network.
        whose: begins the message.
        built: the state of the network before its training, which may have infinite values, such as an attention mask.
    """
    usual = infinite_in(built or {})
    if found := [name for name in infinite_in(state) if name not in usual]:
        raise RunFailed(f"{whose} has weights that are NaN or infinite, the first one in {found[0]}")
