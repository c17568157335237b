"""Randomness as a function of the seed: every use has its own stream, independent of the device."""

from __future__ import annotations

import hashlib

import torch


def seed_of(seed: int, use: str, epoch: int = 0) -> int:
    """Return a 63-bit seed for one use of randomness in one epoch."""
    digest = hashlib.sha256(f"{seed}/{use}/{epoch}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(seed: int, use: str, epoch: int) -> torch.Generator:
    """Return a generator on the CPU for one use of randomness in one epoch."""
    return torch.Generator().manual_seed(seed_of(seed, use, epoch))
