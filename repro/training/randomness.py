"""Randomness as a function of the seed: every use has its own stream, independent of the device."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor


def seed_of(seed: int, use: str, epoch: int = 0) -> int:
    """Return a 63-bit seed for one use of randomness in one epoch."""
    digest = hashlib.sha256(f"{seed}/{use}/{epoch}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(seed: int, use: str, epoch: int) -> torch.Generator:
    """Return a generator on the CPU for one use of randomness in one epoch."""
    return torch.Generator().manual_seed(seed_of(seed, use, epoch))


def states_of_generators(device: torch.device) -> list[Tensor]:
    """Return the states of torch's default generators: the CPU's, and that of the device if it is a GPU."""
    own = [torch.get_rng_state()]
    return own if device.type == "cpu" else [*own, torch.cuda.get_rng_state(device)]


def set_generators(states: Sequence[Tensor], device: torch.device) -> None:
    """Set the states of torch's default generators; that of a GPU may be missing."""
    torch.set_rng_state(states[0])
    if device.type == "cuda" and len(states) > 1:
        torch.cuda.set_rng_state(states[1], device)
