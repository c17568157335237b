"""The mean training loss of the current epoch so far, read without waiting for the device."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from repro.training.engine.engine import Engine
from repro.training.machine import processes

READ_SECONDS = 0.5
"""Shortest time between two readings; in between, the last one is shown."""


@dataclass(frozen=True)
class Reading:
    """The summed losses on their way from the device."""

    sums: Tensor
    """(S,): the loss of each run, summed over the images so far; in pinned memory if the device is a GPU."""
    images: int
    """Images of each run so far."""
    arrived: torch.cuda.Event | None
    """Is reached when the sums have arrived; None if they are there."""

    def is_there(self) -> bool:
        """Whether the sums have arrived."""
        return self.arrived is None or bool(self.arrived.query())  # type: ignore[no-untyped-call]


class RunningLoss:
    """The mean loss per image of an engine's runs in the current epoch."""

    def __init__(self, engine: Engine) -> None:
        """Take an engine at the step from which it resumes."""
        self.engine = engine
        self._begin(engine.sums[:, 0].to("cpu", copy=True))  # the first process resumes with the sums of all processes

    def _begin(self, resumed: Tensor) -> None:
        """Forget the epoch before."""
        self.resumed, self.epochs = resumed, self.engine.epochs
        self.value: float | None = None
        self.reading: Reading | None = None
        self.read_at = -READ_SECONDS

    def so_far(self) -> float | None:
        """Return the mean loss as of a moment ago; None before the first reading of an epoch has arrived."""
        if self.epochs != self.engine.epochs:
            self._begin(torch.zeros_like(self.resumed))
        if self.reading is None and time.monotonic() - self.read_at >= READ_SECONDS:
            self.reading, self.read_at = self._read(), time.monotonic()
        if self.reading and self.reading.is_there():
            self.value, self.reading = self._mean(self.reading), None
        return self.value

    def _read(self) -> Reading:
        """Ask for the sums of this moment."""
        sums, images = self.engine.sums[:, 0], self.engine.images_of_epoch
        if self.engine.device.type == "cpu":
            return Reading(sums.clone(), images, None)
        here = torch.empty(sums.shape, pin_memory=True).copy_(sums, non_blocking=True)
        arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
        arrived.record()
        return Reading(here, images, arrived)

    def _mean(self, reading: Reading) -> float:
        """Return the mean over the images; with several processes, this one stands for the others."""
        sums = self.resumed + (reading.sums - self.resumed) * processes.count()
        return float(sums.mean()) / reading.images
