"""The peak rates of this device, and the work of a training step."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

FIRST_SIDE, SIDES = 256, {"cpu": 2048, "cuda": 8192}
"""Sides of the matrices that are multiplied; smaller products do not keep a GPU busy."""
LONGEST_PRODUCT = 0.5
"""Longest product in seconds: a CPU without bf16 instructions would need minutes for large matrices."""
COPIED_BYTES = 1 << 28
REPEATS = 5


@dataclass(frozen=True)
class Work:
    """The work of training on one image."""

    flops: float
    """2 per multiply-add of convolutions and linear layers, once forward and twice backward."""
    elements: float
    """Outputs of all modules that do not work in place, each written and read once forward and twice backward."""


def work_of(network: nn.Module, shape: tuple[int, int, int]) -> Work:
    """Return the work of a network on the meta device for an input of C, H, W."""
    outputs = 0

    def note(module: nn.Module, inputs: object, output: object) -> None:
        """Add the output of a module without children, unless the module works in place."""
        nonlocal outputs
        if isinstance(output, Tensor) and not list(module.children()) and not getattr(module, "inplace", False):
            outputs += output.numel()

    hooks = [module.register_forward_hook(note) for module in network.modules()]
    with FlopCounterMode(display=False) as counter:
        network.eval()(torch.zeros(1, *shape, device="meta"))
    for hook in hooks:
        hook.remove()
    return Work(flops=3 * counter.get_total_flops(), elements=3 * 2 * outputs)


def saved_bytes(network: nn.Module, shape: tuple[int, int, int], batch: int) -> int:
    """Return the bytes that a training step saves for its backward pass, in addition to parameters and buffers.

    Args:
        network: a network on the meta device.
        shape: C, H, W of an image.
        batch: images per step.
    """
    resting = {each.untyped_storage()._cdata for each in [*network.parameters(), *network.buffers()]}
    saved: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        """Add the storage of a tensor, once."""
        storage = tensor.untyped_storage()
        if storage._cdata not in resting:
            saved[storage._cdata] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        outputs = network.train()(torch.zeros(batch, *shape, device="meta"))
    del outputs
    return sum(saved.values())


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


def synchronise(device: torch.device) -> None:
    """Wait until the device is idle."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _best_seconds(action: Callable[[], object], device: torch.device) -> float:
    """Return the shortest time of several tries after a warm-up."""
    action()
    times = []
    for _ in range(REPEATS):
        synchronise(device)
        begin = time.perf_counter()
        action()
        synchronise(device)
        times.append(time.perf_counter() - begin)
    return min(times)
