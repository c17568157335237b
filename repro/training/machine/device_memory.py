"""The memory of a device: whether networks fit into it, what is free, and what becomes of freed memory."""

from __future__ import annotations

import ctypes
import gc
import platform
from collections.abc import Sequence

import torch
from torch import nn

from repro.errors import UserError
from repro.memory import free_host_memory, host_memory
from repro.training.machine import processes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Options in malloc.h, in bytes: how much freed memory is kept, and from what size blocks are mapped separately."""


def check_fits(networks: Sequence[nn.Module], device: torch.device) -> None:
    """Refuse networks whose weights, gradients and momentum alone exceed the device's memory.

    Args:
        networks: those that are trained at once, on any device.
        device: the device to train on.

    Raises:
        UserError: the networks do not fit.
    """
    needed = 3 * sum(each.numel() * each.element_size() for network in networks for each in network.parameters())
    on_gpu = device.type == "cuda"
    there = int(torch.cuda.get_device_properties(device).total_memory) if on_gpu else host_memory()
    if needed > there:
        raise UserError(
            f"weights, gradients and momentum take {needed / 2**30:,.0f} GiB, and {device} has "
            f"{there / 2**30:.0f} GiB of memory; choose a smaller network"
        )


def free_memory_of(device: torch.device) -> int | None:
    """Return the bytes that are free on a GPU, or that this process may still take; None if unknown.

    Several processes must all ask; each gets the least of them, so that they decide alike.
    """
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else free_host_memory()
    return None if free is None else -processes.greatest(-free, device)


def keep_freed_memory() -> None:
    """Let glibc keep freed memory for the next step; other allocators are left unchanged.

    Memory returned to the system is faulted in and zeroed again in every step, which makes a compiled ResNet-20 a
    quarter slower on two cores.
    """
    if platform.libc_ver()[0] == "glibc":
        glibc = ctypes.CDLL(None)
        for parameter in (M_MMAP_THRESHOLD, M_TRIM_THRESHOLD):
            glibc.mallopt(parameter, 2**31 - 1)


def return_freed_memory() -> None:
    """Give memory that glibc keeps for the next step back to the system, before a fork shares it with a child.

    Each page that this process then writes is copied for it, so its freed memory would be taken a second time.
    """
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def release_memory() -> None:
    """Free the memory of what has ended, such as engines that an error held, also on a GPU that this process uses."""
    gc.collect()
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()
