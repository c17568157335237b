"""Runtime made real: the device, its precision, and the memory format."""

from __future__ import annotations

import ctypes
import os
import platform
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import torch
from torch import Tensor, nn

from repro.errors import UserError
from repro.runtime import Runtime
from repro.text import number_of
from repro.training import processes

CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""In which a container finds how much memory it may have, versions 2 and 1."""
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of malloc.h: how much may lie free, and from what size on a block is the system's own affair; in bytes."""


def prepare(runtime: Runtime) -> torch.device:
    """Return the device, after setting precision and threads of this process.

    Raises:
        UserError: a GPU is asked for, or needed by a switch, and there is none; or switches exclude each other.
    """
    device = torch.device(chosen_device(runtime))
    _check_switches(runtime, device)
    if runtime.threads:
        torch.set_num_threads(runtime.threads)
    set_products(runtime.precision)
    torch.backends.cudnn.benchmark = not runtime.deterministic
    if runtime.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS's own condition
        # Nothing here reads memory that it has not written; filling it takes a kernel for every tensor.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.use_deterministic_algorithms(runtime.deterministic)
    if device.type == "cpu":
        keep_freed_memory()
    else:
        torch.cuda.set_device(device)  # streams, graphs and collectives go to the current one
    processes.join(device)
    return device


def chosen_device(runtime: Runtime) -> str:
    """Return the device that a runtime means, as `cpu` or `cuda:0`.

    Raises:
        UserError: it is not here, or one GPU is named for several processes.
    """
    name = runtime.device
    if name.startswith("cuda:") and runtime.processes > 1:
        raise UserError(
            f"--device {name} is one GPU for {runtime.processes} processes; --device cuda gives each its own"
        )
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda":
        name = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(f"--device {runtime.device}: torch {torch.__version__} sees no GPU here; --device cpu")
    if name.startswith("cuda:") and int(name[5:]) >= torch.cuda.device_count():
        raise UserError(f"--device {name}: torch sees {torch.cuda.device_count()} GPUs here, from cuda:0 on")
    return name


def _check_switches(runtime: Runtime, device: torch.device) -> None:
    """Refuse switches that the device has not, or that exclude each other."""
    if runtime.graph and device.type == "cpu":
        raise UserError("--graph replays CUDA graphs and needs a GPU; this run is on cpu")
    if runtime.graph and runtime.processes > 1:
        raise UserError("--graph is for one process; leave it out")
    if runtime.save_memory and runtime.compile:
        raise UserError("--save-memory computes again in a way that --compile cannot follow; leave out one of them")
    if runtime.precision == "tf32" and device.type == "cpu":
        raise UserError("--precision tf32 is a GPU's; this run is on cpu, where fp32 and bf16 are")
    check_side_by_side(runtime, device.type)


def check_memory(network: nn.Module, networks: int, device: torch.device) -> None:
    """Refuse networks whose weights alone, with gradients and momentum, are more than the device's memory.

    Args:
        network: one of them, anywhere, on the meta device too.
        networks: how many are trained at once.
        device: on which they are to be trained.

    Raises:
        UserError: they do not fit.
    """
    needed = 3 * networks * sum(each.numel() * each.element_size() for each in network.parameters())
    there = memory_of(device)
    if there is not None and needed > there:
        raise UserError(
            f"weights, gradients and momentum are {needed / 2**30:,.0f} GiB, and {device} has "
            f"{there / 2**30:.0f} GiB of memory; a smaller network fits"
        )


def memory_of(device: torch.device) -> int | None:
    """Return the bytes of a GPU's memory, or those that this process may have; None where the system does not tell."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")] if hasattr(os, "sysconf") else []
    for path in CGROUP_LIMITS:
        with suppress(OSError, ValueError):  # there is none, or it says "max"
            limits.append(int(path.read_text()))
    return min(limits, default=None)


def keep_freed_memory() -> None:
    """Let glibc keep what a step frees for the next one; other allocators are left as they are.

    Given back to the system, every page of it would have to be faulted in and zeroed again, step after step: a
    compiled ResNet-20 then takes a quarter longer on two cores.
    """
    if platform.libc_ver()[0] == "glibc":
        glibc = ctypes.CDLL(None)
        for parameter in (M_MMAP_THRESHOLD, M_TRIM_THRESHOLD):
            glibc.mallopt(parameter, 2**31 - 1)


def set_products(precision: str) -> None:
    """Let the GPU round the factors of fp32 products to TF32, or not: a switch of the whole process.

    A recent card convolves in TF32 unless it is told not to. These older names of the switches keep the newer ones
    equal; set by the newer names alone they make torch.compile raise where it reads the older.
    """
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"


def check_side_by_side(runtime: Runtime, device: str) -> None:
    """Refuse seeds side by side in bf16 on a CPU, whose autocast leaves convolutions under vmap in fp32."""
    if runtime.side_by_side and runtime.precision == "bf16" and device == "cpu":
        raise UserError(
            "seeds side by side in bf16 need a GPU: on a CPU their convolutions stay fp32; --one-by-one trains in bf16"
        )


def autocast(device: torch.device, runtime: Runtime) -> AbstractContextManager[None]:
    """Return the context in which networks run forward."""
    return torch.autocast(device.type, torch.bfloat16, enabled=runtime.precision == "bf16")


def placed(network: nn.Module, device: torch.device, runtime: Runtime) -> nn.Module:
    """Return the network on its device, in the runtime's memory format."""
    layout = torch.channels_last if runtime.channels_last else torch.contiguous_format
    return network.to(device=device, memory_format=layout)  # type: ignore[call-overload]


def laid_out(images: Tensor, runtime: Runtime) -> Tensor:
    """Return images in the runtime's memory format."""
    return images.contiguous(memory_format=torch.channels_last) if runtime.channels_last else images.contiguous()


def device_name(device: torch.device) -> str:
    """Return what a record says of the hardware."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU {_cpu_model()}, {number_of(torch.get_num_threads(), 'thread')}"


def _cpu_model() -> str:
    """Return the processor's name, as far as the system tells it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
