"""The peak rates of this device."""

from __future__ import annotations

from collections.abc import Callable

import torch

from repro.benchmark.windows import seconds_of

FIRST_SIDE, SIDES = 256, {"cpu": 2048, "cuda": 8192}
"""Sides of the matrices that are multiplied; smaller products do not keep a GPU busy."""
LONGEST_PRODUCT = 0.5
"""Longest product in seconds: a CPU without bf16 instructions would need minutes for large matrices."""
COPIED_BYTES = 1 << 28
REPEATS = 5


def matmul_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Return the FLOPs per second of a square matrix product, the largest that takes little time."""
    side, seconds = FIRST_SIDE, _product_seconds(FIRST_SIDE, device, dtype)
    while side < SIDES[device.type] and 2**3 * seconds < LONGEST_PRODUCT:
        side *= 2
        seconds = _product_seconds(side, device, dtype)
    return 2 * side**3 / seconds


def _product_seconds(side: int, device: torch.device, dtype: torch.dtype) -> float:
    left, right = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    return _best_seconds(lambda: left @ right, device)


def copy_rate(device: torch.device) -> float:
    """Return the bytes per second, read and written, of a large copy."""
    source = torch.zeros(COPIED_BYTES, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * COPIED_BYTES / _best_seconds(lambda: target.copy_(source), device)


def _best_seconds(action: Callable[[], object], device: torch.device) -> float:
    """Return the shortest time of several tries after a warm-up."""
    action()
    return min(seconds_of(action, device) for _ in range(REPEATS))
