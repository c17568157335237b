"""The processor of this machine, as records name it."""

from __future__ import annotations

import os
import platform

import torch

MODEL = ("vendor_id", "cpu family", "model", "stepping", "CPU implementer", "CPU part", "CPU variant", "CPU revision")
"""The lines of /proc/cpuinfo that tell processors of one name apart, on x86 and on Arm."""
INSTRUCTIONS = ("avx_vnni", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_bf16", "amx_fp16")
"""The instructions by which oneDNN chooses kernels; a virtual machine may lack those of its processor."""
VARIABLES = (
    "ATEN_CPU_CAPABILITY",
    "ONEDNN_MAX_CPU_ISA",
    "DNNL_MAX_CPU_ISA",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "MKL_CBWR",
    "MKL_ENABLE_INSTRUCTIONS",
)
"""The variables with which a user restricts the instructions of torch, oneDNN and MKL."""


def processor_name() -> str:
    """Return the processor's name as the system reports it."""
    return _first_processor().get("model name") or platform.processor() or platform.machine()


def exact_processor() -> str:
    """Return the exact processor, the instructions that torch and oneDNN may use, and the variables that restrict them.

    The threads and the processor's name are in `device_name`.
    """
    about = _first_processor()
    model = [f"{name} {about[name]}" for name in MODEL if name in about]
    flags = about.get("flags", "").split()
    instructions = [torch.backends.cpu.get_cpu_capability(), *(each for each in INSTRUCTIONS if each in flags)]
    restricted = [f"{name}={os.environ[name]}" for name in VARIABLES if os.environ.get(name)]
    return ", ".join([*model, *instructions, *restricted])


def _first_processor() -> dict[str, str]:
    """Return the lines of /proc/cpuinfo on the first processor; nothing on a system without that file."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            lines = file.read().split("\n\n")[0].splitlines()
    except OSError:
        return {}
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
