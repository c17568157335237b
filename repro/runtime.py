"""How this machine runs an experiment: nothing here changes the mathematics of a recipe, but for `processes`."""

from __future__ import annotations

import os
import re
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from repro.errors import UserError

PRECISIONS = ("fp32", "tf32", "bf16")
DEVICES = r"auto|cpu|cuda(:\d+)?"


def _processes() -> int:
    """Return how many processes torchrun started; 1 without it."""
    size = os.environ.get("WORLD_SIZE", "1")
    if not size.isdecimal() or int(size) < 1:
        raise UserError(f"WORLD_SIZE is {size!r}, which torchrun sets to the number of processes")
    return int(size)


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """Speed switches. They are recorded with a run and leave its experiment as it is."""

    device: str = "auto"
    """`auto` is the first GPU where there is one; also `cpu`, `cuda`, `cuda:1`."""
    precision: str = "fp32"
    """`fp32`; `tf32`: 10-bit mantissas in a GPU's products; `bf16`: autocast with fp32 weights."""
    channels_last: bool = True
    """The memory layout of images and weights; of several seeds at once it is the other one."""
    compile: bool = False
    """The network goes through torch.compile."""
    graph: bool = False
    """On a GPU, the whole step is replayed as one CUDA graph."""
    side_by_side: bool | None = None
    """Several seeds of one experiment are trained at once, every kernel working for all; None: on a GPU they are."""
    deterministic: bool = False
    """On a GPU, only kernels that give the same bits each time; a CPU run always does."""
    processes: int = field(default_factory=_processes)
    """That torchrun started; each has its share of every batch, and BatchNorm normalises by that share alone."""
    log: str | None = None
    """`tensorboard`: its files are written beside the checkpoints."""
    threads: int | None = None
    """CPU threads; torch's own choice unless given."""
    save_memory: bool = False
    """Some activations are computed again in the backward pass instead of kept; DenseNet alone."""
    workers: int | None = None
    """Processes that read and augment image files; one per core unless given, none with 0."""
    checkpoint_seconds: float = 60.0
    """A checkpoint is also written within an epoch when the last one is so old."""

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise UserError(f"unknown precision {self.precision!r}; known: {', '.join(PRECISIONS)}")
        if not re.fullmatch(DEVICES, self.device):
            raise UserError(f"unknown device {self.device!r}; known: auto, cpu, cuda, cuda:1, ...")

    def together(self, seeds: int) -> Runtime:
        """Return the switches as they are for so many seeds at once; grouped convolutions keep to one layout."""
        return replace(self, side_by_side=seeds > 1, channels_last=self.channels_last and seeds == 1)

    def values(self) -> dict[str, Any]:
        """Return the switches as plain data."""
        return asdict(self)
