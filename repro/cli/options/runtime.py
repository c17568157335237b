"""The options of the runtime: device, precision and the switches for speed and memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from repro.bounds import MOST_SEEDS
from repro.cli.options.shared import Command, in_panel, with_options
from repro.runtime import MEASURED, Log, Precision, Runtime, Together
from repro.text import one_of


def _lower(value: str | None) -> str | None:
    return value and value.lower()


_switch = in_panel("Runtime options")
RUNTIME_OPTIONS = {
    "device": _switch(
        str,
        "--device",
        "Device: cpu, cuda, cuda:1, ... (default: auto, the first GPU if there is one).",
        metavar="DEVICE",
        callback=_lower,
    ),
    "precision": _switch(
        Precision,
        "--precision",
        f"Precision of convolutions and matrix products: {one_of([*Precision])} (default: fp32).",
        metavar="NAME",
    ),
    "save_memory": _switch(
        bool,
        "--save-memory/--no-save-memory",
        "Recompute activations in the backward pass: same results, less memory, slower (DenseNet and pre-activation "
        "ResNet; default: where memory is short).",
    ),
    "threads": _switch(
        int, "--threads", "Number of CPU threads (default: chosen by PyTorch).", min=1, max=1024, metavar="N"
    ),
    "workers": _switch(
        int,
        "--workers",
        "Processes that read image files (default: one per core; 0: none).",
        min=0,
        max=1024,
        metavar="N",
    ),
    "together": _switch(
        Together,
        "--together",
        "How several runs share a device: stacked (seeds in the same kernels, which changes rounding), branches "
        "(any runs, each on its own stream of a CUDA graph; GPU only) or off (default: off on a CPU, on a GPU the "
        "fastest that was measured).",
        metavar="MODE",
    ),
    "at_once": _switch(
        int,
        "--at-once",
        "Largest number of runs that share a device (default: the measured number, else up to 3 branches or all "
        "stacked seeds).",
        min=1,
        max=MOST_SEEDS,
        metavar="N",
    ),
    "channels_last": _switch(
        bool,
        "--channels-last/--no-channels-last",
        "Memory layout (default: channels last; stacked seeds always use NCHW).",
    ),
    "compile": _switch(
        bool,
        "--compile/--no-compile",
        "Compile the model first, which takes a minute or more; usually faster on a GPU, not always on a CPU.",
    ),
    "graph": _switch(bool, "--graph/--no-graph", "Replay each training step as one CUDA graph."),
    "fused": _switch(
        bool,
        "--fused/--no-fused",
        "Use Triton kernels made for narrow networks, in TF32 or bf16 on a GPU (ResNet, DenseResNet).",
    ),
    "deterministic": _switch(bool, "--deterministic", "Use only deterministic kernels on a GPU."),
    "log": _switch(Log, "--log", f"Also write logs next to the checkpoints: {one_of([*Log])}.", metavar="NAME"),
}
"""The fields of Runtime that a user may set."""


def runtime_of(switches: Mapping[str, Any]) -> Runtime:
    """Return the runtime of a training; where a GPU is faster with switches that were not given, they are chosen."""
    return Runtime(**switches, unset=frozenset(MEASURED) - switches.keys())


def runtime_options(*names: str) -> Callable[[Command], Command]:
    """Add all or some runtime options to a command, which receives the given ones as `switches`."""
    chosen = {name: RUNTIME_OPTIONS[name] for name in names or RUNTIME_OPTIONS}
    return lambda command: with_options(command, chosen, lambda given: {"switches": given})
