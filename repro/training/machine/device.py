"""Applying a Runtime: the device, its precision, and the memory format."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from types import ModuleType

import torch
from torch import Tensor, nn

from repro.data import DATASETS, DatasetKind
from repro.errors import UserError
from repro.recipes import Recipe
from repro.runtime import Precision, Runtime, Together
from repro.store.results import CPU
from repro.text import number_of
from repro.torchrun import gpu_number
from repro.training.machine import one_process, processes
from repro.training.machine.device_memory import keep_freed_memory
from repro.training.machine.processor import processor_name


def prepare(runtime: Runtime) -> torch.device:
    """Set precision and threads of this process and return the device.

    Raises:
        UserError: a GPU is needed and there is none, or switches exclude each other.
    """
    device = checked_device(runtime)
    if runtime.threads:
        torch.set_num_threads(runtime.threads)
    set_products(runtime.precision)
    torch.backends.cudnn.benchmark = not runtime.deterministic
    if runtime.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # required by cuBLAS
        # No code here reads uninitialised memory, and filling it would take one more kernel per tensor.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.use_deterministic_algorithms(runtime.deterministic)
    if device.type == "cpu":
        keep_freed_memory()
    else:
        torch.cuda.set_device(device)  # streams, graphs and collectives use the current device
    processes.join(device)
    return device


def checked_device(runtime: Runtime) -> torch.device:
    """Return the device without setting anything; UserError as in `prepare`."""
    device = torch.device(chosen_device(runtime))
    check_switches(runtime, device)
    return device


def chosen_device(runtime: Runtime) -> str:
    """Return the name of a runtime's device, as `cpu` or `cuda:0`.

    Raises:
        UserError: this machine has no such device, or one GPU is named for several processes.
    """
    name = runtime.device
    if name.startswith("cuda:") and runtime.processes > 1:
        raise UserError(
            f"--device {name} is one GPU for {runtime.processes} processes; --device cuda gives each its own GPU"
        )
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda":
        name = f"cuda:{gpu_number()}"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(f"--device {runtime.device}: torch {torch.__version__} finds no GPU; use --device cpu")
    if name.startswith("cuda:") and int(name[5:]) >= torch.cuda.device_count():
        raise UserError(f"--device {name}: torch finds {torch.cuda.device_count()} GPUs, numbered from cuda:0")
    return name


def check_switches(runtime: Runtime, device: torch.device) -> None:
    """Raise UserError for switches that the device does not support or that exclude each other."""
    one_process.check_switches(runtime)
    for name, asked in (("--graph", runtime.graph), ("--together branches", runtime.together == Together.BRANCHES)):
        if asked and device.type == "cpu":
            raise UserError(f"{name} needs a GPU (CUDA graphs), and this run uses the CPU")
    if runtime.save_memory and runtime.compile:
        raise UserError("--save-memory and --compile cannot be combined; leave out one of them")
    if runtime.precision == Precision.TF32 and device.type == "cpu":
        raise UserError("--precision tf32 needs a GPU; on the CPU use fp32 or bf16")
    if runtime.fused:
        _check_fused_switches(runtime, device)
    check_stacked(runtime, device)


def _check_fused_switches(runtime: Runtime, device: torch.device) -> None:
    """Raise UserError where the kernels of `fused` cannot be used."""
    if device.type == "cpu":
        raise UserError("--fused needs a GPU, and this run uses the CPU")
    if runtime.precision == Precision.FP32:
        raise UserError("--fused computes in TF32 or bf16; add --precision tf32 or --precision bf16")
    for name, excluded in (("--compile", runtime.compile), ("--no-channels-last", not runtime.channels_last)):
        if excluded:
            raise UserError(f"--fused and {name} cannot be combined; leave out one of them")


def check_deterministic(model: str, network: nn.Module, runtime: Runtime, device: torch.device) -> None:
    """Refuse `--deterministic` on a GPU for networks with an adaptive average pooling to more than one output.

    torch raises in its backward pass (torch.use_deterministic_algorithms lists the operators); it computes a pooling
    to 1x1 as a mean instead, which is deterministic. Other operators on the list are reported by the first step.

    Raises:
        UserError: the gradient of a pooling has no deterministic kernel.
    """
    if not runtime.deterministic or device.type == "cpu":
        return
    for name, module in network.named_modules():
        if isinstance(module, nn.AdaptiveAvgPool2d) and module.output_size not in (1, (1, 1)):
            raise UserError(
                f"--deterministic: CUDA has no deterministic kernel for the gradient of the adaptive average pooling "
                f"of {model} ({name}, to {module.output_size}); leave it out, or use --device cpu"
            )


def set_products(precision: Precision) -> None:
    """Set, for the whole process, whether the GPU rounds the factors of fp32 products to TF32.

    By default torch convolves in TF32 on recent cards. Setting these older switches also sets the newer ones; setting
    only the newer ones makes torch.compile raise where it reads the older.
    """
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == Precision.TF32


def check_stacked(runtime: Runtime, device: torch.device) -> None:
    """Raise UserError for stacked seeds in bf16 on a CPU: its autocast leaves convolutions under vmap in fp32."""
    if runtime.together == Together.STACKED and runtime.precision == Precision.BF16 and device.type == "cpu":
        raise UserError(
            "stacked seeds in bf16 need a GPU: on a CPU their convolutions stay in fp32; use --together off"
        )


def autocast(device: torch.device, runtime: Runtime) -> AbstractContextManager[None]:
    """Return the context for forward passes."""
    return torch.autocast(device.type, torch.bfloat16, enabled=runtime.precision == Precision.BF16)


def placed(network: nn.Module, device: torch.device, runtime: Runtime) -> nn.Module:
    """Return the network on its device, in the runtime's memory format and with its kernels."""
    layout = torch.channels_last if runtime.channels_last else torch.contiguous_format
    network = network.to(device=device, memory_format=layout)  # type: ignore[call-overload]
    if runtime.fused:
        _kernels().use_kernels(network)
    return network


def check_fused(network: nn.Module, recipe: Recipe) -> None:
    """Raise UserError if the kernels cannot train a network as a recipe says."""
    if not _kernels().has_kernels(network):
        raise UserError("--fused has kernels for DenseResNet and for ResNet with basic blocks; leave it out")
    if DATASETS[recipe.dataset].kind is DatasetKind.IMAGE_FILES:
        raise UserError(f"the kernels of --fused are for small images, not for {recipe.dataset}; leave it out")
    if recipe.batchnorm_images:
        images = recipe.batchnorm_images
        raise UserError(f"--fused normalises over the whole batch, not over batchnorm_images={images}; leave it out")


def _kernels() -> ModuleType:
    """Return the module with the kernels.

    Raises:
        UserError: Triton is missing, which not every system has.
    """
    try:
        from repro.kernels import fuse
    except ImportError as error:
        raise UserError(f"--fused needs Triton, which cannot be imported ({error}); leave it out") from error
    return fuse


def laid_out(images: Tensor, runtime: Runtime) -> Tensor:
    """Return images in the runtime's memory format."""
    return images.contiguous(memory_format=torch.channels_last) if runtime.channels_last else images.contiguous()


def device_name(device: torch.device, threads: int | None = None) -> str:
    """Return the hardware's name for a record; `threads` is the number on a CPU (default: that of this process)."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{CPU} {processor_name()}, {number_of(threads or torch.get_num_threads(), 'thread')}"
