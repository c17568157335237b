"""How this machine runs an experiment. Only `processes` changes the mathematics of a recipe."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import asdict, dataclass, field, replace
from enum import Enum, StrEnum
from typing import Any

from repro.errors import UserError
from repro.torchrun import process_count

DEVICES = r"auto|cpu|cuda(:\d+)?"
OPENMP = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "3000"}
"""How threads of OpenMP wait for each other: they sleep, in GNU's OpenMP after some microseconds in a loop.

By default they wait in a loop for milliseconds, on cores that other processes need: beside these, a ResNet-20 trains
three to five times slower. Without the short loop it would be 28 % slower on a quiet machine (docs/running.md).
"""
OPENMP_WAITS = {*OPENMP, "KMP_BLOCKTIME"}
"""The variables by which a user may say how OpenMP's threads wait."""


def let_threads_sleep() -> None:
    """Set how OpenMP's threads wait in this process, unless the user set it; torch reads it when it is loaded."""
    if "torch" not in sys.modules and not OPENMP_WAITS & set(os.environ):
        os.environ.update(OPENMP)


class Precision(StrEnum):
    """The number format of convolutions and matrix products."""

    FP32 = "fp32"
    TF32 = "tf32"
    """Matrix products on a GPU with 10-bit mantissas."""
    BF16 = "bf16"
    """Autocast, with weights in fp32."""


class Log(StrEnum):
    """A log for other programs, written next to a run's checkpoints."""

    TENSORBOARD = "tensorboard"


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """Switches for speed. They are recorded with a run but are not part of its experiment."""

    device: str = "auto"
    """`auto` (the first GPU if there is one, else the CPU), `cpu`, `cuda`, `cuda:1`, ..."""
    precision: str = "fp32"
    """`fp32`; `tf32`: matrix products on a GPU with 10-bit mantissas; `bf16`: autocast with fp32 weights."""
    channels_last: bool = True
    """Whether images and weights have the channels-last layout; seeds trained at once never have it."""
    compile: bool = False
    """Whether the network is compiled with torch.compile."""
    graph: bool = False
    """Whether the whole step is replayed as one CUDA graph; GPU only."""
    fused: bool = False
    """Whether Triton kernels compute narrow convolutions, BatchNorm and gates; GPU only, in TF32 or bf16."""
    side_by_side: bool | None = None
    """Whether several seeds of one experiment are trained at once, in the same kernels; None: on a GPU only."""
    deterministic: bool = False
    """Whether a GPU uses only kernels that give the same bits every time; a CPU always does."""
    processes: int = field(default_factory=process_count)
    """Processes that torchrun started; each gets a share of every batch, and BatchNorm normalises over that share."""
    log: str | None = None
    """`tensorboard`: TensorBoard's files are written next to the checkpoints."""
    threads: int | None = None
    """CPU threads; None: torch's default."""
    save_memory: bool | None = None
    """Whether activations are recomputed in the backward pass instead of saved; not every network can.

    None: where memory is short. A run is recorded with what was chosen.
    """
    workers: int | None = None
    """Processes that read and augment image files; None: one per core, 0: the training process itself."""
    checkpoint_seconds: float = 60.0
    """Within an epoch, a checkpoint is written when the last one is this old."""

    def __post_init__(self) -> None:
        if self.precision not in [*Precision]:
            raise UserError(f"unknown precision {self.precision!r}; known: {', '.join(Precision)}")
        if not re.fullmatch(DEVICES, self.device):
            raise UserError(f"unknown device {self.device!r}; known: auto, cpu, cuda, cuda:1, ...")

    def together(self, seeds: int) -> Runtime:
        """Return the switches for `seeds` seeds at once, whose grouped convolutions need the contiguous layout."""
        return replace(self, side_by_side=seeds > 1, channels_last=self.channels_last and seeds == 1)

    def values(self) -> dict[str, Any]:
        """Return the switches as plain data, which a checkpoint may hold."""
        return {name: value.value if isinstance(value, Enum) else value for name, value in asdict(self).items()}
