"""How this machine runs an experiment: nothing here changes the mathematics of a recipe."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

from repro.errors import UserError

PRECISIONS = ("fp32", "tf32", "bf16")
DEVICES = r"auto|cpu|cuda(:\d+)?"


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """Speed switches. They are recorded with a run and leave its experiment as it is."""

    device: str = "auto"
    """`auto` is the first GPU where there is one; also `cpu`, `cuda`, `cuda:1`."""
    precision: str = "fp32"
    """`fp32`; `tf32`: 10-bit mantissas in a GPU's products; `bf16`: autocast with fp32 weights."""
    channels_last: bool = True
    threads: int | None = None
    """CPU threads; torch's own choice unless given."""
    workers: int | None = None
    """Processes that read and augment image files; one per core unless given, none with 0."""
    checkpoint_seconds: float = 60.0
    """A checkpoint is also written within an epoch when the last one is so old."""

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise UserError(f"unknown precision {self.precision!r}; known: {', '.join(PRECISIONS)}")
        if not re.fullmatch(DEVICES, self.device):
            raise UserError(f"unknown device {self.device!r}; known: auto, cpu, cuda, cuda:1, ...")

    def values(self) -> dict[str, Any]:
        """Return the switches as plain data."""
        return asdict(self)
